package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/anywriter/anywriter/internal/sqlstate"
)

// Commit ends the transaction. A nil error means that the server confirmed it,
// or that nothing had been sent. After any error the transaction is over; the
// error's outcome says what is known about it.
func (s *Session) Commit(ctx context.Context) error {
	s.committing()
	defer s.place.leave()
	w := s.ending()
	if w == nil {
		return s.commit(ctx)
	}
	how, err := endUnseen, error(nil)
	defer func() { s.end(w, how, err) }()
	if err = s.commit(ctx); err == nil {
		how = endCommitted
	} else {
		how = endCommitFailed
	}
	return err
}

func (s *Session) commit(ctx context.Context) error {
	if !s.inTx {
		return errNoTx
	}
	if s.open != nil {
		return errBusy
	}
	if over := s.over; over != nil {
		s.endTx()
		return over.err
	}
	pending, first, lost := s.begin != "", s.txErr, s.lost
	if lost == nil && s.txDead {
		lost = first
	}
	defer s.endTx()
	switch {
	case lost != nil:
		return abortedError(first, lost)
	case pending || !s.lease.held():
		return nil
	}
	r := &s.exec
	*r = Rows{session: s, phys: s.lease.phys, ctx: ctx, done: true}
	r.call = call{inTx: true, commit: true, attempts: 1, started: s.cluster.clock.Nanos()}
	r.span = r.phys.node.tracer.Query(ctx, r.phys.conn, "commit", nil)
	ctx = r.span.Context(ctx)
	s.open = r
	var fenced bool
	if fenced, r.err = s.commitsFenced(ctx); r.err == nil {
		r.err = r.phys.commit(ctx, &r.call, fenced)
	}
	if errors.Is(r.err, ErrTxAborted) && first != nil {
		r.err = fmt.Errorf("%w: %w", ErrTxAborted, first)
	}
	s.ended(ctx, r)
	err := r.err
	*r = Rows{}
	if err != nil && s.lease.held() && s.lease.phys.pc.TxStatus() != 'I' {
		_ = s.sendRollback() // the error that counts is COMMIT's
	}
	return err
}

// commit sends COMMIT and reads the answer. CommandComplete decides, so a
// connection that dies after it takes nothing back.
func (p *physical) commit(ctx context.Context, c *call, fenced bool) error {
	if fenced {
		return p.commitFenced(ctx, c)
	}
	p.mark(c)
	tag, err := p.command(ctx, "commit")
	switch tag.String() {
	case "":
		return cmp.Or(err, errNoAnswer)
	case "ROLLBACK":
		return ErrTxAborted
	default:
		return nil
	}
}

var errNoAnswer = errors.New("the server ended the exchange without saying how COMMIT went")

// abortedError reports a transaction whose connection broke before COMMIT was
// sent: the server rolls it back.
func abortedError(first, lost error) error {
	if first == nil {
		first = lost
	}
	e := &OpError{Outcome: DefinitelyAborted, Attempts: 1, Err: fmt.Errorf("%w: %w", ErrTxAborted, first)}
	inherit(e, first)
	return e
}

// inherit makes an error as retryable as the one that caused it.
func inherit(e *OpError, cause error) {
	var op *OpError
	var none *NoNodeError
	switch {
	case errors.As(cause, &none) && none.Cause == nil:
		e.verdict.Retry = sqlstate.RetryAnyNode
	case errors.As(cause, &op):
		e.Node, e.SQLState, e.verdict.Retry, e.row, e.explained = op.Node, op.SQLState, op.verdict.Retry, op.row, op.explained
	}
}

// txEnd is how a transaction ended whose COMMIT travelled with its last
// statement.
type txEnd struct{ err error }

// rollback is what Rollback can say then.
func (e *txEnd) rollback() error {
	switch {
	case e.err == nil:
		return &OpError{Outcome: Committed, Attempts: 1, Err: errCommitted}
	case OutcomeOf(e.err) == CommitSent:
		return e.err
	default:
		return nil
	}
}

// ending is what a Rollback after it is for whoever watches.
func (e *txEnd) ending() (txEnding, error) {
	switch {
	case e == nil:
		return endRolledBack, nil
	case e.err == nil:
		return endCommitted, nil
	default:
		return endCommitFailed, e.err
	}
}

// endedByRide keeps the result of a COMMIT that travelled with a statement.
func (s *Session) endedByRide(ctx context.Context, r *Rows) {
	s.place.leave() // whatever became of it, it is over
	tally := r.phys.tally
	if r.committed {
		s.over = &txEnd{}
		tally.ended(Committed)
		return
	}
	c := call{inTx: true, commit: true, attempts: 1, sent: true, flight: r.call.flight}
	verdict, err := s.judge(ctx, r.phys, &c, r.commitErr)
	if r.call.fenced && OutcomeOf(err) == CommitSent && verdict.Kind != sqlstate.Foreign {
		c.fenceID = r.call.fenceID
		end := Rows{phys: r.phys, call: c} // of COMMIT alone: the statement's own rows have been heard
		err = s.resolve(&end, err)
		c.resolved = true
	}
	s.over = &txEnd{err: err}
	tally.ended(OutcomeOf(err))
	now := s.cluster.clock.Nanos()
	c.started = r.call.started
	s.remember(&c, r.phys.node, now, err)
	s.attach(err)
	r.phys.failed(now, &c, verdict)
}

// lostWithRide keeps what is known of a transaction whose connection broke
// while its COMMIT travelled with a statement. One that is certainly undone
// needs nothing kept: it is a lost transaction like any other.
func (s *Session) lostWithRide(err error) {
	s.place.leave()
	switch OutcomeOf(err) {
	case Committed:
		s.over = &txEnd{}
	case CommitSent:
		s.over = &txEnd{err: err}
	}
}
