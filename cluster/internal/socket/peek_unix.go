//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package socket

import (
	"errors"
	"syscall"
)

// peeker looks at a kernel socket without reading from it. It keeps its
// closure, so that a look allocates nothing.
type peeker struct {
	buf  [1]byte
	n    int
	err  error
	look func(fd uintptr)
}

func (p *peeker) init() {
	p.look = func(fd uintptr) {
		p.n, _, p.err = syscall.Recvfrom(int(fd), p.buf[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	}
}

// Blind reports that Gone can't see whether the server has closed the connection: it
// isn't a socket of the system's.
func (c *Conn) Blind() bool { return c.raw == nil }

// Gone reports whether the server has closed an idle connection or left a
// final error message on it. False where that can't be seen. A farewell under
// TLS is encrypted and can't be told from other records; it is found by the
// read that follows.
func (c *Conn) Gone(encrypted bool) bool {
	if c.cutByUs.Load() {
		return true
	}
	if c.raw == nil {
		return false
	}
	c.peek.n, c.peek.err = 0, nil
	// Control, not Read: pgx may have a read of its own pending in the
	// background, and Read would wait for that one to end.
	if err := c.raw.Control(c.peek.look); err != nil {
		return true
	}
	switch {
	case errors.Is(c.peek.err, syscall.EAGAIN), errors.Is(c.peek.err, syscall.EINTR):
		return false
	case c.peek.err != nil || c.peek.n == 0:
		return true
	default:
		// An idle connection may carry notices, notifications and changed
		// settings; an ErrorResponse on it is always the server's farewell.
		// Under TLS one can't be told from the other. The farewell is by far
		// the more frequent, and a connection too many closed costs a dial,
		// while a write sent into a dead one has an unknown outcome.
		return encrypted || c.peek.buf[0] == 'E'
	}
}
