package health

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// BreakerState is the state of a node's breaker. The zero value is
// BreakerClosed.
type BreakerState uint8

const (
	// BreakerClosed lets everything through.
	BreakerClosed BreakerState = iota
	// BreakerHalfOpen lets a few operations through to try.
	BreakerHalfOpen
	// BreakerOpen lets nothing through.
	BreakerOpen
)

// String returns the name of s.
func (s BreakerState) String() string {
	names := [...]string{"closed", "half-open", "open"}
	if int(s) < len(names) {
		return names[s]
	}
	return "closed"
}

// BreakerResult is how an operation ended, as far as the node is to blame. The
// zero value is BreakerIgnore.
type BreakerResult uint8

const (
	// BreakerIgnore says nothing about the node: the caller gave up.
	BreakerIgnore BreakerResult = iota
	// BreakerSuccess: the node answered. Conflicts and users' SQL errors are
	// answers.
	BreakerSuccess
	// BreakerFailure: the node broke or refused the connection.
	BreakerFailure
)

const (
	// Five failures in a row, or half of at least twenty operations in ten
	// seconds, open the breaker: a node that fails every operation costs five
	// retries, one that fails now and then none of its traffic.
	breakerConsecutive = 5
	breakerMinimum     = 20
	breakerShare       = 0.5
	breakerWindow      = 10 * time.Second
	breakerBucket      = time.Second
	// breakerTrials operations are let through at once while half-open, and as many
	// successes close the breaker.
	breakerTrials = 3
	// breakerPatience is how long such an operation may take to show a failure. The
	// breaker is about nodes that break connections: one on which an operation has
	// been running for so long works, however long it goes on. Slow and frozen nodes
	// are the detector's.
	breakerPatience = 250 * time.Millisecond
	// breakerOpenFor is how long nothing is let through: four probes.
	breakerOpenFor = time.Second
)

// Outcomes of operations as gobreaker wants them: as errors.
var (
	errBreakerFailure = errors.New("health: operation failed")
	errBreakerIgnore  = errors.New("health: operation says nothing")
)

// Breaker is a circuit breaker for one node, on sony/gobreaker's two-step
// breaker. That library leaves the open state only inside Allow or State, so
// the monitor calls State on every tick and publishes what it returned; nobody
// has to send an operation to find out. It is safe for concurrent use.
type Breaker struct {
	two     *gobreaker.TwoStepCircuitBreaker[struct{}]
	changed atomic.Bool
}

// NewBreaker returns a closed breaker; name is used in messages only.
func NewBreaker(name string) *Breaker {
	b := &Breaker{}
	b.two = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         name,
		MaxRequests:  breakerTrials,
		Interval:     breakerWindow,
		BucketPeriod: breakerBucket,
		Timeout:      breakerOpenFor,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			judged := c.TotalSuccesses + c.TotalFailures
			return c.ConsecutiveFailures >= breakerConsecutive ||
				judged >= breakerMinimum && float64(c.TotalFailures) >= breakerShare*float64(judged)
		},
		// It runs under gobreaker's own mutex: nothing but the flag may happen here.
		OnStateChange: func(string, gobreaker.State, gobreaker.State) { b.changed.Store(true) },
		IsExcluded:    func(err error) bool { return errors.Is(err, errBreakerIgnore) },
	})
	return b
}

// Allow asks whether one more operation may go to the node. If ok, done must be
// called exactly once with how it went, at the server's first reply, not at the
// end of the checkout. One that is slow to be called while the breaker is half-open
// counts as a success meanwhile; a failure after that counts as another operation's.
func (b *Breaker) Allow() (done func(BreakerResult), ok bool) {
	report, err := b.two.Allow()
	if err != nil {
		return nil, false
	}
	if b.two.State() != gobreaker.StateHalfOpen {
		return reporter(report), true
	}
	var told atomic.Bool
	// Ends with the first of the two calls.
	patience := time.AfterFunc(breakerPatience, func() {
		if told.CompareAndSwap(false, true) {
			report(nil)
		}
	})
	return func(r BreakerResult) {
		patience.Stop()
		switch {
		case told.CompareAndSwap(false, true):
			reporter(report)(r)
		case r == BreakerFailure:
			if done, ok := b.Allow(); ok {
				done(r)
			}
		}
	}, true
}

// reporter translates a result for gobreaker.
func reporter(report func(error)) func(BreakerResult) {
	return func(r BreakerResult) {
		switch r {
		case BreakerSuccess:
			report(nil)
		case BreakerFailure:
			report(errBreakerFailure)
		default:
			report(errBreakerIgnore)
		}
	}
}

// State returns the breaker's state, and moves it from open to half-open when
// its time has come.
func (b *Breaker) State() BreakerState {
	switch b.two.State() {
	case gobreaker.StateOpen:
		return BreakerOpen
	case gobreaker.StateHalfOpen:
		return BreakerHalfOpen
	default:
		return BreakerClosed
	}
}

// Changed reports whether the state changed since the last call. It takes no
// lock.
func (b *Breaker) Changed() bool { return b.changed.Swap(false) }
