package mvcc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// The naive model: whole states copied at every commit, certification by comparing
// with the last LSN per key and mode, and transactions as two layers of changes.

type modelRow struct {
	u types.Datum // int32 or nil
	v string
}

type modelState map[int32]modelRow

type modelTxn struct {
	tx       *Txn
	store    *Store
	iso      Isolation
	own      map[int32]*modelRow // all commands; nil: deleted
	before   map[int32]*modelRow // commands before the running one
	based    map[int32]based     // rows changed or deleted: what they were based on
	marks    []modelMark
	snapshot message.LSN
}

type based struct{ row modelRow }

type modelMark struct {
	mark  Mark
	own   map[int32]*modelRow
	based map[int32]based
}

// machine is two nodes that follow one log, each at its own pace.
type machine struct {
	stores     [2]*Store
	log        [][]message.Write // from firstLSN+1
	hashes     map[message.LSN][32]byte
	table      *catalog.Table
	history    []modelState // by LSN, from DDL's
	firstLSN   message.LSN
	last       map[message.Key][3]message.LSN // w, l, s
	active     []*modelTxn
	commits    int
	violations int
	blocked    int
	serialized int
	refused    int
}

var errWouldBlock = errors.New("would block")

func blockedContext() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errWouldBlock)
	return ctx
}

func testTable() *catalog.Table {
	return (&catalog.Table{
		OID: 16400, Schema: "public", Name: "t",
		Columns: []catalog.Column{
			{Name: "id", Type: types.Int4, TypMod: -1, NotNull: true},
			{Name: "u", Type: types.Int4, TypMod: -1},
			{Name: "v", Type: types.Text, TypMod: -1},
		},
		Indexes: []catalog.Index{
			{OID: 16401, Name: "t_pkey", Columns: []int{0}, Unique: true, Primary: true},
			{OID: 16402, Name: "t_u_key", Columns: []int{1}, Unique: true},
			{OID: 16403, Name: "t_v_idx", Columns: []int{2}},
		},
	}).Seal()
}

// createTable runs DDL through the ordinary path on several stores.
func createTable(t require.TestingT, table *catalog.Table, stores ...*Store) {
	tx := stores[0].Begin(ReadCommitted, false)
	tx.NextCommand()
	require.NoError(t, tx.CreateTable(context.Background(), table))
	_, writes := tx.Proposal()
	for _, s := range stores {
		require.NoError(t, s.Apply(s.Applied()+1, writes))
	}
	tx.Finish()
}

func newMachine(t *rapid.T) *machine {
	m := &machine{stores: [2]*Store{NewStore(), NewStore()}, last: map[message.Key][3]message.LSN{}}
	m.hashes = map[message.LSN][32]byte{}
	createTable(t, testTable(), m.stores[:]...)
	tx := m.stores[0].Begin(ReadCommitted, true)
	defer tx.Finish()
	table, err := catalog.FindTable(tx, nil, "", "t")
	require.NoError(t, err)
	m.table = table
	m.firstLSN = m.stores[0].Applied()
	m.history = []modelState{{}}
	return m
}

func (m *machine) at(lsn message.LSN) modelState { return m.history[lsn-m.firstLSN] }

func (m *machine) pick(t *rapid.T) *modelTxn {
	if len(m.active) == 0 {
		t.Skip("no transaction")
	}
	return rapid.SampledFrom(m.active).Draw(t, "txn")
}

func (m *machine) Begin(t *rapid.T) {
	if len(m.active) >= 4 {
		t.Skip("enough transactions")
	}
	iso := rapid.SampledFrom([]Isolation{ReadCommitted, RepeatableRead}).Draw(t, "isolation")
	store := rapid.SampledFrom(m.stores[:]).Draw(t, "node")
	tx := store.Begin(iso, false)
	m.active = append(m.active, &modelTxn{
		tx: tx, store: store, iso: iso, snapshot: tx.Snapshot(),
		own: map[int32]*modelRow{}, based: map[int32]based{},
	})
}

// visible is what the running command of x sees.
func (m *machine) visible(x *modelTxn) modelState {
	state := maps.Clone(m.at(x.snapshot))
	overlay(state, x.before)
	return state
}

func overlay(state modelState, own map[int32]*modelRow) {
	for id, row := range own {
		if row == nil {
			delete(state, id)
		} else {
			state[id] = *row
		}
	}
}

