package node_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/node"
	"github.com/anywriter/anywriter/simnode/internal/segment"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a cluster of nodes and a volume on one fabric.
type bed struct {
	t      testing.TB
	fabric *fabric.Fabric
	volume *segment.Volume
	nodes  []*node.Node // by id - 1
	mode   node.Mode
	seed   uint64
}

func newBed(t testing.TB, count int, mode node.Mode, link fabric.Link) *bed {
	b := &bed{t: t, fabric: fabric.New(fabric.Config{Seed: 1, Link: link}), mode: mode}
	var err error
	b.volume, err = segment.Start(segment.Config{Fabric: b.fabric, Members: b.members(count)})
	require.NoError(t, err)
	b.nodes = make([]*node.Node, count)
	for id := range b.members(count) {
		b.start(message.NodeID(id + 1))
	}
	for _, n := range b.nodes {
		b.ready(n)
	}
	b.createTable()
	return b
}

func (b *bed) members(count int) []message.NodeID {
	var ids []message.NodeID
	for i := range count {
		ids = append(ids, message.NodeID(i+1))
	}
	return ids
}

func (b *bed) start(id message.NodeID) *node.Node {
	b.seed++
	n, err := node.Start(node.Config{
		ID: id, Members: b.members(len(b.nodes)), ClusterID: "bed",
		Fabric: b.fabric, Mode: b.mode, Seed: b.seed,
	})
	require.NoError(b.t, err)
	b.nodes[id-1] = n
	return n
}

// ready waits until a node serves.
func (b *bed) ready(n *node.Node) {
	for range 1000 {
		if n.Ready() == nil {
			return
		}
		<-time.After(time.Millisecond)
	}
	require.NoError(b.t, n.Ready())
}

func (b *bed) close() {
	for _, n := range b.nodes {
		n.Close()
	}
	b.volume.Close()
	b.fabric.Close()
}

// kill ends a node as its host's supervisor sees it.
func (b *bed) kill(n *node.Node) {
	n.Close()
	b.volume.Release(n.ID(), n.Incarnation())
}

const tableOID = 16400

func (b *bed) createTable() {
	n := b.nodes[0]
	tx := n.Begin(mvcc.ReadCommitted, false)
	tx.NextCommand()
	require.NoError(b.t, tx.CreateTable(context.Background(), &catalog.Table{
		OID: tableOID, Schema: "public", Name: "accounts",
		Columns: []catalog.Column{
			{Name: "id", Type: types.Int4, TypMod: -1, NotNull: true},
			{Name: "balance", Type: types.Int4, TypMod: -1},
		},
		Indexes: []catalog.Index{{OID: 16401, Name: "accounts_pkey", Columns: []int{0}, Unique: true, Primary: true}},
	}))
	_, err := n.Commit(context.Background(), tx)
	require.NoError(b.t, err)
}

// begin starts a transaction at a fresh snapshot.
func begin(n *node.Node) (*mvcc.Txn, *catalog.Table, error) {
	tx := n.Begin(mvcc.RepeatableRead, false)
	s, err := n.Snapshot(context.Background())
	if err != nil {
		tx.Finish()
		return nil, nil, err
	}
	tx.SetSnapshot(s)
	tx.NextCommand()
	rel, ok := tx.RelationByOID(tableOID)
	if !ok {
		tx.Finish()
		return nil, nil, errors.New("the table is not visible")
	}
	tx.TouchCatalog(rel.Table)
	return tx, rel.Table, nil
}

func rowKey(table *catalog.Table, id int32) message.Key {
	key, _ := index.RowKey(table, types.Row{id, nil})
	return key
}

// put inserts or updates a row within tx.
func put(tx *mvcc.Txn, table *catalog.Table, id, balance int32) error {
	ctx := context.Background()
	key := rowKey(table, id)
	if _, ok := tx.Get(table, key); !ok {
		_, err := tx.Insert(ctx, table, types.Row{id, balance})
		return err
	}
	if _, err := tx.LockRow(ctx, table, key, mvcc.LockOptions{Mode: mvcc.ForUpdate}); err != nil {
		return err
	}
	_, err := tx.Update(ctx, table, key, types.Row{id, balance})
	return err
}

// set commits one row.
func set(n *node.Node, id, balance int32) (message.LSN, error) {
	tx, table, err := begin(n)
	if err != nil {
		return 0, err
	}
	if err := put(tx, table, id, balance); err != nil {
		tx.Finish()
		return 0, err
	}
	return n.Commit(context.Background(), tx)
}

// get reads one row as a statement does: snapshot, rows, wait for stability.
func get(n *node.Node, id int32) (int32, error) {
	tx, table, err := begin(n)
	if err != nil {
		return 0, err
	}
	defer tx.Finish()
	row, ok := tx.Get(table, rowKey(table, id))
	if err := n.WaitStable(context.Background(), tx.Snapshot()); err != nil {
		return 0, err
	}
	if !ok {
		return 0, fmt.Errorf("no row %d", id)
	}
	return row[1].(int32), nil
}

func requireState(t testing.TB, err error, code string) *sqlerr.Error {
	t.Helper()
	var e *sqlerr.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v, detail %q", e, e.Detail)
	return e
}

// pass lets virtual time go by.
func pass(d time.Duration) { <-time.After(d) }
