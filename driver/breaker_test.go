package driver_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

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
