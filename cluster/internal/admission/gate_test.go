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
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/balancer"
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
		g.Open(i, reads|writes, false)
	}
	return g
}

func TestSlots(t *testing.T) {
	g := New(2, 2, nanos)
	assert.True(t, g.TryEnter(0, reads))
	assert.True(t, g.TryEnter(0, reads))
	assert.False(t, g.TryEnter(0, reads))
	assert.True(t, g.TryEnter(1, reads), "each node has its own")
	assert.Equal(t, 2, g.InUse(0))
	g.Leave(0, 0)
	assert.True(t, g.TryEnter(0, reads))
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
	require.True(t, g.TryEnter(0, reads))
	require.True(t, g.TryEnter(1, reads))
	first, second, third := g.Join(reads, Anywhere, nanos()), g.Join(reads, Anywhere, nanos()), g.Join(reads, Anywhere, nanos())
	assert.Equal(t, 3, g.Waiting())
	g.Leave(1, 0)
	assert.Equal(t, 1, received(first), "whichever node is free first")
	assert.False(t, g.TryEnter(1, reads), "whoever comes later doesn't overtake")
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
	require.True(t, g.TryEnter(0, reads))
	require.True(t, g.TryEnter(1, reads))
	picky, other := g.Join(reads, 1, nanos()), g.Join(reads, Anywhere, nanos())
	g.Leave(0, 0)
	assert.Equal(t, -1, received(picky))
	assert.Equal(t, 0, received(other))
	g.Leave(1, 0)
	assert.Equal(t, 1, received(picky))
}

func TestClassesAndClosedNodes(t *testing.T) {
	g := New(2, 1, nanos)
	g.Open(0, reads, false)
	require.True(t, g.TryEnter(0, reads))
	require.True(t, g.TryEnter(1, reads), "whoever names a node may use it")
	w, r := g.Join(writes, Anywhere, nanos()), g.Join(reads, Anywhere, nanos())
	g.Leave(1, 0)
	assert.Equal(t, -1, received(w), "node 1 is closed")
	g.Leave(0, 0)
	assert.Equal(t, -1, received(w), "node 0 takes reads")
	assert.Equal(t, 0, received(r))
	g.Open(1, reads|writes, false)
	assert.Equal(t, 1, received(w), "a node that opens serves the queue")
}

// join queues so many for reads.
func join(g *Gate, many int) (all []*Waiter) {
	for range many {
		all = append(all, g.Join(reads, Anywhere, nanos()))
	}
	return all
}

// A node that has just come back takes eight at once, then more with time; whoever comes later waits for its turn although slots are free.
func TestOpeningIsNoFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(1, 100, nanos)
		all := join(g, 90)
		g.Open(0, reads, true)
		assert.Equal(t, openBurst, g.InUse(0))
		g.Open(0, reads, true)
		assert.Equal(t, openBurst, g.InUse(0), "a view with no news of it")
		assert.False(t, g.TryEnter(0, reads), "not past those who wait")
		assert.False(t, g.TryEnter(0, writes), "the queue is one")
		late := g.Join(reads, Anywhere, nanos())
		assert.Equal(t, openBurst, g.InUse(0))
		entered := nanos()
		for range 4 {
			g.Leave(0, entered)
		}
		g.Leave(0, 0)
		assert.Equal(t, openBurst, g.InUse(0), "one for each that leaves")
		time.Sleep(time.Second / 5)
		g.Open(0, reads, true)
		assert.Equal(t, openBurst+openRate/5, g.InUse(0))
		g.Open(0, reads, false)
		assert.Equal(t, 91-5, g.InUse(0), "all, when it is as good as before")
		for i, w := range append(all, late) {
			assert.Equal(t, 0, received(w), "%d", i)
		}
	})
}

// What is in use from before a node went away is no part of the eight.
func TestOpeningWithSlotsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(1, 100, nanos)
		before := nanos()
		for range 50 {
			require.True(t, g.TryEnter(0, reads))
		}
		time.Sleep(time.Second)
		join(g, 90)
		g.Open(0, reads, true)
		assert.Equal(t, 50+openBurst, g.InUse(0))
		for range 50 {
			g.Leave(0, before)
		}
		assert.Equal(t, openBurst, g.InUse(0))
		g.Open(0, 0, false)
		g.Open(0, reads, true)
		assert.Equal(t, 2*openBurst, g.InUse(0), "it has come back once more")
	})
}

