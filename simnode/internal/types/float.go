package types

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// parseFloat reads what PostgreSQL's float8in does: C's strtod (decimal and
// hexadecimal) and the words NaN, inf, infinity in any case.
func parseFloat(s string) (Datum, error) {
	t := trimSpace(s)
	body := strings.TrimLeft(t, "+-")
	if len(t)-len(body) > 1 || strings.ContainsRune(body, '_') {
		return nil, invalidSyntax(Float8, s)
	}
	if body == "" || !floatStart(body) {
		return nil, invalidSyntax(Float8, s)
	}
	number := t
	if isHexFloat(body) && !strings.ContainsAny(body, "pP") {
		number += "p0" // strtod lets the exponent of a hexadecimal float out
	}
	if strings.EqualFold(body, "nan") {
		return nan(t[0] == '-'), nil
	}
	f, err := strconv.ParseFloat(number, 64)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return nil, valueOutOfFloat(t)
	case err != nil:
		return nil, invalidSyntax(Float8, s)
	case f == 0 && hasNonZeroDigit(body):
		return nil, valueOutOfFloat(t)
	}
	return f, nil
}

// nan makes the NaN that C's strtod does, whose bits differ from math.NaN's: they
// show in the binary format.
func nan(negative bool) float64 {
	bits := uint64(0x7FF8) << 48
	if negative {
		bits |= 1 << 63
	}
	return math.Float64frombits(bits)
}

func floatStart(body string) bool {
	c := body[0]
	if c >= '0' && c <= '9' || c == '.' {
		return true
	}
	switch strings.ToLower(body) {
	case "nan", "inf", "infinity":
		return true
	}
	return false
}

func isHexFloat(body string) bool {
	return len(body) > 1 && body[0] == '0' && (body[1] == 'x' || body[1] == 'X')
}

// hasNonZeroDigit finds an underflow: a mantissa that is not zero but reads as 0.
func hasNonZeroDigit(body string) bool {
	if isHexFloat(body) {
		return strings.ContainsAny(strings.TrimRight(body[2:], "pP+-0123456789"), "123456789abcdefABCDEF")
	}
	if i := strings.IndexAny(body, "eE"); i >= 0 {
		body = body[:i]
	}
	return strings.ContainsAny(body, "123456789")
}

// appendFloat writes the shortest text that reads back as f, in the notation that
// PostgreSQL chooses: exponents below -4 and from 15 on in scientific form.
func appendFloat(buf []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(buf, "NaN"...)
	case math.IsInf(f, 1):
		return append(buf, "Infinity"...)
	case math.IsInf(f, -1):
		return append(buf, "-Infinity"...)
	}
	var scratch [32]byte
	sci := strconv.AppendFloat(scratch[:0], f, 'e', -1, 64)
	e := strings.IndexByte(string(sci), 'e')
	exp, err := strconv.Atoi(string(sci[e+1:]))
	if f == 0 || err == nil && exp >= -4 && exp < 15 {
		return strconv.AppendFloat(buf, f, 'f', -1, 64)
	}
	return append(buf, sci...)
}

// compareFloat orders as btree: NaN equals itself and is greater than everything.
func compareFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	case a == b:
		return 0
	case math.IsNaN(a) && math.IsNaN(b):
		return 0
	case math.IsNaN(a):
		return 1
	}
	return -1
}
