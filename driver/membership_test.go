package driver_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
)

// TestNoOtherClusterIsJoined: what an old node still runs can only be decided in its
// own cluster, so a set of nodes of another one is refused, even if no old one stays.
func TestNoOtherClusterIsJoined(t *testing.T) {
	blue, green := startSim(t, simnode.Config{}), startSim(t, simnode.Config{})
	db := openSim(t, blue, false, "acquire_timeout=20s")
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.PingContext(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := clusterOf(t, db)
	err := c.SetNodes(ctx, config(t, patient(green.DSN())))
	var stranger *cluster.IdentityError
	require.ErrorAs(t, err, &stranger)
	require.ErrorContains(t, err, "nothing has changed")
	require.NoError(t, ctx.Err(), "nobody waited for it")
	require.NoError(t, db.PingContext(t.Context()))
	require.NoError(t, c.SetNodes(ctx, config(t, patient(blue.DSN()))))
}

// TestFenceStaysInItsDatabase: a fence table tells of its own database only.
func TestFenceStaysInItsDatabase(t *testing.T) {
	cfg := config(t, "postgres://u@h:1/one?commit_fence=table")
	c, err := cluster.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer c.Close()
	err = c.SetNodes(t.Context(), config(t, "postgres://u@h:1/other?commit_fence=table"))
	require.ErrorContains(t, err, "the database can't be changed from one to other")
	_, err = cluster.Open(t.Context(), config(t, "postgres://u@h:1/one?commit_fence=table;postgres://u@h:2/other"))
	require.ErrorContains(t, err, "node h:1 has one, node h:2 has other")
}

// TestLeavingNodeIsSuperseded: a transaction on a primary that has been taken out of
// the set isn't acknowledged once another server has been promoted in its place.
func TestLeavingNodeIsSuperseded(t *testing.T) {
	old := pgtest.Start(t, pgtest.Options{})
	control(t, old, "create table ledger (id int)")
	promoted := old.Standby(t)
	replicated(t, promoted, "select count(*) from ledger", "0")
	db, _ := openRoles(t, listed([]*pgtest.Server{old, promoted}))
	waitRoles(t, db, cluster.RoleWriter, cluster.RoleReadOnly)
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "insert into ledger values (1)")
	require.NoError(t, err)
	require.NoError(t, clusterOf(t, db).SetNodes(t.Context(), config(t, patient(listed([]*pgtest.Server{promoted})))))
	require.NoError(t, promoted.Promote())
	require.Eventually(t, func() bool {
		nodes := clusterOf(t, db).Stats().Nodes
		return nodes[0].Role == cluster.RoleWriter && (len(nodes) == 1 || nodes[1].Role == cluster.RoleSuperseded && nodes[1].Cuts > 0)
	}, 20*time.Second, 10*time.Millisecond)
	require.Error(t, tx.Commit())
}

// TestReadsShunAFormerPrimary: a server that was made read-only when another one was
// promoted is never read from, however busy the new primary is.
func TestReadsShunAFormerPrimary(t *testing.T) {
	old := pgtest.Start(t, pgtest.Options{})
	control(t, old, "create table ledger (id int)")
	promoted := old.Standby(t)
	replicated(t, promoted, "select count(*) from ledger", "0")
	require.NoError(t, promoted.Promote())
	require.NoError(t, old.Set("default_transaction_read_only", "on"))
	db, _ := openRoles(t, listed([]*pgtest.Server{old, promoted}, "max_conns_per_node=1", "acquire_timeout=20s"))
	waitRoles(t, db, cluster.RoleReadOnly, cluster.RoleWriter)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	_, err = conn.ExecContext(t.Context(), "insert into ledger values (1)")
	require.NoError(t, err)
	release := time.AfterFunc(300*time.Millisecond, func() { _ = conn.Close() }) // until then the only connection is in use
	defer release.Stop()
	var rows int
	require.NoError(t, db.QueryRowContext(t.Context(), "select count(*) from ledger").Scan(&rows))
	require.Equal(t, 1, rows)
}

// TestRoleOfAFormerSecondName: of two names of one server one counts. When that is
// taken out, what the server has said counts for the other one at once.
func TestRoleOfAFormerSecondName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true})
		defer sim.Node(2).SetReadOnly()()
		one, two, alias := sim.Node(1).Addr(), sim.Node(2).Addr(), "127.0.0.1:9999"
		list := func(addrs ...string) string {
			return "postgres://postgres@" + strings.Join(addrs, ",") + "/postgres?sslmode=disable&probe_interval=1m"
		}
		cfg := config(t, list(one, two, alias))
		cfg.Seed, cfg.DialFunc = 1, aliased(sim.Dial, alias, two)
		c, err := cluster.Open(t.Context(), cfg)
		require.NoError(t, err)
		defer c.Close()
		time.Sleep(5 * time.Second)
		nodes := c.Stats().Nodes
		stays := alias // the name that doesn't count
		if strings.HasPrefix(nodes[1].Note, "same server") {
			stays = two
		}
		require.NoError(t, c.SetNodes(t.Context(), config(t, list(one, stays))))
		require.Equal(t, cluster.RoleReadOnly, c.Stats().Nodes[1].Role)
	})
}

// aliased dials one address when another one is asked for.
func aliased(dial cluster.DialFunc, alias, actual string) cluster.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == alias {
			addr = actual
		}
		return dial(ctx, network, addr)
	}
}

// TestHintFollowsItsNode: who waits in the queue for a node by WithNode waits for the
// address, whatever becomes of the way to it meanwhile, and never runs on another node.
func TestHintFollowsItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true})
		const params = "&max_conns_per_node=1&acquire_timeout=60s"
		db, c := openSome(t, sim, params, 1, 2)
		defer func() { require.NoError(t, db.Close()) }()
		here := sim.Node(1).Addr()
		hinted := driver.WithNode(t.Context(), here)
		held, err := db.Conn(t.Context())
		require.NoError(t, err)
		_, err = held.ExecContext(hinted, "set application_name = 'held'")
		require.NoError(t, err)
		defer c.Listen(cluster.EventListener{Picked: func(n string) { assert.Equal(t, here, n) }})()
		began := time.Now()
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() { // ends with its statement
				_, err := db.ExecContext(hinted, "select pg_sleep(5)")
				assert.NoError(t, err)
			})
		}
		time.Sleep(100 * time.Millisecond)
		other := params + "&application_name=x"
		require.NoError(t, c.SetNodes(t.Context(), config(t, listSim(sim, other, 1, 2))))
		require.NoError(t, held.Close())
		time.Sleep(time.Second) // the old nodes are gone, and their places free
		require.NoError(t, c.SetNodes(t.Context(), config(t, listSim(sim, other, 1, 2, 3))))
		waiting.Wait()
		require.Less(t, time.Since(began), 15*time.Second, "one after the other")
	})
}
