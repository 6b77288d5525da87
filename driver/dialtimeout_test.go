package driver_test

import (
	"context"
	"database/sql"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// TestDialTimeout: a connection that can't be opened is given up after dial_timeout, or
// connect_timeout where that is given, while the prober's goes on.
func TestDialTimeout(t *testing.T) {
	for params, want := range map[string]time.Duration{
		"":                                      10 * time.Second,
		"&dial_timeout=300ms":                   300 * time.Millisecond,
		"&dial_timeout=1m&connect_timeout=7":    7 * time.Second,
		"&dial_timeout=2s&max_conns_per_node=1": 2 * time.Second,
	} {
		t.Run(params, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{Nodes: 1, InMemory: true})
				cfg := config(t, sim.DSN()+params+"&min_idle=0")
				var hang atomic.Bool
				given := make(chan time.Duration, 100)
				cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if !hang.Load() {
						return sim.Dial(ctx, network, addr)
					}
					began := time.Now()
					<-ctx.Done()
					given <- time.Since(began)
					return nil, ctx.Err()
				}
				db := sql.OpenDB(driver.NewConnector(cfg))
				defer func() { require.NoError(t, db.Close()) }()
				waitState(t, db, 0, health.Up) // by the prober's connection
				hang.Store(true)
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := db.ExecContext(ctx, "select 1")
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, want, <-given)
			})
		})
	}
}
