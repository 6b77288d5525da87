package pool

import (
	"container/list"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
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

	expires int64 // when it has served long enough
	used    int64 // when it was last given back
}

// Pool holds connections. Create it with New and begin with Start; its methods
// are safe for concurrent use.
type Pool[T any] struct {
	config  Config[T]
	context context.Context // of what the pool opens
	cancel  context.CancelFunc
	running sync.WaitGroup // its goroutines
	nudge   chan struct{}  // a connection was closed: fewer than MinIdle may be idle
	empty   chan struct{}  // closed when the pool is closed and has no connection left

	mu      sync.Mutex // guards the rest
	idle    []*Conn[T] // used last is last, and taken first
	total   int        // connections and those that are being opened or closed
	opening int
	lent    int
	waiting list.List // of *waiter, in the order in which they came
	closed  bool
	crowd   crowd
}

// waiter is somebody who waits because all connections are in use.
type waiter[T any] struct {
	place   *list.Element // in the queue; nil outside it
	granted chan *Conn[T] // nil: there is room to open one; closed: with the pool
}

// New returns an empty pool.
func New[T any](config Config[T]) *Pool[T] {
	p := &Pool[T]{config: config, nudge: make(chan struct{}, 1), empty: make(chan struct{})}
	p.context, p.cancel = context.WithCancel(context.Background())
	return p
}

// Take returns the idle connection that was used last, or nil. It never waits.
func (p *Pool[T]) Take(now int64) *Conn[T] {
	p.mu.Lock()
	c := p.take(now)
	p.mu.Unlock()
	return c
}

// take is Take for a holder of the mutex.
func (p *Pool[T]) take(now int64) *Conn[T] {
	for len(p.idle) > 0 {
		last := len(p.idle) - 1
		c := p.idle[last]
		p.idle[last] = nil
		p.idle = p.idle[:last]
		if now < c.expires {
			p.lent++
			return c
		}
		p.retire(c)
	}
	return nil
}

// Acquire returns an idle connection or a new one, or waits for one. What it
// returns must be given to Release or Discard. The error is ErrClosed, the
// context's, or that of Open. If the server had no room for another connection a
// moment ago, who is patient waits for one of those in use, if there is any; everybody
// else is given the server's answer again, and it isn't asked.
func (p *Pool[T]) Acquire(ctx context.Context, now int64, patient bool) (*Conn[T], error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil, ErrClosed
	}
	if c := p.take(now); c != nil {
		p.mu.Unlock()
		return c, nil
	}
	refused := p.crowd.refuses(now, p.opening)
	switch {
	case refused != nil && !(patient && p.lent > 0):
		p.mu.Unlock()
		return nil, refused
	case refused == nil && p.total < p.config.Max:
		p.total++
		p.opening++
		p.mu.Unlock()
		return p.open(ctx)
	}
	w := &waiter[T]{granted: make(chan *Conn[T], 1)}
	w.place = p.waiting.PushBack(w)
	p.mu.Unlock()
	return p.wait(ctx, w)
}

// wait waits for a connection, or for room to open one.
func (p *Pool[T]) wait(ctx context.Context, w *waiter[T]) (*Conn[T], error) {
	select {
	case c, ok := <-w.granted:
		switch {
		case !ok:
			return nil, ErrClosed
		case c == nil:
			return p.open(ctx)
		}
		return c, nil
	case <-ctx.Done():
		p.quit(w)
		return nil, ctx.Err()
	}
}

