package trace

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Tracer calls the tracers of one configuration. The zero value calls none. It
// is as safe for concurrent use as they are.
type Tracer struct {
	query   pgx.QueryTracer
	prepare pgx.PrepareTracer
}

// New returns the tracer of a configuration, whose Tracer may be nil and may be
// a pgx.PrepareTracer too.
func New(from pgx.QueryTracer) Tracer {
	t := Tracer{query: from}
	t.prepare, _ = from.(pgx.PrepareTracer)
	return t
}

// Span is something that was started and has to end. The zero value is nothing,
// and ends without a call.
type Span struct {
	query   pgx.QueryTracer
	prepare pgx.PrepareTracer
	ctx     context.Context
	conn    *pgx.Conn
}

// Context returns the context for what happens within the span, or ctx if there
// is none.
func (s *Span) Context(ctx context.Context) context.Context {
	if s.ctx == nil {
		return ctx
	}
	return s.ctx
}

// Query says that a statement is about to be sent. The arguments are copied:
// the caller may use their slice again.
func (t *Tracer) Query(ctx context.Context, conn *pgx.Conn, sql string, args []any) Span {
	if t.query == nil {
		return Span{}
	}
	data := pgx.TraceQueryStartData{SQL: sql, Args: slices.Clone(args)}
	return Span{query: t.query, ctx: t.query.TraceQueryStart(ctx, conn, data), conn: conn}
}

// Prepare says that a statement is about to be prepared.
func (t *Tracer) Prepare(ctx context.Context, conn *pgx.Conn, name, sql string) Span {
	if t.prepare == nil {
		return Span{}
	}
	data := pgx.TracePrepareStartData{Name: name, SQL: sql}
	return Span{prepare: t.prepare, ctx: t.prepare.TracePrepareStart(ctx, conn, data), conn: conn}
}

// End says how it went; the tag is a statement's. Only the first call counts.
func (s *Span) End(tag pgconn.CommandTag, err error) {
	was := *s
	*s = Span{}
	switch {
	case was.query != nil:
		was.query.TraceQueryEnd(was.ctx, was.conn, pgx.TraceQueryEndData{CommandTag: tag, Err: err})
	case was.prepare != nil:
		was.prepare.TracePrepareEnd(was.ctx, was.conn, pgx.TracePrepareEndData{Err: err})
	}
}

// EndCommand says how BEGIN, COMMIT or ROLLBACK went, whose tag is its name in
// capitals.
func (s *Span) EndCommand(tag string, err error) {
	if err != nil {
		tag = ""
	}
	s.End(pgconn.NewCommandTag(tag), err)
}
