package catalog

import (
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Path is the search path of names that come without a schema: the schemas to look
// in, in order. pg_catalog comes before them all unless it is among them; schemas
// that do not exist count for nothing. Nil is public alone. See the PostgreSQL
// manual, 5.9.3.
type Path []string

// schemas gives the schemas to look in.
func (p Path) schemas() []string {
	switch {
	case p == nil:
		return []string{SchemaCatalog, SchemaPublic}
	case slices.Contains(p, SchemaCatalog):
		return p
	}
	return append([]string{SchemaCatalog}, p...)
}

// Lookup finds a relation by its name, in the schema if one is given and otherwise
// along the path.
func (p Path) Lookup(r Reader, schema, name string) (*Relation, bool) {
	if schema != "" {
		return relationByName(r, schema, name)
	}
	for _, schema := range p.schemas() {
		if rel, ok := relationByName(r, schema, name); ok {
			return rel, true
		}
	}
	return nil, false
}

// Creation gives the schema in which new relations are made: the first of the path
// that exists, "" if none does. It is current_schema().
func (p Path) Creation(r Reader) string {
	if p == nil {
		p = Path{SchemaPublic}
	}
	for _, schema := range p {
		if _, ok := FindSchema(r, schema); ok {
			return schema
		}
	}
	return ""
}

// Shows reports whether the relation's name alone leads to it.
func (p Path) Shows(r Reader, rel *Relation) bool {
	found, ok := p.Lookup(r, "", rel.Name)
	return ok && found.OID == rel.OID
}

// Describe names a relation as PostgreSQL's messages about dependencies do: with
// its kind, and with its schema where the path does not lead to it.
func (p Path) Describe(r Reader, rel *Relation) string {
	return rel.Kind.String() + " " + p.name(r, rel)
}

// name writes a relation's name as SQL finds it along the path.
func (p Path) name(r Reader, rel *Relation) string {
	name := QuoteIdentifier(rel.Name)
	if !p.Shows(r, rel) {
		name = QuoteIdentifier(rel.Schema) + "." + name
	}
	return name
}

// FindSchema finds a schema by its name.
func FindSchema(r Reader, name string) (*Schema, bool) {
	if name == SchemaCatalog {
		return &Schema{OID: schemaCatalogOID, Name: SchemaCatalog}, true
	}
	rel, ok := r.RelationByName("", name)
	if !ok {
		return nil, false
	}
	return rel.Namespace, true
}

// CheckSchema is 3F000 unless the schema exists.
func CheckSchema(r Reader, name string) error {
	if _, ok := FindSchema(r, name); !ok {
		return UndefinedSchema(name)
	}
	return nil
}

// UndefinedSchema is 3F000 for a schema that does not exist.
func UndefinedSchema(name string) *sqlerr.Error {
	return sqlerr.New("3F000", "schema \"%s\" does not exist", name)
}

// DuplicateSchema is 42P06 for a name that is taken.
func DuplicateSchema(name string) *sqlerr.Error {
	return sqlerr.New("42P06", "schema \"%s\" already exists", name)
}
