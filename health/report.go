package health

import "time"

// Report is what is published of one node. It is immutable.
type Report struct {
	// Name is the node's name.
	Name string
	// State is the node's state, Reason says why, Since is when it was entered.
	State  State
	Reason Reason
	Since  time.Time
	// Breaker is the state of the node's breaker.
	Breaker BreakerState
	// Weight is the slow-start share in (0, 1].
	Weight float64
	// RoundTrip is the mean of the last probes; zero without any.
	RoundTrip time.Duration
	// Probes, Cuts and Falls count since the start.
	Probes, Cuts, Falls uint64
	// LastError is the text of the last failed probe's error; empty after a
	// success.
	LastError string
}

// Serving reports whether the node is given work in normal times: Up or
// Recovering, and its breaker isn't open.
func (r Report) Serving() bool { return r.State.Serving() && r.Breaker != BreakerOpen }

// View is an immutable snapshot of all nodes.
type View struct {
	// Reports holds one element per node, by its index: the place in Config.Nodes,
	// or the one that Add was given. That of a removed node is the zero Report.
	Reports []Report
	// Stalls counts the times that this process was found to have stood still, so
	// that silences were counted anew. LastStall is when that was last noticed;
	// zero for never.
	Stalls    uint64
	LastStall time.Time

	superseded chan struct{}
}

// Superseded returns a channel that is closed when a newer View is published,
// and when the monitor is closed.
func (v *View) Superseded() <-chan struct{} { return v.superseded }
