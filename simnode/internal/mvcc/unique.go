package mvcc

import (
	"fmt"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// UniqueViolation says that a row cannot be stored because another holds one of its
// unique keys. ON CONFLICT acts on it; otherwise SQL makes the client's error.
type UniqueViolation struct {
	Table *catalog.Table
	Index *catalog.Index
	Key   message.Key // row key of the holder
	Row   types.Row   // the holder
	// Visible says that the running statement sees the holder. One that it does not
	// see was committed after its snapshot, or written by the statement itself.
	Visible bool
	// SameCommand says that the running statement wrote the holder: ON CONFLICT DO
	// UPDATE cannot touch it (21000).
	SameCommand bool
}

// Error implements error.
func (v *UniqueViolation) Error() string {
	return fmt.Sprintf("duplicate key value violates unique constraint %q", v.Index.Name)
}

// SQL is 23505 as PostgreSQL words it; loc is the session's zone.
func (v *UniqueViolation) SQL(loc *time.Location) *sqlerr.Error {
	values := make([]types.Datum, len(v.Index.Columns))
	for i, c := range v.Index.Columns {
		values[i] = v.Row[c]
	}
	err := sqlerr.New("23505", "duplicate key value violates unique constraint \"%s\"", v.Index.Name).
		WithDetail("Key %s already exists.", index.FormatKey(v.Table, v.Index, values, loc))
	err.Schema, err.Table, err.Constraint = v.Table.Schema, v.Table.Name, v.Index.Name
	return err
}

// uniqueKey is one unique constraint's key of a row.
type uniqueKey struct {
	index *catalog.Index
	tuple string
	key   message.Key
}

// uniqueKeys gives the keys that a row must hold alone, the arbiters' first, then
// in the order of the table's indexes. A key with a NULL is never a duplicate.
func uniqueKeys(table *catalog.Table, row types.Row, arbiters []uint32) []uniqueKey {
	var first, rest []uniqueKey
	for i := range table.Indexes {
		ix := &table.Indexes[i]
		if !ix.Unique && !ix.Primary {
			continue
		}
		tuple, hasNull := index.AppendColumns(nil, table, ix, row)
		if hasNull {
			continue
		}
		u := uniqueKey{ix, string(tuple), index.Key(table.OID, ix.OID, tuple)}
		if contains(arbiters, ix.OID) {
			first = append(first, u)
		} else {
			rest = append(rest, u)
		}
	}
	return append(first, rest...)
}

func contains(list []uint32, oid uint32) bool {
	for _, v := range list {
		if v == oid {
			return true
		}
	}
	return false
}

// holder finds who holds a unique key in the transaction's newest state: its own
// writes, whichever command made them, and rows committed up to at. A row that the
// transaction has written counts by what it wrote. except is not looked at.
func (t *Txn) holder(table *catalog.Table, u uniqueKey, at message.LSN, except message.Key) *UniqueViolation {
	if u.index.Primary {
		return t.holderOfRow(table, u, at, except)
	}
	position := secondaryPosition(table, u.index.OID)
	prefix := index.Prefix([]byte(u.tuple))
	bounds := span[string]{from: string(prefix.From), to: string(prefix.To), open: prefix.To == nil}
	own := ownEntryCursor(t.own(table.OID), position, bounds)
	for o := own.next(); o != nil; o = own.next() {
		state := o.value.row.latest()
		if state.row != nil && state.tuples[position] == u.tuple && o.value.row.key != except {
			return t.ownHolder(table, u, o.value.row)
		}
	}
	committed := entryCursor(t.store.table(table.OID), position, bounds)
	for c := committed.next(); c != nil; c = committed.next() {
		key := c.value.row.key
		if key == except || t.ownRowOf(table.OID, key) != nil {
			continue
		}
		if v := c.value.row.at(at); v != nil && v.tuples[position] == u.tuple {
			return t.committedHolder(table, u, c.value.row, v)
		}
	}
	return nil
}

func (t *Txn) holderOfRow(table *catalog.Table, u uniqueKey, at message.LSN, except message.Key) *UniqueViolation {
	if u.key == except {
		return nil
	}
	if r := t.ownRowOf(table.OID, u.key); r != nil {
		if r.latest().row == nil {
			return nil
		}
		return t.ownHolder(table, u, r)
	}
	td := t.store.table(table.OID)
	if td == nil {
		return nil
	}
	if entry := td.find(u.key); entry != nil {
		if v := entry.at(at); v != nil {
			return t.committedHolder(table, u, entry, v)
		}
	}
	return nil
}

func (t *Txn) ownHolder(table *catalog.Table, u uniqueKey, r *ownRow) *UniqueViolation {
	state := r.latest()
	return &UniqueViolation{
		Table: table, Index: u.index, Key: r.key, Row: state.row,
		Visible: state.command < t.command, SameCommand: state.command == t.command,
	}
}

func (t *Txn) committedHolder(table *catalog.Table, u uniqueKey, entry *rowEntry, v *version) *UniqueViolation {
	return &UniqueViolation{
		Table: table, Index: u.index, Key: entry.key, Row: v.row, Visible: v.lsn <= t.snapshot,
	}
}
