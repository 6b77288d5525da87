package types

import "github.com/anywriter/anywriter/simnode/internal/sqlerr"

// sqlName is the name that error messages use.
func sqlName(oid OID) string {
	info, ok := Lookup(oid)
	if !ok {
		return "unknown"
	}
	return info.SQLName
}

func invalidSyntax(oid OID, s string) error {
	return sqlerr.New("22P02", "invalid input syntax for type %s: \"%s\"", sqlName(oid), s)
}

func valueOutOfRange(oid OID, s string) error {
	return sqlerr.New("22003", "value \"%s\" is out of range for type %s", s, sqlName(oid))
}

// OutOfRange is 22003 "integer out of range", as arithmetic and casts raise it.
func OutOfRange(oid OID) error {
	switch oid {
	case Float8:
		return sqlerr.New("22003", "value out of range: overflow")
	case Numeric:
		return sqlerr.New("22003", "value overflows numeric format")
	case Timestamptz:
		return sqlerr.New("22008", "timestamp out of range")
	case DateOID:
		return sqlerr.New("22008", "date out of range")
	case OidOID:
		return sqlerr.New("22003", "OID out of range")
	}
	return sqlerr.New("22003", "%s out of range", sqlName(oid))
}

func valueOutOfFloat(s string) error {
	return sqlerr.New("22003", "\"%s\" is out of range for type double precision", s)
}
