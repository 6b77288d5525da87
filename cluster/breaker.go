package cluster

import "github.com/anywriter/anywriter/health"

// wariness is how many answers after a failure are reported to the breaker one
// by one. As long as nothing fails the breaker isn't asked at all: it is a
// mutex and two allocations per operation to learn that it is closed. Ten
// reported answers per failure keep its share of failures honest enough: one
// failure in eleven operations or less never opens it.
const wariness = 10

// consent asks the node's breaker for one more operation. If ok, done (which
// may be nil) is owed the node's first answer. When most of the cluster is out
// of the game, an open breaker forbids nothing: a node that fails often is
// better than none.
func (n *Node) consent(published health.BreakerState, panicking bool) (done func(health.BreakerResult), ok bool) {
	if published == health.BreakerClosed && n.wary.Load() <= 0 {
		return nil, true
	}
	report, ok := n.breaker.Allow()
	if !ok {
		return nil, panicking
	}
	return func(r health.BreakerResult) {
		switch r {
		case health.BreakerFailure:
			n.wary.Store(wariness)
		case health.BreakerSuccess:
			n.wary.Add(-1)
		case health.BreakerIgnore:
		}
		report(r)
	}, true
}

// blame reports a failure of an operation that hadn't asked for consent.
func (n *Node) blame() {
	n.wary.Store(wariness)
	if report, ok := n.breaker.Allow(); ok {
		report(health.BreakerFailure)
	}
}
