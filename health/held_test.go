package health

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestHeldUp holds a node's probe up on the client's side for longer than any
// silence may last, and then freezes the node: only the second counts.
func TestHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hold = 5 * time.Second
		began := time.Now()
		var frozen atomic.Bool
		held := func() time.Time { // until the end of the hold, and never again
			if now := time.Now(); now.Before(began.Add(hold)) {
				return now
			}
			return began.Add(hold)
		}
		m := NewMonitor(Config{Nodes: []Node{
			{Name: "a", Held: held, Probe: func(ctx context.Context) error {
				wait := time.After(time.Until(began.Add(hold + time.Millisecond)))
				if frozen.Load() {
					wait = nil
				}
				select {
				case <-wait:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}},
			{Name: "b", Probe: func(context.Context) error { return nil }},
		}, Seed: 1})
		m.Start()
		defer m.Close()
		time.Sleep(hold - time.Millisecond)
		synctest.Wait()
		assert.Equal(t, Unknown, m.View().Reports[0].State)
		assert.Zero(t, m.View().Reports[0].Cuts)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		assert.Equal(t, Up, m.View().Reports[0].State)
		assert.Less(t, m.View().Reports[0].RoundTrip, 100*time.Millisecond, "the hold isn't the node's")
		frozen.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		assert.Equal(t, Down, m.View().Reports[0].State)
	})
}

// TestLostProbeIsGivenUp: a process that stands still again and again blames nobody
// for a silence, but a probe whose answer is lost doesn't last for ever. One long stall
// is no reason to give one up. Clocks jump here, which virtual time can't do.
func TestLostProbeIsGivenUp(t *testing.T) {
	for name, c := range map[string]struct{ step, within time.Duration }{
		"again and again": {300 * time.Millisecond, 10 * time.Second},
		"once":            {time.Hour, 0},
	} {
		m := NewMonitor(Config{Nodes: []Node{{Name: "a"}, {Name: "b"}}})
		began := time.Now()
		now, w := began, m.nodes[0]
		for _, w := range m.nodes {
			w.machine = Machine{State: Up}
			w.launch(now)
		}
		m.ran = now
		for m.expects = now.Add(heartbeat); !w.lost && now.Sub(began) < time.Minute; m.expects = now.Add(heartbeat) {
			now = now.Add(c.step)
			m.noticeStall(now)
			m.advance(now)
		}
		assert.Equal(t, c.within > 0, w.lost, name)
		if c.within > 0 {
			assert.Less(t, now.Sub(began), c.within, name)
			assert.GreaterOrEqual(t, now.Sub(began), lostProbe, name)
		}
		assert.Equal(t, Up, w.machine.State, name)
		assert.Positive(t, m.stalls, name)
		m.Close()
	}
}

// What a node sends a few microseconds after the moment of a refused dial, or of a broken
// connection, proves that it lives, however busy it was just before.
func TestAliveWithinMicroseconds(t *testing.T) {
	for _, kind := range []Kind{EventRefused, EventReset} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 3)
				defer r.monitor.Close()
				socket := r.pulses[1].Beat()
				for range 2 {
					for range 10 {
						socket.Touch()
						time.Sleep(10 * time.Microsecond)
					}
					began := time.Now()
					time.Sleep(10 * time.Microsecond)
					socket.Touch()
					r.monitor.Observe(1, kind, began)
					synctest.Wait()
				}
				require.NotEqual(t, Down, r.state(1))
				require.Zero(t, r.nodes[1].cutCount())
			})
		})
	}
}
