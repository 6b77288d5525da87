package driver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// TestPingGoesOn: like any other operation Ping tries again, while its context and
// acquire_timeout leave time, and no longer.
func TestPingGoesOn(t *testing.T) {
	const nodes = 3
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: nodes, InMemory: true})
		db := openSim(t, sim, true, "acquire_timeout=5s")
		defer func() { require.NoError(t, db.Close()) }()
		up := func() {
			for i := range nodes {
				waitState(t, db, i, health.Up)
			}
			time.Sleep(time.Second) // for its idle connections
		}
		ping := func(ctx context.Context) (time.Duration, error) {
			began := time.Now()
			err := db.PingContext(ctx)
			return time.Since(began), err
		}
		up()
		for _, n := range sim.Nodes() {
			n.Reset() // each node's sessions end, and each fails once
		}
		took, err := ping(t.Context())
		require.NoError(t, err)
		require.Less(t, took, 200*time.Millisecond)

		up()
		var start []func()
		for _, n := range sim.Nodes() {
			start = append(start, n.Kill())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		took, err = ping(ctx)
		require.ErrorIs(t, err, driver.ErrNoNode)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 300*time.Millisecond, took)
		took, err = ping(t.Context())
		require.ErrorIs(t, err, driver.ErrNoNode)
		require.Equal(t, 5*time.Second, took)
		for _, n := range sim.Nodes() {
			require.ErrorContains(t, err, n.Addr(), "a line per node")
		}
		time.AfterFunc(2*time.Second, func() {
			for _, undo := range start {
				undo()
			}
		})
		took, err = ping(t.Context())
		require.NoError(t, err)
		require.Greater(t, took, 2*time.Second)
		require.Less(t, took, 5*time.Second)
	})
}
