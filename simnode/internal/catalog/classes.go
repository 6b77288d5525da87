package catalog

import (
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Classes finds relations for values of type regclass. It implements types.Classes.
type Classes struct {
	Reader   Reader
	Path     Path
	Database string
}

var _ types.Classes = Classes{}

// ClassNamed implements types.Classes. Beside 42P01 for a relation and 3F000 for a
// schema that is not there, the errors are of names that cannot be.
func (c Classes) ClassNamed(name string) (types.Regclass, error) {
	rel, schema, last, err := c.find(name)
	switch {
	case err != nil:
		return types.Regclass{}, err
	case rel != nil:
		return c.value(rel), nil
	case schema == "":
		return types.Regclass{}, sqlerr.New("42P01", "relation \"%s\" does not exist", last)
	}
	if err := CheckSchema(c.Reader, schema); err != nil {
		return types.Regclass{}, err
	}
	return types.Regclass{}, sqlerr.New("42P01", "relation \"%s.%s\" does not exist", schema, last)
}

// MaybeNamed is to_regclass(): false for a relation that does not exist.
func (c Classes) MaybeNamed(name string) (types.Regclass, bool, error) {
	rel, _, _, err := c.find(name)
	if err != nil || rel == nil {
		return types.Regclass{}, false, err
	}
	return c.value(rel), true, nil
}

// ClassOf implements types.Classes.
func (c Classes) ClassOf(oid uint32) types.Regclass {
	if rel, ok := relationByOID(c.Reader, oid); ok {
		return c.value(rel)
	}
	return types.UnknownClass(oid)
}

func (c Classes) value(rel *Relation) types.Regclass {
	return types.Regclass{OID: rel.OID, Name: c.Path.name(c.Reader, rel)}
}

// find takes a name apart and looks for the relation, nil if there is none.
func (c Classes) find(text string) (rel *Relation, schema, name string, err error) {
	parts, ok := SplitName(text)
	switch {
	case !ok:
		return nil, "", "", sqlerr.New("42602", "invalid name syntax")
	case len(parts) == 3 && parts[0] == c.Database:
		parts = parts[1:]
	case len(parts) == 3:
		return nil, "", "", sqlerr.New("0A000", "cross-database references are not implemented: \"%s\"", strings.Join(parts, "."))
	case len(parts) > 3:
		return nil, "", "", sqlerr.New("42601", "improper relation name (too many dotted names): %s", strings.Join(parts, "."))
	}
	if name = parts[len(parts)-1]; len(parts) == 2 {
		schema = parts[0]
	}
	rel, _ = c.Path.Lookup(c.Reader, schema, name)
	return rel, schema, name, nil
}
