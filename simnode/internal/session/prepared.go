package session

import (
	"context"
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// prepared is a prepared statement, of the protocol or of PREPARE; both share one
// space of names.
type prepared struct {
	stmt    *ast.Statement // nil: an empty query string
	given   []types.OID    // the parameter types that the client named
	program Program        // nil for the session's own commands
	params  []types.OID
}

// compile makes a statement's program, at the snapshot of a statement that begins
// now.
func (s *Session) compile(ctx context.Context, p *prepared) error {
	txn, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	s.refreshEnv(ctx)
	program, err := s.cfg.Engine.Prepare(&s.env, txn, *p.stmt, p.given)
	if err != nil {
		return err
	}
	p.program, p.params = program, program.ParamTypes()
	return nil
}

// revalidate makes the program anew if a table that it uses has changed. What the
// client was told of the result must still be true.
func (s *Session) revalidate(p *prepared, txn *mvcc.Txn) error {
	if p.program.Valid(&s.env, txn) {
		return nil
	}
	program, err := s.cfg.Engine.Prepare(&s.env, txn, *p.stmt, p.params)
	if err != nil {
		return err
	}
	if !slices.EqualFunc(p.program.Columns(), program.Columns(), sameColumn) {
		return sqlerr.New("0A000", "cached plan must not change result type")
	}
	p.program = program
	return nil
}

func sameColumn(a, b Column) bool {
	return a.Name == b.Name && a.Type == b.Type && a.TypMod == b.TypMod
}

// columns are the columns that a statement returns, nil if none.
func (s *Session) columns(p *prepared) []Column {
	switch {
	case p.stmt == nil:
		return nil
	case p.program != nil:
		return p.program.Columns()
	}
	switch node := p.stmt.Node.(type) {
	case *ast.Show:
		return s.showColumns(node)
	case *ast.Execute:
		if target, ok := s.prepared[node.Name]; ok && node.Name != "" {
			return s.columns(target)
		}
	}
	return nil
}

// Parse prepares a statement of the extended protocol. A parameter type of 0, or
// one that is missing at the end, is found out.
func (s *Session) Parse(ctx context.Context, name, sql string, params []types.OID) error {
	ctx, stop := s.limited(ctx)
	defer stop()
	if err := s.parse(ctx, name, sql, params); err != nil {
		return s.failed(ctx, err)
	}
	return nil
}

func (s *Session) parse(ctx context.Context, name, sql string, params []types.OID) error {
	stmts, err := s.cfg.Engine.Parse(sql)
	if err != nil {
		return err
	}
	if len(stmts) > 1 {
		return sqlerr.New("42601", "cannot insert multiple commands into a prepared statement")
	}
	p := &prepared{given: params, params: params}
	if len(stmts) == 1 {
		p.stmt = &stmts[0]
	}
	if p.stmt == nil || !endsBlock(*p.stmt) {
		if err := s.enterExtended(p); err != nil {
			return err
		}
	}
	if name == "" {
		delete(s.prepared, "")
	} else if _, taken := s.prepared[name]; taken {
		return sqlerr.New("42P05", "prepared statement \"%s\" already exists", name)
	}
	if p.stmt != nil && !p.stmt.Kind.IsSession() {
		if err := s.compile(ctx, p); err != nil {
			return err
		}
	}
	s.prepared[name] = p
	return nil
}

// enterExtended begins the transaction that an extended command runs in. An empty
// query string is allowed even in a failed block.
func (s *Session) enterExtended(p *prepared) error {
	if p.stmt == nil && s.block == blockFailed {
		return nil
	}
	return s.enter(eventCommand)
}

func (s *Session) statement(name string) (*prepared, error) {
	p, ok := s.prepared[name]
	switch {
	case ok:
		return p, nil
	case name == "":
		return nil, sqlerr.New("26000", "unnamed prepared statement does not exist")
	default:
		return nil, sqlerr.New("26000", "prepared statement \"%s\" does not exist", name)
	}
}

// ParamTypes gives the types that the parameters of a prepared statement must be
// decoded to.
func (s *Session) ParamTypes(statement string) ([]types.OID, error) {
	p, err := s.statement(statement)
	if err != nil {
		return nil, s.failed(s.base, err)
	}
	return p.params, nil
}

// Describe gives a prepared statement's parameter types and columns (nil if it
// returns no rows). If only the columns cannot be told, the parameter types come
// with the error: PostgreSQL has sent them by then.
func (s *Session) Describe(ctx context.Context, statement string) ([]types.OID, []Column, error) {
	p, err := s.statement(statement)
	if err != nil {
		return nil, nil, s.failed(ctx, err)
	}
	if s.block == blockFailed && s.columns(p) != nil {
		failed := errFailedBlock
		return nil, nil, s.failed(ctx, &failed)
	}
	params := p.params
	if params == nil {
		params = []types.OID{}
	}
	if err := s.recheck(ctx, p); err != nil {
		return params, nil, s.failed(ctx, err)
	}
	return params, s.columns(p), nil
}

// recheck makes sure that what is told of a statement's result still holds.
func (s *Session) recheck(ctx context.Context, p *prepared) error {
	if s.block == blockFailed {
		return nil
	}
	if err := s.enter(eventCommand); err != nil {
		return err
	}
	if p.program == nil {
		return nil
	}
	txn, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	s.refreshEnv(ctx)
	return s.revalidate(p, txn)
}

// CloseStatement forgets a prepared statement; it need not exist.
func (s *Session) CloseStatement(name string) { delete(s.prepared, name) }
