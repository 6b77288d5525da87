package admission

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/balancer"
)

// Class is a kind of operation that a node may be open for; a set of classes is
// their sum.
type Class uint32

// A node that has just come back isn't overrun by everybody who waited for it: the
// queue may take openBurst of its slots at once and openRate more each second. It is
// the pace at which such a node is dialed, so nobody holds a slot and waits for a
// connection.
const (
	openBurst = 8
	openRate  = 50
)

// Gate holds the slots of nodes, of which there is room for a fixed number, and the
// queue. Create it with New; its methods are safe for concurrent use. Nodes are named
// by their index.
type Gate struct {
	capacity int64
	now      func() int64 // nanoseconds
	nodes    []slots
	waiting  atomic.Int64 // the length of the queue

	mu      sync.Mutex // guards the rest, and the queue's part of the nodes
	used    int        // no node from here on has ever been open
	lines   map[key]*line
	tickets uint64 // given out
}

// slots are one node's. Every operation changes what the first cache line holds, and
// none what the second does.
type slots struct {
	free atomic.Int64
	load balancer.Load

	// Guarded by the gate's mutex.
	open   Class // the classes that are let in from the queue
	eased  bool  // it has come back a short time ago
	opened int64 // when
	burst  int64 // slots that might be in use then
	_      [64 - 8 - 8 - 8]byte
}

// New returns a gate with room for so many nodes, which are all closed, with capacity
// slots each. now counts nanoseconds from any point but 0.
func New(nodes, capacity int, now func() int64) *Gate {
	g := &Gate{capacity: int64(capacity), now: now, nodes: make([]slots, nodes), lines: make(map[key]*line)}
	for i := range g.nodes {
		g.nodes[i].free.Store(int64(capacity))
	}
	return g
}

// TryEnter takes a slot of a node for an operation of a class, if one is free and
// nobody in the queue wants it. The node needn't be open: whoever names a node has his
// reasons, and may know sooner that it is. Each success needs one Leave.
func (g *Gate) TryEnter(node int, class Class) bool {
	s := &g.nodes[node]
	if g.waiting.Load() == 0 {
		return s.take()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.first(node, s.open|class) == nil && s.take()
}

// take takes a free slot.
func (s *slots) take() bool {
	for {
		n := s.free.Load()
		if n <= 0 {
			return false
		}
		if s.free.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Leave gives back a slot that was taken at since, 0 if it wasn't used. It goes to
// the first in the queue that may use it.
func (g *Gate) Leave(node int, since int64) {
	// The slot is free before the queue is looked at, and a waiter is in the queue
	// before it looks at the slots: one of the two sees the other.
	g.nodes[node].free.Add(1)
	if g.waiting.Load() == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := &g.nodes[node]; s.eased && since != 0 && since < s.opened {
		s.burst = max(s.burst-1, openBurst) // it was in use before, and makes no room
	}
	g.serve(node)
}

// Open says which classes of the queue a node takes from now on; 0 closes it. Those
// that hold its slots keep them. One that has come back a short time ago is eased:
// until Open says otherwise it takes the queue in step by step, each call one step.
func (g *Gate) Open(node int, classes Class, eased bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.used = max(g.used, node+1)
	s := &g.nodes[node]
	if eased && (!s.eased || s.open == 0) {
		s.opened, s.burst = g.now(), int64(g.InUse(node))+openBurst
	}
	if s.open != classes {
		g.forget() // they may be faster or slower from now on
	}
	s.open, s.eased = classes, eased
	g.serve(node)
}

// room reports whether the queue may take another slot of a node. The caller holds
// the mutex.
func (g *Gate) room(node int) bool {
	s := &g.nodes[node]
	if s.free.Load() <= 0 {
		return false
	}
	if !s.eased {
		return true
	}
	return int64(g.InUse(node)) < s.burst+(g.now()-s.opened)*openRate/int64(time.Second)
}

// serve gives the free slots of a node to the queue. The caller holds the mutex.
func (g *Gate) serve(node int) {
	for g.waiting.Load() > 0 && g.room(node) {
		w := g.first(node, g.nodes[node].open)
		if w == nil || !g.nodes[node].take() {
			return
		}
		g.remove(w)
		g.lines[w.key].served(g)
		w.granted <- node // has room: it is granted once
	}
}

// serveAll is serve for all nodes. The caller holds the mutex.
func (g *Gate) serveAll() {
	for node := range g.used {
		g.serve(node)
	}
}

// Load returns the place of a node's load. The gate does nothing with it: processors
// that work for one node at the same time fetch one cache line from each other
// instead of two if it stands beside the node's slots.
func (g *Gate) Load(node int) *balancer.Load { return &g.nodes[node].load }

// Waiting returns the length of the queue.
func (g *Gate) Waiting() int { return int(g.waiting.Load()) }

// InUse returns how many slots of a node are held.
func (g *Gate) InUse(node int) int { return int(g.capacity - g.nodes[node].free.Load()) }
