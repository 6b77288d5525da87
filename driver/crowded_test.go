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

// TestCrowdedServers: where servers have room for few connections, those are used, and
// nobody asks for more again and again: with one connection each, operations that need a
// tenth of that all succeed.
func TestCrowdedServers(t *testing.T) {
	for name, nodes := range map[string]int{"one": 1, "three": 3} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{Nodes: nodes, InMemory: true})
				db := openSim(t, sim, true, "acquire_timeout=2s")
				defer func() { require.NoError(t, db.Close()) }()
				require.NoError(t, db.PingContext(t.Context()))
				time.Sleep(time.Second)
				opened := func() (n int64) {
					for _, s := range clusterOf(t, db).Stats().Nodes {
						n += s.Opened
					}
					return n
				}
				for i := range nodes {
					_, err := sim.Node(i + 1).SetMaxConnections(2) // one is the prober's
					require.NoError(t, err)
					sim.Node(i + 1).Reset()
				}
				time.Sleep(3 * time.Second)
				before := opened()
				var running sync.WaitGroup
				var done, failed atomic.Int64
				for range 100 {
					running.Go(func() { // ends after its operations
						for range 100 {
							if _, err := db.ExecContext(t.Context(), "select pg_sleep(0.0001)"); err != nil {
								failed.Add(1)
							}
							done.Add(1)
							time.Sleep(100 * time.Millisecond)
						}
					})
				}
				running.Wait()
				require.Equal(t, int64(10_000), done.Load())
				require.Zero(t, failed.Load())
				require.Less(t, opened()-before, int64(100*nodes), "connections opened in more than ten seconds")
			})
		})
	}
}
