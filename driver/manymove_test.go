package driver_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

// TestManyMove: when a node dies all reads that are at work there go on elsewhere, also
// if they are more than the retry budget would pay for.
func TestManyMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const readers = 900
		sim := startSim(t, simnode.Config{Nodes: 3, InMemory: true})
		db := openSim(t, sim, true, "max_conns_per_node=900&acquire_timeout=20s")
		defer func() { require.NoError(t, db.Close()) }()
		require.NoError(t, db.PingContext(t.Context()))
		for i := range 3 {
			_, err := sim.Node(i + 1).SetMaxConnections(1000)
			require.NoError(t, err)
			_, err = sim.SetLatency(simnode.AtClients(), simnode.AtNode(i+1), 50*time.Millisecond, 0)
			require.NoError(t, err)
		}
		var failed atomic.Int64
		read := func() {
			var running sync.WaitGroup
			for range readers {
				running.Go(func() { // ends with its read
					var one int
					if err := db.QueryRowContext(t.Context(), "select 1").Scan(&one); err != nil {
						failed.Add(1)
						t.Log(err)
					}
				})
			}
			running.Wait()
		}
		read() // opens the connections
		time.Sleep(30 * time.Second)
		var killed sync.WaitGroup
		killed.Go(func() { // ends with the kill
			time.Sleep(20 * time.Millisecond)
			sim.Node(1).Kill()
		})
		read()
		killed.Wait()
		require.Zero(t, failed.Load())
		retried := int64(0)
		for _, n := range clusterOf(t, db).Stats().Nodes {
			retried += n.Retries
		}
		require.Greater(t, retried, int64(150), "more than the budget has")
	})
}
