package pool

import (
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// Whoever comes while somebody waits doesn't get the connection that has just been
// given back and not been handed on yet.
func TestNobodyOvertakesTheQueue(t *testing.T) {
	s := &server{}
	inBubble(t, s, func(c *Config[int]) { c.Max = 1 }, func(t *testing.T, p *Pool[int]) {
		a := acquire(t, p)
		got := make(chan *Conn[int])
		go func() { got <- acquire(t, p) }() // ends when it is granted what is given back
		synctest.Wait()
		a.idle.Store(nanos()) // the first half of Release
		p.near.Put(a)
		require.Nil(t, p.Take(nanos()))
		require.Same(t, a, <-got)
		p.Release(a, nanos())
		require.Same(t, a, p.Take(nanos()))
		p.Release(a, nanos())
	})
}

// A connection that is given back while somebody decides to wait for one isn't missed
// by both, or he would wait for ever.
func TestNobodyIsForgotten(t *testing.T) {
	s := &server{}
	inBubble(t, s, func(c *Config[int]) { c.Max = 1 }, func(t *testing.T, p *Pool[int]) {
		begin, ended := make(chan int), make(chan *Conn[int])
		go func() { // ends when begin is closed
			for pause := range begin {
				for range pause {
					runtime.KeepAlive(pause)
				}
				ended <- acquire(t, p)
			}
		}()
		c := acquire(t, p)
		for round := range 30_000 {
			begin <- round % 300 // so that the two meet at every point of their ways
			p.Release(c, nanos())
			c = <-ended
		}
		close(begin)
		p.Release(c, nanos())
	})
}
