package builtin

import (
	"github.com/cockroachdb/apd/v3"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func decimal(d types.Datum) *apd.Decimal { return d.(*apd.Decimal) }

func normalized(z *apd.Decimal) (types.Datum, error) {
	n, err := types.NormalizeDecimal(z)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func isNaN(d *apd.Decimal) bool { return d.Form != apd.Finite && d.Form != apd.Infinite }

func addNumerics(r *Registry) {
	two := func(name string, fn func(a, b *apd.Decimal) (types.Datum, error)) {
		r.operator(name, types.Numeric, types.Numeric, types.Numeric, func(_ *Context, a, b types.Datum) (types.Datum, error) {
			x, y := decimal(a), decimal(b)
			if isNaN(x) || isNaN(y) {
				return types.NumericNaN(), nil
			}
			return fn(x, y)
		})
	}
	two("+", func(a, b *apd.Decimal) (types.Datum, error) { return normalized(plus(a, b)) })
	two("-", func(a, b *apd.Decimal) (types.Datum, error) { return normalized(plus(a, negate(b))) })
	two("*", func(a, b *apd.Decimal) (types.Datum, error) { return normalized(times(a, b)) })
	two("/", divide)
	two("%", modulo)
	r.operator("^", types.Numeric, types.Numeric, types.Numeric, func(*Context, types.Datum, types.Datum) (types.Datum, error) {
		return nil, sqlerr.Unsupported("numeric ^ numeric")
	})
	prefix := func(name string, fn func(v *apd.Decimal) *apd.Decimal) {
		r.operator(name, 0, types.Numeric, types.Numeric, func(_ *Context, _, v types.Datum) (types.Datum, error) {
			return fn(decimal(v)), nil
		})
	}
	prefix("-", negate)
	prefix("+", func(v *apd.Decimal) *apd.Decimal { return v })
	prefix("@", absolute)
	addNumericFunctions(r)
}

func negate(v *apd.Decimal) *apd.Decimal {
	if isNaN(v) || v.Form == apd.Finite && v.Coeff.Sign() == 0 {
		return v
	}
	z := new(apd.Decimal).Set(v)
	z.Negative = !v.Negative
	return z
}

func absolute(v *apd.Decimal) *apd.Decimal {
	if v.Negative {
		return negate(v)
	}
	return v
}

// divide is numeric_div: the quotient rounded to the scale of select_div_scale.
func divide(a, b *apd.Decimal) (types.Datum, error) {
	if a.Form == apd.Infinite || b.Form == apd.Infinite {
		return divideInfinite(a, b)
	}
	if b.Coeff.Sign() == 0 {
		return nil, divisionByZero()
	}
	scale := divisionScale(a, b)
	return normalized(quotient(a, b, scale))
}

func divideInfinite(a, b *apd.Decimal) (types.Datum, error) {
	switch {
	case a.Form == apd.Infinite && b.Form == apd.Infinite:
		return types.NumericNaN(), nil
	case a.Form == apd.Infinite:
		if b.Coeff.Sign() == 0 {
			return nil, divisionByZero()
		}
		return types.NumericInf(a.Negative != b.Negative), nil
	default:
		return types.NewDecimal(0, 0), nil
	}
}

// quotient is a/b rounded half away from zero to scale digits.
func quotient(a, b *apd.Decimal, scale int32) *apd.Decimal {
	// a/b = (ca/cb) · 10^(ea-eb); the coefficient wanted is ca·10^k / cb.
	shift := int64(scale) + int64(a.Exponent) - int64(b.Exponent)
	var numerator, denominator apd.BigInt
	numerator.Set(&a.Coeff)
	denominator.Set(&b.Coeff)
	ten := apd.NewBigInt(10)
	if shift >= 0 {
		numerator.Mul(&numerator, new(apd.BigInt).Exp(ten, apd.NewBigInt(shift), nil))
	} else {
		denominator.Mul(&denominator, new(apd.BigInt).Exp(ten, apd.NewBigInt(-shift), nil))
	}
	z := &apd.Decimal{Exponent: -scale, Negative: a.Negative != b.Negative}
	var rest apd.BigInt
	z.Coeff.QuoRem(&numerator, &denominator, &rest)
	if rest.Mul(&rest, apd.NewBigInt(2)).Cmp(&denominator) >= 0 {
		z.Coeff.Add(&z.Coeff, apd.NewBigInt(1))
	}
	return z
}

// divisionScale is select_div_scale of PostgreSQL's numeric.c: at least 16
// significant digits, counted in its base 10000, and never fewer digits after
// the point than either operand shows.
func divisionScale(a, b *apd.Decimal) int32 {
	weightA, firstA := leading(a)
	weightB, firstB := leading(b)
	weight := weightA - weightB
	if firstA <= firstB {
		weight--
	}
	scale := 16 - weight*4
	return min(max(scale, types.Scale(a), types.Scale(b), 0), 1000)
}

// leading gives the power of 10000 and the value of the first digit that is not
// zero, in base 10000.
func leading(d *apd.Decimal) (weight int32, digit int64) {
	if d.Coeff.Sign() == 0 {
		return 0, 0
	}
	digits := d.Coeff.String()
	top := int32(len(digits)) - 1 + d.Exponent // power of ten of the first digit
	weight = top / 4
	if top < 0 {
		weight = (top - 3) / 4
	}
	for i := range top - weight*4 + 1 {
		digit *= 10
		if int(i) < len(digits) {
			digit += int64(digits[i] - '0')
		}
	}
	return weight, digit
}

// modulo is numeric_mod: the sign of the dividend, the larger scale.
func modulo(a, b *apd.Decimal) (types.Datum, error) {
	switch {
	case b.Form == apd.Finite && b.Coeff.Sign() == 0:
		return nil, divisionByZero()
	case a.Form == apd.Infinite:
		return types.NumericNaN(), nil
	case b.Form == apd.Infinite:
		return a, nil
	}
	scale := max(types.Scale(a), types.Scale(b))
	x, y := types.RoundDecimal(a, scale), types.RoundDecimal(b, scale)
	z := &apd.Decimal{Exponent: -scale, Negative: a.Negative}
	z.Coeff.Rem(&x.Coeff, &y.Coeff)
	return normalized(z)
}

func addNumericFunctions(r *Registry) {
	one := func(name string, fn func(v *apd.Decimal) *apd.Decimal) {
		r.pure(name, []types.OID{types.Numeric}, types.Numeric, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return fn(decimal(args[0])), nil
		})
	}
	one("abs", absolute)
	one("round", func(v *apd.Decimal) *apd.Decimal { return types.RoundDecimal(v, 0) })
	one("trunc", func(v *apd.Decimal) *apd.Decimal { return types.TruncDecimal(v, 0) })
	one("ceil", func(v *apd.Decimal) *apd.Decimal { return towards(v, false) })
	one("ceiling", func(v *apd.Decimal) *apd.Decimal { return towards(v, false) })
	one("floor", func(v *apd.Decimal) *apd.Decimal { return towards(v, true) })
	one("sign", func(v *apd.Decimal) *apd.Decimal {
		if isNaN(v) {
			return v
		}
		return types.DecimalFromInt(int64(v.Sign()))
	})
	digits := func(name string, fn func(v *apd.Decimal, scale int32) *apd.Decimal) {
		r.pure(name, []types.OID{types.Numeric, types.Int4}, types.Numeric, func(_ *Context, args []types.Datum) (types.Datum, error) {
			// One digit more than there are before the point: the first may round up.
			scale := min(max(args[1].(int32), -types.MaxNumericWeight-1), types.MaxNumericScale)
			return normalized(new(apd.Decimal).Set(fn(decimal(args[0]), scale)))
		})
	}
	digits("round", types.RoundDecimal)
	digits("trunc", types.TruncDecimal)
	r.pure("scale", []types.OID{types.Numeric}, types.Int4, func(_ *Context, args []types.Datum) (types.Datum, error) {
		if decimal(args[0]).Form != apd.Finite {
			return nil, nil
		}
		return types.Scale(decimal(args[0])), nil
	})
	two := []types.OID{types.Numeric, types.Numeric}
	r.pure("mod", two, types.Numeric, func(_ *Context, args []types.Datum) (types.Datum, error) {
		if isNaN(decimal(args[0])) || isNaN(decimal(args[1])) {
			return types.NumericNaN(), nil
		}
		return modulo(decimal(args[0]), decimal(args[1]))
	})
	for name, arity := range map[string]int{"sqrt": 1, "ln": 1, "exp": 1, "log": 1, "power": 2, "pow": 2} {
		r.pure(name, two[:arity], types.Numeric, func(*Context, []types.Datum) (types.Datum, error) {
			return nil, sqlerr.Unsupported("function " + name + "(numeric)")
		})
	}
}

// towards rounds to a whole number, down or up.
func towards(v *apd.Decimal, down bool) *apd.Decimal {
	z := types.TruncDecimal(v, 0)
	if v.Form != apd.Finite || z.Cmp(v) == 0 || v.Negative != down {
		return z
	}
	step := int64(1)
	if down {
		step = -1
	}
	return plus(z, types.DecimalFromInt(step))
}
