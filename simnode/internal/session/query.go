package session

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/ast"
)

// Query carries out a query string of the simple protocol. Several commands are
// one implicit transaction; a command's completion is told after the commit that
// it causes.
func (s *Session) Query(ctx context.Context, sql string, out Output) error {
	// The unnamed statement and portal do not outlive a simple Query.
	delete(s.prepared, "")
	delete(s.portals, "")
	stmts, err := s.cfg.Engine.Parse(sql)
	if err != nil {
		return s.failed(ctx, err)
	}
	if len(stmts) == 0 {
		out.Empty()
		return nil
	}
	event := eventCommand
	if len(stmts) > 1 {
		event = eventSeries
	}
	for i, stmt := range stmts {
		tag, err := s.simple(ctx, stmt, event, out)
		if err == nil && i == len(stmts)-1 {
			err = s.finish(ctx, step(s.block, eventEnd))
		}
		if err != nil {
			return s.failed(ctx, err)
		}
		out.Complete(tag)
	}
	return nil
}

// simple carries out one command of a simple Query.
func (s *Session) simple(ctx context.Context, stmt ast.Statement, event blockEvent, out Output) (string, error) {
	ctx, stop := s.limited(ctx)
	defer stop()
	if !endsBlock(stmt) {
		if err := s.enter(event); err != nil {
			return "", err
		}
	}
	tag, err := s.oneCommand(ctx, stmt, out)
	if err != nil {
		return "", clientError(ctx, err)
	}
	return tag, nil
}

func (s *Session) oneCommand(ctx context.Context, stmt ast.Statement, out Output) (string, error) {
	if stmt.Kind.IsSession() {
		return s.utility(ctx, stmt, out, true, nil)
	}
	p := &prepared{stmt: &stmt}
	if err := s.compile(ctx, p); err != nil {
		return "", err
	}
	return s.run(ctx, execution{prepared: p, out: out, describe: true})
}

// endsBlock reports whether a command is allowed in a failed block.
func endsBlock(stmt ast.Statement) bool {
	t, ok := stmt.Node.(*ast.Transaction)
	return ok && (t.Op == ast.OpCommit || t.Op == ast.OpRollback || t.Op == ast.OpRollbackTo)
}

// Sync ends a sequence of extended commands: an implicit transaction commits.
func (s *Session) Sync(ctx context.Context) error {
	if err := s.finish(ctx, step(s.block, eventEnd)); err != nil {
		return s.failed(ctx, err)
	}
	return nil
}
