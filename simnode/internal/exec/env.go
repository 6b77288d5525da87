package exec

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
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
}

func (e *Env) notice(severity, code, format string, args ...any) {
	if e.Notice == nil {
		return
	}
	n := sqlerr.New(code, format, args...)
	n.Severity = severity
	e.Notice(n)
}

func (e *Env) values() types.Env {
	return types.Env{Location: e.Location, Now: e.TxTime}
}

func (e *Env) parse(text string) ([]ast.Statement, error) {
	if e.Parser == nil {
		return parse.Parse(text)
	}
	return e.Parser.Parse(text)
}
