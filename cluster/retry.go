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

// tries is one operation's record of its own retries. The backoff is made when
// the first retry needs it: almost no operation does.
type tries struct {
	from      *retrier
	backoff   *retry.FullJitter
	replanned bool // a stale plan was dropped once
	renewed   bool // a session that the server had ended was replaced once
	declined  int  // how many nodes have said that they take no writes
}

func (r *retrier) start() tries {
	r.budget.Deposit()
	return tries{from: r}
}

// wait waits for the time of the next attempt, and reports how long and whether
// there may be one: the attempts, the budget and the context's deadline must
// allow it. The first move to another node needs no wait, since nobody is in
// the way there.
func (t *tries) wait(ctx context.Context, now time.Time, backOff bool) (time.Duration, bool) {
	if t.backoff == nil {
		t.backoff = retry.NewBackOff(t.from.policy, t.from.seed())
	}
	first := t.backoff.Waits() == 0
	d := t.backoff.NextBackOff()
	if d < 0 {
		return 0, false // backoff.Stop: the attempts are used up
	}
	if first && !backOff {
		d = 0
	}
	if !retry.FitsContext(ctx, now, d) || !t.from.budget.Withdraw(now) {
		return 0, false
	}
	return d, pause(ctx, d)
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
	switch verdict.Retry {
	case sqlstate.RetrySameSession:
		if t.replanned || !s.lease.held() {
			return false
		}
		t.replanned = true
		if !s.replan(ctx, c) {
			return false
		}
		c.followed(err, ended, 0)
		return true
	case sqlstate.RetryFreshSession:
		if t.renewed {
			return false
		}
		t.renewed = true
	case sqlstate.RetryFreshCredential:
		if t.renewed || s.cluster.config.BeforeConnect == nil {
			return false // there is no other credential
		}
		t.renewed = true
	case sqlstate.RetryAnyNode, sqlstate.RetryOtherNode:
	default:
		return false
	}
	if verdict.Kind == sqlstate.NotWritable {
		// No node is asked twice: what none of them takes is no node's fault.
		if t.declined++; t.declined >= len(s.cluster.nodes) {
			return false
		}
	}
	if !s.repeatable(ctx, c, err) {
		return false
	}
	wait, ok := t.wait(ctx, ended, verdict.Retry == sqlstate.RetryAnyNode)
	if !ok {
		return false
	}
	c.followed(err, ended, wait)
	s.restart(verdict, r.phys.node)
	return true
}

// repeatable reports whether running the statement again is certain to apply
// it at most once and loses nothing that ran before it.
func (s *Session) repeatable(ctx context.Context, c *call, err error) bool {
	out := OutcomeOf(err)
	switch {
	case s.used:
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
	s.dirty, s.lost, s.txErr, s.txDead = false, nil, nil, false
	s.begin = s.beginSQL
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
	if _, err := s.lease.phys.command(ctx, "rollback"); err != nil {
		return false
	}
	s.begin, s.txErr = s.beginSQL, nil
	return true
}

// AllowRetry asks the retry budget whether a caller may run a transaction again
// that ended in err, and counts the retry if so.
func (c *Cluster) AllowRetry(err error) bool {
	if !c.retrier.budget.Withdraw(time.Now()) {
		return false
	}
	var op *OpError
	if !errors.As(err, &op) {
		return true
	}
	if n := c.nodeByAddr(op.Node); n != nil {
		n.counters.retries.Add(1)
		c.events.retry(n, op.verdict)
	}
	return true
}
