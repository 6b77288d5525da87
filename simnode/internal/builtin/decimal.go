package builtin

import (
	"github.com/cockroachdb/apd/v3"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

// The exact arithmetic of numerics. It is done on the coefficients here because
// apd's own stops at exponents of ±100,000, below numeric's 131,072 digits. The
// operands are as they are stored: an exponent of at most 0; NaN was handled.

// plus is a+b, with the scale of the finer one.
func plus(a, b *apd.Decimal) *apd.Decimal {
	switch {
	case a.Form == apd.Infinite && b.Form == apd.Infinite && a.Negative != b.Negative:
		return types.NumericNaN()
	case a.Form == apd.Infinite:
		return a
	case b.Form == apd.Infinite:
		return b
	}
	scale := max(types.Scale(a), types.Scale(b))
	x, y := types.RoundDecimal(a, scale), types.RoundDecimal(b, scale)
	z := &apd.Decimal{Exponent: -scale}
	z.Coeff.Add(signed(x), signed(y))
	if z.Coeff.Sign() < 0 {
		z.Negative = true
		z.Coeff.Neg(&z.Coeff)
	}
	return z
}

// times is a·b, with the scales of both added; NormalizeDecimal rounds it to
// what a numeric can hold.
func times(a, b *apd.Decimal) *apd.Decimal {
	if a.Form == apd.Infinite || b.Form == apd.Infinite {
		if a.Sign() == 0 || b.Sign() == 0 {
			return types.NumericNaN()
		}
		return types.NumericInf(a.Negative != b.Negative)
	}
	z := &apd.Decimal{Exponent: a.Exponent + b.Exponent, Negative: a.Negative != b.Negative}
	z.Coeff.Mul(&a.Coeff, &b.Coeff)
	return z
}

// signed is the coefficient with its sign.
func signed(d *apd.Decimal) *apd.BigInt {
	if !d.Negative {
		return &d.Coeff
	}
	return new(apd.BigInt).Neg(&d.Coeff)
}
