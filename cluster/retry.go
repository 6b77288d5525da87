package cluster

import (
	"context"
	"errors"
	"time"

	"github.com/anywriter/anywriter/internal/retry"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// retrier holds what all operations of a cluster share about retrying.
type retrier struct {
	policy retry.Policy
	budget *retry.Budget
	seed   func() uint64
}

// pacer spaces the attempts of one operation. The backoff is made when the first
// retry needs it: almost no operation does.
type pacer struct {
	policy  retry.Policy
	budget  *retry.Budget // nil allows everything
	seed    func() uint64
	limit   time.Time // no attempt begins after it; zero means no limit
	backoff *retry.FullJitter
}

// next returns the wait before another attempt, or why there may be none. If
// atOnce, the first needs no wait: that is a move to another node, where nobody
// is in the way. It isn't charged to the budget either: when a node dies everybody who
// is at work there moves once, however many they are, and no operation does it twice.
func (p *pacer) next(ctx context.Context, now time.Time, atOnce bool) (time.Duration, Stop) {
	free := atOnce && p.backoff == nil
	d, stop := p.nextUncharged(ctx, now, atOnce)
	if stop == StopUnknown && !free && !p.budget.Withdraw(now) {
		return 0, StopBudget
	}
	return d, stop
}

// nextUncharged is next without a look at the budget.
func (p *pacer) nextUncharged(ctx context.Context, now time.Time, atOnce bool) (time.Duration, Stop) {
	if p.backoff == nil {
		p.backoff = retry.NewBackOff(p.policy, p.seed())
	}
	first := p.backoff.Waits() == 0
	d := p.backoff.NextBackOff()
	if first && atOnce {
		d = min(d, 0) // backoff.Stop is negative
	}
	switch {
	case ctx.Err() != nil:
		return 0, StopContext
	case d < 0:
		return 0, StopAttempts
	case !retry.FitsContext(ctx, now, d):
		return 0, StopDeadline
	case !retry.FitsDeadline(now, d, p.limit):
		return 0, StopElapsed
	default:
		return d, StopUnknown
	}
}

// tries is one operation's record of its own retries.
type tries struct {
	pacer
	replanned bool // a stale plan was dropped once
	renewed   bool // a session that the server had ended was replaced once
	declined  int  // how many nodes have said that they take no writes
}

func (r *retrier) start() tries {
	r.budget.Deposit()
	return tries{pacer: pacer{policy: r.policy, budget: r.budget, seed: r.seed}}
}

// pause waits for d and reports whether the context lasted.
func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// verdictOf returns the policy's verdict that an error carries.
func verdictOf(err error) sqlstate.Verdict {
	var op *OpError
	var unknown *OutcomeUnknownError
	switch {
	case errors.As(err, &unknown):
		return unknown.verdict
	case errors.As(err, &op):
		return op.verdict
	default:
		return sqlstate.Verdict{}
	}
}

// again decides whether a failed attempt is followed by another one, and gets
// the session ready for it.
func (s *Session) again(ctx context.Context, r *Rows, err error, t *tries) bool {
	verdict, c, ended := verdictOf(err), &r.call, time.Now()
	began := ended.Add(-s.cluster.clock.Since(c.started)) // by the wall clock, which people read
	if c.stop = s.mayTryAgain(ctx, c, verdict, err, t); c.stop != StopUnknown {
		return false
	}
	if verdict.Retry == sqlstate.RetrySameSession {
		if !s.replan(ctx, c) {
			c.stop = StopFinal
			return false
		}
		c.followed(err, began, ended, 0)
		return true
	}
	var wait time.Duration
	if wait, c.stop = t.next(ctx, ended, verdict.Retry != sqlstate.RetryAnyNode); c.stop != StopUnknown {
		return false
	}
	if !pause(ctx, wait) {
		c.stop = StopContext
		return false
	}
	c.followed(err, began, ended, wait)
	s.restart(verdict, r.phys.node)
	s.takeLearned(ctx, rowOf(err))
	return true
}

// mayTryAgain says why a failed attempt can't be followed by another one, or
// StopUnknown if nothing but time and budget stand against it.
func (s *Session) mayTryAgain(ctx context.Context, c *call, verdict sqlstate.Verdict, err error, t *tries) Stop {
	switch verdict.Retry {
	case sqlstate.RetrySameSession:
		// A procedure, or a text of several commands, may have committed before it
		// met the stale plan.
		if t.replanned || !s.lease.held() || !OutcomeOf(err).SafeToRepeat() {
			return StopFinal
		}
		t.replanned = true
		return StopUnknown
	case sqlstate.RetryFreshSession:
		if t.renewed {
			return StopFinal
		}
		t.renewed = true
	case sqlstate.RetryFreshCredential:
		if t.renewed || s.cluster.config.BeforeConnect == nil {
			return StopFinal // there is no other credential
		}
		t.renewed = true
	case sqlstate.RetryAnyNode, sqlstate.RetryOtherNode:
	default:
		return StopFinal
	}
	if verdict.Kind == sqlstate.NotWritable {
		// No node is asked twice: what none of them takes is no node's fault.
		if t.declined++; t.declined >= len(s.cluster.members()) {
			return StopFinal
		}
	}
	if s.repeatable(ctx, c, err) {
		return StopUnknown
	}
	if OutcomeOf(err).SafeToRepeat() {
		return StopScope
	}
	return StopFinal
}

// repeatable reports whether running the statement again is certain to apply
// it at most once and loses nothing that ran before it.
func (s *Session) repeatable(ctx context.Context, c *call, err error) bool {
	out := OutcomeOf(err)
	switch {
	case s.used && (s.bound || verdictOf(err).Kind != sqlstate.NotWritable):
		return false // what ran before is bound to this connection
	case s.inTx:
		// Only a transaction that has done nothing yet may move: not sent, or
		// turned away by a server that said so.
		v := verdictOf(err)
		turnedAway := v.Effect == sqlstate.Undone && (v.Retry == sqlstate.RetryOtherNode || v.Retry == sqlstate.RetryFreshSession)
		return c.first && (out == NotSent || out == DefinitelyAborted && turnedAway)
	case c.inTx:
		return false
	default:
		return out.SafeToRepeat() || hintsOf(ctx).idempotent
	}
}

// restart makes the session forget the failed attempt.
func (s *Session) restart(verdict sqlstate.Verdict, node *Node) {
	node.counters.retries.Add(1)
	node.cluster.events.retry(node, verdict)
	if s.lease.held() {
		s.lease.release(s.dirty)
		s.lease = lease{}
	}
	s.dirty, s.modes, s.lost, s.txErr, s.txDead = false, false, nil, nil, false
	s.begin = s.beginSQL
	s.toWrite = s.toWrite || verdict.Kind == sqlstate.NotWritable
	switch verdict.Retry {
	case sqlstate.RetryFreshSession, sqlstate.RetryFreshCredential:
		s.wish = wish{node: node, since: time.Now()}
	case sqlstate.RetryOtherNode:
		s.avoid = s.avoid.With(node.index)
	}
}

// replan makes the session ready to run a statement once more whose cached
// plan the server has refused. A transaction that had just begun begins again.
func (s *Session) replan(ctx context.Context, c *call) bool {
	if !c.inTx {
		return true
	}
	if err := s.lease.phys.rollback(ctx); err != nil {
		return false
	}
	s.begin, s.txErr = s.beginSQL, nil
	return true
}

// countRetry keeps the books on a transaction that ended in err and is run
// again.
func (c *Cluster) countRetry(err error) {
	var op *OpError
	if !errors.As(err, &op) {
		return
	}
	if n := c.nodeByAddr(op.Node); n != nil {
		n.counters.retries.Add(1)
		c.events.retry(n, op.verdict)
	}
}
