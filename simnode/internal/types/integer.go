package types

import (
	"math"
	"strconv"
)

// isSpace is C's isspace in the C locale, which PostgreSQL skips around numbers.
func isSpace(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r'
}

func trimSpace(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// parseInteger reads a decimal integer with a sign and spaces around it. ok is
// false for a syntax error, fits is false for a number outside min … max.
func parseInteger(s string, minimum, maximum int64) (v int64, ok, fits bool) {
	s = trimSpace(s)
	neg := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		neg = s[0] == '-'
		s = s[1:]
	}
	if s == "" {
		return 0, false, false
	}
	var u uint64
	fits = true
	for i := 0; i < len(s); i++ {
		c := s[i] - '0'
		if c > 9 {
			return 0, false, false
		}
		if u > (math.MaxUint64-9)/10 {
			fits = false
			continue
		}
		u = u*10 + uint64(c)
	}
	switch {
	case !fits:
	case neg && u <= uint64(math.MaxInt64)+1:
		v = -int64(u)
	case !neg && u <= math.MaxInt64:
		v = int64(u)
	default:
		fits = false
	}
	return v, true, fits && v >= minimum && v <= maximum
}

func parseInt(oid OID, s string) (Datum, error) {
	minimum, maximum := int64(math.MinInt64), int64(math.MaxInt64)
	switch oid {
	case Int2:
		minimum, maximum = math.MinInt16, math.MaxInt16
	case Int4:
		minimum, maximum = math.MinInt32, math.MaxInt32
	}
	v, ok, fits := parseInteger(s, minimum, maximum)
	if !ok {
		return nil, invalidSyntax(oid, s)
	}
	if !fits {
		return nil, valueOutOfRange(oid, s)
	}
	switch oid {
	case Int2:
		return int16(v), nil
	case Int4:
		return int32(v), nil
	}
	return v, nil
}

// parseOID accepts what strtoul does: also -1 … -2147483648, which wrap.
func parseOID(s string) (Datum, error) {
	v, ok, fits := parseInteger(s, math.MinInt32, math.MaxUint32)
	if !ok {
		return nil, invalidSyntax(OidOID, s)
	}
	if !fits {
		return nil, valueOutOfRange(OidOID, s)
	}
	return uint32(v), nil
}

// toInt64 widens any of the integer types.
func toInt64(d Datum) int64 {
	switch v := d.(type) {
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case int64:
		return v
	case uint32:
		return int64(v)
	}
	return 0
}

// narrow makes an integer of type to out of v, or 22003.
func narrow(v int64, to OID) (Datum, error) {
	switch to {
	case Int2:
		if v >= math.MinInt16 && v <= math.MaxInt16 {
			return int16(v), nil
		}
	case Int4:
		if v >= math.MinInt32 && v <= math.MaxInt32 {
			return int32(v), nil
		}
	case Int8:
		return v, nil
	case OidOID:
		if v >= 0 && v <= math.MaxUint32 {
			return uint32(v), nil
		}
	}
	return nil, OutOfRange(to)
}

func appendInt(buf []byte, d Datum) []byte {
	return strconv.AppendInt(buf, toInt64(d), 10)
}
