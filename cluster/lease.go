package cluster

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/pool"
	"github.com/anywriter/anywriter/health"
)

// lease is one server connection in use. The zero value holds none.
type lease struct {
	node *Node
	conn *pool.Conn[*physical]
	phys *physical
	done func(health.BreakerResult) // owed to the node's breaker; see Node.consent

	entered int64 // when a slot of the node was taken for it, by the cluster's clock; 0 if none was
	ready   int64 // when it had the connection, by the same
}

func (l *lease) held() bool { return l.conn != nil }

// ensureLease gets a server connection if the session holds none, or none that
// will do for a statement and may be changed for another one. nil is a statement
// of which nothing is known.
func (s *Session) ensureLease(ctx context.Context, c *call) error {
	if s.lease.held() {
		if !s.mustMove(ctx, c) {
			return nil
		}
		s.lease.release(s.dirty)
		s.lease = lease{}
	}
	h := hintsOf(ctx)
	if s.node != "" && h.node == "" {
		ctx = WithNode(ctx, s.node)
	}
	if key := cmp.Or(s.place.tx.key, s.place.row); key != "" && h.key == "" {
		ctx = WithKey(ctx, key)
	}
	l, err := s.cluster.acquire(ctx, want{session: s, call: c, avoid: s.avoid, wish: s.wish}, &s.choice)
	if err != nil {
		if errors.Is(err, ErrNoNode) {
			s.cluster.unserved.Add(1)
		}
		return err
	}
	s.lease, s.avoid, s.wish = l, balancer.Set{}, wish{}
	if s.cluster.events.picked(l.node) {
		s.lease.ready = s.cluster.clock.Nanos() // the listener's time isn't the node's
	}
	return nil
}

// settle reports the node's answer, or its failure, to its breaker.
func (l *lease) settle(result health.BreakerResult) {
	if l.done != nil {
		l.done(result)
		l.done = nil
		return
	}
	if result == health.BreakerFailure {
		l.node.blame()
	}
}

// release gives the connection back to the pool, to be closed if it is broken,
// busy or inside a transaction. A dirty one is cleaned first, in the background,
// or closed if that can't be done.
func (l *lease) release(dirty bool) {
	node := l.node
	node.load.End()
	l.settle(health.BreakerIgnore)
	if dirty && node.reset != ResetOff && l.phys.reusable() {
		if !l.phys.loaded {
			node.cluster.resetInBackground(*l)
			return
		}
		l.phys.destroy()
	}
	l.giveBack()
}

// reusable reports whether the next one can use the connection as it is, or once
// its session has been reset.
func (p *physical) reusable() bool {
	return !p.pc.IsClosed() && !p.pc.IsBusy() && p.pc.TxStatus() == 'I'
}

// giveBack returns the connection to the pool as it is. The last answer's time is
// recent enough for the pool; the clock is read if none has come.
func (l *lease) giveBack() {
	if l.phys.reusable() {
		now := l.phys.heard
		if now < l.entered {
			now = l.node.cluster.clock.Nanos()
		}
		l.node.pool.Release(l.conn, now)
	} else {
		l.node.pool.Discard(l.conn)
	}
	if l.entered != 0 {
		l.node.cluster.gate.Leave(l.node.index, l.entered)
	}
}

// acquireBound is how long one node's pool may keep an operation waiting
// before another node is tried. A pool that has an idle connection answers in
// a microsecond and a dial on a local network within a millisecond; a node that
// needs longer is busy or in trouble, and the others are asked. A short
// acquire_timeout must leave time for them: of that it is a quarter at most. What has
// been dialed in vain is kept for the next.
const acquireBound = 100 * time.Millisecond

