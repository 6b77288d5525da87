package driver_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// TestNodeThatComesBackIsWarm: the idle connections that ended with a node don't count
// when it is back: it has min_idle others before anybody needs one.
func TestNodeThatComesBackIsWarm(t *testing.T) {
	for name, hurt := range map[string]func(*simnode.Node) simnode.Undo{
		"killed": (*simnode.Node).Kill,
		"frozen": (*simnode.Node).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{Nodes: 3, InMemory: true})
				db := openSim(t, sim, true, "min_idle=4")
				defer func() { require.NoError(t, db.Close()) }()
				node := func() cluster.NodeStats { return clusterOf(t, db).Stats().Nodes[0] }
				waitState(t, db, 0, health.Up)
				time.Sleep(time.Second)
				require.Equal(t, 4, node().Sockets)
				undo := hurt(sim.Node(1))
				waitState(t, db, 0, health.Down)
				undo()
				waitState(t, db, 0, health.Recovering)
				time.Sleep(100 * time.Millisecond)
				require.Equal(t, 4, node().Idle)
				require.Equal(t, 4, node().Sockets, "the idle connections are open")
			})
		})
	}
}

// TestFarewellsOnConnectionsOfADialFunc: a server ends all its sessions and takes new
// ones at once. Those that can't be looked at go with the prober's, and not one by one
// with an operation each.
func TestFarewellsOnConnectionsOfADialFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 3, InMemory: true})
		db := openSim(t, sim, true, "min_idle=8")
		defer func() { require.NoError(t, db.Close()) }()
		node := func() cluster.NodeStats { return clusterOf(t, db).Stats().Nodes[0] }
		waitState(t, db, 0, health.Up)
		time.Sleep(time.Second)
		require.Equal(t, 8, node().Idle)
		undo, err := sim.Node(1).Drain(t.Context())
		require.NoError(t, err)
		undo()
		time.Sleep(time.Second) // the prober has come back
		for range 1000 {
			_, err := db.ExecContext(t.Context(), "select 1")
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
		}
		require.Zero(t, node().Errors, "operations met connections that had ended")
		require.Greater(t, node().Picks, int64(200), "of 1000, a third is a fair share")
	})
}
