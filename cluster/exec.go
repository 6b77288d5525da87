package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster/internal/bundle"
	"github.com/anywriter/anywriter/cluster/internal/stmtcache"
	"github.com/anywriter/anywriter/cluster/internal/trace"
	"github.com/anywriter/anywriter/internal/stmtclass"
)

// call is one statement on its way: what is to be run and how, and afterwards
// the flush record that says how far it came.
type call struct {
	sql   string
	args  []any
	mode  pgx.QueryExecMode
	query bool // the caller wants rows

	info     stmtclass.Info // zero until the text has been looked at
	begin    string         // BEGIN that travels with the statement
	cached   bool           // its description was made by an earlier execution
	inTx     bool           // inside an explicit transaction, by ours or the server's word
	first    bool           // its first statement
	commit   bool           // this is COMMIT
	readOnly bool           // the caller says that it changes nothing
	last     bool           // the caller says that the transaction ends with it
	riding   bool           // COMMIT has been sent with it
	fencedTx bool           // COMMIT of its transaction needs the fence's row, whatever it does itself
	noFence  bool           // its transaction takes no writes, so the row couldn't be inserted
	shut     bool           // that may be so, and only the server knows
	fenced   bool           // a row of the fence has been sent with it
	fenceID  txID           // and its key
	flight   flight
	sent     bool  // the attempt came as far as sending the statement itself
	started  int64 // by the cluster's clock
	answered int64 // when the first answer came; 0: not yet
	attempts int
	earlier  []Attempt // those before this one
	scope    scope
	stop     Stop // why it isn't tried again
	searched bool // it took the session's connection
	resolved bool // the commit fence was asked
}

// prepareCall applies the leading options that pgx accepts among the
// arguments.
func (s *Session) prepareCall(ctx context.Context, c *call) (err error) {
	if len(c.args) == 0 {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{While: "rewriting a query", Value: v}
		}
	}()
	for len(c.args) > 0 {
		switch a := c.args[0].(type) {
		case pgx.QueryExecMode:
			c.mode, c.args = a, c.args[1:]
		case pgx.QueryResultFormats, pgx.QueryResultFormatsByOID:
			c.args = c.args[1:] // formats are fixed: see resultFormat
		case pgx.QueryRewriter:
			if err := s.ensureLease(ctx, c); err != nil {
				return err
			}
			sql, args, err := a.RewriteQuery(ctx, s.lease.phys.conn, c.sql, c.args[1:])
			if err != nil {
				return fmt.Errorf("rewrite query: %w", err)
			}
			c.sql, c.args, c.info = sql, args, stmtclass.Info{}
			return nil
		default:
			return nil
		}
	}
	return nil
}

// send starts the statement on p. Errors of the execution itself are left in
// r, for preload or drain to find; an error returned here came before the
// statement could run.
func (p *physical) send(ctx context.Context, r *Rows) error {
	c := &r.call
	c.sent = false
	entry := p.stmts.Get(c.sql)
	c.cached = entry != nil && c.caches()
	if entry != nil && c.mode == pgx.QueryExecModeCacheStatement {
		c.classified(entry.Info)
		return p.sendDescribed(p.traced(ctx, r), r, c, entry)
	}
	c.classified(c.class())
	several := len(c.args) == 0 && c.info.Commands > 1
	if c.info.CopyIn {
		return errCopyIn
	}
	if c.mode == pgx.QueryExecModeSimpleProtocol && !several {
		return p.sendInterpolated(ctx, r, c)
	}
	ctx = p.traced(ctx, r)
	switch {
	case several:
		return p.sendSimple(ctx, r, c)
	case c.mode == pgx.QueryExecModeExec:
		return p.sendUndescribed(ctx, r, c)
	}
	entry, err := p.lookup(ctx, c, entry)
	if err != nil {
		return err
	}
	return p.sendDescribed(ctx, r, c, entry)
}

