package catalog

import "github.com/anywriter/anywriter/simnode/internal/types"

// Column describes one column of a table.
type Column struct {
	Name    string
	Type    types.OID
	TypMod  int32 // types.NoTypmod without one
	NotNull bool
	Default string // SQL expression as text, "" for none
	// Serial is the OID of the sequence that feeds the column, 0 for none.
	Serial uint32
	// Absent marks a column of a catalog of PostgreSQL's whose values the cluster
	// does not have.
	Absent bool `json:"-"`
}

// Index describes an index. Unique and primary ones are constraints too.
type Index struct {
	OID     uint32
	Name    string
	Columns []int // positions in Table.Columns, from 0
	Unique  bool
	Primary bool
}

// Table describes a table. A *Table that a lookup gave is shared by every reader
// of that version and must not be changed; two lookups give the same pointer
// exactly when the table is unchanged between them.
type Table struct {
	OID     uint32
	Schema  string
	Name    string
	Columns []Column
	Indexes []Index // the primary key first, if there is one
	Owner   string  // a role; "" is Bootstrap

	columnTypes []types.OID
	system      Kind // of a catalog of PostgreSQL's; KindUnknown for a user's table
}

// Sequence describes a sequence. Values are counted in units that the volume
// hands out in blocks: unit BaseUnit is the value Base, the next one is
// Base+Increment. CREATE SEQUENCE leaves BaseUnit 1 and Base = Start; setval
// moves both.
type Sequence struct {
	OID           uint32
	Schema        string
	Name          string
	Type          types.OID // int2, int4 or int8
	Start         int64
	Increment     int64 // not 0
	Min           int64
	Max           int64
	Cycle         bool
	BaseUnit      int64
	Base          int64
	OwnedByTable  uint32 // dropped with that table; 0 for none
	OwnedByColumn int    // position in its Columns
	Owner         string // a role, as in Table
}

// Schema describes a schema, a space of names for relations.
type Schema struct {
	OID   uint32
	Name  string
	Owner string // a role, as in Table
}

// Kind says what sort of thing a descriptor is.
type Kind byte

// The kinds, with the letters of pg_class.relkind where that has one.
const (
	KindUnknown  Kind = 0
	KindTable    Kind = 'r'
	KindIndex    Kind = 'i'
	KindSequence Kind = 'S'
	KindView     Kind = 'v' // of the catalogs only
	KindSchema   Kind = 'n'
)

// String names the kind as error messages do.
func (k Kind) String() string {
	switch k {
	case KindTable:
		return "table"
	case KindIndex:
		return "index"
	case KindSequence:
		return "sequence"
	case KindView:
		return "view"
	case KindSchema:
		return "schema"
	default:
		return "unknown"
	}
}

// Relation is one row of the system table: an OID and a name in the space that
// tables, indexes and sequences of a schema share, and the descriptor of its kind.
// Schemas stand in the same table, in the space of the empty schema name. Like a
// Table it is immutable once stored.
type Relation struct {
	OID       uint32
	Schema    string // "" for KindSchema
	Name      string
	Kind      Kind
	Table     *Table    // KindTable and KindView
	Sequence  *Sequence // KindSequence
	Namespace *Schema   // KindSchema
	IndexOf   uint32    // KindIndex: OID of its table
}

// Relation is the schema's row in the system table.
func (s *Schema) Relation() *Relation {
	return &Relation{OID: s.OID, Name: s.Name, Kind: KindSchema, Namespace: s}
}

// ColumnTypes gives the types of all columns in order. The slice is shared; it
// must not be changed.
func (t *Table) ColumnTypes() []types.OID {
	if t.columnTypes != nil {
		return t.columnTypes
	}
	return typesOf(t.Columns)
}

func typesOf(columns []Column) []types.OID {
	oids := make([]types.OID, len(columns))
	for i := range columns {
		oids[i] = columns[i].Type
	}
	return oids
}

// System reports whether the table is one of the catalogs: it can be read and nothing
// else.
func (t *Table) System() bool { return t.system != KindUnknown }

// Kind is that of the table's relation.
func (t *Table) Kind() Kind {
	if t.System() {
		return t.system
	}
	return KindTable
}

// Primary gives the primary key's index, or nil for a table without one.
func (t *Table) Primary() *Index {
	if len(t.Indexes) > 0 && t.Indexes[0].Primary {
		return &t.Indexes[0]
	}
	return nil
}

// Column finds a column's position by name.
func (t *Table) Column(name string) (int, bool) {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// Index finds an index by its OID, or gives nil.
func (t *Table) Index(oid uint32) *Index {
	for i := range t.Indexes {
		if t.Indexes[i].OID == oid {
			return &t.Indexes[i]
		}
	}
	return nil
}

// Seal fixes the derived fields of a descriptor that was built by hand. A table
// that comes out of a lookup is sealed already.
func (t *Table) Seal() *Table {
	t.columnTypes = typesOf(t.Columns)
	return t
}
