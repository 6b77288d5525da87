package catalog

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

// System is what the rows of the catalogs are made of.
type System struct {
	Reader   Reader
	Roles    []Role
	Database string
}

// databaseOID is that of the database postgres since PostgreSQL 15.
const databaseOID uint32 = 5

// encodingUTF8 is pg_enc's number for it.
const encodingUTF8 int32 = 6

// Rows gives the rows of a catalog, as the Reader sees the database, in the order
// of their OIDs. Columns that are absent are NULL in it.
func (s System) Rows(t *Table) []types.Row {
	switch t.Name {
	case "pg_namespace":
		return s.namespaces(t)
	case "pg_class":
		return s.classes(t)
	case "pg_attribute":
		return s.attributes(t)
	case "pg_index":
		return s.indexes(t)
	case "pg_roles":
		return s.roles(t)
	case "pg_database":
		return []types.Row{t.row(
			databaseOID, s.Database, bootstrapOID, encodingUTF8, false, true, int32(-1), "C", "C",
		)}
	}
	return nil
}

// row makes a row of the values of the columns that are there.
func (t *Table) row(values ...types.Datum) types.Row {
	out := make(types.Row, len(t.Columns))
	for i := range t.Columns {
		if !t.Columns[i].Absent {
			out[i], values = values[0], values[1:]
		}
	}
	return out
}

// relations gives everything in the order of the OIDs: the catalogs first, then
// what the database holds, of the kinds wanted.
func (s System) relations(kinds ...Kind) []*Relation {
	all := append(slices.Clone(catalogs().ordered), s.Reader.Relations()...)
	all = slices.DeleteFunc(all, func(r *Relation) bool { return !slices.Contains(kinds, r.Kind) })
	slices.SortFunc(all, func(a, b *Relation) int { return cmp.Compare(a.OID, b.OID) })
	return all
}

func (s System) namespaces(t *Table) []types.Row {
	rows := []types.Row{t.row(schemaCatalogOID, SchemaCatalog, bootstrapOID)}
	for _, r := range s.relations(KindSchema) {
		rows = append(rows, t.row(r.OID, r.Name, roleOID(s.Roles, r.Namespace.Owner)))
	}
	return rows
}

func (s System) classes(t *Table) []types.Row {
	schemas := map[string]uint32{SchemaCatalog: schemaCatalogOID}
	for _, r := range s.relations(KindSchema) {
		schemas[r.Name] = r.OID
	}
	var rows []types.Row
	for _, r := range s.relations(KindTable, KindView, KindIndex, KindSequence) {
		columns, indexed, owner := s.shape(r)
		rows = append(rows, t.row(
			r.OID, r.Name, schemas[r.Schema], roleOID(s.Roles, owner),
			indexed, r.OID == catalogs().byName["pg_database"].OID, "p", string(rune(r.Kind)), int16(len(columns)), int16(0),
			r.Kind == KindView, // its rule is what a view is
			false, false, false, false, true, false,
		))
	}
	return rows
}

// shape gives what a relation of any kind consists of.
func (s System) shape(r *Relation) (columns []Column, indexed bool, owner string) {
	switch r.Kind {
	case KindSequence:
		return sequenceColumns(), false, r.Sequence.Owner
	case KindIndex:
		on, ok := s.Reader.RelationByOID(r.IndexOf)
		if !ok {
			return nil, false, ""
		}
		return indexColumns(on.Table, on.Table.Index(r.OID)), false, on.Table.Owner
	default:
		return r.Table.Columns, len(r.Table.Indexes) > 0, r.Table.Owner
	}
}

func sequenceColumns() []Column {
	return []Column{
		{Name: "last_value", Type: types.Int8, TypMod: types.NoTypmod, NotNull: true},
		{Name: "log_cnt", Type: types.Int8, TypMod: types.NoTypmod, NotNull: true},
		{Name: "is_called", Type: types.Bool, TypMod: types.NoTypmod, NotNull: true},
	}
}

// cstring is what a btree keeps of a name.
const cstring types.OID = 2275

func indexColumns(t *Table, ix *Index) []Column {
	var out []Column
	for _, c := range ix.Columns {
		column := Column{Name: t.Columns[c].Name, Type: t.Columns[c].Type, TypMod: t.Columns[c].TypMod}
		if column.Type == types.Name {
			column.Type = cstring
		}
		out = append(out, column)
	}
	return out
}

func (s System) attributes(t *Table) []types.Row {
	var rows []types.Row
	for _, r := range s.relations(KindTable, KindView, KindIndex, KindSequence) {
		columns, _, _ := s.shape(r)
		for i, c := range columns {
			rows = append(rows, t.row(
				r.OID, c.Name, c.Type, int16(i+1), c.TypMod, c.NotNull, c.Default != "" || c.Serial != 0,
				"", "", false, true, int32(0),
			))
		}
	}
	return rows
}

func (s System) indexes(t *Table) []types.Row {
	var rows []types.Row
	for _, r := range s.relations(KindIndex) {
		on, ok := s.Reader.RelationByOID(r.IndexOf)
		if !ok {
			continue
		}
		ix := on.Table.Index(r.OID)
		size := int16(len(ix.Columns))
		keys := make([]string, size)
		for i, c := range ix.Columns {
			keys[i] = strconv.Itoa(c + 1)
		}
		rows = append(rows, t.row(
			r.OID, on.OID, size, size, ix.Unique, false, ix.Primary, false, true, false, true, false, true, true, false,
			strings.Join(keys, " "), nil, nil,
		))
	}
	return rows
}

func (s System) roles(t *Table) []types.Row {
	var rows []types.Row
	for _, r := range s.Roles {
		rows = append(rows, t.row(r.Name, r.Super, true, r.Login, int32(-1), r.OID))
	}
	return rows
}
