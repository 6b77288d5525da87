package pool

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// An Open that ignores its context, as a hook of the application's may, keeps nobody
// from looking after the other connections; what ends meanwhile is replaced.
func TestOpenIgnoresItsContext(t *testing.T) {
	s := &server{}
	var stuck atomic.Bool
	var release chan struct{} // of the bubble
	change := func(c *Config[int]) {
		c.Max, c.MinIdle = 4, 2
		c.Open = func(ctx context.Context) (int, error) {
			if stuck.CompareAndSwap(true, false) {
				<-release
			}
			return s.connect(ctx)
		}
	}
	inBubble(t, s, change, func(t *testing.T, p *Pool[int]) {
		release = make(chan struct{})
		let := sync.OnceFunc(func() { close(release) })
		defer let()
		time.Sleep(time.Second)
		require.Equal(t, Stat{Total: 2, Idle: 2}, p.Stat())
		stuck.Store(true)
		p.Discard(p.Take(nanos()))
		time.Sleep(time.Second)
		require.Equal(t, Stat{Total: 2, Idle: 1}, p.Stat(), "one is being opened")

		p.Discard(p.Take(nanos()))
		time.Sleep(time.Second)
		require.Equal(t, Stat{Total: 2, Idle: 1}, p.Stat(), "the other one is replaced")
		time.Sleep(31 * time.Minute)
		synctest.Wait()
		require.Equal(t, Stat{Total: 2, Idle: 1}, p.Stat())
		c := p.Take(nanos())
		require.Equal(t, 4, c.Value, "nobody used it for too long: it was replaced again")
		p.Release(c, nanos())

		let()
		time.Sleep(tendEvery + time.Second)
		synctest.Wait()
		require.Equal(t, Stat{Total: 2, Idle: 2}, p.Stat())
	})
}

// Weed closes the idle connections that are dead, and no others.
func TestWeed(t *testing.T) {
	s := &server{}
	keep := func(c *Config[int]) { c.Max, c.MinIdle = 4, 4 }
	inBubble(t, s, keep, func(t *testing.T, p *Pool[int]) {
		synctest.Wait()
		lent := acquire(t, p)
		p.Weed(func(n int) bool { return n%2 == lent.Value%2 })
		synctest.Wait()
		require.Equal(t, Stat{Total: 3, Idle: 2, Lent: 1}, p.Stat())
		p.Release(lent, nanos())
		time.Sleep(refillDelay)
		synctest.Wait()
		require.Equal(t, Stat{Total: 4, Idle: 4}, p.Stat(), "they are replaced")
		require.Equal(t, 5, s.opened())
		lent = acquire(t, p)
		p.Weed(func(int) bool { return true })
		require.Zero(t, p.Stat().Idle)
		require.Equal(t, 1, p.Stat().Lent)
		p.Release(lent, nanos())
	})
}
