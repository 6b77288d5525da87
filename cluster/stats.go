package cluster

import (
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/cluster/internal/histogram"
	"github.com/anywriter/anywriter/health"
)

// counters are what a node counts since Open, but for what every operation changes.
type counters struct {
	conflicts, retries, cuts atomic.Int64

	// What the commit fence found out about work whose answer was lost here.
	foundCommitted, foundAborted, stayedUnknown atomic.Int64

	tallies [8]tally // the node's are their sums
	next    atomic.Uint32
}

// tally counts what every operation changes. Each connection has one of its node's:
// if there were only one, the processors would fetch its cache lines from each other
// in every operation.
type tally struct {
	picks, ops, errors atomic.Int64
	outcomes           [Committed + 1]atomic.Int64
	latency            histogram.Histogram
	_                  [64]byte
}

// tally returns the one for the next connection.
func (c *counters) tally() *tally {
	return &c.tallies[c.next.Add(1)%uint32(len(c.tallies))]
}

// Outcomes counts what was sent to nodes by how it ended, in the words of OutcomeOf.
type Outcomes struct {
	// Committed counts autocommit statements, reads among them, and COMMITs that went
	// well, those included of which only the commit fence knows. Statements inside a
	// transaction that went well count nowhere: its end decides.
	Committed int64
	// NotSent, DefinitelyAborted and CommitSent count errors, those of statements
	// inside a transaction included. CommitSent, which is unknown, is what is left of
	// it after the commit fence, if there is one, was asked.
	NotSent, DefinitelyAborted, CommitSent int64
}

// ended counts an outcome.
func (t *tally) ended(o Outcome) { t.outcomes[o].Add(1) }

// add adds the sums of the tallies, and the quantiles of their latencies.
func (c *counters) add(s *NodeStats) {
	var all histogram.Sum
	for i := range c.tallies {
		t := &c.tallies[i]
		s.Picks += t.picks.Load()
		s.Ops += t.ops.Load()
		s.Errors += t.errors.Load()
		s.Outcomes.Committed += t.outcomes[Committed].Load()
		s.Outcomes.NotSent += t.outcomes[NotSent].Load()
		s.Outcomes.DefinitelyAborted += t.outcomes[DefinitelyAborted].Load()
		s.Outcomes.CommitSent += t.outcomes[CommitSent].Load()
		all.Add(&t.latency)
	}
	q := all.Quantiles(0.5, 0.99)
	s.P50, s.P99 = q[0], q[1]
}

// Stats is a snapshot of a cluster.
type Stats struct {
	// Leases is the number of server connections in use.
	Leases int
	// Queue is the number of operations that wait because every node that could serve
	// them is unwell or has all its connections in use.
	Queue int
	// NoNode counts operations that no node could be found for (ErrNoNode): they were
	// sent nowhere, so no node's Outcomes have them.
	NoNode int64
	// Stalls counts the times that this process itself was found to have stood
	// still, so that nodes were given more time to answer; LastStall is when that
	// was last noticed, zero for never. A client that stalls often is short of
	// CPU, and finds sick nodes later.
	Stalls    int64
	LastStall time.Time
	// Keys are the queues of WithKey.
	Keys KeyStats
	// LearnedRows is the number of statements of which conflict_affinity remembers
	// the row that they are about.
	LearnedRows int
	// Nodes are in the order of the DSN; behind them stand those that are being made
	// ready by SetNodes, and those that it has taken out and that are still in use.
	Nodes []NodeStats
}

// NodeStats is a snapshot of one node. Counters count since Open, or since the node
// was added.
type NodeStats struct {
	Addr string
	// Engine is the kind of server, once it has answered.
	Engine string
	// Role says what it may be given.
	Role Role
	// State, Reason and Since say what is believed of the node and why.
	State  health.State
	Reason health.Reason
	Since  time.Time
	// Note says why a node isn't used at all, or for no writes, or only by the
	// connections that it has, if so: it is being added or taken out, wrong credentials,
	// another name of a node in the list, its role, or that new connections hang.
	Note string
	// Breaker is the state of its breaker.
	Breaker health.BreakerState
	// RoundTrip is that of the last answered probe.
	RoundTrip time.Duration
	// InFlight is the number of leases; Conns and Idle count the pool's
	// connections, Sockets all open sockets but the prober's.
	InFlight, Conns, Idle, Sockets int
	// Picks counts leases, Ops finished statements, of which Errors failed;
	// Conflicts of those were conflicts and Retries were tried again.
	Picks, Ops, Errors, Conflicts, Retries int64
	// Outcomes counts each attempt by itself: what was tried again on another node has
	// ended on both.
	Outcomes Outcomes
	// Opened counts the sockets that were opened, cancel requests included, and Cuts
	// those that were reset because the node was down.
	Opened, Cuts int64
	// FoundCommitted, FoundAborted and StayedUnknown count what the commit fence
	// found out about commits whose answer was lost on this node.
	FoundCommitted, FoundAborted, StayedUnknown int64
	// P50 and P99 are quantiles of the time to a statement's first answer,
	// rounded up by at most a quarter.
	P50, P99 time.Duration
}

// Stats returns a snapshot. It may be called at any time, also after Close.
func (c *Cluster) Stats() Stats {
	v := c.monitor.View() // c.view isn't renewed for every figure
	out := Stats{
		Leases: c.Leases(), Queue: c.gate.Waiting(), NoNode: c.unserved.Load(), Stalls: int64(v.Stalls), LastStall: v.LastStall,
		Keys: c.keys.Stats(), LearnedRows: c.rows.Len(),
	}
	for _, n := range c.all() {
		out.Nodes = append(out.Nodes, n.stats(reportOf(v, n)))
	}
	return out
}

func (n *Node) stats(r health.Report) NodeStats {
	pool := n.pool.Stat()
	s := NodeStats{
		Addr: n.addr, State: r.State, Reason: r.Reason, Since: r.Since, Breaker: r.Breaker, RoundTrip: r.RoundTrip,
		InFlight: int(n.load.InFlight()), Conns: pool.Total, Idle: pool.Idle,
		Sockets:   n.traffic.Count(),
		Conflicts: n.counters.conflicts.Load(), Retries: n.counters.retries.Load(),
		Opened: n.traffic.Opened(), Cuts: n.counters.cuts.Load(),
		FoundCommitted: n.counters.foundCommitted.Load(), FoundAborted: n.counters.foundAborted.Load(),
		StayedUnknown: n.counters.stayedUnknown.Load(),
	}
	n.counters.add(&s)
	if note := n.standing().note(); note != "" {
		s.Note = note
	} else if d := n.duplicateOf.Load(); d != nil {
		s.Note = "same server as " + d.addr
	} else if err := n.denied.Load(); err != nil {
		s.Note = (*err).Error()
	} else if why := n.whyReadOnly(); why != "" {
		s.Note = "takes no writes: " + why
	} else if hang := n.dials.Hang(n.cluster.clock.Nanos()); hang != nil {
		s.Note = hang.Error()
	}
	s.Role = n.role.Load().Role
	s.Engine = n.profile.Load().String()
	return s
}
