package driver_test

import (
	"log/slog"
	"strings"
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

// TestListenersMayPanic: a listener's panic ends neither an operation nor the watch
// over the nodes; each function's is logged once, and other listeners are told.
func TestListenersMayPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Latency: 100 * time.Microsecond})
		db := openSim(t, sim, true)
		defer func() { require.NoError(t, db.Close()) }()
		c := clusterOf(t, db)
		waitState(t, db, 1, health.Up)
		var log lockedBuffer
		c.SetLogger(slog.New(slog.NewTextHandler(&log, nil)))
		panics := cluster.EventListener{
			StateChanged: func(string, health.State, health.Reason) { panic("in StateChanged") },
			Picked:       func(string) { panic("in Picked") },
		}
		c.Listen(panics)
		var mu sync.Mutex
		var picked, changed int
		c.Listen(cluster.EventListener{
			StateChanged: func(string, health.State, health.Reason) { mu.Lock(); changed++; mu.Unlock() },
			Picked:       func(string) { mu.Lock(); picked++; mu.Unlock() },
		})
		for range 3 {
			_, err := db.ExecContext(t.Context(), "select 1")
			require.NoError(t, err)
		}
		undo := sim.Node(2).Kill()
		waitState(t, db, 1, health.Down)
		undo()
		waitState(t, db, 1, health.Up)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, []int{3, 4}, []int{picked, changed})
		for _, name := range []string{"StateChanged", "Picked"} {
			assert.Equal(t, 1, strings.Count(log.String(), "EventListener."+name+" has panicked"))
			assert.Contains(t, log.String(), `panic="in `+name+`"`)
		}
	})
}
