package exec

import (
	"github.com/anywriter/anywriter/simnode/internal/analyze"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// compileLogic is AND and OR: the deciding value ends the evaluation, NULL is
// remembered.
func compileLogic(e *analyze.Logic) eval {
	args, decides := compileAll(e.Args), types.Datum(e.Or)
	otherwise := types.Datum(!e.Or)
	return func(f *frame) (types.Datum, error) {
		result := otherwise
		for _, arg := range args {
			d, err := arg(f)
			if err != nil {
				return nil, err
			}
			if d == decides {
				return d, nil
			}
			if d == nil {
				result = nil
			}
		}
		return result, nil
	}
}

func compileNot(e *analyze.Not) eval {
	arg := compile(e.Arg)
	return func(f *frame) (types.Datum, error) {
		d, err := arg(f)
		if err != nil || d == nil {
			return nil, err
		}
		return !d.(bool), nil
	}
}

func compileIn(e *analyze.In) eval {
	arg, slot, not := compile(e.Arg), e.Slot, e.Not
	tests := make([]eval, len(e.Tests))
	for i, t := range e.Tests {
		tests[i] = compile(t)
	}
	return func(f *frame) (types.Datum, error) {
		d, err := arg(f)
		if err != nil {
			return nil, err
		}
		f.slots[slot] = d
		unknown := false
		for _, t := range tests {
			d, err := t(f)
			if err != nil {
				return nil, err
			}
			if d == true {
				return !not, nil
			}
			unknown = unknown || d == nil
		}
		if unknown {
			return nil, nil
		}
		return not, nil
	}
}

func compileDistinct(e *analyze.Distinct) eval {
	left, right, fn, not := compile(e.Eq.Left), compile(e.Eq.Right), e.Eq.Op.Fn, e.Not
	return func(f *frame) (types.Datum, error) {
		l, err := left(f)
		if err != nil {
			return nil, err
		}
		r, err := right(f)
		if err != nil {
			return nil, err
		}
		if l == nil || r == nil {
			return (l == nil) == (r == nil) == not, nil
		}
		equal, err := fn(f.c, l, r)
		return (equal == true) == not, err
	}
}

func compileNullIf(e *analyze.NullIf) eval {
	arg, eq, left, slot := compile(e.Arg), compile(e.Eq), compile(e.Eq.Left), e.Slot
	return func(f *frame) (types.Datum, error) {
		d, err := arg(f)
		if err != nil {
			return nil, err
		}
		f.slots[slot] = d
		equal, err := eq(f)
		if err != nil || equal == true {
			return nil, err
		}
		return left(f)
	}
}

func compileCoalesce(e *analyze.Coalesce) eval {
	args := compileAll(e.Args)
	return func(f *frame) (types.Datum, error) {
		for _, arg := range args {
			if d, err := arg(f); err != nil || d != nil {
				return d, err
			}
		}
		return nil, nil
	}
}

func compileExtreme(e *analyze.Extreme) eval {
	args, t, least := compileAll(e.Args), e.T, e.Least
	return func(f *frame) (types.Datum, error) {
		var best types.Datum
		for _, arg := range args {
			d, err := arg(f)
			if err != nil {
				return nil, err
			}
			if d == nil {
				continue
			}
			if best == nil || (types.Compare(d, best, t) < 0) == least && types.Compare(d, best, t) != 0 {
				best = d
			}
		}
		return best, nil
	}
}

func compileCase(e *analyze.Case) eval {
	type branch struct{ cond, result eval }
	arg, slot := compileOptional(e.Arg), e.Slot
	branches := make([]branch, len(e.Whens))
	for i, w := range e.Whens {
		branches[i] = branch{compile(w.Cond), compile(w.Result)}
	}
	otherwise := compileOptional(e.Else)
	return func(f *frame) (types.Datum, error) {
		if arg != nil {
			d, err := arg(f)
			if err != nil {
				return nil, err
			}
			f.slots[slot] = d
		}
		for _, b := range branches {
			ok, err := test(b.cond, f)
			if err != nil {
				return nil, err
			}
			if ok {
				return b.result(f)
			}
		}
		if otherwise == nil {
			return nil, nil
		}
		return otherwise(f)
	}
}
