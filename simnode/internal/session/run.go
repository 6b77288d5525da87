package session

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// execution is one run of a prepared statement.
type execution struct {
	prepared *prepared
	params   []types.Datum
	formats  []Format
	out      Output
	describe bool    // announce the rows with a RowDescription
	hold     *portal // not nil: keep the rows for this portal instead of sending them
}

// run carries out a statement that is not the session's own. Its rows have left
// for out, or lie in the portal, when it returns.
func (s *Session) run(ctx context.Context, x execution) (string, error) {
	p := x.prepared
	if s.tx.readOnly && !p.program.ReadOnly() {
		return "", sqlerr.New("25006", "cannot execute %s in a read-only transaction", commandName(p.stmt))
	}
	txn, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	s.refreshEnv(ctx)
	if err := s.revalidate(p, txn); err != nil {
		return "", err
	}
	txn.SetLockTimeout(s.settings.cached.lockTimeout)
	rows := &rowSink{session: s, ctx: ctx, x: &x, buffering: x.hold != nil || !p.program.ReadOnly()}
	if x.describe {
		// A portal was checked by its Bind.
		if err := p.program.Fold(&s.env, x.params); err != nil {
			return "", err
		}
	}
	if p.stmt.Kind == ast.KindSelect && x.hold == nil {
		// As PostgreSQL: the rows of a query are announced before it runs, those
		// of RETURNING afterwards. The announcement stays in the buffer until the
		// snapshot is settled.
		s.owed = max(s.owed, s.lastSeen())
		rows.announce()
	}
	tag, err := p.program.Run(ctx, &s.env, txn, x.params, rows.take)
	if err != nil {
		return "", err
	}
	return tag, rows.done(txn)
}

// rowSink stands between a program and the client: it waits for the snapshot to be
// stable before the first row leaves, and holds rows back where they must not leave
// before the statement is over.
type rowSink struct {
	session   *Session
	ctx       context.Context
	x         *execution
	buffering bool
	announced bool // out knows the columns
	settled   bool // rows may leave
	held      []types.Row
	bytes     int
}

func (r *rowSink) take(row types.Row) error {
	if r.buffering {
		r.bytes += rowBytes(row)
		if limit := r.session.cfg.MaxBufferedBytes; r.bytes > limit {
			return sqlerr.New("53400", "the rows of this statement need more than the %d bytes that a session may hold back", limit).
				WithHint("Rows are held back for RETURNING, FOR UPDATE and Execute with a row limit.")
		}
		r.held = append(r.held, row)
		return nil
	}
	if err := r.begin(); err != nil {
		return err
	}
	return r.x.out.Row(row)
}

func (r *rowSink) announce() {
	columns := r.x.prepared.program.Columns()
	if columns != nil && !r.announced {
		r.x.out.Begin(Result{Columns: columns, Formats: r.x.formats, Style: r.session.Style(), Describe: r.x.describe})
	}
	r.announced = true
}

// begin waits until rows may leave, and announces them.
func (r *rowSink) begin() error {
	if r.settled {
		return nil
	}
	if err := r.session.settle(r.ctx); err != nil {
		return err
	}
	r.settled = true
	r.announce()
	return nil
}

// done sends what was held back. A statement without rows that wrote inside an
// implicit transaction is not waited for: its commit will be, and nothing leaves
// before.
func (r *rowSink) done(txn *mvcc.Txn) error {
	s, p := r.session, r.x.prepared
	if p.program.Columns() == nil && s.block != blockOpen && txn.HasWrites() {
		s.owed = max(s.owed, s.lastSeen())
		return nil
	}
	if r.x.hold != nil {
		r.x.hold.rows = r.held
		return s.settle(r.ctx)
	}
	if err := r.begin(); err != nil {
		return err
	}
	for _, row := range r.held {
		if err := r.x.out.Row(row); err != nil {
			return err
		}
	}
	return nil
}

// rowBytes estimates what a row takes in memory.
func rowBytes(row types.Row) int {
	n := 24 + 16*len(row)
	for _, d := range row {
		switch v := d.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		default:
			n += 16
		}
	}
	return n
}

// commandName is what 25006 calls a statement.
func commandName(stmt *ast.Statement) string {
	if q, ok := stmt.Node.(*ast.Select); ok && q.Lock != nil {
		return "SELECT FOR UPDATE"
	}
	return stmt.Kind.String()
}
