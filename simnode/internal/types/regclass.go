package types

import (
	"strconv"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Regclass is the value of a regclass: a relation's OID, with the name by which the
// statement that made the value would find it. Only the OID counts in comparisons.
type Regclass struct {
	OID  uint32
	Name string
	// Open marks a value that came from a client before a statement could look at
	// the catalog: the name is as the client wrote it, if it wrote one.
	Open bool
}

// Classes finds relations for regclass.
type Classes interface {
	// ClassNamed finds a relation by its name as SQL writes it: 42P01, 42602.
	ClassNamed(name string) (Regclass, error)
	// ClassOf names the relation with an OID, which need not exist.
	ClassOf(oid uint32) Regclass
}

// parseRegclass is regclassin: a name, an OID, or - for none.
func parseRegclass(s string, env Env) (Datum, error) {
	if env.Classes == nil {
		return Regclass{Name: s, Open: true}, nil
	}
	oid := uint32(0)
	if s != "-" {
		if !isDigits(s) {
			return classNamed(s, env)
		}
		d, err := parseOID(s)
		if err != nil {
			return nil, err
		}
		oid = d.(uint32)
	}
	return env.Classes.ClassOf(oid), nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// CloseRegclass looks up what a client's value stands for.
func CloseRegclass(d Datum, env Env) (Datum, error) {
	switch v, ok := d.(Regclass); {
	case !ok || !v.Open:
		return d, nil
	case v.Name != "":
		return parseRegclass(v.Name, env)
	default:
		return env.Classes.ClassOf(v.OID), nil
	}
}

// classNamed keeps a failed look-up from returning a value beside the error.
func classNamed(name string, env Env) (Datum, error) {
	c, err := env.Classes.ClassNamed(name)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// toRegclass casts to regclass. A text is a name, even one of digits.
func toRegclass(d Datum, from OID, env Env) (Datum, error) {
	if env.Classes == nil {
		return nil, sqlerr.Unsupported("regclass here")
	}
	s, isText := d.(string)
	switch {
	case isText && (from == Text || from == Varchar):
		return classNamed(s, env)
	case isText:
		return parseRegclass(s, env)
	}
	oid, err := convertInt(toInt64(d), from, OidOID)
	if err != nil {
		return nil, err
	}
	return env.Classes.ClassOf(oid.(uint32)), nil
}

// fromRegclass casts from regclass.
func fromRegclass(c Regclass, to OID, env Env) (Datum, error) {
	switch to {
	case OidOID, Int4, Int8:
		return convertInt(int64(c.OID), OidOID, to)
	}
	return parseText(to, c.Name, env)
}

// UnknownClass is the value of an OID that no relation has.
func UnknownClass(oid uint32) Regclass {
	if oid == 0 {
		return Regclass{Name: "-"}
	}
	return Regclass{OID: oid, Name: strconv.FormatUint(uint64(oid), 10)}
}
