package driver_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// TestLongTrialsDontCloseANode: operations that go on and on, as the first ones after
// a node's breaker has half opened, keep nobody else from the node: it works.
func TestLongTrialsDontCloseANode(t *testing.T) {
	for name, sql := range map[string]string{
		"rows are read": "select i, repeat('x', 1000) from generate_series(1, 100000) i",
		"no answer yet": "select pg_sleep(60)",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{Nodes: 1, InMemory: true})
				db := openSim(t, sim, true)
				defer func() { require.NoError(t, db.Close()) }()
				breaker := func() health.BreakerState { return clusterOf(t, db).Stats().Nodes[0].Breaker }
				waitState(t, db, 0, health.Up)
				var running sync.WaitGroup
				for range 8 {
					running.Go(func() { _, _ = db.ExecContext(t.Context(), "select pg_sleep(0.9)") }) // ends with its statement
				}
				time.Sleep(500 * time.Millisecond)
				sim.Node(1).Reset()
				for breaker() != health.BreakerOpen {
					time.Sleep(time.Millisecond)
				}
				running.Wait()
				for breaker() == health.BreakerOpen {
					time.Sleep(10 * time.Millisecond)
				}
				require.Equal(t, health.BreakerHalfOpen, breaker())
				ctx, cancel := context.WithCancel(t.Context())
				defer running.Wait()
				defer cancel()
				for range 3 {
					running.Go(func() { // ends with ctx
						rows, err := db.QueryContext(ctx, sql)
						if err == nil {
							rows.Next()
							<-ctx.Done()
							_ = rows.Close()
						}
					})
				}
				synctest.Wait()
				for range 10 {
					began := time.Now()
					_, err := db.ExecContext(t.Context(), "select 1")
					require.NoError(t, err)
					require.Less(t, time.Since(began), 300*time.Millisecond)
				}
				for breaker() != health.BreakerClosed {
					time.Sleep(10 * time.Millisecond)
				}
			})
		})
	}
}

// TestConnectionsOfADialFunc: one that isn't a socket of the system's can't be looked
// at. When one of a node's breaks, the idle ones that were heard of before go as well,
// instead of being found one by one, each by an operation, behind an open breaker.
func TestConnectionsOfADialFunc(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 3, InMemory: true})
		db := openSim(t, sim, true)
		defer func() { require.NoError(t, db.Close()) }()
		node := func() cluster.NodeStats { return clusterOf(t, db).Stats().Nodes[0] }
		all := func(sql string) {
			var running sync.WaitGroup
			for range 40 {
				running.Go(func() { // ends with its statement
					_, err := db.ExecContext(t.Context(), sql)
					assert.NoError(t, err)
				})
			}
			running.Wait()
		}
		waitState(t, db, 0, health.Up)
		all("select pg_sleep(0.1)")
		require.Greater(t, node().Idle, 8)
		sim.Node(1).Reset()
		time.Sleep(2 * time.Second) // the prober has come back
		before := node()
		for range 400 {
			all("select 1")
			time.Sleep(10 * time.Millisecond)
		}
		after := node()
		require.LessOrEqual(t, after.Errors-before.Errors, int64(10), "each of the broken connections was used")
		require.Equal(t, health.BreakerClosed, after.Breaker)
		require.Greater(t, after.Picks-before.Picks, int64(2000), "of 16000, a third is a fair share")
	})
}
