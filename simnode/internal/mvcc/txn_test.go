package mvcc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fixture is one store with the test table.
type fixture struct {
	*testing.T
	store *Store
	table *catalog.Table
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{T: t, store: NewStore()}
	createTable(t, testTable(), f.store)
	tx := f.begin(ReadCommitted)
	defer tx.Finish()
	table, err := catalog.FindTable(tx, nil, "", "t")
	require.NoError(t, err)
	f.table = table
	return f
}

func (f *fixture) begin(iso Isolation) *Txn {
	tx := f.store.Begin(iso, false)
	tx.NextCommand()
	return tx
}

// next begins a statement of a READ COMMITTED transaction.
func (f *fixture) next(tx *Txn) {
	tx.NextCommand()
	if tx.Isolation() == ReadCommitted {
		tx.SetSnapshot(f.store.Applied())
	}
}

func (f *fixture) commit(tx *Txn) []message.KeyRef {
	f.Helper()
	keys, writes := tx.Proposal()
	require.NoError(f, f.store.Apply(f.store.Applied()+1, writes))
	tx.Finish()
	return keys
}

// remote commits rows as another node would: without local locks.
func (f *fixture) remote(rows ...types.Row) {
	f.Helper()
	var writes []message.Write
	for _, row := range rows {
		writes = append(writes, message.Write{
			Table: f.table.OID, Key: f.key(row[0].(int32)), Row: types.EncodeRow(row, f.table.ColumnTypes()),
		})
	}
	require.NoError(f, f.store.Apply(f.store.Applied()+1, writes))
}

func (f *fixture) remoteDelete(id int32) {
	f.Helper()
	require.NoError(f, f.store.Apply(f.store.Applied()+1, []message.Write{{Table: f.table.OID, Key: f.key(id)}}))
}

func (f *fixture) key(id int32) message.Key {
	key, _ := index.RowKey(f.table, types.Row{id, nil, nil})
	return key
}

func (f *fixture) insert(tx *Txn, id int32, u types.Datum, v string) error {
	_, err := tx.Insert(f.Context(), f.table, types.Row{id, u, v})
	return err
}

func (f *fixture) lock(tx *Txn, id int32) (Locked, error) {
	return tx.LockRow(f.Context(), f.table, f.key(id), LockOptions{Mode: ForUpdate})
}

func requireCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *sqlerr.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, e.Message)
}

func modeOf(keys []message.KeyRef, key message.Key) message.KeyRef {
	for _, k := range keys {
		if k.Key == key {
			return k
		}
	}
	return message.KeyRef{}
}

func TestBaseIsThatOfTheFirstTouch(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "a"}, types.Row{int32(2), nil, "b"})
	tx := f.begin(ReadCommitted)
	first := f.store.Applied()
	_, err := f.lock(tx, 1)
	require.NoError(t, err)
	f.remote(types.Row{int32(2), nil, "c"})
	f.next(tx)
	_, err = tx.Update(t.Context(), f.table, f.key(1), types.Row{int32(1), nil, "z"})
	require.NoError(t, err)
	_, err = f.lock(tx, 2)
	require.NoError(t, err)
	keys, _ := tx.Proposal()
	require.Equal(t, message.KeyRef{Key: f.key(1), Mode: message.ModeWritten, Base: first}, modeOf(keys, f.key(1)))
	require.Equal(t, message.KeyRef{Key: f.key(2), Mode: message.ModeLocked, Base: first + 1}, modeOf(keys, f.key(2)))
	tx.Finish()
}

func TestStrongerModeStays(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "a"})
	tx := f.begin(ReadCommitted)
	defer tx.Finish()
	_, err := f.lock(tx, 1)
	require.NoError(t, err)
	_, err = tx.LockRow(t.Context(), f.table, f.key(1), LockOptions{Mode: ForShare})
	require.NoError(t, err)
	keys, _ := tx.Proposal()
	require.Equal(t, message.ModeLocked, modeOf(keys, f.key(1)).Mode)
	mark := tx.Savepoint()
	require.NoError(t, tx.Delete(t.Context(), f.table, f.key(1)))
	tx.RollbackTo(mark)
	keys, writes := tx.Proposal()
	require.Equal(t, message.ModeLocked, modeOf(keys, f.key(1)).Mode, "rolled back to the mode before")
	require.Empty(t, writes)
}

