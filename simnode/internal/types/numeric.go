package types

import (
	"math"
	"strconv"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/cockroachdb/apd/v3"
)

// PostgreSQL's limits of numeric: digits before and after the decimal point.
const (
	MaxNumericWeight = 131072
	MaxNumericScale  = 16383
)

func asDecimal(d Datum) *apd.Decimal { return d.(*apd.Decimal) }

// NewDecimal makes a finite numeric of coefficient × 10^-scale; scale ≥ 0.
func NewDecimal(coefficient int64, scale int32) *apd.Decimal {
	return apd.New(coefficient, -scale)
}

// DecimalFromInt makes a numeric of scale 0.
func DecimalFromInt(v int64) *apd.Decimal { return apd.New(v, 0) }

// NumericNaN and NumericInf make numeric's special values.
func NumericNaN() *apd.Decimal { return &apd.Decimal{Form: apd.NaN} }

// NumericInf gives Infinity, or -Infinity if negative.
func NumericInf(negative bool) *apd.Decimal {
	return &apd.Decimal{Form: apd.Infinite, Negative: negative}
}

// NormalizeDecimal brings the result of arithmetic into the form of a stored
// numeric: no positive exponent, no negative zero, within PostgreSQL's limits
// (22003 "value overflows numeric format" otherwise). It may change d.
func NormalizeDecimal(d *apd.Decimal) (*apd.Decimal, error) {
	if d.Form != apd.Finite {
		if d.Form != apd.Infinite {
			return NumericNaN(), nil
		}
		return d, nil
	}
	if d.Coeff.Sign() == 0 {
		d.Negative = false
		if d.Exponent > 0 {
			d.Exponent = 0
		}
	}
	if d.Exponent > 0 {
		if int64(d.Exponent)+d.NumDigits() > MaxNumericWeight {
			return nil, OutOfRange(Numeric)
		}
		d.Coeff.Mul(&d.Coeff, powerOfTen(d.Exponent))
		d.Exponent = 0
	}
	if d.Exponent < -MaxNumericScale {
		d = RoundDecimal(d, MaxNumericScale)
	}
	if d.NumDigits()+int64(d.Exponent) > MaxNumericWeight {
		return nil, OutOfRange(Numeric)
	}
	return d, nil
}

func powerOfTen(n int32) *apd.BigInt {
	return new(apd.BigInt).Exp(apd.NewBigInt(10), apd.NewBigInt(int64(n)), nil)
}

// Scale is numeric's display scale: the digits after the decimal point.
func Scale(d *apd.Decimal) int32 {
	if d.Form != apd.Finite {
		return 0
	}
	return -d.Exponent
}

// RoundDecimal gives d with exactly scale digits after the point, half away from
// zero. A negative scale rounds before the point and displays none after it.
// NaN and the infinities stay.
func RoundDecimal(d *apd.Decimal, scale int32) *apd.Decimal {
	return rescale(d, scale, true)
}

// TruncDecimal is RoundDecimal towards zero.
func TruncDecimal(d *apd.Decimal, scale int32) *apd.Decimal {
	return rescale(d, scale, false)
}

func rescale(d *apd.Decimal, scale int32, round bool) *apd.Decimal {
	if d.Form != apd.Finite {
		return d
	}
	r := &apd.Decimal{Negative: d.Negative, Exponent: -scale}
	drop := -d.Exponent - scale
	switch {
	case drop == 0:
		return d
	case drop < 0:
		r.Coeff.Mul(&d.Coeff, powerOfTen(-drop))
	case int64(drop) > d.NumDigits():
	default:
		p := powerOfTen(drop)
		var rest apd.BigInt
		r.Coeff.QuoRem(&d.Coeff, p, &rest)
		if round && rest.Mul(&rest, apd.NewBigInt(2)).Cmp(p) >= 0 {
			r.Coeff.Add(&r.Coeff, apd.NewBigInt(1))
		}
	}
	if r.Coeff.Sign() == 0 {
		r.Negative = false
	}
	if scale < 0 {
		r.Coeff.Mul(&r.Coeff, powerOfTen(-scale))
		r.Exponent = 0
	}
	return r
}

// parseNumeric reads numeric_in's syntax.
func parseNumeric(s string) (Datum, error) {
	t := trimSpace(s)
	neg := strings.HasPrefix(t, "-")
	body := t
	if neg || strings.HasPrefix(t, "+") {
		body = t[1:]
	}
	switch strings.ToLower(body) {
	case "nan":
		if body == t {
			return NumericNaN(), nil
		}
	case "inf", "infinity":
		return NumericInf(neg), nil
	}
	digits, scale, exp, ok := splitNumber(body)
	if !ok {
		return nil, invalidSyntax(Numeric, s)
	}
	const limit = math.MaxInt32 / 2
	if exp >= limit || exp <= -limit {
		return nil, OutOfRange(Numeric)
	}
	d := &apd.Decimal{Negative: neg}
	d.Coeff.SetString(digits, 10)
	e := exp - int64(scale)
	if d.Coeff.Sign() != 0 && e > MaxNumericWeight {
		return nil, OutOfRange(Numeric)
	}
	if e < -MaxNumericScale {
		return nil, OutOfRange(Numeric)
	}
	d.Exponent = int32(e)
	if d.Coeff.Sign() == 0 {
		d.Exponent = int32(min(e, 0))
	}
	return normal(d)
}

