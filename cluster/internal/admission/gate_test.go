package admission

import (
	"flag"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var seed = flag.Uint64("admission.seed", 1, "seed of TestNothingIsLost")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	reads Class = 1 << iota
	writes
)

func nanos() int64 { return time.Now().UnixNano() }

func open(g *Gate) *Gate {
	for i := range g.nodes {
		g.Open(i, reads|writes)
	}
	return g
}

func TestSlots(t *testing.T) {
	g := New(2, 2, nanos)
	assert.True(t, g.TryEnter(0))
	assert.True(t, g.TryEnter(0))
	assert.False(t, g.TryEnter(0))
	assert.True(t, g.TryEnter(1), "each node has its own")
	assert.Equal(t, 2, g.InUse(0))
	g.Leave(0, 0)
	assert.True(t, g.TryEnter(0))
}

// received returns what came, or -1.
func received(w *Waiter) int {
	select {
	case n := <-w.Granted():
		return n
	default:
		return -1
	}
}

func TestFirstComeFirstServed(t *testing.T) {
	g := open(New(2, 1, nanos))
	require.True(t, g.TryEnter(0))
	require.True(t, g.TryEnter(1))
	first, second, third := g.Join(reads, Anywhere), g.Join(reads, Anywhere), g.Join(reads, Anywhere)
	assert.Equal(t, 3, g.Waiting())
	g.Leave(1, 0)
	assert.Equal(t, 1, received(first), "whichever node is free first")
	assert.False(t, g.TryEnter(1), "whoever comes later doesn't overtake")
	_, granted := second.Quit()
	assert.False(t, granted)
	g.Leave(0, 0)
	assert.Equal(t, -1, received(second))
	assert.Equal(t, 0, received(third))
	assert.Zero(t, g.Waiting())
	assert.Equal(t, []int{1, 1}, []int{g.InUse(0), g.InUse(1)})
}

func TestOneNodeOnly(t *testing.T) {
	g := open(New(2, 1, nanos))
	require.True(t, g.TryEnter(0))
	require.True(t, g.TryEnter(1))
	picky, other := g.Join(reads, 1), g.Join(reads, Anywhere)
	g.Leave(0, 0)
	assert.Equal(t, -1, received(picky))
	assert.Equal(t, 0, received(other))
	g.Leave(1, 0)
	assert.Equal(t, 1, received(picky))
}

func TestClassesAndClosedNodes(t *testing.T) {
	g := New(2, 1, nanos)
	g.Open(0, reads)
	require.True(t, g.TryEnter(0))
	require.True(t, g.TryEnter(1), "whoever names a node may use it")
	w, r := g.Join(writes, Anywhere), g.Join(reads, Anywhere)
	g.Leave(1, 0)
	assert.Equal(t, -1, received(w), "node 1 is closed")
	g.Leave(0, 0)
	assert.Equal(t, -1, received(w), "node 0 takes reads")
	assert.Equal(t, 0, received(r))
	g.Open(1, reads|writes)
	assert.Equal(t, 1, received(w), "a node that opens serves the queue")
}

func TestOpeningIsNoFlood(t *testing.T) {
	g := New(1, 100, nanos)
	var all []*Waiter
	for range 50 {
		all = append(all, g.Join(reads, Anywhere))
	}
	g.Open(0, reads)
	assert.Equal(t, openBurst, g.InUse(0))
	for range 42 {
		g.Leave(0, 0)
	}
	for _, w := range all {
		assert.Equal(t, 0, received(w))
	}
	assert.Equal(t, openBurst, g.InUse(0), "each that left let one in")
}

func TestQuitReturnsAGrant(t *testing.T) {
	g := open(New(1, 1, nanos))
	require.True(t, g.TryEnter(0))
	w := g.Join(reads, Anywhere)
	g.Leave(0, 0)
	node, granted := w.Quit()
	assert.True(t, granted)
	assert.Equal(t, 0, node)
	_, granted = w.Quit()
	assert.False(t, granted, "once")
}

