package types

import "fmt"

// OID is PostgreSQL's object identifier of a type.
type OID = uint32

// PostgreSQL's own OIDs of the types that the simulated cluster knows.
const (
	Bool        OID = 16
	Bytea       OID = 17
	CharOID     OID = 18 // "char", one byte: not character(n)
	Name        OID = 19
	Int8        OID = 20
	Int2        OID = 21
	Int2Vector  OID = 22 // in catalogs only
	Int4        OID = 23
	Text        OID = 25
	OidOID      OID = 26
	NodeTree    OID = 194 // in catalogs only
	Float8      OID = 701
	Unknown     OID = 705
	Varchar     OID = 1043
	DateOID     OID = 1082
	Timestamptz OID = 1184
	Numeric     OID = 1700
	UUID        OID = 2950
	RegclassOID OID = 2205
	VoidOID     OID = 2278
)

// The pseudo-types that only signatures of operators, functions and aggregates
// use; no value has them.
const (
	AnyElement  OID = 2283
	AnyNonArray OID = 2776
	Any         OID = 2276
)

// NoTypmod is the type modifier of a type without one.
const NoTypmod int32 = -1

// Category is pg_type.typcategory: operators and functions prefer candidates of
// an operand's own category.
type Category byte

// The categories of the types known here.
const (
	CategoryUnknown  Category = 'X'
	CategoryBool     Category = 'B'
	CategoryNumeric  Category = 'N'
	CategoryString   Category = 'S'
	CategoryDateTime Category = 'D'
	CategoryUser     Category = 'U'
	CategoryArray    Category = 'A'
	CategoryInternal Category = 'Z'
	CategoryPseudo   Category = 'P'
)

// Info is what pg_type says of a type.
type Info struct {
	OID       OID
	Name      string   // pg_type.typname, such as "int4"
	SQLName   string   // format_type, such as "integer": error messages use it
	Length    int16    // pg_type.typlen; -1 variable, -2 unknown's C string
	Category  Category // pg_type.typcategory
	Preferred bool     // pg_type.typispreferred
}

// Lookup gives what is known of a type. ok is false for a type that the
// simulated cluster does not have.
func Lookup(oid OID) (info Info, ok bool) {
	switch oid {
	case Bool:
		return Info{oid, "bool", "boolean", 1, CategoryBool, true}, true
	case Bytea:
		return Info{oid, "bytea", "bytea", -1, CategoryUser, false}, true
	case Name:
		return Info{oid, "name", "name", 64, CategoryString, false}, true
	case Int8:
		return Info{oid, "int8", "bigint", 8, CategoryNumeric, false}, true
	case Int2:
		return Info{oid, "int2", "smallint", 2, CategoryNumeric, false}, true
	case Int4:
		return Info{oid, "int4", "integer", 4, CategoryNumeric, false}, true
	case Text:
		return Info{oid, "text", "text", -1, CategoryString, true}, true
	case OidOID:
		return Info{oid, "oid", "oid", 4, CategoryNumeric, true}, true
	case Float8:
		return Info{oid, "float8", "double precision", 8, CategoryNumeric, true}, true
	case Unknown:
		return Info{oid, "unknown", "unknown", -2, CategoryUnknown, false}, true
	case Varchar:
		return Info{oid, "varchar", "character varying", -1, CategoryString, false}, true
	case DateOID:
		return Info{oid, "date", "date", 4, CategoryDateTime, false}, true
	case Timestamptz:
		return Info{oid, "timestamptz", "timestamp with time zone", 8, CategoryDateTime, true}, true
	case Numeric:
		return Info{oid, "numeric", "numeric", -1, CategoryNumeric, false}, true
	case UUID:
		return Info{oid, "uuid", "uuid", 16, CategoryUser, false}, true
	case VoidOID:
		return Info{oid, "void", "void", 4, CategoryPseudo, false}, true
	}
	return lookupInternal(oid)
}

// lookupInternal knows the types of system catalogs and of signatures.
func lookupInternal(oid OID) (Info, bool) {
	switch oid {
	case CharOID:
		return Info{oid, "char", "\"char\"", 1, CategoryInternal, false}, true
	case RegclassOID:
		return Info{oid, "regclass", "regclass", 4, CategoryNumeric, true}, true
	case Int2Vector:
		return Info{oid, "int2vector", "int2vector", -1, CategoryArray, false}, true
	case NodeTree:
		return Info{oid, "pg_node_tree", "pg_node_tree", -1, CategoryInternal, false}, true
	case AnyElement:
		return Info{oid, "anyelement", "anyelement", 4, CategoryPseudo, false}, true
	case AnyNonArray:
		return Info{oid, "anynonarray", "anynonarray", 4, CategoryPseudo, false}, true
	case Any:
		return Info{oid, "any", "\"any\"", 4, CategoryPseudo, false}, true
	}
	return Info{}, false
}

// ByName finds a type by a name that the grammar produces: pg_type's names, and
// the spellings that it keeps (such as "integer" in DDL that we wrote ourselves).
// Serial types are not types; see package analyze.
func ByName(name string) (OID, bool) {
	switch name {
	case "bool", "boolean":
		return Bool, true
	case "bytea":
		return Bytea, true
	case "char": // CHAR without quotes is pg_catalog.bpchar here
		return CharOID, true
	case "name":
		return Name, true
	case "int8", "bigint":
		return Int8, true
	case "int2", "smallint":
		return Int2, true
	case "int4", "integer", "int":
		return Int4, true
	case "text":
		return Text, true
	case "oid":
		return OidOID, true
	case "float8", "double precision":
		return Float8, true
	case "unknown":
		return Unknown, true
	case "varchar", "character varying":
		return Varchar, true
	case "date":
		return DateOID, true
	case "timestamptz", "timestamp with time zone":
		return Timestamptz, true
	case "numeric", "decimal":
		return Numeric, true
	case "uuid":
		return UUID, true
	case "regclass":
		return RegclassOID, true
	case "void":
		return VoidOID, true
	}
	return 0, false
}

// FormatType names a type as PostgreSQL's format_type does, with the modifier:
// "character varying(10)", "numeric(10,2)". An unknown OID gives "???", as there.
func FormatType(oid OID, typmod int32) string {
	info, ok := Lookup(oid)
	if !ok {
		return "???"
	}
	if typmod < 0 || typmod < varHeader && oid != Timestamptz {
		return info.SQLName
	}
	switch oid {
	case Varchar:
		return fmt.Sprintf("%s(%d)", info.SQLName, typmod-varHeader)
	case Numeric:
		p, s := numericTypmod(typmod)
		return fmt.Sprintf("%s(%d,%d)", info.SQLName, p, s)
	case Timestamptz:
		return fmt.Sprintf("timestamp(%d) with time zone", typmod)
	}
	return info.SQLName
}
