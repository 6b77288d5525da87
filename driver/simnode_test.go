package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest"
)

// startSim starts a simulated cluster for the length of the test.
func startSim(t *testing.T, cfg simnode.Config) *simnode.Sim {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	sim, err := simnode.Start(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	return sim
}

// openSim opens the driver on a simulated cluster, in memory or over TCP. The
// caller closes it.
func openSim(t *testing.T, sim *simnode.Sim, inMemory bool, params ...string) *sql.DB {
	t.Helper()
	cfg, err := driver.ParseConfig(withParams(sim.DSN(), params...))
	require.NoError(t, err)
	cfg.Seed = 1
	if inMemory {
		cfg.DialFunc = sim.Dial
	}
	return sql.OpenDB(driver.NewConnector(cfg))
}

// TestConformanceOnSimulator runs every case of the kit on a cluster of three
// nodes: in virtual time, and over TCP with the commit fence on, since on a starved
// machine nodes lose their leases in the middle of commits. Row locks are left out:
// those of the simulator are of one node, between nodes the conflict shows at COMMIT.
func TestConformanceOnSimulator(t *testing.T) {
	can := sqltest.Capabilities{SessionReset: true, MultipleResults: true}
	t.Run("tcp", func(t *testing.T) {
		sim := startSim(t, simnode.Config{})
		params := append(installFence(t, sim.DSN(), "fences.conformance"), "acquire_timeout=20s", "fence_resolve_timeout=20s")
		sqltest.Run(t, sqltest.Target{
			Name: "simnode", Capabilities: can,
			Open: func(t *testing.T) *sql.DB { return openSim(t, sim, false, params...) },
		})
	})
	t.Run("memory", func(t *testing.T) {
		var sim *simnode.Sim // of the case
		sqltest.Run(t, sqltest.Target{
			Name: "simnode", Capabilities: can,
			Open: func(t *testing.T) *sql.DB { return openSim(t, sim, true) },
			Around: func(t *testing.T, run func(t *testing.T)) {
				synctest.Test(t, func(t *testing.T) {
					sim = startSim(t, simnode.Config{InMemory: true, Latency: 100 * time.Microsecond})
					for _, n := range sim.Nodes() { // no time would pass for who reads in a loop
						_, err := sim.SetLatency(simnode.AtClients(), simnode.AtNode(n.Number()), 50*time.Microsecond, 50*time.Microsecond)
						require.NoError(t, err)
					}
					run(t)
				})
			},
		})
	})
}

// TestOtherClusterIsRefused gives the driver addresses of two clusters in one
// list: writing to both as if they were one would lose data.
func TestOtherClusterIsRefused(t *testing.T) {
	one := startSim(t, simnode.Config{Nodes: 1, Seed: 1})
	two := startSim(t, simnode.Config{Nodes: 1, Seed: 1})
	list := fmt.Sprintf("postgres://postgres@%s,%s/postgres?sslmode=disable", one.Node(1).Addr(), two.Node(1).Addr())
	db, err := sql.Open(driver.Name, patient(list))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	err = db.PingContext(t.Context())
	require.ErrorContains(t, err, "cluster")
	require.ErrorContains(t, err, one.Node(1).Addr())
	require.ErrorContains(t, err, two.Node(1).Addr())

	independent, err := sql.Open(driver.Name, patient(list+"&engine=independent"))
	require.NoError(t, err)
	defer func() { require.NoError(t, independent.Close()) }()
	require.NoError(t, independent.PingContext(t.Context()))
}

// TestSickNodeGetsNothingThenItsShare kills or freezes a node and brings it back:
// no traffic while it is down, a third of it ten seconds after.
func TestSickNodeGetsNothingThenItsShare(t *testing.T) {
	for name, c := range map[string]struct {
		hurt     func(*simnode.Node) simnode.Undo
		balancer string
	}{
		"kill":    {(*simnode.Node).Kill, "p2c"},
		"freeze":  {(*simnode.Node).Freeze, "p2c"},
		"isolate": {(*simnode.Node).Isolate, "round_robin"},
	} {
		t.Run(name+"/"+c.balancer, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { sickNode(t, c.hurt, c.balancer) })
		})
	}
}

func sickNode(t *testing.T, hurt func(*simnode.Node) simnode.Undo, balancer string) {
	sim := startSim(t, simnode.Config{InMemory: true, Latency: 100 * time.Microsecond})
	db := openSim(t, sim, true, "balancer="+balancer)
	defer func() { require.NoError(t, db.Close()) }()
	_, err := db.ExecContext(t.Context(), "create table points (id int primary key, n int default 0); "+
		"create table log (g int, i int); insert into points (id) select i from generate_series(0, 15) i")
	require.NoError(t, err)
	y, stop := &tally{}, make(chan struct{})
	running := load(t, db, y, stop, 20*time.Millisecond)

	sharesDuring(t, db, 2*time.Second)
	undo := hurt(sim.Node(2))
	time.Sleep(2 * time.Second) // more than the driver may take to notice
	require.Zero(t, sharesDuring(t, db, 3*time.Second)[1], "a node that is down gets nothing")
	undo()
	time.Sleep(10 * time.Second)
	shares := sharesDuring(t, db, 3*time.Second)
	close(stop)
	running.Wait()

	t.Logf("%d ok, %d unknown, %d failed, longest gap %v, longest wait %v (%s), shares %.3f", y.ok, y.unknown, len(y.failed), y.gap, y.longest, y.slow, shares)
	require.Empty(t, y.failed)
	require.LessOrEqual(t, y.unknown, 16)
	require.InDelta(t, 0.335, shares[1], 0.035, "share of the healed node: %v", shares)
}
