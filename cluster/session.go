package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/stmtclass"
)

// Session is one checkout: the time from the first statement to Release during
// which everything runs on one server connection, so that transactions,
// settings and open rows stay together. It holds no server connection before
// the first statement and none after Release, and may then be used again. It
// belongs to one goroutine at a time.
type Session struct {
	cluster *Cluster
	lease   lease        // zero while no server connection is held
	avoid   balancer.Set // indices of nodes whose failure made an attempt worthless
	wish    wish         // the server connection that the next attempt would like
	used    bool         // something has run in this checkout
	bound   bool         // and may have left something behind: it can't change node
	toWrite bool         // a node that takes no writes has refused it: only one that does will do
	dirty   bool         // session state must be undone before anyone else
	lost    error        // the connection broke after use: nothing more can run
	open    *Rows
	exec    Rows // reader of statements whose rows nobody wants

	inTx     bool   // an explicit transaction, begun or pending
	begin    string // its BEGIN, as long as that hasn't been sent
	beginSQL string // the same, kept
	readOnly bool   // it was begun as read-only
	node     string // WithNode of its Begin
	wrote    bool   // it may have changed something
	modes    bool   // a statement may have changed whether transactions are read-only
	over     *txEnd // its COMMIT has travelled with a statement
	txErr    error  // its first error
	txDead   bool   // it failed before it was open: nothing may run until its end

	place place // its turn on a key

	choice choice // how the server connection was chosen
	last   trail  // of the last exchange

	control stmtclass.Control // the command by which a statement has ended it
	watch   *TxWatch          // whoever follows it; almost always nil
	loop    *loop             // the Retry in whose function it was begun; the same
}

// NewSession returns a session that holds nothing yet.
func (c *Cluster) NewSession() *Session { return &Session{cluster: c} }

// Exec runs a statement and returns its command tag. An autocommit statement
// is tried again, on another node if need be, when that is certain to be safe.
// The error is an *OpError, *OutcomeUnknownError, *NoNodeError or one of the
// package's sentinels.
func (s *Session) Exec(ctx context.Context, sql string, args []any) (pgconn.CommandTag, error) {
	r := &s.exec
	*r = Rows{call: call{sql: sql, args: args}}
	err := s.run(ctx, r)
	tag := r.tag
	*r = Rows{}
	return tag, err
}

// Query runs a statement and returns its rows, which the caller must close.
// Errors that come before the first row are handled and reported as by Exec.
func (s *Session) Query(ctx context.Context, sql string, args []any) (*Rows, error) {
	r := new(Rows)
	if err := s.QueryInto(ctx, r, sql, args); err != nil {
		return nil, err
	}
	return r, nil
}

// QueryInto is Query with memory of the caller's, who may use it again after
// closing the Rows. After an error they needn't be closed.
func (s *Session) QueryInto(ctx context.Context, r *Rows, sql string, args []any) error {
	*r = Rows{call: call{sql: sql, args: args, query: true}}
	return s.run(ctx, r)
}

// run carries a statement out, attempt by attempt.
func (s *Session) run(ctx context.Context, r *Rows) error {
	if err := s.enter(); err != nil {
		return err
	}
	r.call.mode = s.cluster.execMode
	if err := s.takeTurn(ctx, &r.call); err != nil {
		return s.conclude(&r.call, err)
	}
	defer s.ran()
	if err := s.prepareCall(ctx, &r.call); err != nil {
		return s.conclude(&r.call, s.refused(&r.call, err))
	}
	tries := s.cluster.retrier.start()
	var unknown *OutcomeUnknownError // an idempotent write's earlier attempt that may have been committed
	for {
		err := s.attempt(ctx, r)
		if err == nil {
			s.noteUse(&r.call)
			return nil
		}
		if !s.again(ctx, r, err, &tries) {
			if s.lease.held() && r.call.sent {
				s.noteUse(&r.call)
			}
			if s.inTx && !s.lease.held() && s.lost == nil {
				// No node took the transaction. A statement of it has failed,
				// so it mustn't commit what comes after.
				s.txErr, s.txDead = err, true
			}
			return s.conclude(&r.call, r.call.stillUnknown(unknown, r.call.withEarlier(err)))
		}
		unknown = doubtIn(err, unknown)
	}
}

