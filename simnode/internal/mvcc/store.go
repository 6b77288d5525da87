package mvcc

import (
	"context"
	"encoding/binary"
	"maps"
	"sync"
	"sync/atomic"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/lock"
	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Store is one node's cache. NewStore makes an empty one, at LSN 0. It is safe for
// concurrent use: one caller applies, any number of transactions read.
type Store struct {
	locks *lock.Manager
	// applied is advanced after all versions of a record are in, and a snapshot is
	// never above it: that is why a reader cannot see half of an Apply.
	applied atomic.Uint64
	// tables maps OIDs to their data; the map is copied to change it (DDL is rare,
	// lookups are not).
	tables   atomic.Pointer[map[uint32]*tableData]
	identity atomic.Pointer[identity]
	rowIDs   atomic.Uint32

	applyMu sync.Mutex
	garbage []garbage // guarded by applyMu

	snapMu sync.Mutex
	pins   map[*Txn]message.LSN // guarded by snapMu
	// changed is closed at the next Apply; nil while nobody waits. Guarded by snapMu.
	changed chan struct{}
}

type identity struct {
	node message.NodeID
	inc  message.Incarnation
}

// NewStore makes the cache of an empty database: it holds the system table with the
// descriptors that every database begins with.
func NewStore() *Store {
	s := &Store{locks: lock.NewManager(), pins: make(map[*Txn]message.LSN)}
	s.identity.Store(&identity{})
	system := newTableData(catalog.Relations(), nil)
	for _, rel := range catalog.Initial() {
		row, err := catalog.EncodeRelation(rel)
		if err != nil {
			panic(err) // they are our own
		}
		system.push(relationKey(rel.OID), &version{row: row, rel: rel, tuples: tuplesOf(system.table, row)})
	}
	s.tables.Store(&map[uint32]*tableData{catalog.RelationsOID: system})
	return s
}

// SetIdentity names the node and its incarnation, which make the hidden row ids of
// this store unique in the cluster. Call it before the first transaction begins.
func (s *Store) SetIdentity(node message.NodeID, inc message.Incarnation) {
	s.identity.Store(&identity{node, inc})
}

// Applied gives the LSN of the last record that is in.
func (s *Store) Applied() message.LSN { return message.LSN(s.applied.Load()) }

// WaitApplied returns when the record at lsn is in, or with context.Cause(ctx) when
// ctx ends first.
func (s *Store) WaitApplied(ctx context.Context, lsn message.LSN) error {
	for {
		ch := s.waitChannel(lsn)
		if ch == nil {
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// waitChannel gives a channel that the next Apply closes, nil if lsn is in already.
func (s *Store) waitChannel(lsn message.LSN) <-chan struct{} {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	if s.Applied() >= lsn {
		return nil
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.changed
}

// Locks gives the number of keys that transactions hold or wait for.
func (s *Store) Locks() int { return s.locks.Len() }

// Transactions gives the number of transactions that have begun and not finished.
func (s *Store) Transactions() int {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	return len(s.pins)
}

func (s *Store) table(oid uint32) *tableData { return (*s.tables.Load())[oid] }

// setTable publishes a changed map; nil removes the table. Only Apply calls it.
func (s *Store) setTable(oid uint32, td *tableData) {
	next := maps.Clone(*s.tables.Load())
	if td == nil {
		delete(next, oid)
	} else {
		next[oid] = td
	}
	s.tables.Store(&next)
}

// newRowID makes the key of a row without a primary key: 6 bytes of the LSN at
// which it was made, so that scans come out roughly in the order of insertion, 2 of
// the node, 4 of its incarnation, 4 of a counter. It repeats only if a node makes
// 2^32 rows while no record commits.
func (s *Store) newRowID() (id [16]byte) {
	who := s.identity.Load()
	binary.BigEndian.PutUint64(id[:], uint64(s.Applied())<<16|uint64(who.node))
	binary.BigEndian.PutUint32(id[8:], uint32(who.inc))
	binary.BigEndian.PutUint32(id[12:], s.rowIDs.Add(1))
	return id
}
