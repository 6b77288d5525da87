package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

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
					p.Release(r.conn, p.config.Now())
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
	case err != nil && p.closed.Load():
		p.vacate()
		return nil, ErrClosed
	case crowded && len(p.conns) > 0:
		p.total-- // there is no room for whoever waits: those in use are for him
		return nil, err
	case err != nil:
		p.vacate()
		return nil, err
	}
	age := p.config.MaxAge + time.Duration(rand.Float64()*float64(p.config.AgeJitter))
	c := &Conn[T]{Value: value, expires: now + int64(age)}
	p.conns = append(p.conns, c)
	if !lend {
		p.put(c, now)
	}
	return c, nil
}

// Grow opens one more idle connection, if there is room for one and fewer than
// MinIdle are idle.
func (p *Pool[T]) Grow(ctx context.Context) error {
	p.mu.Lock()
	if p.closed.Load() || p.crowd.refuses(p.config.Now(), p.opening) != nil || p.total >= p.config.Max || p.idle()+p.opening >= p.config.MinIdle {
		p.mu.Unlock()
		return nil
	}
	p.total++
	p.opening++
	p.mu.Unlock()
	_, err := p.create(ctx, false)
	return err
}
