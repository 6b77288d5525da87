package health

import (
	"context"
	"errors"
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
			err := ask(ctx, node)
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

// errProbeQuit is the error of a probe that didn't return.
var errProbeQuit = errors.New("the probe has ended its goroutine (runtime.Goexit)")

// ask probes the node, on a goroutine of its own: a function of the application that
// the probe calls may end it.
func ask(ctx context.Context, node *Node) error {
	returned := make(chan error, 1)
	go func() { // ends with the probe, which is waited for
		err := errProbeQuit
		defer func() { returned <- err }()
		err = node.Probe(ctx)
	}()
	return <-returned
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
