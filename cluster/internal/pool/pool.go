package pool

import (
	"container/list"
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is the error of a pool after Close.
var ErrClosed = errors.New("the pool is closed")

// Config says what a pool holds and for how long. Every field is required but
// MinIdle and AgeJitter.
type Config[T any] struct {
	// Open opens a connection, in a goroutine of its own. The context has the
	// values of whoever wants the connection, but ends only with the pool: one that
	// nobody waits for any more is kept for the next.
	Open func(context.Context) (T, error)
	// Close closes a connection, in a goroutine of its own. Until it returns the
	// connection counts, so it must end by itself.
	Close func(T)
	// Crowded reports whether an error of Open says that the server has no room for
	// another connection; nil means that none does.
	Crowded func(error) bool
	// Max bounds the connections, MinIdle says how many are kept idle if Max leaves
	// room for them.
	Max, MinIdle int
	// MaxAge is when a connection is closed once it is idle, plus up to AgeJitter by
	// chance, so that those opened together aren't closed together.
	MaxAge, AgeJitter time.Duration
	// MaxIdle is how long a connection is kept that nobody uses.
	MaxIdle time.Duration
	// Now counts nanoseconds from any point but 0. All times are read from it.
	Now func() int64
}

// Conn is one connection. It belongs to the pool, or to whoever has taken it.
type Conn[T any] struct {
	// Value is what Open returned.
	Value T

	expires int64        // when it has served long enough
	idle    atomic.Int64 // when it was last given back; 0 while somebody has it
	_       [40]byte     // with a pointer for a value it has a cache line to itself
}

// claim takes the connection if it is idle, and returns since when it was; 0 if it
// isn't, or somebody was faster.
func (c *Conn[T]) claim() (since int64) {
	if since = c.idle.Load(); since != 0 && !c.idle.CompareAndSwap(since, 0) {
		return 0
	}
	return since
}

// Pool holds connections. Create it with New and begin with Start; its methods
// are safe for concurrent use.
//
// Whoever gives a connection back leaves it with the processor that he runs on, and
// whoever wants one looks there first. As long as each finds what he has left, neither
// takes the mutex or writes to memory that another processor needs, and what belongs to
// the connection is in that processor's caches.
type Pool[T any] struct {
	config  Config[T]
	context context.Context // of what the pool opens
	cancel  context.CancelFunc
	running sync.WaitGroup // its goroutines
	nudge   chan struct{}  // a connection was closed: fewer than MinIdle may be idle
	empty   chan struct{}  // closed when the pool is closed and has no connection left

	near   sync.Pool    // of *Conn[T], given back on the same processor; each may be in use again, or closed
	queued atomic.Int32 // who waits, or is about to; changed by holders of the mutex
	closed atomic.Bool  // the same
	_      [64]byte     // every use of the mutex changes what follows, and none what precedes

	mu      sync.Mutex // guards the rest
	conns   []*Conn[T] // that are open, idle or in use
	total   int        // and with them those that are being opened or closed
	opening int
	waiting list.List // of *waiter, in the order in which they came
	crowd   crowd
}

// New returns an empty pool.
func New[T any](config Config[T]) *Pool[T] {
	p := &Pool[T]{config: config, nudge: make(chan struct{}, 1), empty: make(chan struct{})}
	p.context, p.cancel = context.WithCancel(context.Background())
	return p
}

// Release gives back a connection that may be used again. The time may be a
// little old: that of its last answer will do.
func (p *Pool[T]) Release(c *Conn[T], now int64) {
	if now >= c.expires {
		p.Discard(c)
		return
	}
	c.idle.Store(now)
	if p.undisputed() {
		p.near.Put(c)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(now)
}

// put is Release for a holder of the mutex.
func (p *Pool[T]) put(c *Conn[T], now int64) {
	if now >= c.expires {
		p.retire(c)
		return
	}
	c.idle.Store(now)
	p.settle(now)
}

// settle sees to the idle connections that nobody may keep: those who wait get them,
// and a closed pool closes them. The caller holds the mutex.
func (p *Pool[T]) settle(now int64) {
	if !p.closed.Load() {
		p.serve(now)
		return
	}
	for _, c := range p.claimIdle() {
		p.retire(c.conn)
	}
}

// claimed is a connection that was idle since then.
type claimed[T any] struct {
	conn  *Conn[T]
	since int64
}

// claimIdle takes all idle connections. The caller holds the mutex.
func (p *Pool[T]) claimIdle() []claimed[T] {
	var out []claimed[T]
	for _, c := range p.conns {
		if since := c.claim(); since != 0 {
			out = append(out, claimed[T]{c, since})
		}
	}
	return out
}

// Discard gives back a connection that is to be closed.
func (p *Pool[T]) Discard(c *Conn[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.retire(c)
}

// Weed closes the idle connections of which gone says that they are dead. While it
// looks at them nobody gets them.
func (p *Pool[T]) Weed(gone func(T) bool) {
	p.mu.Lock()
	looked := p.claimIdle()
	p.mu.Unlock()
	for _, c := range looked {
		if gone(c.conn.Value) {
			p.Discard(c.conn)
		} else {
			p.Release(c.conn, c.since)
		}
	}
}

// retire closes a connection that is in use, by whoever has it. The caller holds the
// mutex.
func (p *Pool[T]) retire(c *Conn[T]) {
	i := slices.Index(p.conns, c)
	p.conns = slices.Delete(p.conns, i, i+1)
	p.running.Go(func() { // ends when the connection is closed
		p.config.Close(c.Value)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.vacate()
		if p.config.MinIdle == 0 {
			return
		}
		select {
		case p.nudge <- struct{}{}:
		default: // it is under way
		}
	})
}

// vacate gives up the place of a connection: there is room for another one. The
// caller holds the mutex.
func (p *Pool[T]) vacate() {
	if p.waiting.Len() > 0 {
		p.opening++
		p.grant(nil)
		return
	}
	p.total--
	if p.closed.Load() && p.total == 0 {
		close(p.empty)
	}
}

// Close closes the idle connections and, as they are given back, the others, and
// returns when all are closed. It may be called more than once.
func (p *Pool[T]) Close() {
	p.mu.Lock()
	if !p.closed.Load() {
		p.closed.Store(true)
		p.cancel()
		for p.waiting.Len() > 0 {
			w := p.waiting.Front().Value.(*waiter[T])
			p.dequeue(w)
			close(w.granted)
		}
		p.settle(0)
		if p.total == 0 {
			close(p.empty)
		}
	}
	p.mu.Unlock()
	<-p.empty
	p.running.Wait()
}

// Stat is a snapshot of a pool's connections.
type Stat struct {
	// Total counts all of them, with those that are being opened or closed; Idle
	// those that can be taken; Lent those that have been taken.
	Total, Idle, Lent int
}

// Stat returns a snapshot.
func (p *Pool[T]) Stat() Stat {
	p.mu.Lock()
	defer p.mu.Unlock()
	idle := p.idle()
	return Stat{Total: p.total, Idle: idle, Lent: len(p.conns) - idle}
}

// idle counts the idle connections. The caller holds the mutex.
func (p *Pool[T]) idle() int {
	n := 0
	for _, c := range p.conns {
		if c.idle.Load() != 0 {
			n++
		}
	}
	return n
}
