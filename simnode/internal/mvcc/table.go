package mvcc

import (
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/tidwall/btree"
)

// tableData is the rows of one table.
//
// Readers take the lock for one lookup or one batch of a scan (up to maxBatch
// entries), never for a whole statement, so a long scan holds up neither Apply nor
// other readers. The alternative, a copy-on-write snapshot of the tree per scan,
// makes every Apply after it copy a path of nodes, and is not needed for
// consistency: what a batch boundary lets in is newer than the snapshot, and what
// garbage collection takes out is older than every snapshot.
type tableData struct {
	table *catalog.Table
	// descriptor is the table's row in the system table, nil for that table itself.
	descriptor *rowEntry

	mu sync.RWMutex
	// rows is for scans, byKey for lookups: at 100,000 rows the tree's search costs
	// 17 comparisons of keys that lie all over the memory, several times the map's.
	rows  btree.Map[message.Key, *rowEntry]
	byKey map[message.Key]*rowEntry
	// indexes holds the secondary indexes in the order of secondary(table); keys
	// are the tuple followed by the row key.
	indexes []*btree.Map[string, indexEntry]
}

// indexEntry leads from an index to a row. It stays while any version of the row has
// the tuple, so a reader must compare with the tuple of the version that it sees.
type indexEntry struct {
	row  *rowEntry
	size int // length of the tuple within the key
}

func newTableData(table *catalog.Table, descriptor *rowEntry) *tableData {
	td := &tableData{table: table, descriptor: descriptor, byKey: make(map[message.Key]*rowEntry)}
	for range secondary(table) {
		td.indexes = append(td.indexes, new(btree.Map[string, indexEntry]))
	}
	return td
}

// secondary gives the indexes of a table other than its primary key.
func secondary(table *catalog.Table) []catalog.Index {
	if table.Primary() != nil {
		return table.Indexes[1:]
	}
	return table.Indexes
}

// secondaryPosition gives an index's place in secondary(table), -1 for the primary.
func secondaryPosition(table *catalog.Table, oid uint32) int {
	for i, ix := range secondary(table) {
		if ix.OID == oid {
			return i
		}
	}
	return -1
}

// tuplesOf encodes a row for every secondary index.
func tuplesOf(table *catalog.Table, row types.Row) []string {
	list := secondary(table)
	if len(list) == 0 || row == nil {
		return nil
	}
	tuples := make([]string, len(list))
	for i := range list {
		tuple, _ := index.AppendColumns(nil, table, &list[i], row)
		tuples[i] = string(tuple)
	}
	return tuples
}

// find gives the entry of a row, nil without one.
func (td *tableData) find(key message.Key) *rowEntry {
	td.mu.RLock()
	entry := td.byKey[key]
	td.mu.RUnlock()
	return entry
}

// push adds a version on top of a row's chain and its index entries.
func (td *tableData) push(key message.Key, v *version) *rowEntry {
	td.mu.Lock()
	defer td.mu.Unlock()
	entry := td.byKey[key]
	if entry == nil {
		entry = &rowEntry{key: key}
		td.rows.Set(key, entry)
		td.byKey[key] = entry
	}
	older := entry.newest.Load()
	for i, tuple := range v.tuples {
		if older != nil && older.tuples != nil && older.tuples[i] == tuple {
			v.tuples[i] = older.tuples[i] // the entry is there: most updates change no index
			continue
		}
		td.indexes[i].Set(tuple+string(key), indexEntry{entry, len(tuple)})
	}
	v.older.Store(older)
	entry.newest.Store(v)
	return entry
}

// prune drops the versions that no snapshot from horizon on can see, the index
// entries that only they had, and the row itself if nothing is left of it.
func (td *tableData) prune(entry *rowEntry, horizon message.LSN) {
	td.mu.Lock()
	defer td.mu.Unlock()
	keep := entry.newest.Load()
	for keep != nil && keep.lsn > horizon {
		keep = keep.older.Load()
	}
	if keep == nil {
		return
	}
	dropped := keep.older.Load()
	keep.older.Store(nil)
	for v := dropped; v != nil; v = v.older.Load() {
		td.unindex(entry, v)
	}
	if keep.row == nil && entry.newest.Load() == keep {
		td.rows.Delete(entry.key)
		delete(td.byKey, entry.key)
	}
}

// unindex removes the index entries of a dropped version unless a version that
// stays has the same tuple.
func (td *tableData) unindex(entry *rowEntry, dropped *version) {
	for i, tuple := range dropped.tuples {
		used := false
		for v := entry.newest.Load(); v != nil && !used; v = v.older.Load() {
			used = v.tuples != nil && v.tuples[i] == tuple
		}
		if !used {
			td.indexes[i].Delete(tuple + string(entry.key))
		}
	}
}