// Statement runs one statement of up to three operations, and keeps it, fails it
// half-way, or takes it back.
func (m *machine) Statement(t *rapid.T) {
	x := m.pick(t)
	if x.iso == ReadCommitted {
		x.snapshot = x.store.Applied()
		x.tx.SetSnapshot(x.snapshot)
	}
	x.tx.NextCommand()
	x.before = maps.Clone(x.own)
	undo := modelMark{x.tx.Savepoint(), maps.Clone(x.own), maps.Clone(x.based)}
	for range rapid.IntRange(1, 3).Draw(t, "operations") {
		if !m.operation(t, x) {
			m.rollback(x, undo)
			break
		}
	}
	if rapid.IntRange(0, 9).Draw(t, "take back") == 0 {
		m.rollback(x, undo)
	}
	x.tx.NextCommand()
	x.before = maps.Clone(x.own)
	m.check(t, x)
}

func (m *machine) rollback(x *modelTxn, mark modelMark) {
	x.tx.RollbackTo(mark.mark)
	x.own, x.based = maps.Clone(mark.own), maps.Clone(mark.based)
}

func drawRow(t *rapid.T) (int32, modelRow) {
	row := modelRow{v: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "v")}
	if u := rapid.Int32Range(0, 3).Draw(t, "u"); u > 0 {
		row.u = u
	}
	return rapid.Int32Range(1, 4).Draw(t, "id"), row
}

func datums(id int32, row modelRow) types.Row { return types.Row{id, row.u, row.v} }

// operation runs one operation; false means that the statement has failed.
func (m *machine) operation(t *rapid.T, x *modelTxn) bool {
	switch rapid.IntRange(0, 6).Draw(t, "operation") {
	case 0, 1:
		return m.insert(t, x)
	case 2:
		return m.change(t, x, ForUpdate, doUpdate)
	case 3:
		return m.change(t, x, ForNoKeyUpdate, doDelete)
	case 4:
		return m.change(t, x, ForUpdate, doLock)
	case 5:
		return m.change(t, x, ForShare, doLock)
	}
	m.check(t, x)
	return true
}

func (m *machine) insert(t *rapid.T, x *modelTxn) bool {
	id, row := drawRow(t)
	_, err := x.tx.Insert(blockedContext(), m.table, datums(id, row))
	newest := maps.Clone(m.at(x.store.Applied()))
	overlay(newest, x.own)
	return m.outcome(t, x, err, newest, id, row, 0, func() { x.own[id] = &row })
}

// outcome compares an insert or update with the model, and carries it out there.
func (m *machine) outcome(
	t *rapid.T, x *modelTxn, err error, newest modelState, id int32, row modelRow, except int32, done func(),
) bool {
	duplicate := func() bool {
		for other, r := range newest {
			if other != except && (other == id || row.u != nil && r.u == row.u) {
				return true
			}
		}
		return false
	}
	var violation *UniqueViolation
	var sql *sqlerr.Error
	switch {
	case err == nil:
		if duplicate() && !m.doomed(x) {
			t.Fatalf("stored a duplicate of id %d, u %v in %v", id, row.u, newest)
		}
		done()
		return true
	case errors.Is(err, errWouldBlock):
		if len(m.active) < 2 {
			t.Fatalf("waits for itself")
		}
		m.blocked++
	case errors.As(err, &violation):
		if !duplicate() && !m.doomed(x) {
			t.Fatalf("%v, but id %d, u %v is free in %v", err, id, row.u, newest)
		}
		m.violations++
	case errors.As(err, &sql) && sql.Code == "40001":
		m.serialized++
	default:
		t.Fatalf("unexpected error: %v", err)
	}
	return false
}

const (
	doLock = iota
	doUpdate
	doDelete
)

// doomed says that certification would refuse x already: a remote transaction has
// committed a key of it, so what x sees and wrote need not fit together any more.
func (m *machine) doomed(x *modelTxn) bool {
	keys, _ := x.tx.Proposal()
	return m.conflicts(keys)
}

// conflicts is rule 9's index check.
func (m *machine) conflicts(keys []message.KeyRef) bool {
	for _, k := range keys {
		last := m.last[k.Key]
		newest := max(last[0], last[1])
		if k.Mode != message.ModeShared {
			newest = max(newest, last[2])
		}
		if newest > k.Base {
			return true
		}
	}
	return false
}

