package types

import (
	"unicode/utf8"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// varHeader is the size of PostgreSQL's length word; typmods of variable-length
// types count it in.
const varHeader = 4

// VarcharTypmod gives the type modifier of varchar(n); n must be 1 … 10485760
// (22023 otherwise).
func VarcharTypmod(n int32) (int32, error) {
	if n < 1 {
		return 0, sqlerr.New("22023", "length for type varchar must be at least 1")
	}
	if n > 10485760 {
		return 0, sqlerr.New("22023", "length for type varchar cannot exceed 10485760")
	}
	return n + varHeader, nil
}

// NumericTypmod gives the type modifier of numeric(precision, scale), with the
// ranges of PostgreSQL 15: precision 1 … 1000, scale -1000 … 1000 (22023
// otherwise).
func NumericTypmod(precision, scale int32) (int32, error) {
	if precision < 1 || precision > 1000 {
		return 0, sqlerr.New("22023", "NUMERIC precision %d must be between 1 and 1000", precision)
	}
	if scale < -1000 || scale > 1000 {
		return 0, sqlerr.New("22023", "NUMERIC scale %d must be between -1000 and 1000", scale)
	}
	return (precision<<16 | scale&0x7ff) + varHeader, nil
}

// numericTypmod is the inverse of NumericTypmod; the scale is an 11-bit signed
// number.
func numericTypmod(typmod int32) (precision, scale int32) {
	typmod -= varHeader
	return typmod >> 16 & 0xffff, (typmod&0x7ff ^ 1024) - 1024
}

// ApplyTypmod fits a value of type oid to a type modifier: varchar(n) (22001 when
// it is too long; only trailing spaces are cut, or anything if explicit),
// numeric(p,s) (rounded; 22003 when it does not fit), timestamptz(n) (rounded).
// A NULL and a typmod below 0 leave the value as it is.
func ApplyTypmod(d Datum, oid OID, typmod int32, explicit bool) (Datum, error) {
	if d == nil || typmod < 0 {
		return d, nil
	}
	switch oid {
	case Varchar:
		return fitVarchar(d.(string), typmod-varHeader, explicit)
	case Numeric:
		return fitNumeric(asDecimal(d), typmod)
	case Timestamptz:
		return fitTimestamp(d, typmod), nil
	}
	return d, nil
}

func fitVarchar(s string, n int32, explicit bool) (Datum, error) {
	if n < 0 || len(s) <= int(n) || utf8.RuneCountInString(s) <= int(n) {
		return s, nil
	}
	end, runes := len(s), int32(0)
	for i := range s {
		if runes == n {
			end = i
			break
		}
		runes++
	}
	for i := end; i < len(s) && !explicit; i++ {
		if s[i] != ' ' {
			return nil, sqlerr.New("22001", "value too long for type character varying(%d)", n)
		}
	}
	return s[:end], nil
}
