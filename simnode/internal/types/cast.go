package types

import (
	"math"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/cockroachdb/apd/v3"
)

// Coercion says where a cast from one type to another may happen, as
// pg_cast.castcontext; each kind includes the ones before it.
type Coercion uint8

// The kinds of coercion.
const (
	// None: there is no such cast.
	None Coercion = iota
	// Explicit: only where CAST or :: asks for it.
	Explicit
	// Assignment: also when a value is stored into a column.
	Assignment
	// Implicit: anywhere in an expression.
	Implicit
)

// CastContext says what asks for a cast; it decides whether a value too long for
// varchar(n) is cut or refused.
type CastContext = Coercion

// CastKind gives the strongest context in which PostgreSQL 15 casts from one type
// to another. A type casts to itself implicitly, and a literal of type unknown to
// anything.
func CastKind(from, to OID) Coercion {
	if from == to {
		return Implicit
	}
	if to == VoidOID || from == VoidOID || to == Unknown {
		return None
	}
	if from == Unknown {
		return Implicit
	}
	if k := castTable(from, to); k != None {
		return k
	}
	f, ok1 := Lookup(from)
	t, ok2 := Lookup(to)
	switch {
	case !ok1 || !ok2:
		return None
	case t.Category == CategoryString: // through the output function
		return Assignment
	case f.Category == CategoryString: // through the input function
		return Explicit
	}
	return None
}

// castTable is pg_cast for the types known here.
func castTable(from, to OID) Coercion {
	switch from {
	case Int2, Int4, Int8:
		return integerCasts(from, to)
	case Float8:
		switch to {
		case Int2, Int4, Int8, Numeric:
			return Assignment
		}
	case Numeric:
		switch to {
		case Int2, Int4, Int8:
			return Assignment
		case Float8:
			return Implicit
		}
	case Bool:
		switch to {
		case Int4:
			return Explicit
		case Text, Varchar:
			return Assignment
		}
	case Text, Varchar:
		switch to {
		case Text, Varchar, Name, RegclassOID:
			return Implicit
		case CharOID:
			return Assignment
		}
	case Name:
		switch to {
		case Text:
			return Implicit
		case Varchar:
			return Assignment
		}
	case OidOID, RegclassOID:
		switch to {
		case Int4, Int8:
			return Assignment
		case OidOID, RegclassOID:
			return Implicit
		}
	case CharOID:
		switch to {
		case Text:
			return Implicit
		case Varchar:
			return Assignment
		case Int4:
			return Explicit
		}
	case NodeTree:
		if to == Text {
			return Implicit
		}
	case DateOID:
		if to == Timestamptz {
			return Implicit
		}
	case Timestamptz:
		if to == DateOID {
			return Assignment
		}
	}
	return None
}

func integerCasts(from, to OID) Coercion {
	switch to {
	case Float8, Numeric, OidOID, RegclassOID:
		return Implicit
	case Bool, CharOID:
		if from == Int4 {
			return Explicit
		}
	case Int8:
		return Implicit
	case Int4:
		if from == Int2 {
			return Implicit
		}
		return Assignment
	case Int2:
		return Assignment
	}
	return None
}

// Cast converts a value from one type to another and fits it to the modifier. NULL
// stays NULL. ctx is what the caller is doing, not what the cast allows: analyze
// has checked that with CastKind. Errors are *sqlerr.Error, as from ParseText, and
// 42846 for a cast that does not exist.
func Cast(d Datum, from, to OID, typmod int32, ctx CastContext, env Env) (Datum, error) {
	if d == nil {
		return nil, nil
	}
	if CastKind(from, to) == None {
		return nil, sqlerr.New("42846", "cannot cast type %s to %s", sqlName(from), sqlName(to))
	}
	v, err := convert(d, from, to, env)
	if err != nil || typmod < 0 {
		return v, err
	}
	return ApplyTypmod(v, to, typmod, ctx == Explicit)
}

func convert(d Datum, from, to OID, env Env) (Datum, error) {
	if from == to {
		return d, nil
	}
	if to == RegclassOID {
		return toRegclass(d, from, env)
	}
	switch v := d.(type) {
	case Regclass:
		return fromRegclass(v, to, env)
	case string:
		switch {
		case from == CharOID && to == Int4:
			return charToInt(v), nil
		case from == CharOID:
			return throughText(d, from, to, env)
		case isStringType(to) && to != Name:
			return d, nil
		}
		return parseText(to, v, env)
	case int16, int32, int64, uint32:
		return convertInt(toInt64(d), from, to)
	case float64:
		return convertFloat(v, to)
	case *apd.Decimal:
		return convertNumeric(v, to)
	case bool:
		if to == Int4 {
			if v {
				return int32(1), nil
			}
			return int32(0), nil
		}
		switch {
		case to == Name: // through the output function, unlike text
		case v:
			return "true", nil
		default:
			return "false", nil
		}
	case Date:
		if to == Timestamptz {
			t, err := v.Time(env.location())
			if err != nil {
				return nil, err
			}
			return t, nil
		}
	case time.Time:
		if to == DateOID {
			return DateOf(v, env.location()), nil
		}
	}
	return throughText(d, from, to, env)
}

func isStringType(oid OID) bool {
	return oid == Text || oid == Varchar || oid == Name || oid == Unknown
}

func throughText(d Datum, from, to OID, env Env) (Datum, error) {
	return parseText(to, FormatText(from, d, env.location()), env)
}

func convertInt(v int64, from, to OID) (Datum, error) {
	switch to {
	case Int2, Int4, Int8:
		if from == OidOID && to == Int4 { // binary coercible
			return int32(uint32(v)), nil
		}
		return narrow(v, to)
	case OidOID:
		if from != Int8 { // int4 and int2 are reinterpreted, as in PostgreSQL
			return uint32(v), nil
		}
		return narrow(v, to)
	case Float8:
		return float64(v), nil
	case Numeric:
		return DecimalFromInt(v), nil
	case Bool:
		return v != 0, nil
	case CharOID:
		return intToChar(v)
	}
	return throughText(v, Int8, to, Env{})
}

func convertFloat(f float64, to OID) (Datum, error) {
	switch to {
	case Numeric:
		return FloatToDecimal(f), nil
	case Int2, Int4, Int8:
		r := math.RoundToEven(f)
		// 2^63 itself is out of range, but is what MaxInt64 rounds to.
		if math.IsNaN(r) || r < math.MinInt64 || r >= math.MaxInt64 {
			return nil, OutOfRange(to)
		}
		return narrow(int64(r), to)
	}
	return throughText(f, Float8, to, Env{})
}

func convertNumeric(d *apd.Decimal, to OID) (Datum, error) {
	switch to {
	case Int2, Int4, Int8:
		return decimalToInt(d, to)
	case Float8:
		f, err := DecimalToFloat(d)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	return throughText(d, Numeric, to, Env{})
}
