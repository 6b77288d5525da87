package fabric

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

// backlog is how many dialled connections may wait for Accept; PostgreSQL asks
// the kernel for at least this many at its default max_connections.
const backlog = 128

// listener takes the connections dialled to one address.
type listener struct {
	fabric  *Fabric
	addr    Addr
	queue   chan *Conn
	closing sync.Once
	done    chan struct{}
}

// Listen takes connections that Dial makes to node. It panics if node has a
// listener already. On a closed fabric the listener is closed.
func (f *Fabric) Listen(node Addr) net.Listener {
	l := &listener{fabric: f, addr: node, queue: make(chan *Conn, backlog), done: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		close(l.done)
		l.closing.Do(func() {})
		return l
	}
	if f.listeners[node] != nil {
		panic(fmt.Sprintf("fabric.Listen: %v has a listener already", node))
	}
	f.listeners[node] = l
	return l
}

// Accept waits for the next connection. After Close it gives net.ErrClosed.
func (l *listener) Accept() (net.Conn, error) {
	if !isClosed(l.done) {
		select {
		case c := <-l.queue:
			return c, nil
		case <-l.done:
		}
	}
	return nil, opError("accept", l.addr, nil, net.ErrClosed)
}

// Close refuses further dials and resets connections that nobody has accepted.
func (l *listener) Close() error {
	err := opError("close", l.addr, nil, net.ErrClosed)
	l.closing.Do(func() {
		err = nil
		l.fabric.mu.Lock()
		if l.fabric.listeners[l.addr] == l {
			delete(l.fabric.listeners, l.addr)
		}
		l.fabric.mu.Unlock()
		close(l.done)
		l.refuseQueued()
	})
	return err
}

func (l *listener) refuseQueued() {
	for {
		select {
		case c := <-l.queue:
			_ = c.SetLinger(0)
			_ = c.Close()
		default:
			return
		}
	}
}

// Addr is the node's Addr.
func (l *listener) Addr() net.Addr { return l.addr }

// Dial connects from to the listener of node. A node that is down or has no
// listener refuses with syscall.ECONNREFUSED. Across a black hole Dial waits
// until it heals or ctx ends; a frozen node takes the connection, as its kernel
// would, and says nothing.
func (f *Fabric) Dial(ctx context.Context, from, node Addr) (net.Conn, error) {
	c, err := f.dial(ctx, from, node)
	if err != nil {
		return nil, opError("dial", from, node, err)
	}
	return c, nil
}

func (f *Fabric) dial(ctx context.Context, from, node Addr) (*Conn, error) {
	if err := f.handshake(ctx, from, node); err != nil {
		return nil, err
	}
	f.mu.RLock()
	l := f.listeners[node]
	f.mu.RUnlock()
	if l == nil {
		return nil, syscall.ECONNREFUSED
	}
	p := newPair(f, from, node)
	if !f.register(p) {
		return nil, syscall.ECONNREFUSED
	}
	dialled, accepted := newConns(p)
	select {
	case l.queue <- accepted:
		if isClosed(l.done) {
			l.refuseQueued() // it closed meanwhile and may not have seen ours
		}
		return dialled, nil
	case <-l.done:
		f.unregister(p)
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		f.unregister(p)
		return nil, ctx.Err()
	}
}

// handshake waits as TCP's would: one round trip, over links that are open.
func (f *Fabric) handshake(ctx context.Context, from, node Addr) error {
	there, back := f.link(from, node), f.link(node, from)
	for {
		changes := f.changes()
		f.mu.RLock()
		refused := f.closed || f.down[from] > 0 || f.down[node] > 0
		stopped := f.frozen[from] > 0
		f.mu.RUnlock()
		if refused {
			return syscall.ECONNREFUSED
		}
		if !stopped && !there.cut.Load() && !back.cut.Load() {
			break
		}
		select {
		case <-changes:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if there.plain.Load() && back.plain.Load() {
		return nil
	}
	timer := time.NewTimer(there.segment() + back.segment())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
