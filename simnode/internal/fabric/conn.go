package fabric

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Conn is an in-memory connection made by Dial. It behaves as a TCP connection
// does: buffered, ordered, with deadlines, half-close and reset. All methods are
// safe for concurrent use. It waits only on channels, so it works in
// testing/synctest.
type Conn struct {
	pair *pair
	side int // 0 dialled, 1 accepted

	readDeadline, writeDeadline deadline
	closing                     sync.Once
	done                        chan struct{} // closed by Close

	mu     sync.Mutex
	linger int
}

var _ net.Conn = (*Conn)(nil)

func newConns(p *pair) (dialled, accepted *Conn) {
	return &Conn{pair: p, side: 0, done: make(chan struct{}), linger: -1},
		&Conn{pair: p, side: 1, done: make(chan struct{}), linger: -1}
}

func (c *Conn) in() *half  { return &c.pair.half[1-c.side] }
func (c *Conn) out() *half { return &c.pair.half[c.side] }

// Read reads what has arrived, waiting for a byte if nothing has. Errors other
// than io.EOF are *net.OpError; a reset satisfies errors.Is(err,
// syscall.ECONNRESET), a passed deadline os.ErrDeadlineExceeded, a closed
// connection net.ErrClosed.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read(p)
	if err != nil {
		err = c.opError("read", err)
	}
	return n, err
}

// A token in canRead (canWrite) tells one waiter that something may have
// changed. Whoever took a token and leaves passes it on if others would find
// something too, or if it leaves for a reason of its own: so no wake-up is lost
// and none needs an allocation.
func (c *Conn) read(p []byte) (int, error) {
	h, waited := c.in(), false
	for {
		if err := c.dead(&c.readDeadline); err != nil {
			if waited {
				signal(h.canRead)
			}
			return 0, err
		}
		if len(p) == 0 {
			return 0, nil
		}
		c.pair.mu.Lock()
		full := h.buffered() >= window
		n, again, err := h.take(p)
		more := h.readable()
		c.pair.mu.Unlock()
		if n > 0 || err != nil {
			if full && n > 0 {
				signal(h.canWrite)
			}
			if waited && more {
				signal(h.canRead)
			}
			return n, err
		}
		waited = true
		c.wait(h.canRead, &c.readDeadline, again)
	}
}

// Write hands p to the connection, waiting while its window is full. It returns
// once all of p is under way; that says nothing about the peer having read it.
// Errors are as those of Read. After the peer has closed, one more write succeeds
// and its bytes are lost, as TCP's are that the peer answers with a reset; the next
// gives syscall.EPIPE.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.write(p)
	if err != nil {
		err = c.opError("write", err)
	}
	return n, err
}

func (c *Conn) write(p []byte) (int, error) {
	h, sent, waited := c.out(), 0, false
	for {
		if err := c.dead(&c.writeDeadline); err != nil {
			if waited {
				signal(h.canWrite)
			}
			return sent, err
		}
		c.pair.mu.Lock()
		err := c.broken()
		switch {
		case err != nil || sent == len(p):
		case c.in().ended() == endClosed:
			h.refused = true // nobody reads it: the next write fails
			sent = len(p)
		default:
			k := h.put(p[sent:])
			sent += k
			if k > 0 {
				signal(h.canRead)
			}
		}
		again := c.in().gone()
		room := err != nil || h.buffered() < window
		c.pair.mu.Unlock()
		if err != nil || sent == len(p) {
			if waited && room {
				signal(h.canWrite)
			}
			return sent, err
		}
		waited = true
		c.wait(h.canWrite, &c.writeDeadline, again)
	}
}

// broken says why nothing can be written; the pair's mutex is held.
func (c *Conn) broken() error {
	if c.out().end == endSevered {
		return syscall.ECONNRESET
	}
	if c.out().end != endNone {
		return syscall.EPIPE
	}
	switch c.in().ended() {
	case endClosed:
		if c.out().refused {
			return syscall.EPIPE
		}
	case endReset, endSevered:
		return syscall.ECONNRESET
	case endNone, endWrite:
	}
	return nil
}

