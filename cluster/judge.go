package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/outcome"
	"github.com/anywriter/anywriter/internal/sqlstate"
	"github.com/anywriter/anywriter/internal/stmtclass"
)

// ended is called once for every exchange with a server that an attempt
// started: it turns a raw error into the final one and keeps the books of the
// session and the node.
func (s *Session) ended(ctx context.Context, r *Rows) {
	r.traced()
	if s.open != r {
		return // the session has been released meanwhile: nothing is ours any more
	}
	s.open = nil
	if s.place.parting {
		s.place.leave()
	}
	c, p := &r.call, r.phys
	now := r.endedAt()
	s.noteDirt(p, c)
	s.wrote = s.wrote || c.sent && c.mayWrite()
	s.modes = s.modes || c.sent && c.info.SetsReadOnly
	s.noteEnd(r)
	if r.err == nil {
		s.lease.settle(health.BreakerSuccess)
		p.finished(now, c, true)
		if r.commits() {
			p.tally.ended(Committed)
		}
		p.heard = p.answeredAt(c.started)
		s.remember(c, p.node, now, nil)
		if s.txErr != nil && p.pc.TxStatus() == 'T' {
			s.txErr = nil // ROLLBACK TO has healed it
		}
		if c.riding {
			s.endedByRide(ctx, r)
		}
		return
	}
	verdict, final := s.judge(ctx, p, c, r.err)
	r.err = final
	s.lease.settle(breakerResult(verdict))
	if verdict.DropStatement || mayBeStale(verdict, r.err) {
		p.stmts.Drop(c.sql)
	}
	dead := s.inTx && s.begin == "" && !p.pc.IsClosed() && p.pc.TxStatus() == 'I'
	p.failed(now, c, verdict)
	if p.pc.IsClosed() {
		s.loseLease(final)
	}
	if c.fenced && OutcomeOf(final) == CommitSent && verdict.Kind != sqlstate.Foreign {
		r.err = s.resolve(r, final)
		if s.lost == final {
			s.lost = errors.Unwrap(final) // how the commit ended is no news of the session
		}
	}
	p.tally.ended(OutcomeOf(r.err))
	if c.riding {
		s.lostWithRide(r.err)
	}
	if s.inTx && s.txErr == nil {
		s.txErr, s.txDead = r.err, dead
	}
	s.remember(c, p.node, now, r.err)
	s.attach(r.err)
}

// commits reports whether an exchange that went well has ended its work: a
// statement by itself, or a COMMIT, also one sent as text.
func (r *Rows) commits() bool {
	switch c := &r.call; {
	case c.commit:
		return true
	case c.inTx && (c.info.Control != stmtclass.ControlCommit || r.tag.String() == "ROLLBACK"):
		return false
	default:
		return r.phys.pc.TxStatus() == 'I' // not a BEGIN as text
	}
}

// traced tells the configuration's tracer how the exchange ended.
func (r *Rows) traced() {
	if r.call.riding {
		err := r.commitErr
		if err == nil && !r.committed {
			err = r.err
		}
		span := r.phys.node.tracer.Query(r.span.Context(r.ctx), r.phys.conn, "commit", nil)
		span.EndCommand("COMMIT", err)
	}
	if r.call.commit {
		r.span.EndCommand("COMMIT", r.err)
		return
	}
	r.span.End(r.tag, r.err)
}

// noteEnd remembers that a statement has ended its transaction, or may have.
func (s *Session) noteEnd(r *Rows) {
	c := &r.call
	if s.inTx && c.sent && s.control == stmtclass.ControlRollback && c.mayWrite() {
		s.control = stmtclass.ControlCommit // it stands by itself, or in another transaction
	}
	if !s.inTx || !c.sent || !c.info.EndsTx && !c.riding {
		return
	}
	s.committing()
	if !c.riding && (r.err == nil || c.info.Commands > 1) {
		if s.control == stmtclass.ControlNone || s.control == stmtclass.ControlRollback { // nothing takes the others back
			s.control = cmp.Or(c.info.Control, stmtclass.ControlCommit)
		}
	}
}

// mayBeStale reports whether a statement that failed so may have been prepared
// for tables that have changed since: then its parameters keep their old types
// for as long as it lives, and it would fail for ever.
func mayBeStale(v sqlstate.Verdict, err error) bool {
	if v.Kind != sqlstate.Unclassified && v.Kind != sqlstate.ServerFault {
		return false
	}
	code := codeOf(err)
	return strings.HasPrefix(code, "42") || strings.HasPrefix(code, "XX") || code == "22P02" || code == "22P03" || code == "08P01"
}

