package driver_test

import (
	"database/sql"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// TestListenersTime: what a listener takes isn't counted as the node's latency.
func TestListenersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 1, InMemory: true})
		cfg := config(t, sim.DSN())
		cfg.DialFunc = sim.Dial
		cfg.Events.Picked = func(string) { time.Sleep(20 * time.Millisecond) }
		db := sql.OpenDB(driver.NewConnector(cfg))
		defer func() { require.NoError(t, db.Close()) }()
		for range 20 {
			_, err := db.ExecContext(t.Context(), "select 1")
			require.NoError(t, err)
		}
		require.Less(t, clusterOf(t, db).Stats().Nodes[0].P99, 10*time.Millisecond)
	})
}