func (c *Conn) dead(d *deadline) error {
	if isClosed(c.done) {
		return net.ErrClosed
	}
	if d.passed() {
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *Conn) wait(token <-chan struct{}, d *deadline, again time.Time) {
	if again.IsZero() {
		select {
		case <-token:
		case <-d.wait():
		case <-c.done:
		}
		return
	}
	timer := time.NewTimer(time.Until(again))
	defer timer.Stop()
	select {
	case <-token:
	case <-d.wait():
	case <-c.done:
	case <-timer.C:
	}
}

// Close ends the connection: the peer reads what was written and then io.EOF.
// After SetLinger(0), or if bytes from the peer were left unread, the peer gets a
// reset instead, as TCP does it. The second call gives net.ErrClosed.
func (c *Conn) Close() error {
	err := error(net.ErrClosed)
	c.closing.Do(func() {
		c.close()
		err = nil
	})
	return c.opError("close", err)
}

func (c *Conn) close() {
	c.mu.Lock()
	linger := c.linger
	c.mu.Unlock()
	p := c.pair
	p.mu.Lock()
	in, out := c.in(), c.out()
	unread := in.segOff < len(in.segs) && in.here(in.segs[in.segOff].at)
	switch {
	case linger == 0:
		out.finish(endReset)
	case unread:
		// The bytes written before it still go out.
		out.finish(endClosed)
		out.end = max(out.end, endReset)
	default:
		out.finish(endClosed)
	}
	in.drop()
	p.closed[c.side] = true
	over := p.closed[0] && p.closed[1]
	p.mu.Unlock()
	close(c.done)
	c.readDeadline.stop()
	c.writeDeadline.stop()
	p.wake()
	if over {
		p.fabric.unregister(p)
	}
}

// CloseWrite ends the writing side: the peer reads io.EOF after the bytes under
// way, and can go on writing.
func (c *Conn) CloseWrite() error {
	if isClosed(c.done) {
		return c.opError("close", net.ErrClosed)
	}
	c.pair.mu.Lock()
	c.out().finish(endWrite)
	c.pair.mu.Unlock()
	c.pair.wake()
	return nil
}

// SetLinger with 0 makes Close drop what has not arrived and reset the
// connection. Any other value is the default: Close delivers in the background.
func (c *Conn) SetLinger(sec int) error {
	if isClosed(c.done) {
		return c.opError("set", net.ErrClosed)
	}
	c.mu.Lock()
	c.linger = sec
	c.mu.Unlock()
	return nil
}

// LocalAddr is the Addr of this end.
func (c *Conn) LocalAddr() net.Addr { return c.pair.addrs[c.side] }

// RemoteAddr is the Addr of the peer.
func (c *Conn) RemoteAddr() net.Addr { return c.pair.addrs[1-c.side] }

// SetDeadline sets both deadlines; see net.Conn.
func (c *Conn) SetDeadline(t time.Time) error {
	return c.setDeadline(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline sets the deadline of Read; see net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(t, &c.readDeadline) }

// SetWriteDeadline sets the deadline of Write; see net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(t, &c.writeDeadline) }

func (c *Conn) setDeadline(t time.Time, which ...*deadline) error {
	if isClosed(c.done) {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range which {
		d.set(t)
	}
	return nil
}

// opError dresses an error as package net does, so that callers treat both
// alike.
func (c *Conn) opError(op string, err error) error {
	return opError(op, c.LocalAddr(), c.RemoteAddr(), err)
}

func opError(op string, local, remote net.Addr, err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // Read's contract is io.EOF itself
		return err
	}
	if errno, ok := err.(syscall.Errno); ok { //nolint:errorlint // made here, never wrapped
		err = os.NewSyscallError(op, errno)
	}
	return &net.OpError{Op: op, Net: "fabric", Source: local, Addr: remote, Err: err}
}
