package exec

import (
	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/builtin"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Fold raises the errors that PostgreSQL's planner finds by computing constant
// parts, parameters among them: 1/0 fails even if no row ever asks for it. A
// session calls it at Bind, before any row is announced; Run does it again. params
// are as for Run.
func (p *Program) Fold(env *Env, params []types.Datum) error {
	if len(p.foldable) == 0 {
		return nil
	}
	fo := &folder{held: make(map[int]types.Datum)}
	fo.c, fo.values, fo.params = &env.Context, env.values(nil), params
	for _, e := range p.foldable {
		if _, _, err := fo.fold(e); err != nil {
			return err
		}
	}
	return nil
}

// worthFolding keeps the expressions that have a constant part which could fail.
func worthFolding(es []analyze.Expr) []analyze.Expr {
	var out []analyze.Expr
	for _, e := range es {
		if e != nil && analyze.Any(e, canFail) {
			out = append(out, e)
		}
	}
	return out
}

func canFail(e analyze.Expr) bool {
	switch c := e.(type) {
	case *analyze.Op, *analyze.Func:
	case *analyze.Cast:
		// Fitting a parameter to its column is left to the run.
		if p, ok := c.Arg.(*analyze.Param); ok && p.T == c.To {
			return false
		}
	default:
		return false
	}
	return !analyze.Any(e, func(e analyze.Expr) bool {
		switch e.(type) {
		case *analyze.Column, *analyze.AggRef, *analyze.Nextval:
			return true
		}
		return false
	})
}

// folder computes what can be known of an expression without a row.
type folder struct {
	frame
	held map[int]types.Datum // held values that are known
}

func (fo *folder) fold(e analyze.Expr) (d types.Datum, known bool, err error) {
	switch e := e.(type) {
	case *analyze.Const:
		return e.Value, true, nil
	case *analyze.Param:
		return fo.params[e.N-1], true, nil
	case *analyze.Held:
		d, known = fo.held[e.Slot]
		return d, known, nil
	case *analyze.Logic:
		return fo.logic(e)
	case *analyze.Coalesce:
		return fo.coalesce(e)
	case *analyze.Case:
		return fo.caseExpr(e)
	case *analyze.Op:
		return fo.op(e)
	case *analyze.Func:
		return fo.call(e)
	case *analyze.Cast:
		return fo.cast(e)
	}
	for _, c := range analyze.Children(e) {
		if _, _, err := fo.fold(c); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// all folds several expressions; known if each of them is.
func (fo *folder) all(es []analyze.Expr) (ds []types.Datum, known, hasNull bool, err error) {
	known = true
	for _, e := range es {
		d, k, err := fo.fold(e)
		if err != nil {
			return nil, false, false, err
		}
		known, hasNull = known && k, hasNull || k && d == nil
		ds = append(ds, d)
	}
	return ds, known, hasNull, nil
}

func (fo *folder) op(e *analyze.Op) (types.Datum, bool, error) {
	ds, known, hasNull, err := fo.all(analyze.Children(e))
	if err != nil || hasNull && e.Op.Strict {
		return nil, err == nil, err
	}
	if !known || e.Op.Volatility != builtin.Immutable {
		return nil, false, nil
	}
	if len(ds) == 1 {
		ds = []types.Datum{nil, ds[0]}
	}
	d, err := e.Op.Fn(fo.c, ds[0], ds[1])
	return d, err == nil, err
}

func (fo *folder) call(e *analyze.Func) (types.Datum, bool, error) {
	ds, known, hasNull, err := fo.all(e.Args)
	if err != nil || e.Fn.Fn == nil || hasNull && e.Fn.Strict {
		return nil, err == nil && hasNull, err
	}
	if !known || e.Fn.Volatility != builtin.Immutable {
		return nil, false, nil
	}
	d, err := e.Fn.Fn(fo.c, ds)
	return d, err == nil, err
}

func (fo *folder) cast(e *analyze.Cast) (types.Datum, bool, error) {
	d, known, err := fo.fold(e.Arg)
	if err != nil || !known {
		return nil, false, err
	}
	// Casts of times and classes depend on the session: they are stable only.
	for _, t := range []types.OID{e.To, e.Arg.Type()} {
		if t == types.Timestamptz || t == types.RegclassOID {
			return nil, false, nil
		}
	}
	d, err = castValue(e, d, fo.values)
	return d, err == nil, err
}

func (fo *folder) logic(e *analyze.Logic) (types.Datum, bool, error) {
	result, known := types.Datum(!e.Or), true
	for _, a := range e.Args {
		d, k, err := fo.fold(a)
		if err != nil {
			return nil, false, err
		}
		switch {
		case !k:
			known = false
		case d == e.Or:
			return d, true, nil
		case d == nil:
			result = nil
		}
	}
	return result, known, nil
}

func (fo *folder) coalesce(e *analyze.Coalesce) (types.Datum, bool, error) {
	first := true
	for _, a := range e.Args {
		d, k, err := fo.fold(a)
		if err != nil {
			return nil, false, err
		}
		if k && d != nil {
			return d, first, nil
		}
		first = first && k
	}
	return nil, first, nil
}

// caseExpr drops branches that cannot be reached, and stops at one that always is.
func (fo *folder) caseExpr(e *analyze.Case) (types.Datum, bool, error) {
	if e.Arg != nil {
		d, k, err := fo.fold(e.Arg)
		if err != nil {
			return nil, false, err
		}
		if k {
			fo.held[e.Slot] = d
		}
	}
	sure := true
	for _, w := range e.Whens {
		cond, k, err := fo.fold(w.Cond)
		if err != nil {
			return nil, false, err
		}
		if k && cond != true {
			continue
		}
		d, known, err := fo.fold(w.Result)
		if err != nil {
			return nil, false, err
		}
		if k {
			return d, known && sure, nil
		}
		sure = false
	}
	if e.Else == nil {
		return nil, sure, nil
	}
	d, known, err := fo.fold(e.Else)
	return d, known && sure, err
}
