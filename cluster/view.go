package cluster

import (
	"time"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/health"
)

// view is an immutable picture of the cluster. Operations load it from an
// atomic pointer; whoever waits for news waits for superseded.
type view struct {
	health     *health.View
	picks      *balancer.View
	nodes      []*Node // by the index of the candidate in picks
	superseded chan struct{}
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
	if !c.settled.Load() && c.roundComplete(next) {
		c.settle()
	}
}

func (c *Cluster) buildView(reports *health.View) *view {
	v := &view{health: reports, superseded: make(chan struct{})}
	candidates := make([]balancer.Candidate, 0, len(c.nodes))
	for i, n := range c.nodes {
		if n.duplicateOf.Load() != nil {
			continue // one server, one candidate
		}
		r := &reports.Reports[i]
		state := balancer.State(r.State)
		if n.denied.Load() != nil {
			state = balancer.Unknown
		}
		candidates = append(candidates, balancer.Candidate{
			Name: n.addr, State: state, Weight: r.Weight, Load: &n.load,
			BreakerOpen: r.Breaker == health.BreakerOpen,
			Share:       c.share(i), Local: c.local(i), Limit: int64(c.settings.MaxConnsPerNode),
		})
		v.nodes = append(v.nodes, n)
	}
	v.picks = balancer.NewView(candidates)
	return v
}

// share is the part of the operations that node i gets by weight.
func (c *Cluster) share(i int) int {
	if len(c.settings.Weights) == 0 {
		return 1
	}
	return c.settings.Weights[i]
}

// local reports whether node i is in the client's own zone.
func (c *Cluster) local(i int) bool {
	return len(c.settings.Zones) != 0 && c.settings.Zones[i] == c.settings.Zone
}

// roundComplete reports whether every node has answered or failed once.
func (c *Cluster) roundComplete(v *view) bool {
	for i, n := range c.nodes {
		if v.health.Reports[i].State == health.Unknown && n.duplicateOf.Load() == nil && n.denied.Load() == nil {
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
	view     *view
	index    int // of the chosen candidate in view; None if there was none
	began    int64
	hint     string
	avoid    balancer.Set // of nodes
	excluded balancer.Set // of candidates
	renewed  bool         // a new connection of the same node was wished for
	trace    balancer.Trace
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
	case ch.view.picks.Panic():
		return ch.trace.String() + "; few nodes are well, so doubtful ones count, too"
	default:
		return ch.trace.String()
	}
}

// candidates describes all nodes of the cluster as they were then.
func (ch *choice) candidates(c *Cluster) []Candidate {
	if ch.view == nil {
		return nil
	}
	out := make([]Candidate, len(c.nodes))
	for i, n := range c.nodes {
		r := &ch.view.health.Reports[i]
		out[i] = Candidate{Node: n.addr, State: r.State, Reason: r.Reason, Note: "another name of a node in the list"}
		for k, candidate := range ch.view.nodes {
			if candidate == n {
				ch.describe(&out[i], n, k)
			}
		}
	}
	return out
}

// describe completes the description of the k-th candidate of the view.
func (ch *choice) describe(x *Candidate, n *Node, k int) {
	x.Chosen, x.Note = k == ch.index, ""
	candidate := ch.view.picks.Candidate(k)
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
	case ch.excluded.Has(k):
		x.Note = "left out, it gave no connection"
	case candidate.State != balancer.State(x.State):
		x.Note = "left out, it refuses this client"
	case candidate.BreakerOpen && !ch.view.picks.Pickable(k):
		x.Note = "left out, its breaker is open"
	case !ch.view.picks.Pickable(k):
		x.Note = "left out"
	case ch.renewed:
		x.Note = "not asked for"
	default:
		x.Note = ch.trace.Rule.Other(x.Compared)
	}
}
