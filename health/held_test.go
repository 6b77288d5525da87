package health

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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
