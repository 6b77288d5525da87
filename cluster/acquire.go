package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/admission"
	"github.com/anywriter/anywriter/cluster/internal/pool"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// retryRefused is how soon nodes are asked again after all that could be
// picked have refused, if no news comes from the health monitor before that.
const retryRefused = 20 * time.Millisecond

// search is one operation's search for a node.
type search struct {
	want
	cluster *Cluster
	read    bool   // a node for reads will do
	hint    string // the only node wanted, or ""
	began   int64  // by the cluster's clock
	asked   int64  // when the node that is asked now was picked
	request balancer.Request
	view    *view
	group   *group            // in which a node was picked last
	failed  balancer.Set      // nodes that gave no connection in the current round
	full    balancer.Set      // nodes of which all slots were taken, in the current round
	place   *admission.Waiter // its place in the queue, also while it has been granted a slot; nil: it never waited
	timer   *time.Timer       // of acquire_timeout; made when the search first waits
	causes  []error           // what nodes answered in the current round
	refused map[*Node]error   // of those that turned this client away
}

// want is what an attempt wants of the node. The zero value wants one that takes
// writes.
type want struct {
	session *Session     // whose statement a node for reads may do for; nil: a node that takes writes
	call    *call        // that statement; nil if nothing is known of it
	avoid   balancer.Set // nodes that are taken only if there is no other
	wish    wish
}

// wish is the server connection that an attempt would like: a new one on the
// node whose server has ended the session of the attempt before. The zero value
// wishes nothing. It gives way if the node can't be picked or fails.
type wish struct {
	node  *Node
	since time.Time // connections that were open before it aren't wanted
}

// acquire picks a node and gets a connection to it. It goes on to other nodes,
// and then waits for news of the cluster, until the context or acquire_timeout
// ends. How it chose is left in note, if that isn't nil.
func (c *Cluster) acquire(ctx context.Context, wanted want, note *choice) (lease, error) {
	if note != nil {
		note.view = nil
	}
	if err := c.admit(ctx); err != nil {
		return lease{}, err
	}
	now := c.clock.Nanos()
	h := hintsOf(ctx)
	s := search{cluster: c, hint: h.node, want: wanted, began: now, asked: now, view: c.view.Load()}
	s.request = balancer.Request{Seq: c.sequence.Add(1), Seed: c.seed, NowNanos: now}
	if h.key != "" {
		s.request.Key, s.request.Keyed = balancer.KeyOf(h.key), true
	}
	if s.hint != "" && c.nodeByAddr(s.hint) == nil {
		return lease{}, errNoSuchNode(s.hint)
	}
	if note != nil {
		s.request.Trace = &note.trace
	}
	s.widen(ctx)
	defer s.stop()
	i, l, err := s.search(ctx)
	if note != nil {
		note.view, note.group, note.index, note.began = s.view, s.group, i, now
		note.hint, note.read, note.avoid, note.failed, note.renewed = s.hint, s.read, s.avoid, s.failed, s.wish.node != nil
	}
	return l, err
}

// search returns the index of the node that gave a connection, or None.
func (s *search) search(ctx context.Context) (int, lease, error) {
	for {
		i, since, err := s.next(ctx)
		if err != nil {
			return balancer.None, lease{}, err
		}
		if i == balancer.None {
			continue
		}
		n := s.group.nodes[i]
		l, err := s.take(ctx, n, since)
		if err == nil {
			l.entered = s.asked
			return i, l, nil
		}
		if ctx.Err() != nil || errors.Is(err, ErrClosed) {
			s.cluster.gate.Leave(n.index, 0)
			return balancer.None, lease{}, s.failure(ctx, err)
		}
		s.giveBack(n)
		if trouble := n.hooks.Trouble(s.cluster.clock.Time(s.began)); trouble != nil && errors.Is(err, context.DeadlineExceeded) {
			// The dial takes longer than one node is waited for, and will meet
			// what the one before has met.
			err = fmt.Errorf("node %s: %w", n.addr, trouble)
		}
		s.causes = append(s.causes, err)
		s.noteRefusal(n, err)
		s.asked = s.cluster.clock.Nanos()
	}
}

