package session

import (
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/exec"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/parse"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// parsedTexts is how many query strings a node remembers parsed: more than the
// distinct statements of an ordinary application.
const parsedTexts = 1024

// SQL is the Engine of packages parse and exec. It is safe for concurrent use; all
// sessions of a node share one. Create it with NewSQL.
type SQL struct{ parser *parse.Parser }

// NewSQL gives an engine with an empty cache of parsed texts.
func NewSQL() *SQL { return &SQL{parser: parse.NewParser(parsedTexts)} }

// Parse implements Engine.
func (e *SQL) Parse(sql string) ([]ast.Statement, error) { return e.parser.Parse(sql) }

// Prepare implements Engine.
func (e *SQL) Prepare(env *Env, tx *mvcc.Txn, stmt ast.Statement, params []types.OID) (Program, error) {
	env.Parser = e.parser
	p, err := exec.Prepare(env, tx, stmt, params)
	if err != nil {
		return nil, err
	}
	return p, nil
}
