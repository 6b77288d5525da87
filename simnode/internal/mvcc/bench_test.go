package mvcc

import (
	"context"
	"testing"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// filled is a store with n rows in the test table.
func filled(b *testing.B, n int32) (*Store, *catalog.Table) {
	b.Helper()
	s := NewStore()
	createTable(b, testTable(), s)
	tx := s.Begin(ReadCommitted, true)
	defer tx.Finish()
	table, err := catalog.FindTable(tx, nil, "", "t")
	if err != nil {
		b.Fatal(err)
	}
	var writes []message.Write
	for id := range n {
		row := types.Row{id, id, "value"}
		key, _ := index.RowKey(table, row)
		writes = append(writes, message.Write{Table: table.OID, Key: key, Row: types.EncodeRow(row, table.ColumnTypes())})
	}
	if err := s.Apply(s.Applied()+1, writes); err != nil {
		b.Fatal(err)
	}
	return s, table
}

// BenchmarkGet looks one row up by primary key among 100,000, key encoding included.
func BenchmarkGet(b *testing.B) {
	s, table := filled(b, 100_000)
	tx := s.Begin(ReadCommitted, true)
	defer tx.Finish()
	b.ReportAllocs()
	id := int32(0)
	row := types.Row{nil, nil, nil}
	for b.Loop() {
		id = (id + 7919) % 100_000
		row[0] = id
		key, _ := index.RowKey(table, row)
		if _, ok := tx.Get(table, key); !ok {
			b.Fatal(id)
		}
	}
}

// BenchmarkScan walks 10,000 rows.
func BenchmarkScan(b *testing.B) {
	s, table := filled(b, 10_000)
	tx := s.Begin(ReadCommitted, true)
	defer tx.Finish()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for range tx.Scan(table, false) {
			n++
		}
		if n != 10_000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkUpdateApply is a one-row update without the protocol around it: begin,
// lock, update, proposal, apply, finish.
func BenchmarkUpdateApply(b *testing.B) {
	s, table := filled(b, 100_000)
	b.ReportAllocs()
	id := int32(0)
	for b.Loop() {
		id = (id + 7919) % 100_000
		row := types.Row{id, id, "other"}
		key, _ := index.RowKey(table, row)
		tx := s.Begin(ReadCommitted, false)
		tx.NextCommand()
		if _, err := tx.LockRow(context.Background(), table, key, LockOptions{Mode: ForNoKeyUpdate}); err != nil {
			b.Fatal(err)
		}
		if _, err := tx.Update(context.Background(), table, key, row); err != nil {
			b.Fatal(err)
		}
		finish(b, s, tx)
	}
}

// BenchmarkInsertApply is a one-row insert with its unique checks and Apply.
func BenchmarkInsertApply(b *testing.B) {
	s, table := filled(b, 0)
	b.ReportAllocs()
	id := int32(0)
	for b.Loop() {
		id++
		tx := s.Begin(ReadCommitted, false)
		tx.NextCommand()
		if _, err := tx.Insert(context.Background(), table, types.Row{id, id, "value"}); err != nil {
			b.Fatal(err)
		}
		finish(b, s, tx)
	}
}

func finish(b *testing.B, s *Store, tx *Txn) {
	_, writes := tx.Proposal()
	if err := s.Apply(s.Applied()+1, writes); err != nil {
		b.Fatal(err)
	}
	tx.Finish()
}
