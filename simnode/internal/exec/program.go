package exec

import (
	"context"
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Column describes a column of a result, as RowDescription needs it.
type Column = analyze.OutputColumn

// Program is a prepared statement: immutable, and safe for concurrent use by
// sessions with transactions of their own.
type Program struct {
	params   []types.OID
	columns  []Column
	tables   []*catalog.Table
	path     catalog.Path // by which the tables were found
	classes  []uint32     // OIDs of regclass constants
	slots    int
	readOnly bool
	run      runner
	foldable []analyze.Expr // have constant parts that could fail
}

// runner is a compiled command. It returns the command tag.
type runner interface {
	run(r *run) (tag string, err error)
}

// run is one execution of a program.
type run struct {
	frame
	ctx  context.Context
	env  *Env
	tx   *mvcc.Txn
	emit func(types.Row) error
}

// Prepare analyses, plans and compiles a statement. paramTypes are the types that
// the client declared; zero or missing ones are worked out. tx is only read: it is
// where tables are looked up. Errors are *sqlerr.Error.
func Prepare(env *Env, tx *mvcc.Txn, stmt ast.Statement, paramTypes []types.OID) (*Program, error) {
	s, err := analyze.Analyze(env.meaning(tx), stmt, paramTypes)
	if err != nil {
		return nil, err
	}
	p := &Program{params: s.Params, tables: s.Tables, path: env.Path, classes: s.Classes, slots: s.Slots}
	p.foldable = worthFolding(analyze.Expressions(s.Command))
	switch c := s.Command.(type) {
	case *analyze.Select:
		p.columns, p.readOnly = c.Columns, c.Lock == ast.WaitUnknown
		if p.columns == nil {
			p.columns = []Column{} // a query of no columns still returns rows
		}
		p.run = compileSelect(c)
	case *analyze.Insert:
		p.columns, p.run = c.Columns, compileInsert(c)
	case *analyze.Update:
		p.columns, p.run = c.Columns, compileUpdate(c)
	case *analyze.Delete:
		p.columns, p.run = c.Columns, compileDelete(c)
	case *analyze.CreateTable:
		p.run = (*createTable)(c)
	case *analyze.DropTable:
		p.run = (*dropTable)(c)
	case *analyze.Truncate:
		p.run = (*truncate)(c)
	case *analyze.CreateSchema:
		p.run = (*createSchema)(c)
	case *analyze.DropSchema:
		p.run = (*dropSchema)(c)
	default:
		return nil, sqlerr.New("XX000", "no executor for %T", c)
	}
	return p, nil
}

// ParamTypes gives the types of the parameters in order.
func (p *Program) ParamTypes() []types.OID { return p.params }

// Columns describes the result; nil for a statement that returns no rows.
func (p *Program) Columns() []Column { return p.columns }

// ReadOnly reports whether the statement may run in a read-only transaction. It is
// false for SELECT … FOR UPDATE.
func (p *Program) ReadOnly() bool { return p.readOnly }

// Valid reports whether every table that the program uses or names is, for tx, the
// one that it was prepared with, and the search path too. An invalid program must be prepared
// again.
func (p *Program) Valid(env *Env, tx *mvcc.Txn) bool {
	if !slices.Equal(p.path, env.Path) {
		return false
	}
	for _, t := range p.tables {
		rel, ok := tx.RelationByOID(t.OID)
		if !ok || rel.Table != t {
			return false
		}
	}
	for _, oid := range p.classes {
		if _, ok := tx.RelationByOID(oid); !ok {
			return false
		}
	}
	return true
}

// Run executes the program. params has a value of the right type for each
// parameter. emit gets the rows as they are produced and may keep them. An error
// undoes what the statement did, and only that. The error is a *sqlerr.Error, the
// cause of ctx, or what emit returned.
func (p *Program) Run(
	ctx context.Context, env *Env, tx *mvcc.Txn, params []types.Datum, emit func(types.Row) error,
) (tag string, err error) {
	if len(params) != len(p.params) {
		return "", sqlerr.New("08P01", "statement needs %d parameters, got %d", len(p.params), len(params))
	}
	defer env.enter(ctx, tx)()
	r := &run{ctx: ctx, env: env, tx: tx, emit: emit}
	r.c, r.values = &env.Context, env.values(tx)
	if r.params, err = p.closed(params, r.values); err != nil {
		return "", err
	}
	if p.slots > 0 {
		r.slots = make([]types.Datum, p.slots)
	}
	r.sequence = r
	tx.NextCommand()
	if err := p.Fold(env, r.params); err != nil {
		return "", err
	}
	mark := tx.Savepoint()
	for _, t := range p.tables {
		tx.TouchCatalog(t)
	}
	tag, err = p.run.run(r)
	if err != nil {
		tx.RollbackTo(mark)
		return "", err
	}
	return tag, nil
}

// closed looks up what parameters of type regclass stand for.
func (p *Program) closed(params []types.Datum, env types.Env) ([]types.Datum, error) {
	if !slices.Contains(p.params, types.RegclassOID) {
		return params, nil
	}
	out := slices.Clone(params)
	for i := range out {
		var err error
		if out[i], err = types.CloseRegclass(out[i], env); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// nextval draws from the sequence of a serial column through the session, so
// that currval and lastval know of it.
func (r *run) nextval(ctx context.Context, oid uint32) (int64, error) {
	rel, ok := r.tx.RelationByOID(oid)
	if !ok || rel.Sequence == nil {
		return 0, sqlerr.New("42P01", "relation with OID %d does not exist", oid)
	}
	if r.env.Nextval == nil {
		return 0, sqlerr.Unsupported("nextval in this context")
	}
	return r.env.Nextval(ctx, quoteIdent(rel.Schema)+"."+quoteIdent(rel.Name))
}
