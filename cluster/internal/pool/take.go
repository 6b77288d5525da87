package pool

import (
	"container/list"
	"context"
	"math"
	"time"
)

// waiter is somebody who waits because all connections are in use.
type waiter[T any] struct {
	place   *list.Element // in the queue; nil outside it
	granted chan *Conn[T] // nil: there is room to open one; closed: with the pool
}

// nearFor is how long after it was given back a connection is taken again by its
// processor without a look at the others. Where many statements run at the same time
// the next one comes within microseconds. Where few do, the connection that was used last
// is taken, so that the others grow old.
const nearFor = time.Millisecond

// Take returns an idle connection, or nil if there is none for anybody but those who
// wait: one that this processor has used a moment ago, or else the one that was used
// last. It never waits.
func (p *Pool[T]) Take(now int64) *Conn[T] {
	if p.undisputed() {
		if c := p.takeNear(now); c != nil {
			return c
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.take(now)
}

// undisputed reports whether idle connections are for whoever comes: nobody waits for
// one, and the pool isn't closed.
func (p *Pool[T]) undisputed() bool { return p.queued.Load() == 0 && !p.closed.Load() }

// takeNear is Take for what this processor has used a moment ago.
func (p *Pool[T]) takeNear(now int64) *Conn[T] {
	for {
		c, _ := p.near.Get().(*Conn[T])
		if c == nil || now-c.idle.Load() < int64(nearFor) && now < c.expires && c.claim() != 0 {
			return c
		}
	}
}

// take is Take for a holder of the mutex.
func (p *Pool[T]) take(now int64) *Conn[T] {
	if p.serve(now); p.waiting.Len() > 0 || p.closed.Load() {
		return nil
	}
	return p.newest(now)
}

// newest takes the idle connection that was used last, or returns nil. The caller holds
// the mutex.
func (p *Pool[T]) newest(now int64) *Conn[T] {
	for {
		var newest *Conn[T]
		last := int64(math.MinInt64)
		for _, c := range p.conns {
			if since := c.idle.Load(); since != 0 && since >= last {
				newest, last = c, since
			}
		}
		switch {
		case newest == nil:
			return nil
		case !newest.idle.CompareAndSwap(last, 0): // somebody was faster
		case now < newest.expires:
			return newest
		default:
			p.retire(newest)
		}
	}
}

// serve gives idle connections to those who wait. The caller holds the mutex.
func (p *Pool[T]) serve(now int64) {
	for p.waiting.Len() > 0 {
		c := p.newest(now)
		if c == nil {
			return
		}
		p.grant(c)
	}
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
	c, w, err := p.request(now, patient)
	switch {
	case c != nil || err != nil:
		return c, err
	case w != nil:
		return p.wait(ctx, w)
	}
	return p.open(ctx)
}

// request takes an idle connection, a place in the queue, or, if it returns neither,
// room to open a connection.
func (p *Pool[T]) request(now int64, patient bool) (*Conn[T], *waiter[T], error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Load() {
		return nil, nil, ErrClosed
	}
	// Whoever gives a connection back makes it idle before he looks for a queue, and
	// here the queue is announced before idle ones are looked for: one of the two sees
	// the other.
	p.queued.Add(1)
	if c := p.take(now); c != nil {
		p.queued.Add(-1)
		return c, nil, nil
	}
	refused := p.crowd.refuses(now, p.opening)
	switch {
	case refused != nil && !(patient && len(p.conns) > 0):
		p.queued.Add(-1)
		return nil, nil, refused
	case refused == nil && p.total < p.config.Max:
		p.queued.Add(-1)
		p.total++
		p.opening++
		return nil, nil, nil
	}
	w := &waiter[T]{granted: make(chan *Conn[T], 1)}
	w.place = p.waiting.PushBack(w)
	return nil, w, nil
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
		p.dequeue(w)
		return
	}
	c, ok := <-w.granted // it was granted, or the pool closed, when it left the queue
	switch {
	case !ok:
	case c == nil:
		p.opening--
		p.vacate()
	default:
		p.put(c, p.config.Now())
	}
}

// grant gives a connection, or nil for room to open one, to the first in the
// queue. The caller holds the mutex.
func (p *Pool[T]) grant(c *Conn[T]) {
	w := p.waiting.Front().Value.(*waiter[T])
	p.dequeue(w)
	w.granted <- c // has room: it is granted once
}

// dequeue takes somebody out of the queue. The caller holds the mutex.
func (p *Pool[T]) dequeue(w *waiter[T]) {
	p.waiting.Remove(w.place)
	w.place = nil
	p.queued.Add(-1)
}
