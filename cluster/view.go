package cluster

import (
	"fmt"
	"slices"
	"time"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/dsn"
)

// view is an immutable picture of the cluster. Operations load it from an
// atomic pointer; whoever waits for news waits for superseded.
type view struct {
	health     *health.View
	nodes      []*Node  // all, members first; what they stand for is theirs
	writes     []*group // where writes go: those that take them
	reads      []*group // where reads go: to the first group that has a node for them
	hinted     []*group // where reads may go that ask for a node
	superseded chan struct{}
}

// group is a set of nodes among which the balancer chooses.
type group struct {
	nodes []*Node // by the index of the candidate in picks
	picks *balancer.View
}

// without returns the candidates of the group that are among some nodes.
func (g *group) without(nodes balancer.Set) balancer.Set {
	var out balancer.Set
	if nodes == out {
		return out
	}
	for i, n := range g.nodes {
		if nodes.Has(n.index) {
			out = out.With(i)
		}
	}
	return out
}

// all returns all nodes, members first.
func (c *Cluster) all() []*Node { return c.view.Load().nodes }

// members returns the nodes of the set, in the order of the DSN.
func (c *Cluster) members() []*Node { return c.view.Load().members() }

func (v *view) members() []*Node {
	out := make([]*Node, 0, len(v.nodes))
	for _, n := range v.nodes {
		if n.standing().present() {
			out = append(out, n)
		}
	}
	return out
}

// nodeAt returns the node with an index, nil if nobody has it.
func (c *Cluster) nodeAt(index int) *Node {
	for _, n := range c.all() {
		if n.index == index {
			return n
		}
	}
	return nil
}

// nodeByAddr returns the node of the set with an address, nil if there is none.
func (c *Cluster) nodeByAddr(addr string) *Node {
	for _, n := range c.all() {
		if n.addr == addr && n.standing().present() {
			return n
		}
	}
	return nil
}

func errNoSuchNode(addr string) error {
	return &OpError{Outcome: NotSent, Attempts: 1, Err: fmt.Errorf("WithNode: no node has the address %q", addr)}
}

// publish builds a view from the monitor's reports and makes it the current
// one. It may be called from any goroutine.
func (c *Cluster) publish() {
	c.publishing.Lock()
	defer c.publishing.Unlock()
	next := c.buildView(c.monitor.View())
	old := c.view.Swap(next)
	if old != nil {
		close(old.superseded)
	}
	c.openGate(next)
	if !c.settled.Load() && c.roundComplete(next) {
		c.settle()
	}
}

func (c *Cluster) buildView(reports *health.View) *view {
	v := &view{health: reports, nodes: c.nodes, superseded: make(chan struct{})}
	var all, writers, readOnly, current, former []*Node
	for _, n := range c.nodes {
		if !n.standing().present() || n.duplicateOf.Load() != nil {
			continue // not ours, or one server, one candidate
		}
		switch r := n.role.Load(); {
		case r.Role == role.Superseded:
			continue // what it has is history
		case r.Role == role.ReadOnly:
			readOnly = append(readOnly, n)
			switch r.Reason {
			case role.ReasonMinority:
				current = append(current, n)
			case role.ReasonRecovery:
			default:
				former = append(former, n)
			}
		default:
			writers = append(writers, n)
		}
		all = append(all, n)
	}
	first := c.group(writers, reports)
	v.writes = []*group{first}
	if len(readOnly) == 0 {
		v.reads, v.hinted = v.writes, v.writes
		return v
	}
	everyone := c.group(all, reports)
	v.hinted = []*group{everyone}
	switch c.settings.ReadFrom {
	case dsn.ReadFromAny:
		v.reads = v.hinted
	case dsn.ReadFromPreferReplicas:
		v.reads = []*group{c.group(readOnly, reports), first}
		if v.reads[0].picks.Eligible() == 0 {
			slices.Reverse(v.reads) // rather a writer than a read-only node in doubt
		}
	default:
		v.reads = v.writes
		if len(writers) == 0 {
			// A server that was made read-only lags behind nobody where nobody takes
			// writes. As soon as another one does it may be an old primary.
			current = append(current, former...)
		}
		if len(current) > 0 {
			v.reads = []*group{first, c.group(current, reports)}
		}
	}
	return v
}

// apart reports whether reads have another choice of nodes than writes.
func (v *view) apart(hinted bool) bool {
	reads := v.reads
	if hinted {
		reads = v.hinted
	}
	return len(reads) > 1 || reads[0] != v.writes[0]
}

