package builtin

import (
	"iter"

	"github.com/cockroachdb/apd/v3"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func addSeries(r *Registry) {
	for _, oid := range []types.OID{types.Int4, types.Int8} {
		for _, args := range [][]types.OID{{oid, oid}, {oid, oid, oid}} {
			r.function(Function{
				Name: "generate_series", Args: args, Result: oid, Volatility: Immutable, Strict: true, SetReturning: true,
				Series: func(_ *Context, args []types.Datum) (iter.Seq[types.Datum], error) { return integerSeries(args, oid) },
			})
		}
	}
	for _, args := range [][]types.OID{{types.Numeric, types.Numeric}, {types.Numeric, types.Numeric, types.Numeric}} {
		r.function(Function{
			Name: "generate_series", Args: args, Result: types.Numeric, Volatility: Immutable, Strict: true, SetReturning: true,
			Series: func(_ *Context, args []types.Datum) (iter.Seq[types.Datum], error) { return numericSeries(args) },
		})
	}
}

func zeroStep() error { return sqlerr.New("22023", "step size cannot equal zero") }

func integerSeries(args []types.Datum, oid types.OID) (iter.Seq[types.Datum], error) {
	from, to, step := toInt64(args[0]), toInt64(args[1]), int64(1)
	if len(args) == 3 {
		step = toInt64(args[2])
	}
	if step == 0 {
		return nil, zeroStep()
	}
	return func(yield func(types.Datum) bool) {
		for v := from; step > 0 && v <= to || step < 0 && v >= to; {
			// Every value lies between from and to, so it fits the type.
			d, _ := toInteger(v, oid)
			if !yield(d) {
				return
			}
			next := v + step
			if (next > v) != (step > 0) {
				return // past the end of int8
			}
			v = next
		}
	}, nil
}

func numericSeries(args []types.Datum) (iter.Seq[types.Datum], error) {
	step := apd.New(1, 0)
	if len(args) == 3 {
		step = decimal(args[2])
	}
	for i, name := range []string{"start", "stop", "step size"} {
		v := step
		if i < 2 {
			v = decimal(args[i])
		}
		if v.Form != apd.Finite {
			what := "infinity"
			if isNaN(v) {
				what = "NaN"
			}
			return nil, sqlerr.New("22023", "%s value cannot be %s", name, what)
		}
	}
	if step.Sign() == 0 {
		return nil, zeroStep()
	}
	from, to := decimal(args[0]), decimal(args[1])
	return func(yield func(types.Datum) bool) {
		scale := max(types.Scale(from), types.Scale(step))
		for v := types.RoundDecimal(from, scale); v.Cmp(to) != step.Sign(); {
			if !yield(v) {
				return
			}
			v = plus(v, step)
		}
	}, nil
}
