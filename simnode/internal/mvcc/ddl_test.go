package mvcc

import (
	"testing"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/stretchr/testify/require"
)

func heapTable(oid uint32, name string) *catalog.Table {
	return (&catalog.Table{
		OID: oid, Schema: "public", Name: name,
		Columns: []catalog.Column{{Name: "v", Type: types.Int8, TypMod: -1}},
	}).Seal()
}

func TestDDLIsTransactional(t *testing.T) {
	f := newFixture(t)
	a, b := f.begin(ReadCommitted), f.begin(ReadCommitted)
	require.NoError(t, a.CreateTable(t.Context(), heapTable(17000, "h")))
	requireCode(t, a.CreateTable(t.Context(), heapTable(17001, "h")), "42P07")
	table, err := catalog.FindTable(a, nil, "", "h")
	require.NoError(t, err)
	_, err = catalog.FindTable(b, nil, "", "h")
	requireCode(t, err, "42P01")

	f.next(a)
	a.TouchCatalog(table)
	for v := range int64(3) {
		_, err = a.Insert(t.Context(), table, types.Row{v})
		require.NoError(t, err)
	}
	mark := a.Savepoint()
	require.NoError(t, a.DropRelation(t.Context(), table.OID))
	_, err = catalog.FindTable(a, nil, "", "h")
	requireCode(t, err, "42P01")
	a.RollbackTo(mark)
	keys := f.commit(a)
	require.Len(t, keys, 1+2+3, "the schema, descriptor, name and three rows")

	f.next(b)
	table, err = catalog.FindTable(b, nil, "public", "h")
	require.NoError(t, err)
	again, _ := catalog.FindTable(b, nil, "public", "h")
	require.Same(t, table, again)
	var got []any
	for _, row := range b.Scan(table, false) {
		got = append(got, row[0])
	}
	require.Equal(t, []any{int64(0), int64(1), int64(2)}, got, "hidden ids keep the order of insertion")
	require.Len(t, b.Relations(), len(catalog.Initial())+5)
	b.Finish()
}

func TestDropFreesTheDataLater(t *testing.T) {
	f := newFixture(t)
	f.remote(types.Row{int32(1), nil, "a"})
	old := f.begin(RepeatableRead)
	tx := f.begin(ReadCommitted)
	require.NoError(t, tx.DropRelation(t.Context(), f.table.OID))
	_, writes := tx.Proposal()
	require.Len(t, writes, 4, "table and three indexes, no rows")
	f.commit(tx)
	f.store.Collect()
	row, ok := old.Get(f.table, f.key(1))
	require.True(t, ok, "an older snapshot still reads it")
	require.Equal(t, "a", row[2])
	require.NotNil(t, f.store.table(f.table.OID))
	old.Finish()
	require.Zero(t, f.store.Collect())
	require.Nil(t, f.store.table(f.table.OID))
	require.Equal(t, len(catalog.Initial()), f.store.table(catalog.RelationsOID).rows.Len())
}

func TestCreateAndDropInOneTransactionWritesNothing(t *testing.T) {
	f := newFixture(t)
	tx := f.begin(ReadCommitted)
	require.NoError(t, tx.CreateTable(t.Context(), heapTable(17000, "h")))
	table, err := catalog.FindTable(tx, nil, "", "h")
	require.NoError(t, err)
	f.next(tx)
	_, err = tx.Insert(t.Context(), table, types.Row{int64(1)})
	require.NoError(t, err)
	f.next(tx)
	require.NoError(t, tx.DropRelation(t.Context(), table.OID))
	_, writes := tx.Proposal()
	require.Empty(t, writes)
	tx.Finish()
}

// DML that ran under the old descriptor meets the drop at certification: its shared
// key is what the drop writes.
func TestDMLAndDropShareAKey(t *testing.T) {
	f := newFixture(t)
	dml, ddl := f.begin(ReadCommitted), f.begin(ReadCommitted)
	dml.TouchCatalog(f.table)
	require.NoError(t, f.insert(dml, 1, nil, "a"))
	require.NoError(t, ddl.DropRelation(t.Context(), f.table.OID))
	dmlKeys, _ := dml.Proposal()
	ddlKeys, _ := ddl.Proposal()
	key := relationKey(f.table.OID)
	require.Equal(t, message.ModeShared, modeOf(dmlKeys, key).Mode)
	require.Equal(t, message.ModeWritten, modeOf(ddlKeys, key).Mode)
	dml.Finish()
	ddl.Finish()
}

func TestSequencesAndOwnership(t *testing.T) {
	f := newFixture(t)
	tx := f.begin(ReadCommitted)
	seq := &catalog.Sequence{
		OID: 17001, Schema: "public", Name: "s", Type: types.Int8, Start: 1, Increment: 1, Min: 1, Max: 100,
		BaseUnit: 1, Base: 1, OwnedByTable: 17000,
	}
	require.NoError(t, tx.CreateSequence(t.Context(), seq))
	table := heapTable(17000, "owner")
	table.Columns[0].Serial = seq.OID
	require.NoError(t, tx.CreateTable(t.Context(), table))
	f.commit(tx)

	tx = f.begin(ReadCommitted)
	changed := *seq
	changed.Base = 50
	require.NoError(t, tx.ReplaceSequence(t.Context(), &changed))
	got, err := catalog.FindSequence(tx, nil, "", "s")
	require.NoError(t, err)
	require.EqualValues(t, 50, got.Base)
	f.commit(tx)

	tx = f.begin(ReadCommitted)
	_, err = catalog.FindTable(tx, nil, "", "s")
	requireCode(t, err, "42809")
	require.NoError(t, tx.DropRelation(t.Context(), 17000))
	_, err = catalog.FindSequence(tx, nil, "", "s")
	requireCode(t, err, "42P01")
	f.commit(tx)
}

func TestDescribeKeys(t *testing.T) {
	f := newFixture(t)
	tx := f.begin(ReadCommitted)
	defer tx.Finish()
	require.Equal(t, `table "t", key (id)=(7)`, index.Describe(f.key(7), tx, nil))
	require.Equal(t, `relation "t"`, index.Describe(relationKey(f.table.OID), tx, nil))
	name := index.Key(catalog.RelationsOID, catalog.RelationsNameOID,
		index.AppendTuple(nil, []types.OID{types.Text, types.Text}, []types.Datum{"public", "x"}))
	require.Equal(t, `relation name "x"`, index.Describe(name, tx, nil))
	require.Equal(t, "table with OID 99, key 01", index.Describe(index.Key(99, 99, []byte{1}), tx, nil))
	require.Equal(t, "key 6162", index.Describe("ab", tx, nil))
}