// pick chooses the node to try next, and from when on its connections must have
// been opened.
func (s *search) pick() (int, time.Time) {
	if s.wish.node != nil {
		if i := s.find(s.wish.node); i != balancer.None && s.allows(s.wish.node) {
			return i, s.wish.since
		}
		s.wish = wish{}
	}
	for _, s.group = range s.groups() {
		s.request.Excluded = s.excluded()
		if i := balancer.Pick(s.cluster.picker, s.group.picks, s.request); i != balancer.None {
			return i, time.Time{}
		}
	}
	return balancer.None, time.Time{}
}

// find returns the index of a node in the first group in which it can be picked,
// and makes that the group; None if there is no such group.
func (s *search) find(n *Node) int {
	for _, s.group = range s.groups() {
		if i := slices.Index(s.group.nodes, n); i >= 0 && s.group.picks.Pickable(i) {
			return i
		}
	}
	return balancer.None
}

// groups returns the groups of nodes to choose from, in the order in which they
// are tried.
func (s *search) groups() []*group {
	switch {
	case !s.read:
		return s.view.writes
	case s.hint != "":
		return s.view.hinted
	default:
		return s.view.reads
	}
}

// admit refuses operations on a closed or wrongly composed cluster, and makes
// the very first ones wait for the first round of probes, so that a wrong
// composition is noticed before anything is written and the first operations
// are spread over all nodes.
func (c *Cluster) admit(ctx context.Context) error {
	if !c.settled.Load() {
		select {
		case <-c.firstRound:
		case <-ctx.Done():
			return c.noNode(0, ctx.Err(), nil)
		}
	}
	if err := c.fatal.Load(); err != nil {
		return *err
	}
	return nil
}

// allows reports whether this round of the search may take a node.
func (s *search) allows(n *Node) bool {
	if s.failed.Has(n.index) || s.full.Has(n.index) {
		return false
	}
	if s.hint != "" {
		return n.addr == s.hint
	}
	return !s.avoid.Has(n.index)
}

// excluded returns the candidates of the group that this round may not take.
func (s *search) excluded() balancer.Set {
	var out balancer.Set
	if s.hint == "" && s.avoid == out && s.failed == out && s.full == out {
		return out
	}
	for i, n := range s.group.nodes {
		if !s.allows(n) {
			out = out.With(i)
		}
	}
	return out
}

// wait is called when no node is left to pick. It returns the index in its group of
// the node that the queue has given a slot of, or None for another round.
func (s *search) wait(ctx context.Context) (int, error) {
	if s.avoid != (balancer.Set{}) {
		s.avoid = balancer.Set{} // better the node that failed than none
		if len(s.causes) == 0 {
			return balancer.None, nil
		}
	}
	if denied := s.turnedAway(); denied != nil {
		return balancer.None, denied
	}
	if err := s.queue(ctx); err != nil {
		return balancer.None, err
	}
	if s.timer == nil {
		s.timer = time.NewTimer(s.cluster.settings.AcquireTimeout - s.cluster.clock.Since(s.began))
	}
	var soon <-chan time.Time
	if len(s.causes) > 0 {
		t := time.NewTimer(retryRefused)
		defer t.Stop()
		soon = t.C
	}
	select {
	case node := <-s.place.Granted():
		return s.settleAt(ctx, node)
	case <-s.view.superseded:
	case <-soon:
	case <-s.timer.C:
		return balancer.None, s.failure(ctx, nil)
	case <-ctx.Done():
		return balancer.None, s.failure(ctx, nil)
	case <-s.cluster.closing:
		return balancer.None, ErrClosed
	}
	return balancer.None, s.requeue(ctx)
}