// group makes a group of some nodes with the health that is reported of them.
func (c *Cluster) group(nodes []*Node, reports *health.View) *group {
	candidates := make([]balancer.Candidate, 0, len(nodes))
	for _, n := range nodes {
		r := reportOf(reports, n)
		state := balancer.State(r.State)
		if n.denied.Load() != nil {
			state = balancer.Unknown
		}
		candidates = append(candidates, balancer.Candidate{
			Name: n.addr, State: state, Weight: r.Weight, Load: n.load,
			BreakerOpen: r.Breaker == health.BreakerOpen,
			Share:       n.share, Local: n.local, Limit: int64(c.settings.MaxConnsPerNode),
		})
	}
	return &group{nodes: nodes, picks: balancer.NewView(candidates)}
}

// reportOf returns what is reported of a node: nothing if it wasn't watched yet.
func reportOf(reports *health.View, n *Node) health.Report {
	if n.index >= len(reports.Reports) {
		return health.Report{Name: n.addr}
	}
	return reports.Reports[n.index]
}

// roundComplete reports whether every node has answered or failed once.
func (c *Cluster) roundComplete(v *view) bool {
	for _, n := range c.nodes {
		if reportOf(v.health, n).State == health.Unknown && n.duplicateOf.Load() == nil && n.denied.Load() == nil {
			return false
		}
	}
	return true
}

// settle lets the first operations go.
func (c *Cluster) settle() {
	if c.settled.CompareAndSwap(false, true) {
		close(c.firstRound)
	}
}

// choice is how a session's server connection was chosen, for whoever asks for
// an explanation. The zero value is no choice.
type choice struct {
	view    *view
	group   *group // of the chosen node, or the last that was tried
	index   int    // of the chosen candidate in group; None if there was none
	began   int64
	hint    string
	read    bool
	avoid   balancer.Set // nodes
	failed  balancer.Set // nodes that gave no connection
	renewed bool         // a new connection of the same node was wished for
	trace   balancer.Trace
}

// reason says why the node was chosen, completing "node: n, ...".
func (ch *choice) reason(now bool) string {
	switch {
	case ch.view == nil:
		return ""
	case !now:
		return "which the session has used before"
	case ch.hint != "":
		return "asked for by WithNode"
	case ch.renewed:
		return "for a new session where the last one had ended"
	case ch.group.picks.Panic():
		return ch.trace.String() + "; few nodes are well, so doubtful ones count, too"
	default:
		return ch.trace.String()
	}
}

// candidates describes all nodes of the cluster as they were then.
func (ch *choice) candidates() []Candidate {
	if ch.view == nil {
		return nil
	}
	members := ch.view.members()
	out := make([]Candidate, len(members))
	for i, n := range members {
		r := reportOf(ch.view.health, n)
		out[i] = Candidate{Node: n.addr, State: r.State, Reason: r.Reason, Note: ch.outsider(n)}
		for k, candidate := range ch.group.nodes {
			if candidate == n {
				ch.describe(&out[i], n, k)
			}
		}
	}
	return out
}

// outsider says why a node isn't in the group among which the choice was made.
func (ch *choice) outsider(n *Node) string {
	why := n.whyReadOnly()
	switch {
	case n.duplicateOf.Load() != nil:
		return "another name of a node in the list"
	case n.role.Load().Role == role.Superseded:
		return "left out, " + why
	case ch.read:
		return "left out by read_from"
	case why != "":
		return "left out, it takes no writes: " + why
	default:
		return "left out, it took no writes then"
	}
}

// describe completes the description of the k-th candidate of the group.
func (ch *choice) describe(x *Candidate, n *Node, k int) {
	x.Chosen, x.Note = k == ch.index, ""
	candidate := ch.group.picks.Candidate(k)
	for _, d := range ch.trace.Drawn {
		if ch.trace.Compared && !ch.renewed && d.Index == k {
			x.Compared, x.InFlight = true, d.InFlight
			x.Latency = time.Duration(d.LatencyMicros * float64(time.Microsecond))
		}
	}
	switch {
	case x.Chosen:
	case ch.hint != "" && ch.hint != n.addr:
		x.Note = "not asked for by WithNode"
	case ch.avoid.Has(n.index):
		x.Note = "left out, an earlier attempt had failed there"
	case ch.failed.Has(n.index):
		x.Note = "left out, it gave no connection"
	case candidate.State != balancer.State(x.State):
		x.Note = "left out, it refuses this client"
	case candidate.BreakerOpen && !ch.group.picks.Pickable(k):
		x.Note = "left out, its breaker is open"
	case !ch.group.picks.Pickable(k):
		x.Note = "left out"
	case ch.renewed:
		x.Note = "not asked for"
	default:
		x.Note = ch.trace.Rule.Other(x.Compared)
	}
}
