package pool

import (
	"runtime"
	"sync"
	"sync/atomic"
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
// by both, or he would wait for ever. The moment is short, and tried many times.
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

// However many claim an idle connection, one gets it.
func TestOneClaims(t *testing.T) {
	const rounds, size = 30_000, 2
	var c Conn[int]
	var here, won atomic.Int64
	meet := func(target int64) { // waits until all are here
		for here.Add(1); here.Load() < target; {
			runtime.Gosched()
		}
	}
	var claimants sync.WaitGroup
	c.idle.Store(1)
	for first := range size {
		claimants.Go(func() { // ends after its rounds
			for round := range int64(rounds) {
				meet((2*round + 1) * size)
				if c.claim() != 0 {
					won.Add(1)
				}
				meet((2*round + 2) * size)
				if first == 0 {
					c.idle.Store(round + 2)
				}
			}
		})
	}
	claimants.Wait()
	require.EqualValues(t, rounds, won.Load())
}

// Nobody is lent a connection of a closed pool, also while its last user gives it back.
func TestTakeFromClosed(t *testing.T) {
	s := &server{}
	inBubble(t, s, nil, func(t *testing.T, p *Pool[int]) {
		c := acquire(t, p)
		go p.Close() // ends when the connection is given back
		synctest.Wait()
		c.idle.Store(nanos()) // the first half of Release
		p.near.Put(c)
		require.Nil(t, p.Take(nanos()))
		require.NotZero(t, c.claim())
		p.Release(c, nanos())
	})
}