func TestProposalNamesOldAndNewUniqueKeys(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), int32(10), "a"}, types.Row{int32(2), int32(20), "b"}, types.Row{int32(3), int32(30), "c"})
	unique := func(u int32) message.Key {
		return index.Key(f.table.OID, 16402, index.AppendDatum(nil, types.Int4, u))
	}
	tx := f.begin(ReadCommitted)
	defer tx.Finish()
	for id := int32(1); id <= 3; id++ {
		_, err := f.lock(tx, id)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Delete(t.Context(), f.table, f.key(1)))
	_, err := tx.Update(t.Context(), f.table, f.key(2), types.Row{int32(2), int32(21), "b"})
	require.NoError(t, err)
	_, err = tx.Update(t.Context(), f.table, f.key(3), types.Row{int32(4), int32(30), "c"})
	require.NoError(t, err)
	keys, writes := tx.Proposal()
	var got []message.Key
	for _, k := range keys {
		require.Equal(t, message.ModeWritten, k.Mode)
		got = append(got, k.Key)
	}
	require.Equal(t, []message.Key{
		f.key(1), f.key(2), f.key(3), f.key(4), unique(10), unique(20), unique(21),
	}, got)
	require.Len(t, writes, 4)
	require.Nil(t, writes[0].Row)
	require.Nil(t, writes[2].Row)
}

func TestReadCommittedRechecks(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "a"}, types.Row{int32(2), nil, "b"})
	tx := f.begin(ReadCommitted)
	defer tx.Finish()
	f.remote(types.Row{int32(1), nil, "newer"})
	f.remoteDelete(2)
	locked, err := f.lock(tx, 1)
	require.NoError(t, err)
	require.Equal(t, Locked{types.Row{int32(1), nil, "newer"}, Changed}, locked)
	locked, err = f.lock(tx, 2)
	require.NoError(t, err)
	require.Equal(t, Locked{State: Gone}, locked)
	require.Equal(t, 1, f.store.Locks(), "a row that is gone is not locked")
	require.Equal(t, f.store.Applied(), tx.Seen())
	require.Less(t, tx.Snapshot(), tx.Seen())

	f.remote(types.Row{int32(1), nil, "newest"})
	f.next(tx)
	_, err = f.lock(tx, 1)
	requireCode(t, err, "40001")
}

func TestRepeatableReadRefusesChanges(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "a"}, types.Row{int32(2), nil, "b"}, types.Row{int32(3), nil, "c"})
	tx := f.begin(RepeatableRead)
	defer tx.Finish()
	f.remote(types.Row{int32(1), nil, "newer"})
	f.remoteDelete(2)
	_, err := f.lock(tx, 1)
	requireCode(t, err, "40001")
	_, err = f.lock(tx, 2)
	requireCode(t, err, "40001")
	require.Error(t, f.insert(tx, 2, nil, "again"), "the key was freed after the snapshot")
	requireCode(t, f.insert(tx, 2, nil, "again"), "40001")
	row, ok := tx.Get(f.table, f.key(1))
	require.True(t, ok)
	require.Equal(t, "a", row[2])
	locked, err := f.lock(tx, 3)
	require.NoError(t, err)
	require.Equal(t, Unchanged, locked.State)
}