func (s *search) stop() {
	s.leaveQueue()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// failure is the error of a search that ended without a connection.
func (s *search) failure(ctx context.Context, err error) error {
	if errors.Is(err, ErrClosed) {
		return ErrClosed
	}
	e := s.cluster.noNode(s.cluster.clock.Since(s.began), ctx.Err(), s.causes)
	e.Writes = !s.read && s.view.apart(true)
	return e
}

// take gets a connection from this node that was opened at or after since, with
// the consent of its breaker. Who has waited in the queue also waits for connections
// in use where a server has no room for more; until then there may be other nodes.
func (s *search) take(ctx context.Context, n *Node, since time.Time) (lease, error) {
	done, ok := n.consent(reportOf(s.view.health, n).Breaker, s.group.picks.Panic())
	if !ok {
		return lease{}, errBreakerOpen
	}
	l, err := n.acquire(ctx, since, s.asked, s.place != nil)
	if err == nil {
		l.done = done
		l.phys.tally.picks.Add(1)
		return l, nil
	}
	owed := lease{node: n, done: done}
	if errors.Is(err, pool.ErrClosed) {
		owed.settle(health.BreakerIgnore)
		if n.standing() == leaving {
			return lease{}, errLeft
		}
		return lease{}, ErrClosed
	}
	kind := n.connectFailure(ctx, err)
	if kind == health.EventNone || kind == health.EventFull {
		owed.settle(health.BreakerIgnore)
	} else {
		owed.settle(health.BreakerFailure)
	}
	if kind != health.EventNone {
		n.load.Fail(n.cluster.clock.Nanos())
		n.cluster.monitor.Observe(n.index, kind, n.cluster.clock.Time(s.asked))
	}
	return lease{}, fmt.Errorf("node %s: %w", n.addr, err)
}

var errBreakerOpen = errors.New("its breaker is open after repeated failures")

// connectFailure says what a failure to get a connection tells about the node:
// nothing if the wait was cut short on our side or the refusal is about the
// credentials.
func (n *Node) connectFailure(ctx context.Context, err error) health.Kind {
	var connect *pgconn.ConnectError
	if ctx.Err() != nil || !errors.As(err, &connect) || errors.Is(err, errNodeDown) {
		return health.EventNone
	}
	n.lastError.Store(&err)
	return dialKind(err)
}

// dialKind says which event the error of a dial means.
func dialKind(err error) health.Kind {
	facts, pgErr := factsOf(err)
	if pgErr == nil {
		return health.KindOf(err)
	}
	facts.Phase = sqlstate.PhaseConnect
	return healthEvent(sqlstate.Classify(facts))
}

// isCrowded reports whether a server has answered that it has no room for another
// connection.
func isCrowded(err error) bool { return dialKind(err) == health.EventFull }

// isDenial reports whether a server answered that it is well but won't let
// this client in: wrong credentials, no such database, no such privilege; or
// that the application's BeforeConnect didn't let it ask.
func isDenial(err error) bool {
	var failed *HookError
	if errors.As(err, &failed) {
		return true // the server wasn't asked
	}
	facts, pgErr := factsOf(err)
	if pgErr == nil {
		return false
	}
	return facts.Code[:min(2, len(facts.Code))] == "28" || facts.Code == "3D000" || facts.Code == "42501"
}

// noteRefusal notes a failure to connect that isn't the node's: a denial, or a
// hook's error.
func (s *search) noteRefusal(n *Node, err error) {
	if !isDenial(err) {
		return
	}
	if s.refused == nil {
		s.refused = make(map[*Node]error)
	}
	s.refused[n] = errors.Unwrap(err) // without the node's name
}

// turnedAway returns an error if every node that is wanted has turned this
// client away for a reason that waiting doesn't cure. To go on asking would
// only help a server to lock the role out.
func (s *search) turnedAway() error {
	var first error
	node := ""
	for _, n := range s.wanted() {
		err := s.refused[n]
		if denied := n.denied.Load(); err == nil && denied != nil {
			err = *denied
		}
		if err == nil {
			return nil
		}
		if first == nil {
			first, node = err, n.addr
		}
	}
	if first == nil {
		return nil
	}
	return &OpError{Node: node, SQLState: codeOf(first), Outcome: NotSent, Attempts: 1, Err: first}
}

// wanted returns the nodes that could be given the operation if they were well.
func (s *search) wanted() []*Node {
	var out []*Node
	for _, g := range s.groups() {
		for _, n := range g.nodes {
			if s.hint == "" || n.addr == s.hint {
				out = append(out, n)
			}
		}
	}
	return out
}

func codeOf(err error) string {
	facts, _ := factsOf(err)
	return facts.Code
}
