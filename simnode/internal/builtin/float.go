package builtin

import (
	"math"
	"strconv"

	"github.com/cockroachdb/apd/v3"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func overflow() error  { return sqlerr.New("22003", "value out of range: overflow") }
func underflow() error { return sqlerr.New("22003", "value out of range: underflow") }

// checkFloat raises what PostgreSQL's float8 arithmetic raises: overflow when an
// infinity comes from finite operands, underflow when a zero comes from none.
func checkFloat(result float64, infiniteInput, zeroAllowed bool) (types.Datum, error) {
	switch {
	case math.IsInf(result, 0) && !infiniteInput:
		return nil, overflow()
	case result == 0 && !zeroAllowed:
		return nil, underflow()
	}
	return result, nil
}

func anyInf(a, b float64) bool { return math.IsInf(a, 0) || math.IsInf(b, 0) }

func addFloats(r *Registry) {
	r.float("+", func(a, b float64) (types.Datum, error) { return checkFloat(a+b, anyInf(a, b), true) })
	r.float("-", func(a, b float64) (types.Datum, error) { return checkFloat(a-b, anyInf(a, b), true) })
	r.float("*", func(a, b float64) (types.Datum, error) { return checkFloat(a*b, anyInf(a, b), a == 0 || b == 0) })
	r.float("/", func(a, b float64) (types.Datum, error) {
		if b == 0 && !math.IsNaN(a) {
			return nil, divisionByZero()
		}
		return checkFloat(a/b, math.IsInf(a, 0), a == 0 || math.IsInf(b, 0))
	})
	r.float("^", power)
	prefix := func(name string, fn func(float64) float64) {
		r.operator(name, 0, types.Float8, types.Float8, func(_ *Context, _, v types.Datum) (types.Datum, error) {
			return fn(v.(float64)), nil
		})
	}
	prefix("-", func(v float64) float64 { return -v })
	prefix("+", func(v float64) float64 { return v })
	prefix("@", math.Abs)
}

func (r *Registry) float(name string, fn func(a, b float64) (types.Datum, error)) {
	r.operator(name, types.Float8, types.Float8, types.Float8, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		return fn(a.(float64), b.(float64))
	})
}

// power is dpow with its two domain errors.
func power(a, b float64) (types.Datum, error) {
	switch {
	case math.IsNaN(a):
		if b == 0 {
			return 1.0, nil
		}
		return a, nil
	case math.IsNaN(b):
		if a == 1 {
			return 1.0, nil
		}
		return b, nil
	case a == 0 && b < 0:
		return nil, sqlerr.New("2201F", "zero raised to a negative power is undefined")
	case a < 0 && math.Floor(b) != b:
		return nil, sqlerr.New("2201F", "a negative number raised to a non-integer power yields a complex result")
	}
	return checkFloat(pow(a, b), anyInf(a, b), a == 0 || anyInf(a, b))
}

// digits is the precision of pow, which math computes less exactly than the C
// library that PostgreSQL calls: far more than a float64's 17, so that rounding it
// gives the nearest float64.
const digits = 40

// pow is a^b to the last bit. math.Pow is off by some of them, and by far for
// the smallest numbers, so it only decides the special cases.
func pow(a, b float64) float64 {
	estimate := math.Pow(a, b)
	if estimate == 0 || anyInf(a, b) || math.IsInf(estimate, 0) || a == 0 || b == 0 {
		return estimate
	}
	result, ok := precisePow(math.Abs(a), b)
	if !ok {
		return estimate
	}
	return math.Copysign(result, estimate)
}

func precisePow(a, b float64) (float64, bool) {
	x, y, z := exactDecimal(a), exactDecimal(b), new(apd.Decimal)
	if x == nil || y == nil {
		return 0, false
	}
	if _, err := apd.BaseContext.WithPrecision(digits).Pow(z, x, y); err != nil {
		return 0, false
	}
	result, err := z.Float64()
	return result, err == nil
}

// exactDecimal gives the number that v is, not the shortest decimal that reads
// back as v.
func exactDecimal(v float64) *apd.Decimal {
	d, _, err := apd.NewFromString(strconv.FormatFloat(v, 'e', digits, 64))
	if err != nil {
		return nil
	}
	return d
}

const radiansPerDegree = math.Pi / 180

func addMath(r *Registry) {
	one := func(name string, fn func(float64) (types.Datum, error)) {
		r.pure(name, []types.OID{types.Float8}, types.Float8, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return fn(args[0].(float64))
		})
	}
	plain := func(name string, fn func(float64) float64) {
		one(name, func(v float64) (types.Datum, error) { return fn(v), nil })
	}
	plain("abs", math.Abs)
	plain("ceil", math.Ceil)
	plain("ceiling", math.Ceil)
	plain("floor", math.Floor)
	plain("round", math.RoundToEven)
	plain("trunc", math.Trunc)
	plain("sign", signOf)
	one("degrees", func(v float64) (types.Datum, error) {
		return checkFloat(v/radiansPerDegree, math.IsInf(v, 0), v == 0)
	})
	one("radians", func(v float64) (types.Datum, error) {
		return checkFloat(v*radiansPerDegree, math.IsInf(v, 0), v == 0)
	})
	one("sqrt", func(v float64) (types.Datum, error) {
		if v < 0 {
			return nil, sqlerr.New("2201F", "cannot take square root of a negative number")
		}
		return math.Sqrt(v), nil
	})
	one("exp", func(v float64) (types.Datum, error) {
		return checkFloat(math.Exp(v), math.IsInf(v, 0), math.IsInf(v, -1))
	})
	one("ln", logarithm(math.Log))
	one("log", logarithm(math.Log10))
	one("log10", logarithm(math.Log10))
	for _, name := range []string{"power", "pow"} {
		r.pure(name, []types.OID{types.Float8, types.Float8}, types.Float8, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return power(args[0].(float64), args[1].(float64))
		})
	}
	r.pure("pi", nil, types.Float8, func(*Context, []types.Datum) (types.Datum, error) { return math.Pi, nil })
	r.function(Function{Name: "random", Result: types.Float8, Strict: true, Fn: func(c *Context, _ []types.Datum) (types.Datum, error) {
		return float64(c.uint64()>>11) / (1 << 53), nil
	}})
}

func signOf(v float64) float64 {
	switch {
	case v > 0:
		return 1
	case v < 0:
		return -1
	default:
		return 0
	}
}

func logarithm(fn func(float64) float64) func(float64) (types.Datum, error) {
	return func(v float64) (types.Datum, error) {
		switch {
		case v == 0:
			return nil, sqlerr.New("2201E", "cannot take logarithm of zero")
		case v < 0:
			return nil, sqlerr.New("2201E", "cannot take logarithm of a negative number")
		}
		return fn(v), nil
	}
}
