package health

import (
	"context"
	"time"
)

// prober runs the probes of one node, one at a time, on a goroutine of its own,
// so that a node that doesn't answer delays nobody else's probes. When to probe
// is decided by the monitor.
type prober struct {
	watched *watched             // of which index and node may be read only
	stop    <-chan struct{}      // closed when the node is removed
	start   chan context.Context // room for one; the monitor never has two probes under way
}

// run probes whenever it is told to, and reports to done, until stop or the
// prober's own stop is closed.
func (p *prober) run(stop <-chan struct{}, done chan<- message) {
	node := &p.watched.node
	for {
		select {
		case <-stop:
			return
		case <-p.stop:
			return
		case ctx := <-p.start:
			begun := time.Now()
			err := node.Probe(ctx)
			report := message{
				node: p.watched.index, from: p.watched, probe: true, kind: KindOf(err),
				since: begun, roundTrip: time.Since(later(begun, node.Held())), err: err,
			}
			select {
			case done <- report:
			case <-p.stop:
				return
			case <-stop:
				return
			}
		}
	}
}

// message is what the monitor's goroutine is told.
type message struct {
	node      int
	from      *watched // of a probe
	kind      Kind
	since     time.Time // when the trouble, or the probe, began
	probe     bool
	roundTrip time.Duration
	err       error
}