// change locks a visible row and perhaps updates or deletes it.
func (m *machine) change(t *rapid.T, x *modelTxn, mode LockMode, do int) bool {
	ids := slices.Sorted(maps.Keys(m.visible(x)))
	if len(ids) == 0 {
		return true
	}
	id := rapid.SampledFrom(ids).Draw(t, "target")
	key, _ := index.RowKey(m.table, datums(id, modelRow{}))
	locked, err := x.tx.LockRow(blockedContext(), m.table, key, LockOptions{Mode: mode})
	if done, ok := m.checkLock(t, x, id, locked, err); done {
		return ok
	}
	current := modelRow{locked.Row[1], locked.Row[2].(string)}
	if _, mine := x.own[id]; !mine {
		if b, again := x.based[id]; again && b.row != current {
			t.Fatalf("row %d was %v when first locked and is %v now", id, b.row, current)
		}
		x.based[id] = based{current}
	}
	if do == doLock {
		return true
	}
	if do == doDelete {
		if err := x.tx.Delete(blockedContext(), m.table, key); err != nil {
			return m.outcome(t, x, err, nil, id, modelRow{}, id, nil)
		}
		x.own[id] = nil
		return true
	}
	newID, row := drawRow(t)
	if rapid.Bool().Draw(t, "keep key") {
		newID = id
	}
	newest := maps.Clone(m.at(x.store.Applied()))
	overlay(newest, x.own)
	_, err = x.tx.Update(blockedContext(), m.table, key, datums(newID, row))
	return m.outcome(t, x, err, newest, newID, row, id, func() {
		if newID != id {
			x.own[id] = nil
		}
		x.own[newID] = &row
	})
}

// checkLock compares the answer of LockRow; done means that there is nothing to do
// with the row, ok that the statement goes on.
func (m *machine) checkLock(t *rapid.T, x *modelTxn, id int32, locked Locked, err error) (done, ok bool) {
	if err != nil {
		return true, m.outcome(t, x, err, nil, id, modelRow{}, id, nil)
	}
	mine, isMine := x.own[id]
	_, wasMine := x.before[id]
	newest, exists := m.at(x.store.Applied())[id]
	switch {
	case isMine && (!wasMine || x.before[id] != mine):
		require.Equal(t, SelfModified, locked.State)
	case isMine:
		require.Equal(t, Unchanged, locked.State)
		require.Equal(t, datums(id, *mine), locked.Row)
		return false, true
	case !exists:
		require.Equal(t, Gone, locked.State)
	default:
		require.Contains(t, []State{Unchanged, Changed}, locked.State)
		require.Equal(t, datums(id, newest), locked.Row)
		if locked.State == Unchanged {
			require.Equal(t, m.at(x.snapshot)[id], newest)
		}
		return false, true
	}
	return true, true
}

func (m *machine) Savepoint(t *rapid.T) {
	x := m.pick(t)
	x.marks = append(x.marks, modelMark{x.tx.Savepoint(), maps.Clone(x.own), maps.Clone(x.based)})
}

func (m *machine) RollbackTo(t *rapid.T) {
	x := m.pick(t)
	if len(x.marks) == 0 {
		t.Skip("no savepoint")
	}
	i := rapid.IntRange(0, len(x.marks)-1).Draw(t, "savepoint")
	m.rollback(x, x.marks[i])
	x.marks = x.marks[:i+1]
	x.before = maps.Clone(x.own)
	x.tx.NextCommand()
	m.check(t, x)
}

func (m *machine) Collect(*rapid.T) {
	for _, s := range m.stores {
		s.Collect()
	}
}

// Deliver lets one node apply one more record.
func (m *machine) Deliver(t *rapid.T) {
	m.deliver(t, rapid.SampledFrom(m.stores[:]).Draw(t, "node"))
}

func (m *machine) deliver(t *rapid.T, s *Store) bool {
	at := s.Applied()
	if at == m.firstLSN+message.LSN(len(m.log)) {
		return false
	}
	require.NoError(t, s.Apply(at+1, m.log[at-m.firstLSN]))
	return true
}

func (m *machine) end(x *modelTxn) {
	x.tx.Finish()
	m.active = slices.DeleteFunc(m.active, func(o *modelTxn) bool { return o == x })
}

func (m *machine) Abort(t *rapid.T) { m.end(m.pick(t)) }