// acquire gets a connection from the node's pool that was opened at or after
// since and is alive as far as can be seen without a round trip, by somebody who
// began to look for one at began. Who is patient waits for a connection in use where
// the server has no room for another one.
func (n *Node) acquire(ctx context.Context, since time.Time, began int64, patient bool) (lease, error) {
	ready := began
	for {
		var conn *pool.Conn[*physical]
		if ctx.Err() == nil {
			conn = n.pool.Take(began)
		}
		if conn == nil {
			var err error
			if conn, err = n.await(ctx, began, patient); err != nil {
				return lease{}, err
			}
			ready = n.cluster.clock.Nanos()
		}
		phys := conn.Value
		if phys.gone(began) || phys.born.Before(since) {
			phys.destroy()
			n.pool.Discard(conn)
			ready = n.cluster.clock.Nanos()
			continue
		}
		n.load.Begin()
		return lease{node: n, conn: conn, phys: phys, ready: ready}, nil
	}
}

// tryBound is how long an operation waits that tries whether a node whose dials hang
// answers again: long enough for one on a local network. What comes later the next
// one finds.
const tryBound = 5 * time.Millisecond

// await gets a connection that the pool has to open or to wait for, within
// acquireBound, or at once an error if others have waited in vain before. Who is
// patient has no other node.
func (n *Node) await(ctx context.Context, began int64, patient bool) (*pool.Conn[*physical], error) {
	bound := min(acquireBound, n.cluster.settings.AcquireTimeout/4)
	if hang := n.dials.Hang(began); hang != nil {
		if !n.dials.Try(began, patient, n.pool.Stat().Total >= n.cluster.settings.MaxConnsPerNode) {
			return nil, hang
		}
		bound = min(bound, tryBound)
	}
	bounded, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	conn, err := n.obtain(bounded, began, patient)
	if err != nil && ctx.Err() == nil && dialKind(err) == health.EventProbeTimeout {
		n.dials.InVain(n.cluster.clock.Nanos())
	}
	return conn, err
}

// obtain gets a connection that the pool has, opens or waits for. If the server
// refuses the credential, that is refreshed and the dial repeated, once.
func (n *Node) obtain(ctx context.Context, now int64, patient bool) (*pool.Conn[*physical], error) {
	conn, err := n.pool.Acquire(ctx, now, patient)
	if n.hooks.MayRefresh(err) {
		conn, err = n.pool.Acquire(ctx, now, patient)
	}
	return conn, err
}

// weed closes the node's idle connections that are known to be dead.
func (n *Node) weed() {
	now := n.cluster.clock.Nanos()
	n.pool.Weed(func(p *physical) bool {
		gone := p.gone(now)
		if gone {
			p.destroy()
		}
		return gone
	})
}

// destroy closes the connection without waiting for the server. pgx must see
// it as closed, or the pool would keep it.
func (p *physical) destroy() {
	if p.sock != nil {
		p.sock.Reset()
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // nobody is there to say goodbye to
	_ = p.pc.Close(ctx)
}

// wariness is how many answers after a failure are reported to the breaker one
// by one. As long as nothing fails the breaker isn't asked at all: it is a
// mutex and two allocations per operation to learn that it is closed. Ten
// reported answers per failure keep its share of failures honest enough: one
// failure in eleven operations or less never opens it.
const wariness = 10

// consent asks the node's breaker for one more operation. If ok, done (which
// may be nil) is owed the node's first answer. When most of the cluster is out
// of the game, an open breaker forbids nothing: a node that fails often is
// better than none.
func (n *Node) consent(published health.BreakerState, panicking bool) (done func(health.BreakerResult), ok bool) {
	if published == health.BreakerClosed && n.wary.Load() <= 0 {
		return nil, true
	}
	report, ok := n.breaker.Allow()
	if !ok {
		return nil, panicking
	}
	return func(r health.BreakerResult) {
		switch r {
		case health.BreakerFailure:
			n.wary.Store(wariness)
		case health.BreakerSuccess:
			n.wary.Add(-1)
		case health.BreakerIgnore:
		}
		report(r)
	}, true
}

// blame reports a failure of an operation that hadn't asked for consent.
func (n *Node) blame() {
	n.wary.Store(wariness)
	if report, ok := n.breaker.Allow(); ok {
		report(health.BreakerFailure)
	}
}