// doubtIn returns the doubt that an error expresses, or else the one before. It
// stands apart so that only a failure allocates what errors.As needs.
func doubtIn(err error, before *OutcomeUnknownError) *OutcomeUnknownError {
	doubt := before
	errors.As(err, &doubt)
	return doubt
}

// stillUnknown keeps the doubt about an earlier attempt in the final error.
// Node and code are those of the attempt in doubt, the cause is the last one's.
func (c *call) stillUnknown(doubt *OutcomeUnknownError, last error) error {
	if doubt == nil || OutcomeOf(last) == CommitSent {
		return last
	}
	return &OutcomeUnknownError{
		Node: doubt.Node, SQLState: doubt.SQLState, Attempts: c.attempts, Earlier: c.earlier,
		Err: fmt.Errorf("attempt %d got no final answer; the last one: %w", doubt.Attempts, last),
	}
}

// enter refuses work that can't be started.
func (s *Session) enter() error {
	switch {
	case s.open != nil:
		return errBusy
	case s.lost != nil:
		return s.lostError()
	case s.txDead:
		return abortedError(s.txErr, nil)
	case s.over != nil:
		return errTxOver
	default:
		return nil
	}
}

// attempt runs the statement once.
func (s *Session) attempt(ctx context.Context, r *Rows) error {
	c := &r.call
	c.attempts++
	c.sent, c.answered, c.started, c.searched, c.resolved = false, 0, 0, true, false
	before := s.lease.conn
	if err := s.ensureLease(ctx, c); err != nil {
		return err
	}
	c.searched = s.lease.conn != before
	if c.attempts > 1 {
		*r = Rows{call: *c}
		c = &r.call
	}
	r.session, r.phys, r.ctx = s, s.lease.phys, ctx
	c.begin, c.fencedTx, c.noFence, c.fenced, c.riding = s.begin, s.wrote, s.readOnly, false, false
	hints := hintsOf(ctx)
	c.readOnly, c.last = hints.readOnly, hints.commit && s.inTx
	if c.started = s.lease.ready; !c.searched {
		c.started = s.cluster.clock.Nanos()
	}
	// The server's word counts: a statement may have ended the transaction.
	c.inTx = s.begin != "" || r.phys.pc.TxStatus() != 'I'
	c.first = s.inTx && s.begin != ""
	s.mayShut(c)
	c.scope = s.scopeOf(c)
	s.open = r
	err := r.phys.send(ctx, r)
	s.begin = c.begin
	if err != nil {
		r.done, r.err = true, err
		s.ended(ctx, r)
		return r.err
	}
	if !c.query {
		return r.drain()
	}
	c.answered = r.phys.answeredAt(c.started)
	if !s.used && !c.inTx && c.info.Class != stmtclass.Read && r.multi == nil {
		err = r.readAhead()
	} else {
		err = r.preload()
	}
	if !r.done {
		s.lease.settle(health.BreakerSuccess) // rows have come; reading them may take for ever
	}
	return err
}

// Begin opens a transaction. Nothing is sent: BEGIN travels with the first
// statement, so an error of BEGIN is that statement's, and an empty
// transaction costs nothing. The context says to which RunTx or Retry the
// transaction belongs, if to any, and its WithNode and WithKey count for a first
// statement that has none of its own; it isn't kept.
func (s *Session) Begin(ctx context.Context, opts TxOptions) error {
	switch {
	case s.lost != nil:
		// Trying again helps only in another session.
		return &OpError{Outcome: NotSent, Attempts: 1, Err: s.lostError()}
	case s.inTx:
		return errTxOpen
	case s.open != nil:
		return errBusy
	case s.lease.held() && s.lease.phys.pc.TxStatus() != 'I':
		// The server would take BEGIN for the transaction that is open already, and
		// the end of this one would be the end of that.
		return &OpError{Node: s.Node(), Outcome: NotSent, Attempts: 1, Err: errTxByHand}
	}
	s.beginSQL, s.readOnly = opts.sql(), opts.ReadOnly
	s.inTx, s.begin, s.txErr, s.wrote = true, s.beginSQL, nil, false
	h := hintsOf(ctx)
	s.node = h.node
	s.place.begin(ctx, cmp.Or(opts.Key, h.key))
	s.watched(ctx)
	return nil
}

