package mvcc

import (
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/tidwall/btree"
)

// ownTable is what a transaction wrote to one table.
type ownTable struct {
	table   *catalog.Table
	rows    btree.Map[message.Key, *ownRow]
	indexes []*btree.Map[string, ownIndexEntry] // as tableData.indexes
}

type ownIndexEntry struct {
	row  *ownRow
	size int // length of the tuple within the key
}

// ownRow is the states that a transaction gave one row, oldest first, never empty.
type ownRow struct {
	key    message.Key
	states []ownState
}

type ownState struct {
	command int32
	row     types.Row // nil: deleted
	tuples  []string
	rel     *catalog.Relation // system table only
}

func (r *ownRow) latest() *ownState { return &r.states[len(r.states)-1] }

// before gives the newest state that a command sees, nil if it sees none of them
// and the committed row counts.
func (r *ownRow) before(command int32) *ownState {
	for i := len(r.states) - 1; i >= 0; i-- {
		if r.states[i].command < command {
			return &r.states[i]
		}
	}
	return nil
}

// own gives the transaction's writes to a table, nil without any.
func (t *Txn) own(oid uint32) *ownTable { return t.writes[oid] }

// ownRowOf gives the transaction's states of one row, nil without any.
func (t *Txn) ownRowOf(oid uint32, key message.Key) *ownRow {
	own := t.writes[oid]
	if own == nil {
		return nil
	}
	r, _ := own.rows.Get(key)
	return r
}

// put gives a row a new state.
func (t *Txn) put(table *catalog.Table, key message.Key, state ownState) {
	own := t.writes[table.OID]
	if own == nil {
		own = &ownTable{table: table}
		for range secondary(table) {
			own.indexes = append(own.indexes, new(btree.Map[string, ownIndexEntry]))
		}
		if t.writes == nil {
			t.writes = make(map[uint32]*ownTable)
		}
		t.writes[table.OID] = own
	}
	r, ok := own.rows.Get(key)
	if !ok {
		r = &ownRow{key: key}
		own.rows.Set(key, r)
	}
	state.command = t.command
	state.tuples = tuplesOf(table, state.row)
	r.states = append(r.states, state)
	for i, tuple := range state.tuples {
		own.indexes[i].Set(tuple+string(key), ownIndexEntry{r, len(tuple)})
	}
	t.undo = append(t.undo, undoStep{own: own, row: r})
}

// pop takes the newest state of a row back.
func (own *ownTable) pop(r *ownRow) {
	gone := r.latest()
	r.states = r.states[:len(r.states)-1]
	for i, tuple := range gone.tuples {
		used := false
		for j := range r.states {
			used = used || r.states[j].tuples != nil && r.states[j].tuples[i] == tuple
		}
		if !used {
			own.indexes[i].Delete(tuple + string(r.key))
		}
	}
	if len(r.states) == 0 {
		own.rows.Delete(r.key)
	}
}
