package admission

import (
	"container/list"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Class is a kind of operation that a node may be open for; a set of classes is
// their sum.
type Class uint32

// openBurst is how many of the waiting are let in at once when a node opens. The
// others follow as slots are given back and as Open is called again: a node that has
// just come back isn't overrun by everybody who waited for it.
const openBurst = 8

// holdWeight is the weight of a new sample in the mean of how long slots are held.
const holdWeight = 1.0 / 64

// Gate holds the slots of nodes, of which there is room for a fixed number. Create it with New; its methods
// are safe for concurrent use. Nodes are named by their index.
type Gate struct {
	capacity int64
	now      func() int64 // nanoseconds
	nodes    []slots
	used     atomic.Int32  // no node from here on has ever been open
	waiting  atomic.Int64  // the length of the queue
	hold     atomic.Uint64 // float64: mean seconds that a slot is held; 0 without samples

	mu    sync.Mutex // guards the queue, and grants
	queue list.List  // of *Waiter, in the order in which they came
}

// slots are one node's, on a cache line of their own: every operation changes them.
type slots struct {
	free atomic.Int64
	open atomic.Uint32 // the classes that are let in from the queue
	_    [52]byte
}

// New returns a gate with room for so many nodes, which are all closed, with capacity slots each. now
// counts nanoseconds from any point but 0.
func New(nodes, capacity int, now func() int64) *Gate {
	g := &Gate{capacity: int64(capacity), now: now, nodes: make([]slots, nodes)}
	for i := range g.nodes {
		g.nodes[i].free.Store(int64(capacity))
	}
	return g
}

// TryEnter takes a slot of a node if one is free, whether or not the node is open:
// whoever names a node has his reasons. Each success needs one Leave.
func (g *Gate) TryEnter(node int) bool {
	free := &g.nodes[node].free
	for {
		n := free.Load()
		if n <= 0 {
			return false
		}
		if free.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Leave gives back a slot that was taken at since, 0 if it wasn't used.
// It goes to the first in the queue that may use it. As long as nobody queues, the
// clock isn't read.
func (g *Gate) Leave(node int, since int64) {
	if g.waiting.Load() > 0 {
		if since != 0 {
			g.noteHold(time.Duration(g.now() - since))
		}
		if g.handOver(node) {
			return // nobody could take it in between
		}
	}
	// The slot is free before the queue is looked at, and a waiter is in the queue
	// before it looks at the slots: one of the two sees the other.
	g.nodes[node].free.Add(1)
	if g.waiting.Load() > 0 {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.grant(node, 1)
	}
}

// handOver gives a held slot of a node to the first in the queue that wants it.
func (g *Gate) handOver(node int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	open := Class(g.nodes[node].open.Load())
	for e := g.queue.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*Waiter); w.wants(node, open) {
			g.remove(w)
			w.granted <- node // has room: it is granted once
			return true
		}
	}
	return false
}

// noteHold follows the mean. Two at the same moment may lose a sample.
func (g *Gate) noteHold(held time.Duration) {
	mean := math.Float64frombits(g.hold.Load())
	if mean == 0 {
		mean = held.Seconds()
	}
	g.hold.Store(math.Float64bits(mean + (held.Seconds()-mean)*holdWeight))
}

// Open says which classes of the queue a node takes from now on; 0 closes it. Those
// that hold its slots keep them. Each call lets some of the waiting in, if there are
// free slots.
func (g *Gate) Open(node int, classes Class) {
	g.nodes[node].open.Store(uint32(classes))
	for used := g.used.Load(); int(used) <= node && !g.used.CompareAndSwap(used, int32(node)+1); {
		used = g.used.Load()
	}
	if classes == 0 || g.waiting.Load() == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grant(node, openBurst)
}

// grant gives free slots of a node to the queue, at most so many. The caller holds
// the mutex.
func (g *Gate) grant(node, most int) {
	open := Class(g.nodes[node].open.Load())
	for e := g.queue.Front(); e != nil && most > 0; {
		w, next := e.Value.(*Waiter), e.Next()
		if w.wants(node, open) {
			if !g.TryEnter(node) {
				return
			}
			g.remove(w)
			w.granted <- node // has room: it is granted once
			most--
		}
		e = next
	}
}

// Waiter is one place in the queue. Its methods are for one goroutine.
type Waiter struct {
	gate    *Gate
	class   Class
	only    int
	granted chan int
	place   *list.Element // in the queue; nil outside it
}

// Anywhere is what Join takes if any node will do.
const Anywhere = -1

// Join queues for a slot, of one node only or Anywhere. Leave the queue with Quit.
func (g *Gate) Join(class Class, only int) *Waiter {
	w := &Waiter{gate: g, class: class, only: only, granted: make(chan int, 1)}
	g.mu.Lock()
	defer g.mu.Unlock()
	w.place = g.queue.PushBack(w)
	g.waiting.Add(1)
	for node := range int(g.used.Load()) { // slots that became free since the caller looked
		if w.place != nil && g.nodes[node].free.Load() > 0 {
			g.grant(node, 1)
		}
	}
	return w
}

// Granted returns the channel on which the node comes whose slot is taken. The
// slot needs one Leave.
func (w *Waiter) Granted() <-chan int { return w.granted }

// Quit leaves the queue. If a slot was granted and not received, it is returned
// with true and needs a Leave.
func (w *Waiter) Quit() (node int, granted bool) {
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	if w.place != nil {
		w.gate.remove(w)
	}
	select {
	case node = <-w.granted:
		return node, true
	default:
		return 0, false
	}
}

// wants reports whether a slot of a node, open for some classes, helps w.
func (w *Waiter) wants(node int, open Class) bool {
	return open&w.class != 0 && (w.only == Anywhere || w.only == node)
}

// remove takes w out of the queue. The caller holds the mutex.
func (g *Gate) remove(w *Waiter) {
	g.queue.Remove(w.place)
	w.place = nil
	g.waiting.Add(-1)
}

// Waiting returns the length of the queue.
func (g *Gate) Waiting() int { return int(g.waiting.Load()) }

// InUse returns how many slots of a node are held.
func (g *Gate) InUse(node int) int { return int(g.capacity - g.nodes[node].free.Load()) }

// Estimate returns how long one more in the queue would wait, from its length, the
// slots of the nodes that are open for its class, and the mean time that slots are
// held; zero as long as nothing is known.
func (g *Gate) Estimate(class Class) time.Duration {
	mean, open := math.Float64frombits(g.hold.Load()), int64(0)
	for i := range g.used.Load() {
		if Class(g.nodes[i].open.Load())&class != 0 {
			open += g.capacity
		}
	}
	if open == 0 {
		return 0
	}
	return time.Duration(float64(g.waiting.Load()+1) * mean / float64(open) * float64(time.Second))
}