func TestUniqueViolationSaysWhatTheStatementSees(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), int32(10), "a"})
	tx := f.begin(ReadCommitted)
	defer tx.Finish()
	f.remote(types.Row{int32(2), int32(20), "b"})

	var v *UniqueViolation
	require.ErrorAs(t, f.insert(tx, 1, nil, "x"), &v)
	require.True(t, v.Visible)
	require.ErrorAs(t, f.insert(tx, 3, int32(20), "x"), &v)
	require.False(t, v.Visible)
	require.Equal(t, f.key(2), v.Key)
	require.Zero(t, f.store.Locks(), "a refused insert leaves no lock")

	require.NoError(t, f.insert(tx, 4, int32(40), "mine"))
	require.ErrorAs(t, f.insert(tx, 5, int32(40), "x"), &v)
	require.True(t, v.SameCommand)
	require.False(t, v.Visible)
	f.next(tx)
	require.ErrorAs(t, f.insert(tx, 5, int32(40), "x"), &v)
	require.False(t, v.SameCommand)
	require.True(t, v.Visible)

	e := v.SQL(time.UTC)
	require.Equal(t, "23505", e.Code)
	require.Equal(t, `duplicate key value violates unique constraint "t_u_key"`, e.Message)
	require.Equal(t, "Key (u)=(40) already exists.", e.Detail)
	require.Equal(t, []string{"public", "t", "t_u_key"}, []string{e.Schema, e.Table, e.Constraint})
}

func TestArbiterIsLookedAtFirst(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), int32(10), "a"})
	tx := f.begin(ReadCommitted)
	defer tx.Finish()
	var v *UniqueViolation
	_, err := tx.Insert(t.Context(), f.table, types.Row{int32(1), int32(10), "x"})
	require.ErrorAs(t, err, &v)
	require.Equal(t, "t_pkey", v.Index.Name)
	_, err = tx.Insert(t.Context(), f.table, types.Row{int32(1), int32(10), "x"}, 16402)
	require.ErrorAs(t, err, &v)
	require.Equal(t, "t_u_key", v.Index.Name)
}

func TestNullsAreDistinct(t *testing.T) {
	f := newFixture(t)
	tx := f.begin(ReadCommitted)
	require.NoError(t, f.insert(tx, 1, nil, "a"))
	require.NoError(t, f.insert(tx, 2, nil, "b"))
	keys := f.commit(tx)
	require.Len(t, keys, 2, "no key for a NULL")
}

// A scan that writes what it reads must end, and not meet its own rows.
func TestStatementDoesNotSeeItsOwnWrites(t *testing.T) {
	f := newFixture(t)
	for id := int32(1); id <= 1000; id++ {
		f.remote(types.Row{id, nil, "a"})
	}
	tx := f.begin(ReadCommitted)
	seen := 0
	for key, row := range tx.Scan(f.table, false) {
		seen++
		id := row[0].(int32)
		_, err := f.lock(tx, id)
		require.NoError(t, err)
		_, err = tx.Update(t.Context(), f.table, key, types.Row{id + 100000, id, "b"})
		require.NoError(t, err)
		require.NoError(t, f.insert(tx, id+200000, nil, "c"))
	}
	require.Equal(t, 1000, seen)
	locked, err := f.lock(tx, 100001)
	require.NoError(t, err)
	require.Equal(t, SelfModified, locked.State)
	f.next(tx)
	seen = 0
	for range tx.ScanIndex(f.table, f.table.Index(16402), index.Range{To: index.AppendNulls(nil)}) {
		seen++
	}
	require.Equal(t, 1000, seen)
	f.commit(tx)
	require.Zero(t, f.store.Collect())
	count := 0
	check := f.begin(ReadCommitted)
	defer check.Finish()
	for range check.Scan(f.table, true) {
		count++
	}
	require.Equal(t, 2000, count)
	td := f.store.table(f.table.OID)
	require.Equal(t, 2000, td.rows.Len(), "collected rows leave the tree")
	require.Equal(t, 2000, td.indexes[0].Len())
}

func TestLongScansInBothDirections(t *testing.T) {
	f := newFixture(t)
	var rows []types.Row
	for id := int32(0); id < 3000; id++ {
		rows = append(rows, types.Row{id, id * 2, fmt.Sprint(id % 7)})
	}
	f.remote(rows...)
	tx := f.begin(RepeatableRead)
	defer tx.Finish()
	require.NoError(t, f.insert(tx, 5000, nil, "own"))
	require.NoError(t, f.insert(tx, -1, nil, "own"))
	f.next(tx)
	for _, reverse := range []bool{false, true} {
		var ids []int32
		for _, row := range tx.Scan(f.table, reverse) {
			if len(ids) == 100 { // changes behind the scan's back do not disturb it
				f.remote(types.Row{int32(6000), nil, "x"}, types.Row{int32(150), nil, "y"})
				f.remoteDelete(151)
				f.store.Collect()
			}
			ids = append(ids, row[0].(int32))
		}
		require.Len(t, ids, 3002)
		for i := 1; i < len(ids); i++ {
			require.Equal(t, reverse, ids[i] < ids[i-1])
		}
		from := index.AppendDatum(nil, types.Int4, int32(100))
		to := index.AppendDatum(nil, types.Int4, int32(5000))
		n := 0
		for _, row := range tx.ScanIndex(f.table, f.table.Index(16402), index.Range{From: from, To: to, Reverse: reverse}) {
			require.GreaterOrEqual(t, row[1], int32(100))
			n++
		}
		require.Equal(t, 2450, n)
	}
}

func TestLockWaitIsFairAndSeesTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.remote(types.Row{int32(1), nil, "0"})
		first := f.begin(ReadCommitted)
		_, err := f.lock(first, 1)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { // ends when its update has committed
				tx := f.begin(ReadCommitted)
				locked, err := f.lock(tx, 1)
				if !assert.NoError(t, err) {
					return
				}
				row := types.Row{int32(1), nil, locked.Row[2].(string) + "x"}
				_, err = tx.Update(t.Context(), f.table, f.key(1), row)
				assert.NoError(t, err)
				_, writes := tx.Proposal()
				assert.NoError(t, f.store.Apply(f.store.Applied()+1, writes))
				tx.Finish()
			})
		}
		synctest.Wait()
		first.Finish()
		wg.Wait()
		tx := f.begin(ReadCommitted)
		defer tx.Finish()
		row, _ := tx.Get(f.table, f.key(1))
		require.Equal(t, "0xxxxx", row[2], "no update is lost")
	})
}

func TestLockTimeoutAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		f.remote(types.Row{int32(1), nil, "a"})
		holder := f.begin(ReadCommitted)
		_, err := f.lock(holder, 1)
		require.NoError(t, err)
		tx := f.begin(ReadCommitted)
		tx.SetLockTimeout(3 * time.Second)
		start := time.Now()
		_, err = f.lock(tx, 1)
		requireCode(t, err, "55P03")
		require.Equal(t, 3*time.Second, time.Since(start))
		cause := errors.New("canceled")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		_, err = tx.LockRow(ctx, f.table, f.key(1), LockOptions{Mode: ForUpdate})
		require.ErrorIs(t, err, cause)
		_, err = tx.LockRow(t.Context(), f.table, f.key(1), LockOptions{Mode: ForUpdate, Wait: NoWait})
		requireCode(t, err, "55P03")
		locked, err := tx.LockRow(t.Context(), f.table, f.key(1), LockOptions{Mode: ForUpdate, Wait: SkipLocked})
		require.NoError(t, err)
		require.Equal(t, Skipped, locked.State)
		holder.Finish()
		_, err = f.lock(tx, 1)
		require.NoError(t, err)
		tx.Finish()
		require.Zero(t, f.store.Locks())
	})
}

func TestInsertersOfOneKeyQueue(t *testing.T) {
	for _, commits := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFixture(t)
			a, b := f.begin(ReadCommitted), f.begin(ReadCommitted)
			require.NoError(t, f.insert(a, 1, int32(7), "a"))
			done := make(chan error, 1)
			go func() { done <- f.insert(b, 2, int32(7), "b") }() // ends when a has ended
			synctest.Wait()
			require.Empty(t, done)
			if commits {
				f.commit(a)
				var v *UniqueViolation
				require.ErrorAs(t, <-done, &v)
				require.False(t, v.Visible)
			} else {
				a.Finish()
				require.NoError(t, <-done)
			}
			b.Finish()
		})
	}
}

