package socket

import (
	"context"
	"errors"
	"sync"
	"time"
)

// closePatience is how long anybody waits for a transport's Close. One to a server
// that is well returns within a round trip; a user's own transport may take as long as
// it likes, which is no reason to keep a place in the pool, or a prober.
const closePatience = time.Second

// errSlowClose is the error of a Close that nobody waits for any longer.
var errSlowClose = errors.New("the connection's Close hasn't returned after a second")

// past is a deadline that is over.
var past = time.Unix(1, 0)

// ending is the end of a connection. A dial function may return a transport whose
// methods block, so they are called on a goroutine of their own.
type ending struct {
	once    sync.Once
	done    chan struct{} // closed when the transport's Close has returned
	err     error         // what it returned
	limited context.Context
	relieve context.CancelFunc // ends limited early
}

func newEnding() ending { return ending{done: make(chan struct{})} }

// Close forgets the socket and closes it. It waits for a second at most, and not at
// all once the connection was cut: the transport is closed in the background then.
func (c *Conn) Close() error {
	c.end()
	<-c.ending.limited.Done()
	select {
	case <-c.ending.done:
		return c.ending.err
	default:
	}
	if c.cutByUs.Load() {
		return ErrCut
	}
	return errSlowClose
}

// Reset ends the connection without waiting for it. Every Read and Write from now on
// fails with ErrCut, and so do those under way, as soon as the transport heeds a
// deadline that is over or its Close. It is closed with an RST where it knows one, so
// that neither side lingers. Whoever waits in Close is released.
func (c *Conn) Reset() {
	c.cutByUs.Store(true)
	c.end()
	c.ending.relieve()
}

// end begins to close the transport, once.
func (c *Conn) end() {
	c.ending.once.Do(func() {
		e := &c.ending
		e.limited, e.relieve = context.WithTimeout(context.Background(), closePatience)
		c.owner.part(c)
		go c.shut() // ends with the transport's Close, for which Wait waits
	})
}

// shut closes the transport.
func (c *Conn) shut() {
	defer c.owner.forget(c)
	defer c.ending.relieve()
	defer close(c.ending.done)
	if c.cutByUs.Load() {
		if l, ok := c.Conn.(interface{ SetLinger(sec int) error }); ok {
			_ = l.SetLinger(0) // best effort: the Close below is what matters
		}
		_ = c.Conn.SetDeadline(past) // whoever is in a Read or Write needn't wait for the Close
	}
	c.ending.err = c.Conn.Close()
}

// SetDeadline sets both deadlines, unless the connection was cut.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadline(c.Conn.SetDeadline, t) }

// SetReadDeadline sets the deadline of Read, unless the connection was cut.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(c.Conn.SetReadDeadline, t) }

// SetWriteDeadline sets the deadline of Write, unless the connection was cut.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(c.Conn.SetWriteDeadline, t) }

// setDeadline keeps a cut's deadline, also if that comes at the same time.
func (c *Conn) setDeadline(set func(time.Time) error, t time.Time) error {
	if c.cutByUs.Load() {
		return ErrCut
	}
	err := set(t)
	if c.cutByUs.Load() {
		_ = set(past) // it may have undone the cut's
		return ErrCut
	}
	return err
}

// part takes a socket out of those that are open.
func (t *Set) part(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.open, c)
	t.closing[c] = struct{}{}
}

// forget notes that a socket is closed.
func (t *Set) forget(c *Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.closing, c)
}

// Wait waits until every socket is closed whose end has begun, or the context ends. It
// returns how many aren't.
func (t *Set) Wait(ctx context.Context) int {
	t.mu.Lock()
	sockets := make([]*Conn, 0, len(t.closing))
	for s := range t.closing {
		sockets = append(sockets, s)
	}
	t.mu.Unlock()
	left := 0
	for _, s := range sockets {
		select {
		case <-s.ending.done:
		case <-ctx.Done():
			select {
			case <-s.ending.done:
			default:
				left++
			}
		}
	}
	return left
}
