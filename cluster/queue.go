package cluster

import (
	"context"
	"time"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/admission"
	"github.com/anywriter/anywriter/health"
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
		c.gate.Open(n.index, classes[n.index], reportOf(v.health, n).State == health.Recovering)
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

// enter takes a slot of a node. Of a node that has none, or none but for those that
// wait already, the search spills to the others.
func (s *search) enter(n *Node) bool {
	if s.cluster.gate.TryEnter(n.index, s.class()) {
		return true
	}
	s.full = s.full.With(n.index)
	return false
}

// next returns the index in its group of the node to ask, of which it has taken a
// slot, and from when on its connections must have been opened; None for another
// round. Who has a place in the queue keeps to it.
func (s *search) next(ctx context.Context) (int, time.Time, error) {
	if s.place == nil {
		if i, since := s.pick(); i != balancer.None {
			if !s.enter(s.group.nodes[i]) {
				i = balancer.None
			}
			return i, since, nil
		}
	}
	i, err := s.wait(ctx)
	return i, time.Time{}, err
}

// giveBack gives back the slot of a node that gave no connection, and notes that. Who
// had waited for it has its place in the queue again, and may be given another node.
func (s *search) giveBack(n *Node) {
	s.failed = s.failed.With(n.index)
	if s.place != nil {
		s.place.Return(n.index)
		return
	}
	s.cluster.gate.Leave(n.index, 0)
}

// queue takes a place in the queue, if the search hasn't got one already. It returns
// an error if the queue is too long to wait in.
func (s *search) queue(ctx context.Context) error {
	if s.place != nil {
		return nil
	}
	only, err := s.only()
	if err != nil {
		return err
	}
	patience := s.cluster.settings.AcquireTimeout - s.cluster.clock.Since(s.began)
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline))
	}
	// Who has no time left has spent it elsewhere.
	if ahead, expected := s.cluster.gate.Estimate(s.class(), only); patience > 0 && expected > shedFactor*patience {
		e := s.cluster.noNode(s.cluster.clock.Since(s.began), ctx.Err(), s.causes)
		e.Queue, e.Expected = ahead, expected
		return e
	}
	var barred []int
	for _, n := range s.view.nodes {
		if s.failed.Has(n.index) {
			barred = append(barred, n.index)
		}
	}
	s.place = s.cluster.gate.Join(s.class(), only, s.began, barred...)
	return nil
}

// only returns the index of the only node that is wanted, or Anywhere.
func (s *search) only() (int, error) {
	if s.hint == "" {
		return admission.Anywhere, nil
	}
	n := s.cluster.nodeByAddr(s.hint)
	if n == nil {
		return 0, errNoSuchNode(s.hint)
	}
	return n.index, nil
}

// requeue goes on waiting with the present view, at the same place: nodes that failed
// may be tried again, and it may be that others will do.
func (s *search) requeue(ctx context.Context) error {
	s.renew(ctx)
	only, err := s.only()
	if err != nil {
		return err
	}
	s.place.Move(s.class(), only)
	s.place.Retry()
	return nil
}

// settleAt makes the node whose slot the queue has given the one to try next, and
// returns its index in its group; None if it isn't one for this search any more.
func (s *search) settleAt(ctx context.Context, node int) (int, error) {
	if s.view == s.cluster.view.Load() {
		s.asked = s.cluster.clock.Nanos() // the round goes on
	} else if err := s.requeue(ctx); err != nil {
		s.place.Return(node)
		return balancer.None, err
	}
	// The index may have become another node's.
	if n := s.cluster.nodeAt(node); n != nil && (s.hint == "" || n.addr == s.hint) {
		if i := s.find(n); i != balancer.None {
			return i, nil
		}
	}
	s.place.Return(node)
	return balancer.None, nil
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
	if groups := s.groups(); len(groups) > 0 {
		s.group = groups[len(groups)-1] // the one to tell of, should none have a node
	}
}

// widen finds out whether a node for reads will do. Whether a statement is one is
// only looked at when that makes a difference, which it may come to do while the
// search waits.
func (s *search) widen(ctx context.Context) {
	if !s.read && s.session != nil && s.view.apart(s.hint != "") {
		s.read = s.session.mayRead(ctx, s.call)
	}
}
