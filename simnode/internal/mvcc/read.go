package mvcc

import (
	"iter"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Get gives the row with a row key as the running command sees it. The row must not
// be changed.
func (t *Txn) Get(table *catalog.Table, key message.Key) (types.Row, bool) {
	if r := t.ownRowOf(table.OID, key); r != nil {
		if state := r.before(t.command); state != nil {
			return state.row, state.row != nil
		}
	}
	td := t.store.table(table.OID)
	if td == nil {
		return nil, false
	}
	entry := td.find(key)
	if entry == nil {
		return nil, false
	}
	v := entry.at(t.snapshot)
	if v == nil {
		return nil, false
	}
	return v.row, true
}

// Scan gives every row that the running command sees, in the order of the row keys
// (reverse: downwards). The loop may write to the table and may be broken off.
func (t *Txn) Scan(table *catalog.Table, reverse bool) iter.Seq2[message.Key, types.Row] {
	return t.scanRows(table, table.OID, index.Range{Reverse: reverse})
}

// ScanIndex gives the rows of a range of an index that the running command sees, in
// the order of the index, each with its row key.
func (t *Txn) ScanIndex(table *catalog.Table, ix *catalog.Index, r index.Range) iter.Seq2[message.Key, types.Row] {
	if ix.Primary {
		return t.scanRows(table, ix.OID, r)
	}
	return t.scanEntries(table, secondaryPosition(table, ix.OID), r)
}

// scanRows walks the rows' own tree, between the keys of a range of the primary key
// or over everything.
func (t *Txn) scanRows(table *catalog.Table, indexOID uint32, r index.Range) iter.Seq2[message.Key, types.Row] {
	if indexOID == table.OID && table.Primary() != nil {
		indexOID = table.Primary().OID
	}
	header := index.AppendHeader(nil, table.OID, indexOID)
	bounds := span[message.Key]{from: message.Key(header) + message.Key(r.From), reverse: r.Reverse}
	if r.To != nil {
		bounds.to = message.Key(header) + message.Key(r.To)
	} else {
		bounds.to = message.Key(index.Successor(header))
	}
	return func(yield func(message.Key, types.Row) bool) {
		committed := rowCursor(t.store.table(table.OID), bounds)
		own := ownRowCursor(t.own(table.OID), bounds)
		for c, o := range merge(committed, own, bounds.reverse) {
			key, row := t.visibleRow(c, o)
			if row != nil && !yield(key, row) {
				return
			}
		}
	}
}

// visibleRow picks between the committed row and the transaction's own states of it;
// either may be missing.
func (t *Txn) visibleRow(c *item[message.Key, *rowEntry], o *item[message.Key, *ownRow]) (message.Key, types.Row) {
	if o != nil {
		if state := o.value.before(t.command); state != nil {
			return o.key, state.row
		}
	}
	if c != nil {
		if v := c.value.at(t.snapshot); v != nil {
			return c.key, v.row
		}
	}
	return "", nil
}

// scanEntries walks a secondary index. An entry counts when the state of the row
// that the command sees has the entry's tuple.
func (t *Txn) scanEntries(table *catalog.Table, position int, r index.Range) iter.Seq2[message.Key, types.Row] {
	bounds := span[string]{from: string(r.From), to: string(r.To), open: r.To == nil, reverse: r.Reverse}
	return func(yield func(message.Key, types.Row) bool) {
		committed := entryCursor(t.store.table(table.OID), position, bounds)
		own := ownEntryCursor(t.own(table.OID), position, bounds)
		for c, o := range merge(committed, own, bounds.reverse) {
			key, row := t.visibleEntry(table, position, c, o)
			if row != nil && !yield(key, row) {
				return
			}
		}
	}
}

func (t *Txn) visibleEntry(
	table *catalog.Table, position int, c *item[string, indexEntry], o *item[string, ownIndexEntry],
) (message.Key, types.Row) {
	var tuple string
	var key message.Key
	if c != nil {
		tuple, key = c.key[:c.value.size], c.value.row.key
	} else {
		tuple, key = o.key[:o.value.size], o.value.row.key
	}
	if r := t.ownRowOf(table.OID, key); r != nil {
		if state := r.before(t.command); state != nil {
			if state.row == nil || state.tuples[position] != tuple {
				return "", nil
			}
			return key, state.row
		}
	}
	if c == nil {
		return "", nil
	}
	v := c.value.row.at(t.snapshot)
	if v == nil || v.tuples[position] != tuple {
		return "", nil
	}
	return key, v.row
}
