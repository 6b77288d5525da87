package index

import (
	"encoding/binary"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// headerSize is the length of the two OIDs in front of a key's tuple.
const headerSize = 8

// AppendHeader appends the OIDs that a key begins with.
func AppendHeader(buf []byte, table, index uint32) []byte {
	buf = binary.BigEndian.AppendUint32(buf, table)
	return binary.BigEndian.AppendUint32(buf, index)
}

// Key joins the OIDs and the tuple.
func Key(table, index uint32, tuple []byte) message.Key {
	buf := make([]byte, 0, headerSize+len(tuple))
	return message.Key(append(AppendHeader(buf, table, index), tuple...))
}

// Split takes a key apart; ok is false for a key that is too short to be one.
func Split(key message.Key) (table, index uint32, tuple string, ok bool) {
	if len(key) < headerSize {
		return 0, 0, "", false
	}
	b := []byte(key[:headerSize])
	return binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), string(key[headerSize:]), true
}

// RowKey is the key of a row of a table with a primary key. ok is false for a
// table without one, whose rows have hidden keys (see HiddenKey).
func RowKey(table *catalog.Table, row types.Row) (key message.Key, ok bool) {
	primary := table.Primary()
	if primary == nil {
		return "", false
	}
	buf := AppendHeader(make([]byte, 0, 64), table.OID, primary.OID)
	buf, _ = AppendColumns(buf, table, primary, row)
	return message.Key(buf), true
}

// HiddenKey is the key of a row of a table without a primary key; its index OID is
// the table's own.
func HiddenKey(table uint32, id [16]byte) message.Key {
	return Key(table, table, id[:])
}

// AppendColumns appends the tuple of a row in an index. hasNull says that one of
// its columns is NULL, in which case a unique index does not hold it unique.
func AppendColumns(buf []byte, table *catalog.Table, ix *catalog.Index, row types.Row) (tuple []byte, hasNull bool) {
	for _, c := range ix.Columns {
		buf = AppendDatum(buf, table.Columns[c].Type, row[c])
		hasNull = hasNull || row[c] == nil
	}
	return buf, hasNull
}

// Columns gives the types of an index's columns.
func Columns(table *catalog.Table, ix *catalog.Index) []types.OID {
	oids := make([]types.OID, len(ix.Columns))
	for i, c := range ix.Columns {
		oids[i] = table.Columns[c].Type
	}
	return oids
}
