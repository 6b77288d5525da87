package cluster

import (
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
		})
		v.nodes = append(v.nodes, n)
	}
	v.picks = balancer.NewView(candidates)
	return v
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