// traced tells the configuration's tracer of the statement.
func (p *physical) traced(ctx context.Context, r *Rows) context.Context {
	r.span = p.node.tracer.Query(ctx, p.conn, r.call.sql, r.call.args)
	return r.span.Context(ctx)
}

// class returns what the text may do, which is looked up once.
func (c *call) class() stmtclass.Info {
	if c.info.Class == stmtclass.Unknown {
		c.info = stmtclass.Classify(c.sql)
	}
	return c.info
}

// classified notes what the text may do. A text that controls the transaction
// itself, or copies, can't have a COMMIT behind it, nor can one after which nobody
// knows whether the transaction takes the fence's row. A text that shows a change
// of data is no read whatever WithReadOnly says.
func (c *call) classified(info stmtclass.Info) {
	c.info = info
	c.readOnly = c.readOnly && !info.Changes
	c.last = c.last && !info.ControlsTx && !info.Copy
	if c.last && (c.shut || info.SetsReadOnly) && (c.mayWrite() || c.fencedTx) {
		c.last = false // whether the fence's row can travel with it must be asked first
	}
}

// lookup returns the description of the statement for the three modes that
// need one.
func (p *physical) lookup(ctx context.Context, c *call, entry *stmtcache.Entry) (*stmtcache.Entry, error) {
	if c.cached && entry != nil {
		return entry, nil
	}
	named := c.mode == pgx.QueryExecModeCacheStatement && p.stmts.Capacity() > 0
	entry, err := p.describe(ctx, c.sql, c.begin, named)
	if err == nil || !p.pc.IsClosed() && p.pc.TxStatus() != 'I' {
		c.begin = "" // it has travelled, whatever became of the statement
	}
	if err != nil {
		return nil, err
	}
	entry.Info = c.info
	if c.caches() && p.stmts.Capacity() > 0 {
		p.stmts.Put(c.sql, entry)
	}
	return entry, nil
}

// sendDescribed runs a statement whose parameter types are known.
func (p *physical) sendDescribed(ctx context.Context, r *Rows, c *call, e *stmtcache.Entry) error {
	if err := p.encode(e.Desc, c.args); err != nil {
		// The types may have changed since the statement was prepared.
		p.stmts.Drop(c.sql)
		var panicked *PanicError
		if !c.mayReplan() || errors.As(err, &panicked) {
			return err
		}
		c.cached = false
		if e, err = p.lookup(ctx, c, nil); err != nil {
			return err
		}
		return p.sendDescribed(ctx, r, c, e)
	}
	formats := e.Formats
	b := &p.encoder
	inline := c.mode == pgx.QueryExecModeCacheDescribe
	p.mark(c)
	if !p.together(c) {
		if inline {
			r.rr = p.pc.ExecParams(ctx, c.sql, b.ParamValues, e.Desc.ParamOIDs, b.ParamFormats, formats)
		} else {
			r.rr = p.pc.ExecStatement(ctx, e.Desc, b.ParamValues, b.ParamFormats, formats)
		}
		return nil
	}
	return p.sendTogether(ctx, r, c, func(to *bundle.Bundle) {
		if inline {
			to.Params(c.sql, b.ParamValues, e.Desc.ParamOIDs, b.ParamFormats, formats)
		} else {
			to.Statement(e.Desc, b.ParamValues, b.ParamFormats, formats)
		}
	})
}

// sendUndescribed runs a statement whose parameter types are taken from Go's.
func (p *physical) sendUndescribed(ctx context.Context, r *Rows, c *call) error {
	if err := p.encode(nil, c.args); err != nil {
		return err
	}
	b := &p.encoder
	p.mark(c)
	if !p.together(c) {
		r.rr = p.pc.ExecParams(ctx, c.sql, b.ParamValues, nil, b.ParamFormats, nil)
		return nil
	}
	return p.sendTogether(ctx, r, c, func(to *bundle.Bundle) {
		to.Params(c.sql, b.ParamValues, nil, b.ParamFormats, nil)
	})
}

