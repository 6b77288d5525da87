package exec

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/parse"
	"github.com/anywriter/anywriter/simnode/internal/sequence"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Env is what statements see of their session and node. Programs keep no pointer
// to it; the session may change it between calls.
type Env struct {
	builtin.Context
	// Notice takes NOTICE and WARNING messages. Nil drops them.
	Notice func(*sqlerr.Error)
	// Sequences hands out OIDs and blocks of sequence values. Only DDL needs it.
	Sequences *sequence.Allocator
	// Parser reads the text of column defaults. Nil parses without a cache.
	Parser *parse.Parser
	// classes is kept here so that a statement need not allocate it.
	classes catalog.Classes
}

// notice sends a NOTICE.
func (e *Env) notice(n *sqlerr.Error) {
	if e.Notice == nil {
		return
	}
	n.Severity = "NOTICE"
	e.Notice(n)
}

// meaning is what the meaning of a statement depends on.
func (e *Env) meaning(tx *mvcc.Txn) analyze.Context {
	return analyze.Context{Catalog: tx, Path: e.Path, Values: e.values(tx), Parse: e.parse}
}

// enter gives functions what a run knows, until leave is called.
func (e *Env) enter(ctx context.Context, tx *mvcc.Txn) (leave func()) {
	before, reader := e.Ctx, e.Catalog
	e.Ctx, e.Catalog = ctx, tx
	return func() { e.Ctx, e.Catalog = before, reader }
}

// values is how values are read and written in a statement that looks at r.
func (e *Env) values(r catalog.Reader) types.Env {
	env := types.Env{Location: e.Location, Now: e.TxTime}
	if r != nil {
		e.classes = e.Classes(r)
		env.Classes = &e.classes
	}
	return env
}

func (e *Env) parse(text string) ([]ast.Statement, error) {
	if e.Parser == nil {
		return parse.Parse(text)
	}
	return e.Parser.Parse(text)
}
