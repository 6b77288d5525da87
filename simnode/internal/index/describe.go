package index

import (
	"fmt"
	"strings"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Describe names a key for a person: `table "accounts", key (id)=(7)`. A row
// without a primary key is `table "log", row 00…`, a descriptor is `relation
// "accounts"` or `schema "app"`. A schema other than public is named too. What
// cannot be read is shown as hex, never dropped.
func Describe(key message.Key, r catalog.Reader, loc *time.Location) string {
	tableOID, indexOID, tuple, ok := Split(key)
	if !ok {
		return fmt.Sprintf("key %x", string(key))
	}
	if tableOID == catalog.RelationsOID {
		return describeRelation(indexOID, tuple, r, loc)
	}
	rel, ok := r.RelationByOID(tableOID)
	if !ok || rel.Table == nil {
		return fmt.Sprintf("table with OID %d, key %x", tableOID, tuple)
	}
	name := fullName(rel.Schema, rel.Name)
	ix := rel.Table.Index(indexOID)
	if ix == nil {
		return fmt.Sprintf("table \"%s\", row %x", name, tuple)
	}
	values, err := DecodeTuple([]byte(tuple), Columns(rel.Table, ix))
	if err != nil {
		return fmt.Sprintf("table \"%s\", key %x", name, tuple)
	}
	return fmt.Sprintf("table \"%s\", key %s", name, FormatKey(rel.Table, ix, values, loc))
}

func fullName(schema, name string) string {
	if schema == "" || schema == catalog.SchemaPublic {
		return name
	}
	return schema + "." + name
}

func describeRelation(indexOID uint32, tuple string, r catalog.Reader, loc *time.Location) string {
	system := catalog.Relations()
	ix := system.Index(indexOID)
	if ix == nil {
		return fmt.Sprintf("relation key %x", tuple)
	}
	values, err := DecodeTuple([]byte(tuple), Columns(system, ix))
	if err != nil {
		return fmt.Sprintf("relation key %x", tuple)
	}
	if ix.Primary {
		rel, ok := r.RelationByOID(values[0].(uint32))
		switch {
		case !ok:
			return fmt.Sprintf("relation with OID %d", values[0])
		case rel.Kind == catalog.KindSchema:
			return fmt.Sprintf("schema \"%s\"", rel.Name)
		}
		return fmt.Sprintf("relation \"%s\"", fullName(rel.Schema, rel.Name))
	}
	schema, name := values[0].(string), values[1].(string)
	if schema == "" {
		return fmt.Sprintf("schema name \"%s\"", name)
	}
	return fmt.Sprintf("relation name \"%s\"", fullName(schema, name))
}

// FormatKey writes columns and values as PostgreSQL's details do: (a, b)=(1, x).
func FormatKey(table *catalog.Table, ix *catalog.Index, values []types.Datum, loc *time.Location) string {
	names := make([]string, len(ix.Columns))
	texts := make([]string, len(ix.Columns))
	for i, c := range ix.Columns {
		names[i] = table.Columns[c].Name
		texts[i] = "null"
		if values[i] != nil {
			texts[i] = types.FormatText(table.Columns[c].Type, values[i], loc)
		}
	}
	return fmt.Sprintf("(%s)=(%s)", strings.Join(names, ", "), strings.Join(texts, ", "))
}