func normal(d *apd.Decimal) (Datum, error) {
	n, err := NormalizeDecimal(d)
	if err != nil {
		return nil, err
	}
	return n, nil
}

// splitNumber takes digits[.digits][e[±]digits] apart.
func splitNumber(s string) (digits string, scale int, exp int64, ok bool) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	digits = s[:i]
	if i < len(s) && s[i] == '.' {
		i++
		start := i
		for i < len(s) && isDigit(s[i]) {
			i++
		}
		digits += s[start:i]
		scale = i - start
	}
	if digits == "" {
		return "", 0, 0, false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		v, valid, fits := parseInteger(s[i+1:], math.MinInt32, math.MaxInt32)
		if !valid {
			return "", 0, 0, false
		}
		if !fits {
			v = math.MaxInt32
		}
		return digits, scale, v, true
	}
	return digits, scale, 0, i == len(s)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func appendNumeric(buf []byte, d *apd.Decimal) []byte {
	switch d.Form {
	case apd.Infinite:
		if d.Negative {
			return append(buf, "-Infinity"...)
		}
		return append(buf, "Infinity"...)
	case apd.Finite:
	default:
		return append(buf, "NaN"...)
	}
	if d.Negative {
		buf = append(buf, '-')
	}
	start := len(buf)
	buf = d.Coeff.Append(buf, 10)
	scale := int(-d.Exponent)
	if scale == 0 {
		return buf
	}
	if missing := scale + 1 - (len(buf) - start); missing > 0 {
		digits := string(buf[start:])
		buf = append(buf[:start], strings.Repeat("0", missing)...)
		buf = append(buf, digits...)
	}
	buf = append(buf, 0)
	point := len(buf) - 1 - scale
	copy(buf[point+1:], buf[point:])
	buf[point] = '.'
	return buf
}

// CompareNumeric orders as numeric's btree: -Infinity, numbers, Infinity, NaN;
// the scale does not count.
func CompareNumeric(a, b *apd.Decimal) int {
	ra, rb := numericRank(a), numericRank(b)
	if ra != rb || ra != 0 {
		return ra - rb
	}
	return a.Cmp(b)
}

func numericRank(d *apd.Decimal) int {
	switch d.Form {
	case apd.Finite:
		return 0
	case apd.Infinite:
		if d.Negative {
			return -1
		}
		return 1
	default:
		return 2
	}
}

// fitNumeric rounds to the modifier's scale and checks its precision.
func fitNumeric(d *apd.Decimal, typmod int32) (Datum, error) {
	precision, scale := numericTypmod(typmod)
	if d.Form == apd.Infinite {
		return nil, sqlerr.New("22003", "numeric field overflow").WithDetail(
			"A field with precision %d, scale %d cannot hold an infinite value.", precision, scale)
	}
	if d.Form != apd.Finite {
		return d, nil
	}
	r := RoundDecimal(d, scale)
	if r.Coeff.Sign() != 0 && r.NumDigits()+int64(r.Exponent) > int64(precision-scale) {
		limit := "1"
		if precision != scale {
			limit = "10^" + strconv.Itoa(int(precision-scale))
		}
		return nil, sqlerr.New("22003", "numeric field overflow").WithDetail(
			"A field with precision %d, scale %d must round to an absolute value less than %s.", precision, scale, limit)
	}
	return r, nil
}

// FloatToDecimal converts as float8_numeric does: 15 significant digits.
func FloatToDecimal(f float64) *apd.Decimal {
	switch {
	case math.IsNaN(f):
		return NumericNaN()
	case math.IsInf(f, 0):
		return NumericInf(f < 0)
	}
	text := strconv.FormatFloat(f, 'e', 14, 64)
	mantissa, exp, _ := strings.Cut(text, "e")
	mantissa = strings.TrimRight(mantissa, "0")
	d, err := parseNumeric(strings.TrimSuffix(mantissa, ".") + "e" + exp)
	if err != nil {
		return NumericNaN() // cannot happen: a float64's exponent is within numeric's limits
	}
	return asDecimal(d)
}

// DecimalToFloat converts as numeric_float8 does, with 22003 on overflow.
func DecimalToFloat(d *apd.Decimal) (float64, error) {
	switch d.Form {
	case apd.Infinite:
		if d.Negative {
			return math.Inf(-1), nil
		}
		return math.Inf(1), nil
	case apd.Finite:
	default:
		return math.NaN(), nil
	}
	text := string(appendNumeric(nil, d))
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f == 0 && d.Coeff.Sign() != 0 {
		return 0, valueOutOfFloat(text)
	}
	return f, nil
}

// decimalToInt rounds half away from zero, as numeric's casts to integers do.
func decimalToInt(d *apd.Decimal, to OID) (Datum, error) {
	if d.Form != apd.Finite {
		what := "infinity"
		if d.Form != apd.Infinite {
			what = "NaN"
		}
		return nil, sqlerr.New("0A000", "cannot convert %s to %s", what, sqlName(to))
	}
	r := RoundDecimal(d, 0)
	v := r.Coeff
	if r.Negative {
		v.Neg(&v)
	}
	if !v.IsInt64() {
		return nil, OutOfRange(to)
	}
	return narrow(v.Int64(), to)
}
