package mvcc

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Hash gives a digest of every live row, the system table's included, at the LSN
// that Applied had when it began. Stores that applied the same log up to the same
// LSN have the same hash.
func (s *Store) Hash() [32]byte {
	sum, _ := s.HashAt()
	return sum
}

// HashAt is Hash with the LSN that it speaks of.
func (s *Store) HashAt() ([32]byte, message.LSN) {
	tx := s.Begin(RepeatableRead, true)
	defer tx.Finish()
	h := sha256.New()
	tables := *s.tables.Load()
	for _, oid := range slices.Sorted(maps.Keys(tables)) {
		td := tables[oid]
		if td.descriptor != nil && td.descriptor.at(tx.Snapshot()) == nil {
			continue
		}
		for key, row := range tx.Scan(td.table, false) {
			writeChunk(h, []byte(key))
			writeChunk(h, types.EncodeRow(row, td.table.ColumnTypes()))
		}
	}
	return [32]byte(h.Sum(nil)), tx.Snapshot()
}

// writeChunk writes the length too, so that neighbours cannot run together.
func writeChunk(h hash.Hash, b []byte) {
	var size [4]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(b)))
	h.Write(size[:])
	h.Write(b)
}
