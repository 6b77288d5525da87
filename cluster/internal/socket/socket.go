package socket

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anywriter/anywriter/health"
)

// ErrCut is the reason that reads and writes report on a socket which the
// cluster closed because it declared the node down. It wraps net.ErrClosed,
// which is what the kernel would have said.
var ErrCut = fmt.Errorf("connection cut because its node was declared down: %w", net.ErrClosed)

// Conn is one tracked network connection to a node. Its counter is the flush
// record: the bytes that left the process, whatever pgx believes.
type Conn struct {
	net.Conn
	owner *Set
	raw   syscall.RawConn // nil where the connection isn't a kernel socket
	peek  peeker
	beat  *health.Beat // of the node's Pulse

	sent    atomic.Int64 // bytes written since the dial
	heard   atomic.Int64 // when bytes last came, a time.Duration since the pulse's base
	broken  atomic.Bool  // a write failed: later farewell bytes don't count
	ready   atomic.Bool  // a session is open on it
	cutByUs atomic.Bool
	ending  ending
}

// Read reads from the node and notes the proof of life.
func (c *Conn) Read(b []byte) (int, error) {
	if c.cutByUs.Load() {
		return 0, ErrCut
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.heard.Store(int64(c.beat.Touch()))
	}
	if err != nil && c.cutByUs.Load() {
		return n, ErrCut
	}
	return n, err
}

// Write writes to the node and records the bytes that left. After a failed
// write nothing is counted any more: pgx sends a farewell on such a
// connection, and the farewell isn't the statement.
func (c *Conn) Write(b []byte) (int, error) {
	if c.cutByUs.Load() {
		c.broken.Store(true)
		return 0, ErrCut
	}
	n, err := c.Conn.Write(b)
	if n > 0 && !c.broken.Load() {
		c.sent.Add(int64(n))
	}
	if err == nil {
		return n, nil
	}
	c.broken.Store(true)
	if c.cutByUs.Load() {
		return n, ErrCut
	}
	return n, err
}

// Sent returns the number of bytes written since the dial, without those after
// a failed write.
func (c *Conn) Sent() int64 { return c.sent.Load() }

// Heard returns when bytes last came, as the time since the base of the node's Pulse;
// 0 if none did.
func (c *Conn) Heard() time.Duration { return time.Duration(c.heard.Load()) }

// Cut reports whether this side has ended the connection.
func (c *Conn) Cut() bool { return c.cutByUs.Load() }

// Set is every socket of one purpose (traffic, or the prober) to one
// node, and the dials in progress.
type Set struct {
	dialer func(ctx context.Context, network, address string) (net.Conn, error)
	slots  chan struct{} // one token per dial in progress
	pulse  *health.Pulse // node-wide: notes every byte that comes in
	pace   pace
	opened atomic.Int64

	mu      sync.Mutex
	refused error // non-nil: dials fail with it
	open    map[*Conn]struct{}
	closing map[*Conn]struct{} // those whose Close hasn't returned
	dialing map[*context.CancelFunc]struct{}
}

// New returns an empty set that dials with dialer, maxDials at a time, and
// touches pulse with every byte that comes in.
func New(dialer func(ctx context.Context, network, address string) (net.Conn, error), maxDials int, pulse *health.Pulse) *Set {
	return &Set{
		dialer:  dialer,
		slots:   make(chan struct{}, maxDials),
		pulse:   pulse,
		open:    make(map[*Conn]struct{}),
		closing: make(map[*Conn]struct{}),
		dialing: make(map[*context.CancelFunc]struct{}),
	}
}

// Dial opens a tracked connection. It fails at once while the set is cut, also
// when the cut comes during the dial.
func (t *Set) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := t.startDial(&cancel); err != nil {
		return nil, err
	}
	defer t.endDial(&cancel)
	select {
	case t.slots <- struct{}{}:
		defer func() { <-t.slots }()
	case <-ctx.Done():
		return nil, t.dialError(ctx.Err())
	}
	if err := t.pace.wait(ctx); err != nil {
		return nil, t.dialError(err)
	}
	conn, err := t.dialer(ctx, network, address)
	if err != nil {
		return nil, t.dialError(err)
	}
	s := &Conn{Conn: conn, owner: t, beat: t.pulse.Beat(), ending: newEnding()}
	if sc, ok := conn.(syscall.Conn); ok {
		s.raw, _ = sc.SyscallConn() // nil on error: no peeking then
	}
	s.peek.init()
	if err := t.add(s); err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

func (t *Set) startDial(cancel *context.CancelFunc) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused != nil {
		return t.refused
	}
	t.dialing[cancel] = struct{}{}
	return nil
}

func (t *Set) endDial(cancel *context.CancelFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.dialing, cancel)
}

// dialError prefers the reason of a cut over the cancellation it caused.
func (t *Set) dialError(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused != nil {
		return t.refused
	}
	return err
}

func (t *Set) add(c *Conn) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused != nil {
		return t.refused
	}
	t.open[c] = struct{}{}
	t.opened.Add(1)
	return nil
}

// Refuse makes every dial fail with err until Allow is called.
func (t *Set) Refuse(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused = err
}

// Allow ends a refusal.
func (t *Set) Allow() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refused = nil
}

// Pace bounds the dials to so many per second, after a burst that needn't wait;
// zero per second is no bound. Dials that wait for their turn are dials in progress.
func (t *Set) Pace(perSecond, burst int) { t.pace.set(perSecond, burst) }

// Opened returns how many sockets were opened since New.
func (t *Set) Opened() int64 { return t.opened.Load() }

// Ready notes that a session is open on the connection.
func (c *Conn) Ready() { c.ready.Store(true) }

// CutUnready ends dials in progress and resets the connections on which no
// session is open yet: nobody's work is lost with them.
func (t *Set) CutUnready() { t.cut(func(c *Conn) bool { return !c.ready.Load() }) }

// Cut ends every dial in progress and resets every open socket; it returns how
// many sockets it reset. It waits for none of them; see Reset. Call Refuse first to
// keep new ones away.
func (t *Set) Cut() int { return t.cut(func(*Conn) bool { return true }) }

// cut ends dials in progress and resets the connections that match. It returns how many
// of them were open.
func (t *Set) cut(match func(*Conn) bool) int {
	t.mu.Lock()
	sockets := make([]*Conn, 0, len(t.open))
	for s := range t.open {
		if match(s) {
			sockets = append(sockets, s)
		}
	}
	open := len(sockets)
	for s := range t.closing {
		if match(s) {
			sockets = append(sockets, s) // somebody may be waiting for it
		}
	}
	dials := make([]context.CancelFunc, 0, len(t.dialing))
	for cancel := range t.dialing {
		dials = append(dials, *cancel)
	}
	t.mu.Unlock()
	for _, cancel := range dials {
		cancel()
	}
	for _, s := range sockets {
		s.Reset()
	}
	return open
}

// Count returns the number of open sockets.
func (t *Set) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.open)
}

// Find returns the tracked socket under a connection that may be wrapped
// by TLS, or nil.
func Find(conn net.Conn) *Conn {
	for conn != nil {
		if s, ok := conn.(*Conn); ok {
			return s
		}
		u, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = u.NetConn()
	}
	return nil
}
