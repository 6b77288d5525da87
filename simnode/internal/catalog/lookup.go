package catalog

import (
	"strconv"
	"unicode/utf8"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Reader finds descriptors as one transaction sees them: its snapshot and its own
// DDL. *mvcc.Txn implements it. The relations that it gives are shared and must
// not be changed.
type Reader interface {
	// RelationByName finds a relation by its schema and name.
	RelationByName(schema, name string) (*Relation, bool)
	// RelationByOID finds a relation by its OID.
	RelationByOID(oid uint32) (*Relation, bool)
	// Relations gives all of them, in any order.
	Relations() []*Relation
}

// FindTable finds a table by name, perhaps one of the catalogs; without a schema the
// path is searched. A missing one is 42P01; a relation of another kind is 42809 (in a
// DROP, wrong kind too).
func FindTable(r Reader, path Path, schema, name string) (*Table, error) {
	rel, err := find(r, path, schema, name)
	if err != nil {
		return nil, err
	}
	if rel.Table == nil {
		return nil, sqlerr.New("42809", "\"%s\" is not a table", name)
	}
	return rel.Table, nil
}

// FindSequence finds a sequence by name, as FindTable does.
func FindSequence(r Reader, path Path, schema, name string) (*Sequence, error) {
	rel, err := find(r, path, schema, name)
	if err != nil {
		return nil, err
	}
	if rel.Kind != KindSequence {
		return nil, sqlerr.New("42809", "\"%s\" is not a sequence", name)
	}
	return rel.Sequence, nil
}

// find finds a relation. In a query PostgreSQL reports a missing schema as a
// missing relation.
func find(r Reader, path Path, schema, name string) (*Relation, error) {
	if rel, ok := path.Lookup(r, schema, name); ok {
		return rel, nil
	}
	other := isOtherCatalog(schema, name)
	if schema != "" {
		name = schema + "." + name
	}
	if other {
		return nil, sqlerr.Unsupported("system catalog " + name)
	}
	return nil, sqlerr.New("42P01", "relation \"%s\" does not exist", name)
}

// Duplicate is 42P07 for a name that is taken.
func Duplicate(name string) *sqlerr.Error {
	return sqlerr.New("42P07", "relation \"%s\" already exists", name)
}

// ChooseName makes a relation name as PostgreSQL does for constraints and serial
// sequences: first_second_label, cut to 63 bytes by shortening the longer of the
// first two, and numbered while it is taken. second may be empty.
func ChooseName(r Reader, schema, first, second, label string, taken func(string) bool) string {
	for n := 0; ; n++ {
		l := label
		if n > 0 {
			l += strconv.Itoa(n)
		}
		name := joinName(first, second, l)
		if _, exists := r.RelationByName(schema, name); !exists && (taken == nil || !taken(name)) {
			return name
		}
	}
}

// joinName is PostgreSQL's makeObjectName.
func joinName(first, second, label string) string {
	room := maxIdentifierSize - len(label) - 1
	if second != "" {
		room--
	}
	n, m := len(first), len(second)
	for n+m > room {
		if n > m {
			n--
		} else {
			m--
		}
	}
	name := clip(first, n)
	if second != "" {
		name += "_" + clip(second, m)
	}
	return name + "_" + label
}

// clip cuts to at most n bytes, at a character's boundary.
func clip(s string, n int) string {
	if n >= len(s) {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
