package cluster

import (
	"context"
	"time"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/admission"
)

// What an operation in the queue may be given; see view.
const (
	writesClass admission.Class = 1 << iota
	readsClass
	hintedClass
)

// shedFactor is by how much the expected wait in the queue must exceed what an
// operation may wait before it is turned away at once: the expectation is a mean,
// and an operation that could have made it is worse than one that waits in vain.
const shedFactor = 2

// openGate lets the queue go to the nodes of a view. A node takes what it is picked
// for, whether its slots are free or not.
func (c *Cluster) openGate(v *view) {
	var classes [balancer.MaxCandidates]admission.Class // by index; what nobody has stays closed
	for class, groups := range map[admission.Class][]*group{writesClass: v.writes, readsClass: v.reads, hintedClass: v.hinted} {
		for _, g := range groups {
			for i, n := range g.nodes {
				if g.picks.Pickable(i) {
					classes[n.index] |= class
				}
			}
		}
	}
	for _, n := range v.nodes {
		c.gate.Open(n.index, classes[n.index])
	}
}

// class is what the search's operation is in the queue.
func (s *search) class() admission.Class {
	switch {
	case !s.read:
		return writesClass
	case s.hint != "":
		return hintedClass
	default:
		return readsClass
	}
}

// enter takes a slot of a node. Of a node that has none the search spills to the
// others.
func (s *search) enter(n *Node) bool {
	if s.cluster.gate.TryEnter(n.index) {
		return true
	}
	s.full = s.full.With(n.index)
	return false
}

// queue takes a place in the queue, if nodes that could do the work are full and the
// search hasn't got one already. It returns an error if the queue is too long to
// wait in.
func (s *search) queue(ctx context.Context) error {
	if s.place != nil || s.full == (balancer.Set{}) {
		return nil
	}
	patience := s.cluster.settings.AcquireTimeout - s.cluster.clock.Since(s.began)
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline))
	}
	if expected := s.cluster.gate.Estimate(s.class()); expected > shedFactor*max(patience, 0) {
		e := s.cluster.noNode(s.cluster.clock.Since(s.began), ctx.Err(), s.causes)
		e.Queue, e.Expected = s.cluster.gate.Waiting(), expected
		return e
	}
	only := admission.Anywhere
	if s.hint != "" {
		n := s.cluster.nodeByAddr(s.hint)
		if n == nil {
			return errNoSuchNode(s.hint)
		}
		only = n.index
	}
	s.place = s.cluster.gate.Join(s.class(), only)
	return nil
}

// granted returns the channel on which the queue names a node, nil outside it.
func (s *search) granted() <-chan int {
	if s.place == nil {
		return nil
	}
	return s.place.Granted()
}

// settleAt makes the node whose slot the queue has given the one to try next, and
// returns its index in its group; None if it isn't one for this search any more.
func (s *search) settleAt(node int) int {
	s.place = nil
	i := s.find(s.cluster.nodeAt(node))
	if i == balancer.None {
		s.cluster.gate.Leave(node, 0)
	}
	return i
}

// leaveQueue gives up the place in the queue.
func (s *search) leaveQueue() {
	if s.place == nil {
		return
	}
	if node, ok := s.place.Quit(); ok {
		s.cluster.gate.Leave(node, 0)
	}
}

// renew begins another round with the present view.
func (s *search) renew(ctx context.Context) {
	s.view = s.cluster.view.Load()
	s.asked = s.cluster.clock.Nanos()
	s.request.NowNanos = s.asked
	s.causes = s.causes[:0]
	clear(s.refused)
	s.failed, s.full = balancer.Set{}, balancer.Set{}
	s.widen(ctx)
}

// widen finds out whether a node for reads will do. Whether a statement is one is
// only looked at when that makes a difference, which it may come to do while the
// search waits.
func (s *search) widen(ctx context.Context) {
	if !s.read && s.session != nil && s.view.apart(s.hint != "") {
		s.read = s.session.mayRead(ctx, s.call)
	}
}
