package fabric

import (
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// wrapped is a real connection under the fabric's faults. It stands at the
// node's end: what it reads came from the client.
type wrapped struct {
	net.Conn
	fabric       *Fabric
	client, node Addr
	in, out      *link

	readDeadline, writeDeadline deadline
	closing                     sync.Once
	done                        chan struct{}
	severed                     atomic.Bool

	reading chan struct{} // token of the one reader
	held    []byte        // read from Conn and not given out; the reader's
	heldErr error
	heldAt  time.Time
}

// WrapConn subjects a real connection, accepted at node from client, to the
// faults of the links between them and of both addresses. A black hole or a
// freeze holds what is read and what is written; a reset closes conn with a RST;
// latency delays each Read's and each Write's bytes, so a client that pipelines
// is slowed a little more than on a real link of that latency. The connection of
// a node that is down is reset at once.
//
// Closing the result closes conn; Close has a RST sent after SetLinger(0).
func (f *Fabric) WrapConn(conn net.Conn, client, node Addr) net.Conn {
	w := &wrapped{
		Conn: conn, fabric: f, client: client, node: node,
		in: f.link(client, node), out: f.link(node, client),
		done: make(chan struct{}), reading: make(chan struct{}, 1),
	}
	if !f.register(w) {
		w.sever()
	}
	return w
}

func (w *wrapped) ends() (a, b Addr) { return w.client, w.node }

// wake does nothing: waiters look at Fabric.changes.
func (w *wrapped) wake() {}

func (w *wrapped) sever() {
	w.severed.Store(true)
	_ = w.SetLinger(0)
	_ = w.Close()
}

// SetLinger with 0 makes Close send a RST. Connections without such a thing
// ignore it.
func (w *wrapped) SetLinger(sec int) error {
	if c, ok := w.Conn.(interface{ SetLinger(sec int) error }); ok {
		return c.SetLinger(sec)
	}
	return nil
}

// CloseWrite sends a FIN where the connection can.
func (w *wrapped) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return w.opError("close", syscall.ENOTSUP)
}

// Close closes the connection and frees whoever waits in it.
func (w *wrapped) Close() error {
	err := w.opError("close", net.ErrClosed)
	w.closing.Do(func() {
		close(w.done)
		w.readDeadline.stop()
		w.writeDeadline.stop()
		w.fabric.unregister(w)
		err = w.Conn.Close()
	})
	return err
}

// Read is net.Conn's; see WrapConn for what faults do to it.
func (w *wrapped) Read(p []byte) (int, error) {
	n, err := w.read(p)
	if err != nil && w.severed.Load() {
		err = w.opError("read", syscall.ECONNRESET)
	}
	return n, err
}

func (w *wrapped) read(p []byte) (int, error) {
	select {
	case w.reading <- struct{}{}:
		defer func() { <-w.reading }()
	case <-w.readDeadline.wait():
		return 0, w.opError("read", os.ErrDeadlineExceeded)
	case <-w.done:
		return 0, w.opError("read", net.ErrClosed)
	}
	if len(w.held) == 0 && w.heldErr == nil {
		n, err := w.Conn.Read(p)
		if isTimeout(err) || w.in.plain.Load() && !w.in.stalled.Load() {
			return n, err
		}
		// Bytes that came while they must not be seen: they wait here, and stay
		// if the deadline passes first.
		w.held, w.heldErr = append(w.held[:0], p[:n]...), err
		w.heldAt = time.Now().Add(w.in.segment())
	}
	if err := w.pass("read", w.in, &w.readDeadline, w.heldAt); err != nil {
		return 0, err
	}
	n := copy(p, w.held)
	if w.held = w.held[n:]; len(w.held) > 0 {
		return n, nil
	}
	err := w.heldErr
	w.heldErr = nil
	return n, err
}

// Write is net.Conn's; see WrapConn for what faults do to it.
func (w *wrapped) Write(p []byte) (int, error) {
	var at time.Time
	if !w.out.plain.Load() {
		at = time.Now().Add(w.out.segment())
	}
	n, err := 0, w.pass("write", w.out, &w.writeDeadline, at)
	if err == nil {
		n, err = w.Conn.Write(p)
	}
	if err != nil && w.severed.Load() {
		err = w.opError("write", syscall.ECONNRESET)
	}
	return n, err
}

// pass waits until at, and on until the link isn't stalled.
func (w *wrapped) pass(op string, l *link, d *deadline, at time.Time) error {
	if at.IsZero() && !l.stalled.Load() {
		return nil
	}
	var due <-chan time.Time
	if wait := time.Until(at); !at.IsZero() && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	for {
		changes := w.fabric.changes()
		if due == nil && !l.stalled.Load() {
			return nil
		}
		select {
		case <-due:
			due = nil
		case <-changes:
		case <-d.wait():
			return w.opError(op, os.ErrDeadlineExceeded)
		case <-w.done:
			return w.opError(op, net.ErrClosed)
		}
	}
}

// SetDeadline sets both deadlines; see net.Conn.
func (w *wrapped) SetDeadline(t time.Time) error {
	w.readDeadline.set(t)
	w.writeDeadline.set(t)
	return w.Conn.SetDeadline(t)
}

// SetReadDeadline sets the deadline of Read; see net.Conn.
func (w *wrapped) SetReadDeadline(t time.Time) error {
	w.readDeadline.set(t)
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline sets the deadline of Write; see net.Conn.
func (w *wrapped) SetWriteDeadline(t time.Time) error {
	w.writeDeadline.set(t)
	return w.Conn.SetWriteDeadline(t)
}

func (w *wrapped) opError(op string, err error) error {
	return opError(op, w.LocalAddr(), w.RemoteAddr(), err)
}

func isTimeout(err error) bool {
	ne, ok := err.(net.Error) //nolint:errorlint // straight from package net
	return ok && ne.Timeout()
}