// TestJoinSeesSlotsThatAreFree: a slot given back between a failed TryEnter and
// Join isn't missed.
func TestJoinSeesSlotsThatAreFree(t *testing.T) {
	g := open(New(2, 1, nanos))
	assert.Equal(t, 0, received(g.Join(reads, Anywhere)))
	assert.Equal(t, 1, received(g.Join(reads, Anywhere)))
	assert.Equal(t, -1, received(g.Join(reads, Anywhere)))
}

func TestEstimate(t *testing.T) {
	g := open(New(2, 5, nanos))
	assert.Zero(t, g.Estimate(reads), "nothing is known")
	for range 10 {
		require.True(t, g.TryEnter(0) || g.TryEnter(1))
	}
	for range 9 {
		g.Join(reads, Anywhere)
	}
	g.noteHold(100 * time.Millisecond)
	assert.Equal(t, 100*time.Millisecond, g.Estimate(reads).Round(time.Millisecond), "the tenth waits for ten slots")
	g.Open(1, writes)
	assert.Equal(t, 200*time.Millisecond, g.Estimate(reads).Round(time.Millisecond))
	g.Open(0, 0)
	assert.Zero(t, g.Estimate(reads), "nobody knows when a node opens")
}

// TestNothingIsLost has many goroutines enter, wait, give up and leave, while nodes
// open and close; in the end every slot is free, and none was ever given twice.
// Replay: go test ./cluster/internal/admission -run TestNothingIsLost -admission.seed N
func TestNothingIsLost(t *testing.T) {
	t.Logf("replay: go test ./cluster/internal/admission -run TestNothingIsLost -admission.seed %d", *seed)
	const nodes, capacity = 3, 4
	g := open(New(nodes, capacity, nanos))
	var held [nodes]atomic.Int64
	var served atomic.Int64
	use := func(node int) {
		if held[node].Add(1) > capacity {
			t.Errorf("more than %d slots of node %d are held", capacity, node)
		}
		runtime.Gosched()
		held[node].Add(-1)
		served.Add(1)
		g.Leave(node, nanos())
	}
	var running sync.WaitGroup
	for worker := range 32 {
		running.Go(func() { // ends after its loop
			r := rand.New(rand.NewPCG(*seed, uint64(worker)))
			for range 500 {
				if node := r.IntN(nodes); g.TryEnter(node) {
					use(node)
					continue
				}
				w := g.Join(reads<<r.IntN(2), r.IntN(nodes+1)-1)
				if r.IntN(4) > 0 {
					select {
					case node := <-w.Granted():
						use(node)
						continue
					case <-time.After(time.Duration(r.IntN(200)) * time.Microsecond):
					}
				}
				if node, granted := w.Quit(); granted {
					use(node)
				}
			}
		})
	}
	running.Go(func() { // ends after its loop
		r := rand.New(rand.NewPCG(*seed, 99))
		for range 500 {
			g.Open(r.IntN(nodes), Class(r.IntN(4)))
			runtime.Gosched()
		}
	})
	running.Wait()
	assert.Zero(t, g.Waiting())
	assert.Positive(t, served.Load())
	for i := range nodes {
		assert.Zero(t, g.InUse(i))
	}
}

// TestFairUnderExhaustion: a thousand waiters for four slots are served in the order
// in which they came, each within the time that those before it need.
func TestFairUnderExhaustion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(New(2, 2, nanos))
		var mu sync.Mutex
		var order []int
		var running sync.WaitGroup
		for range 4 {
			require.True(t, g.TryEnter(0) || g.TryEnter(1))
		}
		for i := range 1000 {
			w := g.Join(reads, Anywhere)
			running.Go(func() { // ends when its slot has come
				node := <-w.Granted()
				entered := nanos()
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Millisecond)
				g.Leave(node, entered)
			})
		}
		began := time.Now()
		for i := range 4 {
			g.Leave(i/2, 0)
		}
		running.Wait()
		assert.Equal(t, 250*time.Millisecond, time.Since(began))
		for k, i := range order {
			assert.InDelta(t, k, i, 4, "four at a time")
		}
	})
}

func BenchmarkEnterLeave(b *testing.B) {
	g := open(New(3, 16, nanos))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if g.TryEnter(1) {
				g.Leave(1, 0)
			}
		}
	})
}