// quit leaves the queue and passes on what has been granted meanwhile.
func (p *Pool[T]) quit(w *waiter[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.place != nil {
		p.waiting.Remove(w.place)
		w.place = nil
		return
	}
	c, ok := <-w.granted // it was granted, or the pool closed, when it left the queue
	switch {
	case !ok:
	case c == nil:
		p.opening--
		p.vacate()
	default:
		p.lent--
		p.put(c)
	}
}

// open opens a connection for whoever waits for it. Its place is counted already.
// If nobody waits any more it becomes idle.
func (p *Pool[T]) open(ctx context.Context) (*Conn[T], error) {
	type result struct {
		conn *Conn[T]
		err  error
	}
	done := make(chan result) // without room: only one of the two sees the context's end
	p.running.Go(func() {     // ends with Open, which Close cuts short
		r := result{err: errNeverOpened}
		defer func() {
			select {
			case done <- r:
			case <-ctx.Done():
				if r.err == nil {
					p.Release(r.conn, r.conn.used)
				}
			}
		}()
		r.conn, r.err = p.create(context.WithoutCancel(ctx), true)
	})
	select {
	case r := <-done:
		return r.conn, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// errNeverOpened is the error of who waits for an Open that has ended its goroutine.
var errNeverOpened = errors.New("opening a connection has ended its goroutine (runtime.Goexit)")

// create opens a connection, which is lent to the caller or put into the pool. Its
// place is counted, and given up if that fails.
func (p *Pool[T]) create(ctx context.Context, lend bool) (*Conn[T], error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.context, cancel)()
	returned := false
	defer func() { // of a goroutine that Open has ended
		if !returned {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.opening--
			p.vacate()
		}
	}()
	value, err := p.config.Open(ctx)
	returned = true
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opening--
	now := p.config.Now()
	crowded := err != nil && p.config.Crowded != nil && p.config.Crowded(err)
	p.crowd.note(now, crowded, err)
	switch {
	case err != nil && p.closed:
		p.vacate()
		return nil, ErrClosed
	case crowded && p.lent > 0:
		p.total-- // there is no room for whoever waits: those in use are for him
		return nil, err
	case err != nil:
		p.vacate()
		return nil, err
	}
	age := p.config.MaxAge + time.Duration(rand.Float64()*float64(p.config.AgeJitter))
	c := &Conn[T]{Value: value, expires: now + int64(age), used: now}
	if lend {
		p.lent++
	} else {
		p.put(c)
	}
	return c, nil
}

// Release gives back a connection that may be used again. The time may be a
// little old: that of its last answer will do.
func (p *Pool[T]) Release(c *Conn[T], now int64) {
	c.used = now
	p.mu.Lock()
	p.lent--
	p.put(c)
	p.mu.Unlock()
}

// put gives a connection to the first in the queue, or makes it idle. The caller
// holds the mutex.
func (p *Pool[T]) put(c *Conn[T]) {
	switch {
	case p.closed || c.used >= c.expires:
		p.retire(c)
	case p.waiting.Len() > 0:
		p.lent++
		p.grant(c)
	default:
		p.idle = append(p.idle, c)
	}
}

// grant gives a connection, or nil for room to open one, to the first in the
// queue. The caller holds the mutex.
func (p *Pool[T]) grant(c *Conn[T]) {
	w := p.waiting.Remove(p.waiting.Front()).(*waiter[T])
	w.place = nil
	w.granted <- c // has room: it is granted once
}

// Discard gives back a connection that is to be closed.
func (p *Pool[T]) Discard(c *Conn[T]) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lent--
	p.retire(c)
}

// Weed closes the idle connections of which gone says that they are dead. While it
// looks at them nobody gets them.
func (p *Pool[T]) Weed(gone func(T) bool) {
	p.mu.Lock()
	looked := p.idle
	p.idle = nil
	p.lent += len(looked)
	p.mu.Unlock()
	for _, c := range looked {
		if gone(c.Value) {
			p.Discard(c)
		} else {
			p.Release(c, c.used)
		}
	}
}

// retire closes a connection that nobody can get any more. The caller holds the
// mutex.
func (p *Pool[T]) retire(c *Conn[T]) {
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
	if p.closed && p.total == 0 {
		close(p.empty)
	}
}

// Close closes the idle connections and, as they are given back, the others, and
// returns when all are closed. It may be called more than once.
func (p *Pool[T]) Close() {
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		p.cancel()
		for p.waiting.Len() > 0 {
			w := p.waiting.Remove(p.waiting.Front()).(*waiter[T])
			w.place = nil
			close(w.granted)
		}
		for _, c := range p.idle {
			p.retire(c)
		}
		p.idle = nil
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
	return Stat{Total: p.total, Idle: len(p.idle), Lent: p.lent}
}
