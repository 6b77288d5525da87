package mvcc

import (
	"fmt"
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Apply puts the writes of the record at lsn into the cache and advances Applied.
// lsn must be Applied()+1; records without writes are applied too. An error means
// that the record does not fit this store; nothing after it can be applied, and the
// part of it that is in stays invisible.
func (s *Store) Apply(lsn message.LSN, writes []message.Write) error {
	s.applyMu.Lock()
	defer s.applyMu.Unlock()
	if at := s.Applied(); lsn != at+1 {
		return fmt.Errorf("mvcc: apply LSN %d after %d, want %d", lsn, at, at+1)
	}
	for i := range writes {
		if err := s.applyWrite(lsn, &writes[i]); err != nil {
			return fmt.Errorf("mvcc: apply LSN %d, write %d of %d: %w", lsn, i+1, len(writes), err)
		}
	}
	s.publish(lsn)
	s.collect(gcPerApply)
	return nil
}

// publish makes the record visible and wakes WaitApplied.
func (s *Store) publish(lsn message.LSN) {
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	s.applied.Store(uint64(lsn))
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

func (s *Store) applyWrite(lsn message.LSN, w *message.Write) error {
	td := s.table(w.Table)
	if td == nil {
		return fmt.Errorf("no table with OID %d", w.Table)
	}
	v := &version{lsn: lsn}
	if w.Row != nil {
		row, err := types.DecodeRow(w.Row, td.table.ColumnTypes())
		if err != nil {
			return fmt.Errorf("table %q: %w", td.table.Name, err)
		}
		v.row, v.tuples = row, tuplesOf(td.table, row)
	}
	if w.Table != catalog.RelationsOID {
		entry := td.push(w.Key, v)
		s.supersede(td, entry, v)
		return nil
	}
	return s.applyRelation(td, w.Key, v)
}

// applyRelation takes a descriptor: beside its row in the system table, the data of
// a new table begins and that of a dropped one ends.
func (s *Store) applyRelation(td *tableData, key message.Key, v *version) error {
	if v.row != nil {
		rel, err := catalog.DecodeRelation(v.row)
		if err != nil {
			return err
		}
		v.rel = rel
	}
	entry := td.push(key, v)
	s.supersede(td, entry, v)
	before := v.older.Load()
	switch {
	case v.rel != nil && v.rel.Kind == catalog.KindTable:
		if old := s.table(v.rel.OID); old == nil {
			s.setTable(v.rel.OID, newTableData(v.rel.Table, entry))
		} else if !sameLayout(old.table, v.rel.Table) {
			return fmt.Errorf("table %q: its columns' types and its indexes cannot change", v.rel.Name)
		}
	case v.rel == nil && before != nil && before.rel != nil && before.rel.Kind == catalog.KindTable:
		s.garbage = append(s.garbage, garbage{lsn: v.lsn, dropped: before.rel.OID})
	}
	return nil
}

// sameLayout reports whether rows and indexes of the one fit the other.
func sameLayout(a, b *catalog.Table) bool {
	return slices.Equal(a.ColumnTypes(), b.ColumnTypes()) &&
		slices.EqualFunc(a.Indexes, b.Indexes, func(x, y catalog.Index) bool {
			return x.OID == y.OID && slices.Equal(x.Columns, y.Columns)
		})
}

// supersede notes for garbage collection that the versions under v will be unseen
// one day; a row's first version supersedes nothing.
func (s *Store) supersede(td *tableData, entry *rowEntry, v *version) {
	if v.older.Load() != nil || v.row == nil {
		s.garbage = append(s.garbage, garbage{lsn: v.lsn, table: td, entry: entry})
	}
}