// Whoever waits for another node, or another class, holds up nobody.
func TestNoConvoy(t *testing.T) {
	g := New(2, 2, nanos)
	g.Open(0, reads, false)
	g.Open(1, reads, false)
	require.True(t, g.TryEnter(1, reads))
	require.True(t, g.TryEnter(1, reads))
	pinned, writer := g.Join(reads, 1, nanos()), g.Join(writes, Anywhere, nanos())
	assert.True(t, g.TryEnter(0, reads))
	assert.False(t, g.TryEnter(0, writes), "a writer goes behind the writer, even if it knows sooner that the node takes writes")
	assert.Equal(t, 0, received(g.Join(reads, Anywhere, nanos())))
	assert.Equal(t, []int{-1, -1}, []int{received(pinned), received(writer)})
}

// Who can't use what was granted is first again, gets another node at once, and the
// same one when it wants to try again.
func TestReturnKeepsThePlace(t *testing.T) {
	g := open(New(2, 1, nanos))
	require.True(t, g.TryEnter(0, reads))
	require.True(t, g.TryEnter(1, reads))
	first, second, third := g.Join(reads, Anywhere, nanos()), g.Join(reads, Anywhere, nanos()), g.Join(reads, Anywhere, nanos())
	g.Leave(0, 0)
	require.Equal(t, 0, received(first))
	first.Return(0)
	assert.Equal(t, -1, received(first), "not the same one")
	assert.Equal(t, 0, received(second))
	g.Leave(1, 0)
	assert.Equal(t, 1, received(first), "it is before the third")
	first.Return(1)
	assert.Equal(t, 1, received(third))
	g.Leave(1, 0)
	assert.Equal(t, -1, received(first), "neither will do")
	assert.True(t, g.TryEnter(1, reads), "so it holds up nobody")
	first.Retry()
	assert.Equal(t, -1, received(first))
	g.Leave(1, 0)
	assert.Equal(t, 1, received(first))
	assert.Zero(t, g.Waiting())
}

func TestJoinAndRetry(t *testing.T) {
	g := open(New(2, 1, nanos))
	w := g.Join(reads, Anywhere, nanos(), 0, 1)
	assert.Equal(t, -1, received(w), "it has tried both")
	w.Retry()
	assert.Equal(t, 0, received(w))
	w.Retry()
	assert.Equal(t, 1, g.InUse(0)+g.InUse(1))
}

// Who queues late because it was busy with another node has the place of who came
// then.
func TestPlaceIsThatOfTheArrival(t *testing.T) {
	g := open(New(1, 1, nanos))
	require.True(t, g.TryEnter(0, reads))
	var all []*Waiter
	for _, arrived := range []int64{20, 30, 30, 40, 10, 25, 30, 50} {
		all = append(all, g.Join(reads, Anywhere, arrived))
	}
	for _, next := range []int{4, 0, 5, 1, 2, 6, 3, 7} {
		g.Leave(0, 0)
		require.Equal(t, 0, received(all[next]), "the one of %d", all[next].arrived)
	}
}

func TestMoveKeepsThePlace(t *testing.T) {
	g := New(1, 1, nanos)
	g.Open(0, reads, false)
	require.True(t, g.TryEnter(0, reads))
	w, r := g.Join(writes, Anywhere, nanos()), g.Join(reads, Anywhere, nanos())
	w.Move(reads, Anywhere)
	g.Leave(0, 0)
	assert.Equal(t, []int{0, -1}, []int{received(w), received(r)})
	w.Move(writes, 0)
	w.Return(0)
	assert.Equal(t, 0, received(r))
	g.Open(0, writes, false)
	g.Leave(0, 0)
	assert.Equal(t, -1, received(w), "it is barred")
	w.Retry()
	assert.Equal(t, 0, received(w))
}

func TestQuitReturnsAGrant(t *testing.T) {
	g := open(New(1, 1, nanos))
	require.True(t, g.TryEnter(0, reads))
	w := g.Join(reads, Anywhere, nanos())
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
	assert.Equal(t, 0, received(g.Join(reads, Anywhere, nanos())))
	assert.Equal(t, 1, received(g.Join(reads, Anywhere, nanos())))
	assert.Equal(t, -1, received(g.Join(reads, Anywhere, nanos())))
}