// Commit certifies by rule 9, applies to both stores, and checks that the result
// breaks neither a unique key nor an update.
func (m *machine) Commit(t *rapid.T) {
	x := m.pick(t)
	defer m.end(x)
	keys, writes := x.tx.Proposal()
	strong := slices.ContainsFunc(keys, func(k message.KeyRef) bool { return k.Mode != message.ModeShared })
	require.Equal(t, strong, x.tx.HasWrites())
	if m.conflicts(keys) {
		m.refused++
		return
	}
	current := m.history[len(m.history)-1]
	for id, b := range x.based {
		if row, ok := current[id]; !ok || row != b.row {
			t.Fatalf("lost update: row %d was %v when locked, is %v at commit", id, b.row, row)
		}
	}
	lsn := m.firstLSN + message.LSN(len(m.log)) + 1
	for _, k := range keys {
		last := m.last[k.Key]
		last[map[message.Mode]int{message.ModeWritten: 0, message.ModeLocked: 1, message.ModeShared: 2}[k.Mode]] = lsn
		m.last[k.Key] = last
	}
	next := maps.Clone(current)
	overlay(next, x.own)
	holders := map[types.Datum]int32{}
	for id, row := range next {
		if row.u == nil {
			continue
		}
		if other, taken := holders[row.u]; taken {
			t.Fatalf("rows %d and %d both hold u = %v", id, other, row.u)
		}
		holders[row.u] = id
	}
	m.log = append(m.log, writes)
	m.history = append(m.history, next)
	for m.deliver(t, x.store) {
	}
	m.commits++
}

// check compares every way of reading with the model.
func (m *machine) check(t *rapid.T, x *modelTxn) {
	want := m.visible(x)
	var got []types.Row
	for key, row := range x.tx.Scan(m.table, false) {
		again, ok := x.tx.Get(m.table, key)
		require.True(t, ok)
		require.Equal(t, row, again)
		got = append(got, row)
	}
	var expect []types.Row
	for _, id := range slices.Sorted(maps.Keys(want)) {
		expect = append(expect, datums(id, want[id]))
	}
	require.Equal(t, expect, got)
	for _, ix := range m.table.Indexes {
		m.checkIndex(t, x, &ix, expect)
	}
}

func (m *machine) checkIndex(t *rapid.T, x *modelTxn, ix *catalog.Index, all []types.Row) {
	r := index.Range{Reverse: rapid.Bool().Draw(t, "reverse")}
	column := ix.Columns[0]
	oid := m.table.Columns[column].Type
	var low types.Datum = rapid.Int32Range(1, 4).Draw(t, "low")
	if oid == types.Text {
		low = "b"
	}
	r.From = index.AppendDatum(nil, oid, low)
	r.To = index.AppendNulls(nil)
	var want []types.Row
	for _, row := range all {
		if row[column] != nil && types.Compare(row[column], low, oid) >= 0 {
			want = append(want, row)
		}
	}
	slices.SortStableFunc(want, func(a, b types.Row) int { return types.Compare(a[column], b[column], oid) })
	if r.Reverse {
		slices.Reverse(want)
	}
	var got []types.Row
	for _, row := range x.tx.ScanIndex(m.table, ix, r) {
		got = append(got, row)
	}
	require.Equal(t, want, got, fmt.Sprintf("index %s reverse %v", ix.Name, r.Reverse))
}

func (m *machine) Check(t *rapid.T) {
	for _, s := range m.stores {
		hash, lsn := s.HashAt()
		if known, ok := m.hashes[lsn]; ok {
			require.Equal(t, known, hash, "two nodes differ at LSN %d", lsn)
		}
		m.hashes[lsn] = hash
		active := 0
		for _, x := range m.active {
			if x.store == s {
				active++
			}
		}
		require.Equal(t, active, s.Transactions())
		if active == 0 {
			require.Zero(t, s.Locks())
		}
	}
}

func TestModel(t *testing.T) {
	var total machine
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		actions := rapid.StateMachineActions(m)
		statement := actions["Statement"]
		actions["Statement2"], actions["Statement3"] = statement, statement
		delete(actions, "Check")
		actions[""] = m.Check
		t.Repeat(actions)
		total.commits += m.commits
		total.violations += m.violations
		total.blocked += m.blocked
		total.serialized += m.serialized
		total.refused += m.refused
	})
	t.Logf("commits %d, unique violations %d, waits %d, 40001 in a statement %d, refused at commit %d",
		total.commits, total.violations, total.blocked, total.serialized, total.refused)
	// The rarer outcomes (40001 in a statement, refusal) come up in about 1 of 20
	// histories; their own tests are in txn_test.go.
	for _, n := range []int{total.commits, total.violations, total.blocked} {
		require.NotZero(t, n, "the search must reach the ordinary outcomes")
	}
}
