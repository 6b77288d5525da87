package driver_test

import (
	"context"
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// TestReadFindsOutWhileItWaits makes a node read-only while a read waits for a
// connection: from then on what that node has will do for it, too. When the read
// began, the nodes were alike.
func TestReadFindsOutWhileItWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true})
		db := openSim(t, sim, true, "max_conns_per_node=1", "acquire_timeout=10s", "read_from=any")
		defer func() { require.NoError(t, db.Close()) }()
		waitRoles(t, db, cluster.RoleWriter, cluster.RoleWriter, cluster.RoleWriter)
		held := make([]*sql.Conn, len(sim.Nodes()))
		for i, n := range sim.Nodes() {
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			defer func() { _ = conn.Close() }() // one is closed already
			_, err = conn.ExecContext(driver.WithNode(t.Context(), n.Addr()), "set application_name = 'holds'")
			require.NoError(t, err)
			held[i] = conn
		}
		read := make(chan error, 1)
		go func() { // ends with the read
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			var node string
			err := db.QueryRowContext(ctx, "select 1").Scan(&node)
			read <- err
		}()
		synctest.Wait()
		defer sim.Node(2).SetReadOnly()()
		waitRoles(t, db, cluster.RoleWriter, cluster.RoleReadOnly, cluster.RoleWriter)
		synctest.Wait()
		require.Empty(t, read, "all connections are in use")
		require.NoError(t, held[1].Close())
		synctest.Wait()
		require.NoError(t, <-read)
	})
}

// TestSimulatorNodeIsMadeReadOnly: writes leave a node that refuses them at once, the
// reads of read_from=any stay, and both are back within a probe or two.
func TestSimulatorNodeIsMadeReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true})
		db := openSim(t, sim, true, "read_from=any")
		defer func() { require.NoError(t, db.Close()) }()
		_, err := db.ExecContext(t.Context(), "create table t (id int primary key)")
		require.NoError(t, err)
		waitRoles(t, db, cluster.RoleWriter, cluster.RoleWriter, cluster.RoleWriter)
		undo := sim.Node(2).SetReadOnly()
		for id := range 60 {
			_, err := db.ExecContext(t.Context(), "insert into t values ($1)", id)
			require.NoError(t, err)
		}
		waitRoles(t, db, cluster.RoleWriter, cluster.RoleReadOnly, cluster.RoleWriter)
		picks := picksDuring(t, db, func() {
			for id := range 60 {
				_, err := db.ExecContext(t.Context(), "insert into t values ($1)", 100+id)
				require.NoError(t, err)
			}
		})
		require.Zero(t, picks[1], "writes on a read-only node")
		picks = picksDuring(t, db, func() {
			for range 60 {
				var n int
				require.NoError(t, db.QueryRowContext(t.Context(), "select count(*) from t").Scan(&n))
				require.Equal(t, 120, n)
			}
		})
		require.Positive(t, picks[1], "reads on a read-only node")
		undo()
		waitRoles(t, db, cluster.RoleWriter, cluster.RoleWriter, cluster.RoleWriter)
	})
}