// Nothing is estimated from what is over, or was seen for less than a second, or
// of others.
func TestEstimate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(New(2, 5, nanos))
		estimate := func(only int) []any {
			ahead, wait := g.Estimate(reads, only)
			return []any{ahead, wait.Round(time.Millisecond)}
		}
		nothing := []any{0, time.Duration(0)}
		for range 5 {
			require.True(t, g.TryEnter(0, reads))
			require.True(t, g.TryEnter(1, reads))
		}
		serve := func(many int) { // twenty a second
			for i := range many {
				time.Sleep(50 * time.Millisecond)
				g.Leave(i%2, nanos())
			}
		}
		time.Sleep(time.Hour)
		all := join(g, 89)
		assert.Equal(t, nothing, estimate(Anywhere), "nothing is known")
		serve(19)
		assert.Equal(t, nothing, estimate(Anywhere), "it is too early")
		serve(1)
		assert.Equal(t, []any{69, 3500 * time.Millisecond}, estimate(Anywhere), "the seventieth, at twenty a second")
		assert.Equal(t, nothing, estimate(1), "nobody waits for that one alone")
		time.Sleep(time.Second)
		assert.Equal(t, []any{69, 3500 * time.Millisecond}, estimate(Anywhere), "a standstill isn't the rule")
		for range 20 {
			g.Leave(0, nanos())
		}
		assert.Equal(t, []any{49, 2500 * time.Millisecond}, estimate(Anywhere))
		for range 20 {
			g.Leave(0, nanos())
		}
		assert.Equal(t, []any{29, 750 * time.Millisecond}, estimate(Anywhere), "forty in the last second")
		g.Open(1, writes, false)
		assert.Equal(t, nothing, estimate(Anywhere), "it may be slower with one node")
		for _, w := range all {
			w.Quit()
		}
		join(g, 100)
		assert.Equal(t, nothing, estimate(Anywhere), "those are others")
		g.Open(0, 0, false)
		assert.Equal(t, nothing, estimate(Anywhere), "nobody knows when a node opens")
	})
}

// With long operations a second isn't enough: all slots must have changed hands.
func TestEstimateOfSlowOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := open(New(1, 4, nanos))
		for range 4 {
			require.True(t, g.TryEnter(0, reads))
		}
		join(g, 11)
		time.Sleep(3 * time.Second)
		for range 3 {
			g.Leave(0, 1)
		}
		ahead, wait := g.Estimate(reads, Anywhere)
		assert.Equal(t, []any{0, time.Duration(0)}, []any{ahead, wait})
		g.Leave(0, 1)
		ahead, wait = g.Estimate(reads, Anywhere)
		assert.Equal(t, []any{7, 6 * time.Second}, []any{ahead, wait.Round(time.Millisecond)}, "four in three seconds")
	})
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
				if node := r.IntN(nodes); g.TryEnter(node, reads<<r.IntN(2)) {
					use(node)
					continue
				}
				w := g.Join(reads<<r.IntN(2), r.IntN(nodes+1)-1, nanos())
				if r.IntN(4) > 0 {
					select {
					case node := <-w.Granted():
						if r.IntN(4) > 0 {
							use(node)
							continue
						}
						w.Return(node)
						w.Move(reads<<r.IntN(2), Anywhere)
						w.Retry()
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
			g.Open(r.IntN(nodes), Class(r.IntN(4)), r.IntN(2) == 0)
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
			require.True(t, g.TryEnter(0, reads) || g.TryEnter(1, reads))
		}
		for i := range 1000 {
			w := g.Join(reads, Anywhere, nanos())
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
			if g.TryEnter(1, reads) {
				g.Leave(1, 0)
			}
		}
	})
}

// What every operation changes of a node is on one cache line, with nothing of another
// node's.
func TestLayout(t *testing.T) {
	var s slots
	assert.Equal(t, uintptr(64), unsafe.Offsetof(s.load)+unsafe.Sizeof(s.load))
	assert.Equal(t, uintptr(128), unsafe.Sizeof(s))
	onHeap = New(balancer.MaxCandidates, 1, nanos)
	assert.Zero(t, uintptr(unsafe.Pointer(&onHeap.nodes[0]))%64)
}

// onHeap keeps a gate from being put on the stack.
var onHeap *Gate
