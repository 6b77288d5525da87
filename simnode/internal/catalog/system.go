package catalog

import (
	"encoding/json"
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Fixed OIDs: of the system table, and those that PostgreSQL has given to its
// schemas. FirstUserOID is where PostgreSQL's own user OIDs begin.
const (
	RelationsOID      uint32 = 1
	RelationsPKeyOID  uint32 = 2
	RelationsNameOID  uint32 = 3
	schemaCatalogOID  uint32 = 11
	schemaPublicOID   uint32 = 2200
	FirstUserOID      uint32 = 16384
	SchemaPublic             = "public"
	SchemaCatalog            = "pg_catalog"
	maxIdentifierSize        = 63 // bytes, NAMEDATALEN-1
)

// Columns of the system table.
const (
	colOID = iota
	colSchema
	colName
	colKind
	colBody
)

// Relations describes the system table that holds every descriptor, its own
// excepted.
func Relations() *Table {
	t := &Table{
		OID: RelationsOID, Schema: SchemaCatalog, Name: "relations",
		Columns: []Column{
			{Name: "oid", Type: types.OidOID, TypMod: types.NoTypmod, NotNull: true},
			{Name: "schema", Type: types.Text, TypMod: types.NoTypmod, NotNull: true},
			{Name: "name", Type: types.Text, TypMod: types.NoTypmod, NotNull: true},
			{Name: "kind", Type: types.Text, TypMod: types.NoTypmod, NotNull: true},
			{Name: "body", Type: types.Bytea, TypMod: types.NoTypmod, NotNull: true},
		},
		Indexes: []Index{
			{OID: RelationsPKeyOID, Name: "relations_pkey", Columns: []int{colOID}, Unique: true, Primary: true},
			{OID: RelationsNameOID, Name: "relations_name", Columns: []int{colSchema, colName}, Unique: true},
		},
	}
	return t.Seal()
}

// Initial gives the descriptors that every database begins with, those of a store
// to which nothing was applied yet: the schema public. Like any other schema it can
// be dropped.
func Initial() []*Relation {
	public := &Schema{OID: schemaPublicOID, Name: SchemaPublic, Owner: publicOwner}
	return []*Relation{public.Relation()}
}

// EncodeRelation gives the row form of a descriptor. Equal descriptors give equal
// rows on every node.
func EncodeRelation(r *Relation) (types.Row, error) {
	var body any
	switch r.Kind {
	case KindTable:
		body = r.Table
	case KindSequence:
		body = r.Sequence
	case KindIndex:
		body = r.IndexOf
	case KindSchema:
		body = r.Namespace
	default:
		return nil, fmt.Errorf("catalog: relation %q has kind %q, want a table, an index, a sequence or a schema", r.Name, r.Kind)
	}
	// JSON: field order is the struct's, so the bytes are deterministic, and a
	// field added later reads as its zero value from an old log.
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("catalog: encode relation %q: %w", r.Name, err)
	}
	return types.Row{r.OID, r.Schema, r.Name, string(rune(r.Kind)), b}, nil
}

// DecodeRelation is the inverse of EncodeRelation.
func DecodeRelation(row types.Row) (*Relation, error) {
	if len(row) != colBody+1 {
		return nil, fmt.Errorf("catalog: relation row has %d columns, want %d", len(row), colBody+1)
	}
	r := &Relation{OID: row[colOID].(uint32), Schema: row[colSchema].(string), Name: row[colName].(string)}
	kind, body := row[colKind].(string), row[colBody].([]byte)
	var err error
	switch kind {
	case string(rune(KindTable)):
		r.Kind, r.Table = KindTable, new(Table)
		err = json.Unmarshal(body, r.Table)
		r.Table.Seal()
	case string(rune(KindSequence)):
		r.Kind, r.Sequence = KindSequence, new(Sequence)
		err = json.Unmarshal(body, r.Sequence)
	case string(rune(KindIndex)):
		r.Kind = KindIndex
		err = json.Unmarshal(body, &r.IndexOf)
	case string(rune(KindSchema)):
		r.Kind, r.Namespace = KindSchema, new(Schema)
		err = json.Unmarshal(body, r.Namespace)
	default:
		err = fmt.Errorf("unknown kind %q", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("catalog: relation %q: %w", r.Name, err)
	}
	return r, nil
}
