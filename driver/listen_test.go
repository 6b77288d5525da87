package driver_test

import (
	"log/slog"
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

// TestListenAfterOpen: who has nothing but a *sql.DB can listen and log, several
// at once, and stop again.
func TestListenAfterOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Latency: 100 * time.Microsecond})
		db := openSim(t, sim, true)
		defer func() { require.NoError(t, db.Close()) }()
		c := clusterOf(t, db)
		waitState(t, db, 1, health.Up)

		var mu sync.Mutex
		seen := map[string][]string{}
		listener := func(name string) cluster.EventListener {
			return cluster.EventListener{StateChanged: func(node string, to health.State, _ health.Reason) {
				mu.Lock()
				defer mu.Unlock()
				if node == sim.Node(2).Addr() {
					seen[name] = append(seen[name], to.String())
				}
			}}
		}
		stop := c.Listen(listener("one"))
		defer c.Listen(listener("two"))()
		var log lockedBuffer
		c.SetLogger(slog.New(slog.NewTextHandler(&log, nil)))

		undo := sim.Node(2).Kill()
		waitState(t, db, 1, health.Down)
		synctest.Wait()
		stop()
		stop() // does no harm
		text := log.String()
		assert.Contains(t, text, "state=Down")
		assert.Contains(t, text, "node="+sim.Node(2).Addr())
		c.SetLogger(nil)
		undo()
		waitState(t, db, 1, health.Up)
		synctest.Wait()

		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []string{"Suspect", "Down"}, seen["one"])
		assert.Equal(t, []string{"Suspect", "Down", "Recovering", "Up"}, seen["two"])
		assert.Equal(t, text, log.String(), "quiet again")
	})
}
