package exec

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// EvalArgs evaluates the arguments of EXECUTE and coerces them to the types of the
// prepared statement's parameters. Errors are *sqlerr.Error, among them 42601 for a
// wrong number.
func EvalArgs(
	ctx context.Context, env *Env, tx *mvcc.Txn, name string, args []ast.Expr, want []types.OID,
) ([]types.Datum, error) {
	if len(args) != len(want) {
		return nil, sqlerr.New("42601", "wrong number of parameters for prepared statement \"%s\"", name).
			WithDetail("Expected %d parameters but got %d.", len(want), len(args))
	}
	exprs, slots, err := analyze.Arguments(env.meaning(tx), args, want)
	if err != nil {
		return nil, err
	}
	defer env.enter(ctx, tx)()
	r := &run{ctx: ctx, env: env, tx: tx}
	r.sequence = r
	r.c, r.values, r.slots = &env.Context, env.values(tx), make([]types.Datum, slots)
	return evalRow(compileAll(exprs), &r.frame)
}

// TypeOIDs resolves the type names of PREPARE. Errors are *sqlerr.Error: 42704, or
// 0A000 for a type of PostgreSQL's that the cluster does not have.
func TypeOIDs(tx *mvcc.Txn, names []ast.TypeName) ([]types.OID, error) {
	return analyze.TypeOIDs(tx, names)
}
