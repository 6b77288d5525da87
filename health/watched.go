package health

import (
	"context"
	"math/rand/v2"
	"time"
)

// watched is one node as the monitor's goroutine sees it.
type watched struct {
	index    int
	node     Node
	machine  Machine
	detector Detector
	breaker  BreakerState

	launches chan context.Context
	removed  chan struct{}      // closed when the node is no longer watched
	quiet    chan struct{}      // closed when its prober has ended
	cancel   context.CancelFunc // not nil while a probe is under way
	lost     bool               // the probe under way was given up
	sent     time.Time          // when the probe under way was sent
	awake    time.Duration      // the monitor's, then
	ended    time.Time          // when the last probe ended
	due      time.Time          // when the next is due
	misses   int                // probes without success in a row while Down
	hurry    bool

	probes, cuts, falls uint64
	lastError           string
}

func newWatched(i int, n Node) *watched {
	return &watched{
		index: i, node: n,
		launches: make(chan context.Context, 1), removed: make(chan struct{}), quiet: make(chan struct{}),
	}
}

func (w *watched) probing() bool { return w.cancel != nil }

// launch starts a probe.
func (w *watched) launch(now time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel, w.lost, w.sent = cancel, false, now
	w.launches <- ctx // has room: the prober took the last one
}

// giveUp ends the probe under way, if there is one; its end is reported as
// usual.
func (w *watched) giveUp() {
	if w.cancel != nil {
		w.cancel()
		w.lost = true
	}
}

// finish takes the report of the probe under way and returns what it means.
func (w *watched) finish(msg message, now time.Time) Kind {
	kind := msg.kind
	if w.lost && kind != EventProbeOK {
		kind = EventProbeTimeout // its sockets were cut; the error is ours
	}
	w.cancel()
	w.cancel, w.ended = nil, now
	w.probes++
	w.lastError = ""
	if msg.err != nil {
		w.lastError = msg.err.Error()
	}
	if kind != EventProbeOK {
		w.misses++
		return kind
	}
	w.misses = 0
	if w.machine.State != Down { // what a thawing node takes says nothing about a healthy one
		w.detector = w.detector.Observe(msg.roundTrip)
	}
	w.node.Pulse.Touch()
	if w.node.OnProbe != nil {
		w.node.OnProbe(msg.roundTrip)
	}
	return kind
}

// schedule sets when the next probe is due.
func (w *watched) schedule(now time.Time, interval time.Duration, r *rand.Rand) {
	pause := min(suspectInterval, interval)
	switch {
	case w.machine.State.Serving():
		pause = interval - time.Duration(r.Int64N(int64(interval)/5+1))
	case w.machine.State == Down && w.misses > 0:
		bound := min(suspectInterval<<min(w.misses, 8), maxDownInterval)
		pause = bound/2 + time.Duration(r.Int64N(int64(bound)/2+1))
	}
	w.due = now.Add(pause)
}

// patience is how long the node, which is down, may be silent during a probe.
func (w *watched) patience() time.Duration {
	if w.misses >= strangerMisses {
		return strangerPatience
	}
	return strangerTimeout
}

// begun returns when the node itself was first waited for by the probe under
// way.
func (w *watched) begun() time.Time { return later(w.sent, w.node.Held()) }

// silentSince returns since when the node has been silent: the probe, its last
// byte, or grace, whichever is latest.
func (w *watched) silentSince(grace time.Time) time.Time {
	return later(later(w.begun(), w.node.Pulse.Last()), grace)
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// report returns what is published of the node.
func (w *watched) report(now time.Time) Report {
	weight := 1.0
	if w.machine.State == Recovering {
		weight = Weight(now.Sub(w.machine.RampSince))
	}
	return Report{
		Name: w.node.Name, State: w.machine.State, Reason: w.machine.Reason, Since: w.machine.Since,
		Breaker: w.breaker, Weight: weight, RoundTrip: w.detector.Mean(),
		Probes: w.probes, Cuts: w.cuts, Falls: w.falls, LastError: w.lastError,
	}
}
