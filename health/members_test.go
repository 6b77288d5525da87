package health

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAddedNodeIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		defer r.monitor.Close()
		late := newFakeNode()
		late.latency = time.Millisecond
		require.ErrorContains(t, r.monitor.Add(1, late.watch("late", nil)), "node 1 can't be added: 2 or")
		require.ErrorContains(t, r.monitor.Add(3, late.watch("late", nil)), "node 3 can't be added: 2 or")
		require.ErrorContains(t, r.monitor.Add(-1, late.watch("late", nil)), "node -1 can't be added: 2 or")
		require.NoError(t, r.monitor.Add(2, late.watch("late", NewPulse())))
		require.Equal(t, "late", r.monitor.View().Reports[2].Name)
		require.Equal(t, Unknown, r.monitor.View().Reports[2].State)
		time.Sleep(time.Second)
		require.Equal(t, Up, r.monitor.View().Reports[2].State)

		late.set(frozen, 0)
		time.Sleep(700*time.Millisecond + DefaultProbeInterval)
		require.Equal(t, Down, r.monitor.View().Reports[2].State, "judged as the others are")
		require.Equal(t, 1, late.cutCount())
	})
}

func TestRemovedNodeIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.nodes[1].set(frozen, 0)
		time.Sleep(DefaultProbeInterval) // its probe hangs
		r.monitor.Remove(1)
		require.Zero(t, r.nodes[1].probes(), "no probe of it is under way")
		require.Equal(t, Report{}, r.monitor.View().Reports[1])
		r.monitor.Observe(1, EventRefused, time.Now()) // which was on its way
		time.Sleep(5 * time.Second)
		require.Zero(t, r.nodes[1].cutCount())
		require.Zero(t, r.nodes[1].probes())

		r.monitor.Remove(1)
		r.monitor.Remove(-1)
		r.monitor.Remove(7) // nothing
		next := newFakeNode()
		require.NoError(t, r.monitor.Add(1, next.watch("next", NewPulse())), "the place is free")
		time.Sleep(time.Second)
		require.Equal(t, Up, r.monitor.View().Reports[1].State)
		require.Equal(t, uint64(0), r.monitor.View().Reports[1].Cuts)
	})
}

// TestRemovedNodesDontCount: a majority is one of those that are left.
func TestRemovedNodesDontCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		defer r.monitor.Close()
		r.monitor.Remove(3)
		r.monitor.Remove(4)
		r.nodes[0].set(frozen, 0)
		time.Sleep(time.Second)
		require.Equal(t, Down, r.monitor.View().Reports[0].State)
		r.nodes[1].set(frozen, 0)
		time.Sleep(time.Second)
		require.NotEqual(t, Down, r.monitor.View().Reports[1].State, "one of three would be left: only at the ceiling")
		time.Sleep(Ceiling)
		require.Equal(t, Down, r.monitor.View().Reports[1].State)
	})
}

func TestAddNeedsARunningMonitor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewMonitor(Config{})
		require.ErrorIs(t, m.Add(0, newFakeNode().watch("early", nil)), ErrNotRunning)
		m.Remove(0)
		m.Start()
		require.NoError(t, m.Add(0, newFakeNode().watch("first", nil)))
		m.Close()
		require.ErrorIs(t, m.Add(1, newFakeNode().watch("late", nil)), ErrNotRunning)
		m.Remove(0)
		select {
		case <-m.View().Superseded():
		default:
			assert.Fail(t, "whoever waits for a View after Close waits for ever")
		}
	})
}

// TestRemoveWaitsDuringClose: Remove returns when no probe is under way any more, also
// when Close ends it.
func TestRemoveWaitsDuringClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var probing atomic.Bool
		m := NewMonitor(Config{Nodes: []Node{{Name: "a", Probe: func(context.Context) error {
			probing.Store(true)
			defer probing.Store(false)
			<-release // as a dial that doesn't notice its context
			return nil
		}}}})
		m.Start()
		time.Sleep(10 * time.Millisecond)
		require.True(t, probing.Load())
		go m.Close() // ends with the probe
		synctest.Wait()
		time.AfterFunc(time.Second, func() { close(release) })
		m.Remove(0)
		require.False(t, probing.Load())
	})
}
