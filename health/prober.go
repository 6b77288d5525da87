package health

import (
	"context"
	"time"
)

// prober runs the probes of one node, one at a time, on a goroutine of its own,
// so that a node that doesn't answer delays nobody else's probes. When to probe
// is decided by the monitor.
type prober struct {
	node  int
	probe func(ctx context.Context) error
	held  func() time.Time
	start chan context.Context // room for one; the monitor never has two probes under way
}

// run probes whenever it is told to, and reports to done, until stop is closed.
func (p *prober) run(stop <-chan struct{}, done chan<- message) {
	for {
		select {
		case <-stop:
			return
		case ctx := <-p.start:
			begun := time.Now()
			err := p.probe(ctx)
			report := message{node: p.node, probe: true, kind: KindOf(err), since: begun, roundTrip: time.Since(later(begun, p.held())), err: err}
			select {
			case done <- report:
			case <-stop:
				return
			}
		}
	}
}

// message is what the monitor's goroutine is told.
type message struct {
	node      int
	kind      Kind
	since     time.Time // when the trouble, or the probe, began
	probe     bool
	roundTrip time.Duration
	err       error
}