// noteDirt remembers what the statement may have left behind in the server
// session, also when it failed: a SET inside a text of several commands stays.
func (s *Session) noteDirt(p *physical, c *call) {
	dirt := c.info.Dirt
	if dirt == 0 {
		return
	}
	s.dirty = s.dirty || c.info.Dirties(p.node.reset == ResetStrict)
	p.prepared = p.prepared || dirt&stmtclass.DirtPrepare != 0
	p.loaded = p.loaded || dirt&stmtclass.DirtLoad != 0
	if dirt&stmtclass.DirtDiscard != 0 {
		// DISCARD ALL and DEALLOCATE ALL drop our statements too. Forgetting
		// them all is cheap; running into 26000 inside a transaction isn't.
		p.stmts.Forget()
	}
}

// judge says what an error of an attempt means, and wraps it.
func (s *Session) judge(ctx context.Context, p *physical, c *call, err error) (sqlstate.Verdict, error) {
	facts, pgErr := factsOf(err)
	facts.Phase, facts.InTx, facts.FirstInTx = sqlstate.PhaseStatement, c.inTx, c.first
	facts.OwnCancel = ctx.Err() != nil
	facts.Open = !p.pc.IsClosed() && !p.pc.IsBusy()
	facts.Block = facts.Open && p.pc.TxStatus() == 'E'
	facts.Raised = pgErr != nil && pgErr.File != "" && pgErr.Routine != ""
	facts.Dialect = &p.node.profile.Load().Dialect
	if c.commit {
		facts.Phase = sqlstate.PhaseCommit
	}
	rec := c.record()
	var verdict sqlstate.Verdict
	switch {
	case pgErr != nil:
		verdict = sqlstate.Classify(facts)
	case errors.Is(err, ErrTxAborted):
		verdict = sqlstate.CommitRolledBackVerdict()
		verdict.Retry = verdictOf(err).Retry // that of the statement which failed
	case p.pc.IsClosed():
		verdict = sqlstate.Classify(facts)
		if facts.OwnCancel {
			verdict.Node, verdict.Retry = sqlstate.NodeFine, sqlstate.RetryNever
		}
	default: // refused on our side of the wire: bad arguments, a context already done
	}
	if verdict.Kind == sqlstate.NotWritable && s.readOnlyByChoice(p.node, c) {
		verdict.Node, verdict.Retry = sqlstate.NodeFine, sqlstate.RetryNever
		if s.bound && !p.node.takesWrites() {
			err = fmt.Errorf("%w: %w", errBound, err)
		}
	}
	if verdict.Effect == sqlstate.Undone {
		rec = rec.Step(outcome.EventFlush) // whoever answers has heard something, if only Parse
	}
	if c.mayReplan() && verdict.Effect == sqlstate.Undone && mayBeStale(verdict, err) && !c.commitsInside() {
		verdict.Retry = sqlstate.RetrySameSession // described anew; if it is wrong in itself, it fails again
	}
	rec = rec.Step(verdict.Event())
	out := rec.Outcome()
	if out == CommitSent && s.harmless(c) {
		out = DefinitelyAborted // nothing can have been committed
	}
	if out == DefinitelyAborted && pgErr != nil && c.sent && c.commitsInside() && !c.atOnce(verdict, pgErr) {
		out = CommitSent // the failing part was undone; what came before may stand
		if c.info.InSteps {
			err = fmt.Errorf("%w (the statement runs in several transactions, and what it did in those before stands)", err)
		}
	}
	if verdict.Kind == sqlstate.AbortedTx && s.txErr != nil {
		err = fmt.Errorf("%w; the first error of the transaction was: %w", err, s.txErr)
	}
	if out == CommitSent {
		return verdict, &OutcomeUnknownError{
			Node: p.node.addr, SQLState: facts.Code, Attempts: c.attempts, Earlier: c.earlier, Err: err, verdict: verdict,
		}
	}
	return verdict, &OpError{
		Node: p.node.addr, SQLState: facts.Code, Outcome: out, Attempts: c.attempts, Earlier: c.earlier, Err: err,
		verdict: verdict, row: s.learn(verdict, pgErr),
	}
}

// readOnlyByChoice reports whether 25006 may be this session's own doing and
// not the node's: no other node would take the write either.
func (s *Session) readOnlyByChoice(n *Node, c *call) bool {
	return s.inTx && (s.readOnly || s.modes) || s.bound || s.dirty || c.info.ControlsTx ||
		s.cluster.config.readsOnly() || n.role.Load().Chosen
}

// harmless reports whether the call can't have committed anything: a read, an
// empty text, a BEGIN, or the end of a transaction that had only such.
func (s *Session) harmless(c *call) bool {
	if c.commit || c.riding {
		return !s.wrote
	}
	return c.readOnly || c.info.Class == stmtclass.Read || c.info.Class == stmtclass.Empty ||
		c.info.Class == stmtclass.Transaction && c.info.Control == stmtclass.ControlBegin
}

// ofGrammar reports whether the text itself isn't in PostgreSQL's grammar, which
// is found in all of it before anything is carried out. The code alone doesn't
// tell: the analysis of a later command has it as well, and so has a text that a
// function executes.
func ofGrammar(e *pgconn.PgError) bool {
	return e.Code == "42601" && e.Routine == "scanner_yyerror" && e.InternalQuery == "" && e.Where == ""
}

