package session

import (
	"context"
	"strconv"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// portal is a prepared statement with its parameters, ready to run or running.
type portal struct {
	prepared *prepared
	params   []types.Datum
	formats  []Format
	depth    int // savepoints that it was made under

	ran  bool
	tag  string      // of the whole statement
	rows []types.Row // what is left of a result that is fetched in parts
}

// Bind makes a portal. formats is empty for text, one for all columns, or one per
// column.
func (s *Session) Bind(ctx context.Context, name, statement string, params []types.Datum, formats []Format) error {
	ctx, stop := s.limited(ctx)
	defer stop()
	if err := s.bind(ctx, name, statement, params, formats); err != nil {
		return s.failed(ctx, err)
	}
	return nil
}

func (s *Session) bind(ctx context.Context, name, statement string, params []types.Datum, formats []Format) error {
	p, err := s.statement(statement)
	if err != nil {
		return err
	}
	if p.stmt == nil || !endsBlock(*p.stmt) {
		if err := s.enterExtended(p); err != nil {
			return err
		}
	}
	if _, taken := s.portals[name]; taken && name != "" {
		return sqlerr.New("42P03", "cursor \"%s\" already exists", name)
	}
	if p.program != nil {
		txn, err := s.snapshot(ctx)
		if err != nil {
			return err
		}
		s.refreshEnv(ctx)
		if err := s.revalidate(p, txn); err != nil {
			return err
		}
		if err := p.program.Fold(&s.env, params); err != nil {
			return err
		}
	}
	formats, err = expandFormats(formats, s.columns(p))
	if err != nil {
		return err
	}
	// A statement that PREPARE or Parse replaces lives on in its portals.
	own := *p
	s.portals[name] = &portal{prepared: &own, params: params, formats: formats, depth: len(s.tx.savepoints)}
	return nil
}

// expandFormats gives each column its format.
func expandFormats(formats []Format, columns []Column) ([]Format, error) {
	for _, f := range formats {
		if f != FormatText && f != FormatBinary {
			return nil, sqlerr.New("22023", "unsupported format code: %d", f)
		}
	}
	switch {
	case columns == nil || len(formats) == len(columns):
		return formats, nil
	case len(formats) == 0:
		return nil, nil
	case len(formats) == 1:
		out := make([]Format, len(columns))
		for i := range out {
			out[i] = formats[0]
		}
		return out, nil
	}
	return nil, sqlerr.New("08P01", "bind message has %d result formats but query has %d columns", len(formats), len(columns))
}

func (s *Session) portal(name string) (*portal, error) {
	p, ok := s.portals[name]
	if !ok {
		return nil, sqlerr.New("34000", "portal \"%s\" does not exist", name)
	}
	return p, nil
}

// DescribePortal gives a portal's columns (nil if it returns no rows) and their
// formats.
func (s *Session) DescribePortal(ctx context.Context, name string) ([]Column, []Format, error) {
	p, err := s.portal(name)
	if err == nil && s.block == blockFailed && s.columns(p.prepared) != nil {
		failed := errFailedBlock
		err = &failed
	}
	if err != nil {
		return nil, nil, s.failed(ctx, err)
	}
	return s.columns(p.prepared), p.formats, nil
}

// ClosePortal forgets a portal; it need not exist.
func (s *Session) ClosePortal(name string) { delete(s.portals, name) }

// Execute runs a portal, or goes on with it. maxRows 0 means all rows.
func (s *Session) Execute(ctx context.Context, name string, maxRows int, out Output) error {
	ctx, stop := s.limited(ctx)
	defer stop()
	if err := s.execute(ctx, name, maxRows, out); err != nil {
		return s.failed(ctx, err)
	}
	return nil
}

func (s *Session) execute(ctx context.Context, name string, maxRows int, out Output) error {
	p, err := s.portal(name)
	if err != nil {
		return err
	}
	stmt := p.prepared.stmt
	if stmt == nil {
		out.Empty()
		return nil
	}
	if !endsBlock(*stmt) {
		if err := s.enter(eventCommand); err != nil {
			return err
		}
	}
	if p.ran {
		return s.resume(ctx, name, p, maxRows, out)
	}
	p.ran = true
	if stmt.Kind.IsSession() {
		p.tag, err = s.utility(ctx, *stmt, out, false, p)
	} else {
		x := execution{prepared: p.prepared, params: p.params, formats: p.formats, out: out}
		if maxRows > 0 && s.columns(p.prepared) != nil {
			x.hold = p
		}
		p.tag, err = s.run(ctx, x)
		if err == nil && x.hold != nil {
			return s.fetch(p, maxRows, out)
		}
	}
	if err != nil {
		return err
	}
	out.Complete(p.tag)
	return nil
}

// resume executes a portal once more.
func (s *Session) resume(ctx context.Context, name string, p *portal, maxRows int, out Output) error {
	if s.columns(p.prepared) == nil {
		return sqlerr.New("55000", "portal \"%s\" cannot be run", name)
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	return s.fetch(p, maxRows, out)
}

// fetch sends the next rows that a portal holds.
func (s *Session) fetch(p *portal, maxRows int, out Output) error {
	n := len(p.rows)
	if maxRows > 0 {
		n = min(n, maxRows)
	}
	out.Begin(Result{Columns: s.columns(p.prepared), Formats: p.formats, Style: s.Style()})
	for _, row := range p.rows[:n] {
		if err := out.Row(row); err != nil {
			return err
		}
	}
	p.rows = p.rows[n:]
	if maxRows > 0 && n == maxRows {
		out.Suspended()
		return nil
	}
	out.Complete(countedTag(p.tag, n))
	return nil
}

// countedTag is a tag with the number of rows of one fetch instead of the whole
// statement's.
func countedTag(tag string, rows int) string {
	i := strings.LastIndexByte(tag, ' ')
	if i < 0 {
		return tag
	}
	if _, err := strconv.Atoi(tag[i+1:]); err != nil {
		return tag
	}
	return tag[:i+1] + strconv.Itoa(rows)
}