func TestRollbackToReleasesLocks(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "a"}, types.Row{int32(2), nil, "b"})
	tx, other := f.begin(ReadCommitted), f.begin(ReadCommitted)
	defer tx.Finish()
	defer other.Finish()
	_, err := f.lock(tx, 1)
	require.NoError(t, err)
	mark := tx.Savepoint()
	_, err = f.lock(tx, 2)
	require.NoError(t, err)
	tx.RollbackTo(mark)
	_, err = other.LockRow(t.Context(), f.table, f.key(2), LockOptions{Mode: ForUpdate, Wait: NoWait})
	require.NoError(t, err)
	_, err = other.LockRow(t.Context(), f.table, f.key(1), LockOptions{Mode: ForUpdate, Wait: NoWait})
	requireCode(t, err, "55P03")
}

func TestGarbageWaitsForSnapshots(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "0"})
	f.remote(types.Row{int32(1), nil, "1"})
	old := f.begin(RepeatableRead) // sees "1"
	for i := range 10 {
		f.remote(types.Row{int32(1), nil, fmt.Sprint(i + 2)})
	}
	f.store.Collect()
	row, ok := old.Get(f.table, f.key(1))
	require.True(t, ok)
	require.Equal(t, "1", row[2])
	require.Equal(t, old.Snapshot(), f.store.Horizon())
	f.remoteDelete(1)
	require.Equal(t, 11, f.store.Collect())
	row, ok = old.Get(f.table, f.key(1))
	require.True(t, ok)
	require.Equal(t, "1", row[2])
	old.Finish()
	require.Zero(t, f.store.Collect())
	require.Zero(t, f.store.table(f.table.OID).rows.Len())
}

// Two versions, one at the horizon and one just above it: the lower one stays.
func TestPruneKeepsTheVersionAtTheHorizon(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "0"})
	blocker := f.begin(RepeatableRead)
	f.remote(types.Row{int32(1), nil, "1"})
	reader := f.begin(RepeatableRead)
	f.remote(types.Row{int32(1), nil, "2"})
	blocker.Finish()
	f.store.Collect()
	row, ok := reader.Get(f.table, f.key(1))
	require.True(t, ok)
	require.Equal(t, "1", row[2])
	reader.Finish()
}

func TestHalfAnApplyIsNeverSeen(t *testing.T) {
	f := newFixture(t)
	const rows = 50
	write := func(v string) {
		var list []types.Row
		for id := range int32(rows) {
			list = append(list, types.Row{id, nil, v})
		}
		f.remote(list...)
	}
	write("0")
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { // ends when stop is closed
			for {
				select {
				case <-stop:
					return
				default:
				}
				tx := f.store.Begin(ReadCommitted, true)
				values := map[any]int{}
				for _, row := range tx.Scan(f.table, false) {
					values[row[2]]++
				}
				tx.Finish()
				if len(values) != 1 {
					t.Errorf("a snapshot shows %v", values)
					return
				}
			}
		})
	}
	for i := range 200 {
		write(fmt.Sprint(i))
	}
	close(stop)
	wg.Wait()
}

func TestApplyRefusesWhatDoesNotFit(t *testing.T) {
	f := newFixture(t)
	next := f.store.Applied() + 1
	require.ErrorContains(t, f.store.Apply(next+1, nil), "want 2")
	require.ErrorContains(t, f.store.Apply(next-1, nil), "want 2")
	require.ErrorContains(t, f.store.Apply(next, []message.Write{{Table: 99}}), "no table with OID 99")
	require.ErrorContains(t, f.store.Apply(next, []message.Write{{Table: f.table.OID, Row: []byte{0}}}), "ends early")
	require.NoError(t, f.store.Apply(next, nil))
}

func TestWaitApplied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStore()
		done := make(chan error, 1)
		go func() { done <- s.WaitApplied(t.Context(), 2) }() // ends at the second Apply
		synctest.Wait()
		require.NoError(t, s.Apply(1, nil))
		synctest.Wait()
		require.Empty(t, done)
		require.NoError(t, s.Apply(2, nil))
		require.NoError(t, <-done)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.WaitApplied(ctx, 3), context.DeadlineExceeded)
	})
}

func TestReadOnly(t *testing.T) {
	f := newFixture(t)
	tx := f.store.Begin(ReadCommitted, true)
	defer tx.Finish()
	requireCode(t, f.insert(tx, 1, nil, "a"), "25006")
	requireCode(t, tx.CreateTable(t.Context(), testTable()), "25006")
}
