package exec

import (
	"context"
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// frame is what an expression sees while it is evaluated.
type frame struct {
	c        *builtin.Context
	values   types.Env
	params   []types.Datum
	row      types.Row
	excluded types.Row     // the row proposed for insertion
	aggs     []types.Datum // results of aggregates
	slots    []types.Datum // held values
	sequence sequences
}

// sequences gives the next value of the sequence with an OID.
type sequences interface {
	nextval(ctx context.Context, oid uint32) (int64, error)
}

// eval is a compiled expression. It is immutable and safe for concurrent use, each
// caller with a frame of its own.
type eval func(f *frame) (types.Datum, error)

// compile makes a closure of an expression. Errors that PostgreSQL's planner would
// find in constant parts come out of the closure, when it is first reached.
func compile(e analyze.Expr) eval {
	switch e := e.(type) {
	case *analyze.Const:
		return constant(e.Value)
	case *analyze.Param:
		n := e.N - 1
		return func(f *frame) (types.Datum, error) { return f.params[n], nil }
	case *analyze.Column:
		return compileColumn(e)
	case *analyze.Op:
		return compileOp(e)
	case *analyze.Func:
		return compileFunc(e)
	case *analyze.Cast:
		return compileCast(e)
	case *analyze.AggRef:
		n := e.Index
		return func(f *frame) (types.Datum, error) { return f.aggs[n], nil }
	case *analyze.Held:
		n := e.Slot
		return func(f *frame) (types.Datum, error) { return f.slots[n], nil }
	case *analyze.Nextval:
		return compileNextval(e)
	default:
		return compileConstruct(e)
	}
}

func compileConstruct(e analyze.Expr) eval {
	switch e := e.(type) {
	case *analyze.Logic:
		return compileLogic(e)
	case *analyze.Not:
		return compileNot(e)
	case *analyze.IsNull:
		arg, not := compile(e.Arg), e.Not
		return func(f *frame) (types.Datum, error) {
			d, err := arg(f)
			return (d == nil) != not, err
		}
	case *analyze.IsBool:
		arg, want, not := compile(e.Arg), e.Want, e.Not
		return func(f *frame) (types.Datum, error) {
			d, err := arg(f)
			return (d == want) != not, err
		}
	case *analyze.In:
		return compileIn(e)
	case *analyze.Distinct:
		return compileDistinct(e)
	case *analyze.NullIf:
		return compileNullIf(e)
	case *analyze.Coalesce:
		return compileCoalesce(e)
	case *analyze.Extreme:
		return compileExtreme(e)
	case *analyze.Case:
		return compileCase(e)
	}
	// A node that analyze makes and this switch lacks is a defect of ours.
	panic(fmt.Sprintf("exec: no code for %T", e))
}

func compileAll(es []analyze.Expr) []eval {
	out := make([]eval, len(es))
	for i, e := range es {
		out[i] = compile(e)
	}
	return out
}

// compileOptional is compile for an expression that may be absent.
func compileOptional(e analyze.Expr) eval {
	if e == nil {
		return nil
	}
	return compile(e)
}

func constant(d types.Datum) eval {
	return func(*frame) (types.Datum, error) { return d, nil }
}

func compileColumn(e *analyze.Column) eval {
	n := e.Index
	if e.Excluded {
		return func(f *frame) (types.Datum, error) { return f.excluded[n], nil }
	}
	return func(f *frame) (types.Datum, error) { return f.row[n], nil }
}

func compileOp(e *analyze.Op) eval {
	fn, strict := e.Op.Fn, e.Op.Strict
	right := compile(e.Right)
	if e.Left == nil {
		return func(f *frame) (types.Datum, error) {
			r, err := right(f)
			if err != nil || strict && r == nil {
				return nil, err
			}
			return fn(f.c, nil, r)
		}
	}
	left := compile(e.Left)
	return func(f *frame) (types.Datum, error) {
		l, err := left(f)
		if err != nil {
			return nil, err
		}
		r, err := right(f)
		if err != nil || strict && (l == nil || r == nil) {
			return nil, err
		}
		return fn(f.c, l, r)
	}
}

func compileFunc(e *analyze.Func) eval {
	fn, strict, args := e.Fn.Fn, e.Fn.Strict, compileAll(e.Args)
	return func(f *frame) (types.Datum, error) {
		values := make([]types.Datum, len(args))
		missing := false
		for i, arg := range args {
			d, err := arg(f)
			if err != nil {
				return nil, err
			}
			values[i], missing = d, missing || d == nil
		}
		if strict && missing {
			return nil, nil
		}
		return fn(f.c, values)
	}
}

func compileCast(e *analyze.Cast) eval {
	arg := compile(e.Arg)
	return func(f *frame) (types.Datum, error) {
		d, err := arg(f)
		if err != nil || d == nil {
			return nil, err
		}
		return castValue(e, d, f.values)
	}
}

// castValue converts one value as the cast says.
func castValue(e *analyze.Cast, d types.Datum, env types.Env) (types.Datum, error) {
	if from := e.Arg.Type(); from != e.To {
		how := types.Assignment
		if e.Explicit {
			how = types.Explicit
		}
		return types.Cast(d, from, e.To, e.TypMod, how, env)
	}
	return types.ApplyTypmod(d, e.To, e.TypMod, e.Explicit)
}

func compileNextval(e *analyze.Nextval) eval {
	sequence, t := e.Sequence, e.T
	return func(f *frame) (types.Datum, error) {
		n, err := f.sequence.nextval(f.c.Ctx, sequence)
		if err != nil {
			return nil, err
		}
		return types.Cast(n, types.Int8, t, types.NoTypmod, types.Assignment, f.values)
	}
}

// test evaluates a condition: NULL counts as false.
func test(cond eval, f *frame) (bool, error) {
	if cond == nil {
		return true, nil
	}
	d, err := cond(f)
	if err != nil {
		return false, err
	}
	return d == true, nil
}

// evalRow evaluates several expressions to a row.
func evalRow(es []eval, f *frame) (types.Row, error) {
	out := make(types.Row, len(es))
	for i, e := range es {
		d, err := e(f)
		if err != nil {
			return nil, err
		}
		out[i] = d
	}
	return out, nil
}

// count evaluates LIMIT or OFFSET; -1 means none.
func count(e eval, f *frame, code, name string) (int64, error) {
	if e == nil {
		return -1, nil
	}
	d, err := e(f)
	if err != nil || d == nil {
		return -1, err
	}
	n := d.(int64)
	if n < 0 {
		return 0, sqlerr.New(code, "%s must not be negative", name)
	}
	return n, nil
}