// atOnce reports whether an error came before anything of the text was carried out.
// A statement that runs in several transactions is refused at once where it can't
// write, and inside a transaction; a block can do anything before it meets that.
func (c *call) atOnce(v sqlstate.Verdict, e *pgconn.PgError) bool {
	refused := v.Kind == sqlstate.NotWritable || v.Kind == sqlstate.NotReady || e.Code == "25001"
	return ofGrammar(e) || c.info.InSteps && refused && e.InternalQuery == "" && e.Where == ""
}

// mayWrite reports whether the statement may change something that the end of its
// transaction decides. The query of a cursor may, too: it runs with FETCH, or even
// at COMMIT (WITH HOLD).
func (c *call) mayWrite() bool {
	return !c.readOnly && (c.info.Class == stmtclass.Write || c.info.Dirt&stmtclass.DirtCursor != 0)
}

// commitsInside reports whether the text may have committed something before the
// command that failed: several commands with transaction control among them, or
// a procedure or anonymous block, which may contain COMMIT unless a transaction
// is open, or a statement that runs in several transactions.
func (c *call) commitsInside() bool {
	switch {
	case c.info.Commands > 1 && c.inTx:
		return c.info.EndsTx
	case c.info.Commands > 1:
		return c.info.ControlsTx
	default:
		return (c.info.Procedural || c.info.InSteps) && !c.inTx
	}
}

// record is what the wire saw of the attempt.
func (c *call) record() outcome.Record {
	rec := outcome.Record{Scope: outcome.Autocommit}
	if c.inTx {
		// Whatever was flushed of an open transaction, its end decides.
		rec = outcome.Record{Scope: outcome.Transaction, Flushed: !c.first}
	}
	if !c.sent || !c.flight.flushed() {
		return rec
	}
	if c.commit || c.riding || c.inTx && c.info.EndsTx {
		return rec.Step(outcome.EventFlushCommit)
	}
	return rec.Step(outcome.EventFlush)
}

// refused wraps an error that came before any attempt.
func (s *Session) refused(c *call, err error) error {
	if _, ours := err.(*NoNodeError); ours || OutcomeOf(err) != Unknown {
		return err
	}
	return &OpError{Node: s.Node(), Outcome: NotSent, Attempts: max(c.attempts, 1), Err: err}
}

// endedAt returns when the exchange ended: with the server's answer, if that was all
// read at once. The rows of a query may have been read long after they came.
func (r *Rows) endedAt() int64 {
	if r.err != nil || r.call.query {
		return r.session.cluster.clock.Nanos()
	}
	return r.phys.answeredAt(r.call.started)
}

// finished books an exchange that the server completed.
func (p *physical) finished(now int64, c *call, ok bool) {
	p.tally.ops.Add(1)
	if !ok {
		p.tally.errors.Add(1)
	}
	if c.answered == 0 {
		c.answered = now
	}
	latency := time.Duration(c.answered - c.started)
	p.tally.latency.Record(latency)
	p.node.load.Observe(now, latency)
}

// failed books an exchange that ended in an error.
func (p *physical) failed(now int64, c *call, v sqlstate.Verdict) {
	n := p.node
	if v.Kind == sqlstate.Conflict {
		n.counters.conflicts.Add(1)
	}
	kind := healthEvent(v)
	if kind == health.EventRole {
		at := n.cluster.clock.Time(now)
		n.cluster.refusedWrite(n, at)
		n.cluster.monitor.Observe(n.index, kind, at)
	}
	if kind == health.EventNone || kind == health.EventRole {
		p.finished(now, c, false)
		return
	}
	p.tally.ops.Add(1)
	p.tally.errors.Add(1)
	if endsSessions(kind) {
		n.broke.Store(now)
	}
	if kind != health.EventDrain { // which may be this session's alone
		n.load.Fail(now)
	}
	n.cluster.monitor.Observe(n.index, kind, n.cluster.clock.Time(now))
}

// endsSessions reports whether a node of which this was heard on one connection may
// have ended the others as well.
func endsSessions(kind health.Kind) bool {
	return kind == health.EventReset || kind == health.EventDrain
}

// breakerResult translates a verdict for the node's breaker.
func breakerResult(v sqlstate.Verdict) health.BreakerResult {
	if v.NodeFault() {
		return health.BreakerFailure
	}
	return health.BreakerSuccess
}

// healthEvent translates a verdict for the health monitor.
func healthEvent(v sqlstate.Verdict) health.Kind {
	switch v.Node {
	case sqlstate.NodeGoing:
		return health.EventDrain
	case sqlstate.NodeNotReady:
		return health.EventNotReady
	case sqlstate.NodeReadOnly:
		return health.EventRole
	case sqlstate.NodeCrowded:
		return health.EventFull
	case sqlstate.NodeSuspect:
		return health.EventReset
	default:
		return health.EventNone
	}
}