// caches reports whether the mode keeps descriptions.
func (c *call) caches() bool {
	return c.mode == pgx.QueryExecModeCacheStatement || c.mode == pgx.QueryExecModeCacheDescribe
}

// mayReplan reports whether the statement may be described anew and run again if
// it fails because of what its cached description says: nothing has run before
// it in its transaction.
func (c *call) mayReplan() bool { return c.cached && (!c.inTx || c.first) }

// together reports whether something must travel with the statement.
func (p *physical) together(c *call) bool { return c.begin != "" || c.last || p.wantsFence(c) }

// sendTogether sends one statement in one flush with what belongs to it: BEGIN
// before it, the fence's row and COMMIT behind it. The row comes last, because
// as long as the statement is at work a resolver then gets in first and need not
// wait.
func (p *physical) sendTogether(ctx context.Context, r *Rows, c *call, add func(*bundle.Bundle)) error {
	b := p.bundle
	begin := c.begin != ""
	var span trace.Span
	if begin {
		span = p.node.tracer.Query(ctx, p.conn, c.begin, nil)
	}
	b.Start(c.begin)
	add(b)
	if p.wantsFence(c) {
		c.addFence(&p.node.cluster.fence, b)
	}
	if c.last {
		c.riding = true
		b.Command("commit")
	}
	if err := b.Send(ctx); err != nil {
		span.EndCommand("BEGIN", err)
		return err
	}
	if begin {
		c.begin = ""
		_, err := b.Tag()
		span.EndCommand("BEGIN", err)
		if err != nil {
			return err
		}
	}
	rr, err := b.Next()
	if err != nil {
		return err
	}
	r.rr, r.bundle = rr, b // the rest is read by Rows
	return nil
}

// sendSimple runs a text of several commands by the simple protocol, the only
// one that takes them.
func (p *physical) sendSimple(ctx context.Context, r *Rows, c *call) error {
	if err := p.beginAlone(ctx, c); err != nil {
		return err
	}
	p.mark(c)
	r.multi = p.pc.Exec(ctx, c.sql)
	return nil
}

// sendInterpolated runs a statement by the simple protocol with the arguments
// written into its text, which is pgx's own code.
func (p *physical) sendInterpolated(ctx context.Context, r *Rows, c *call) (err error) {
	if err := p.beginAlone(ctx, c); err != nil {
		return err
	}
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{While: "encoding arguments", Value: v}
		}
	}()
	p.mark(c)
	args := append([]any{pgx.QueryExecModeSimpleProtocol}, c.args...)
	rows, err := p.conn.Query(ctx, c.sql, args...)
	if err != nil {
		rows.Close()
		return err
	}
	r.simple = rows
	return nil
}

// beginAlone sends a pending BEGIN by itself.
func (p *physical) beginAlone(ctx context.Context, c *call) error {
	if c.begin == "" {
		return nil
	}
	span := p.node.tracer.Query(ctx, p.conn, c.begin, nil)
	_, err := p.command(span.Context(ctx), c.begin)
	span.EndCommand("BEGIN", err)
	if err != nil {
		return err
	}
	c.begin = ""
	return nil
}

// mark starts the flush record: from here on, bytes sent are the statement's.
func (p *physical) mark(c *call) {
	c.flight = p.takeOff()
	c.sent = true
}

// command runs BEGIN, COMMIT or ROLLBACK by itself, by the simple protocol, in
// which it is one message and not five. With an error the tag is that of a command
// that was complete when the connection broke.
func (p *physical) command(ctx context.Context, sql string) (tag pgconn.CommandTag, err error) {
	answers := p.pc.Exec(ctx, sql)
	if answers.NextResult() {
		tag, _ = answers.ResultReader().Close() // repeats the error, if any
	}
	return tag, answers.Close()
}

// rollback sends ROLLBACK by itself.
func (p *physical) rollback(ctx context.Context) error {
	span := p.node.tracer.Query(ctx, p.conn, "rollback", nil)
	_, err := p.command(span.Context(ctx), "rollback")
	span.EndCommand("ROLLBACK", err)
	return err
}