// Rollback ends the transaction without effect. It takes no context: it must
// also work after the transaction's context has been cancelled, and saves the
// server connection then. A lost connection isn't an error, because the server
// rolls back by itself.
func (s *Session) Rollback() error {
	if !s.inTx {
		return errNoTx
	}
	defer s.place.leave()
	if w := s.ending(); w != nil {
		how, err := s.over.ending()
		defer s.end(w, how, err)
	}
	if over := s.over; over != nil {
		s.endTx()
		return over.rollback()
	}
	pending := s.begin != "" || s.txDead
	s.endTx()
	if pending || !s.lease.held() {
		return nil
	}
	return s.sendRollback()
}

// sendRollback rolls the server's transaction back, or gives the connection
// up.
func (s *Session) sendRollback() error {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackTimeout)
	defer cancel()
	p := s.lease.phys
	err := p.rollback(ctx)
	if p.pc.IsClosed() {
		s.loseLease(err)
		return nil
	}
	if err != nil {
		return &OpError{Node: s.lease.node.addr, Outcome: DefinitelyAborted, Attempts: 1, Err: err}
	}
	return nil
}

// rollbackTimeout bounds the ROLLBACK of a transaction whose own context may
// be over. A server answers ROLLBACK at once; one that doesn't within a second
// is frozen, and closing the connection does the same.
const rollbackTimeout = time.Second

func (s *Session) endTx() {
	s.inTx, s.begin, s.beginSQL, s.readOnly, s.txErr, s.txDead = false, "", "", false, nil, false
	s.place.tx = txPlace{}
	s.node, s.wrote, s.over, s.control, s.loop = "", false, nil, stmtclass.ControlNone, nil
}

// TxError returns the first error of the open transaction, or nil.
func (s *Session) TxError() error {
	if s.txErr == nil && s.inTx && s.lost != nil {
		return s.lostError()
	}
	return s.txErr
}

// InTx reports whether a transaction is open or pending.
func (s *Session) InTx() bool { return s.inTx }

// Conn returns the server connection of this session for direct use with pgx,
// acquiring one and sending a pending BEGIN first. It must not be used after
// Release. Whatever is done with it, the session's state is undone afterwards.
func (s *Session) Conn(ctx context.Context) (*pgx.Conn, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	if err := s.ensureLease(ctx, nil); err != nil {
		return nil, err
	}
	p := s.lease.phys
	s.committing() // that may be done on the connection itself
	s.used, s.bound, s.dirty, s.wrote, p.prepared = true, true, true, true, true
	if s.begin == "" {
		return p.conn, nil
	}
	c := call{begin: s.begin, inTx: true, first: true, attempts: 1}
	err := p.beginAlone(ctx, &c)
	s.begin = c.begin
	if err != nil {
		r := &Rows{session: s, phys: p, call: c, done: true, err: err}
		s.open = r
		s.ended(ctx, r)
		return nil, r.err
	}
	return p.conn, nil
}

// Node returns the address of the node whose server connection the session
// holds, or "".
func (s *Session) Node() string {
	if !s.lease.held() {
		return ""
	}
	return s.lease.node.addr
}

// Release gives the server connection back and makes the session ready for
// another checkout. It never blocks and may be called at any time, also twice.
func (s *Session) Release() {
	if w := s.ending(); w != nil {
		how, err := s.over.ending()
		s.inTx = false // the server rolls back
		s.end(w, how, err)
	}
	if s.lease.held() {
		s.lease.release(s.dirty)
	}
	s.place.leave()
	*s = Session{cluster: s.cluster}
}

// Break gives the server connection up, because the state of the exchange on
// it isn't known any more: something has panicked in the middle of it. An open
// transaction is lost with it.
func (s *Session) Break(cause error) {
	s.open = nil
	s.ran() // whatever was to be read
	if s.lease.held() {
		s.lease.phys.destroy()
		s.used = true // whatever it was, it can't be gone on with
		s.loseLease(cause)
	}
}

// loseLease gives up a broken connection; the session can only go on if
// nothing depended on it.
func (s *Session) loseLease(cause error) {
	if s.used || s.inTx {
		s.lost = cause
		if s.lost == nil {
			s.lost = pgconn.ErrConnClosed
		}
	}
	s.lease.release(false)
	s.lease = lease{}
	s.dirty = false
}

func (s *Session) lostError() error {
	return fmt.Errorf("%w: %w", ErrSessionLost, s.lost)
}
