package cluster

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster/internal/hotrow"
	"github.com/anywriter/anywriter/cluster/internal/keyqueue"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// hints are what the caller said about an operation through its context.
type hints struct {
	node       string
	key        string
	idempotent bool
	readOnly   bool
	commit     bool
}

type hintsKey struct{}

func hintsOf(ctx context.Context) hints {
	h, _ := ctx.Value(hintsKey{}).(hints)
	return h
}

// WithNode asks for one node by its address, as the DSN names it. It says where
// a checkout begins: inside a transaction or a used session it has no effect.
// Given to the beginning of a transaction it counts for the first statement. If
// that node can't take the operation, the operation fails rather than going
// elsewhere; a read may go to a node that takes no writes whatever read_from says.
// The address of no node is an error of the operation.
func WithNode(ctx context.Context, addr string) context.Context {
	h := hintsOf(ctx)
	h.node = addr
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithKey says what an operation is about, an account for example:
// "account/42". Two operations that change the same row should have the same
// key. The empty key is none.
//
// Operations with the same key go to the same node, as long as that is up and
// isn't overloaded, whatever the picker and from every client that names the
// nodes alike; so they meet their conflicts there, early, and not at COMMIT
// between nodes. Like WithNode, which goes before it, it says where a checkout
// begins, and given to the beginning of a transaction it counts for the first
// statement.
//
// In this client they also run one at a time, in the order in which they came: a
// statement by itself from the search for a node to its end, all attempts
// included; a transaction from its first statement to the end of COMMIT or
// ROLLBACK; RunTx as a whole. What changes nothing doesn't wait: a statement
// with WithReadOnly, a read-only transaction. Whoever waits holds no server
// connection, and stops when its context ends. If the queue is full (see
// key_queue), or the context's deadline would pass before the turn comes, the
// error is a *KeyQueueError in an *OpError whose outcome is NotSent.
//
// Inside a transaction WithKey has no effect, and work in the context of a RunTx
// that has its turn waits for no other. But a transaction of BeginTx with a key
// mustn't wait for an operation outside of it with the same key: that one waits
// for the transaction's end.
func WithKey(ctx context.Context, key string) context.Context {
	h := hintsOf(ctx)
	h.key = key
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithIdempotent says that running an autocommit statement twice does no harm,
// so that it may be tried again although it may already have taken effect. It
// has no effect inside a transaction.
func WithIdempotent(ctx context.Context) context.Context {
	h := hintsOf(ctx)
	h.idempotent = true
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithReadOnly says that a statement changes nothing, although its text can't
// show it: a SELECT that calls a function of the application's own, for
// example. It is then tried again, and goes where read_from says, like any other
// read. A text with INSERT, UPDATE, DELETE, MERGE or INTO in it stays a write: it is
// never taken to have left nothing.
func WithReadOnly(ctx context.Context) context.Context {
	h := hintsOf(ctx)
	h.readOnly = true
	return context.WithValue(ctx, hintsKey{}, h)
}

// WithCommit says that a statement is the last one of its transaction, so that
// COMMIT may travel with it and cost no round trip of its own. The transaction
// must still be ended by Commit, which then reports what the server said. After
// the statement nothing else may run in the transaction, and Rollback fails if
// the commit has succeeded. If the statement fails, the server skips the COMMIT.
// If the context of a sql.Tx ends between the statement and Commit, database/sql
// answers Commit itself, with the context's error or sql.ErrTxDone, although the
// transaction has been committed; RunTx returns nil then.
// Outside a transaction, for a text of several commands and with
// default_query_exec_mode=simple_protocol the hint has no effect.
func WithCommit(ctx context.Context) context.Context {
	h := hintsOf(ctx)
	h.commit = true
	return context.WithValue(ctx, hintsKey{}, h)
}

// KeyQueueError says why an operation didn't get its turn on the key of WithKey:
// the queue was full (errors.Is finds ErrKeyQueueFull), the deadline would have
// passed before (ErrKeyQueueLate, and context.DeadlineExceeded), or the context
// ended during the wait. It comes inside an *OpError; nothing was sent.
type KeyQueueError = keyqueue.Error

var (
	// ErrKeyQueueFull: as many operations wait for the key as key_queue allows.
	ErrKeyQueueFull = keyqueue.ErrFull
	// ErrKeyQueueLate: the deadline would have passed before the turn came, by
	// how long operations on the key have taken so far.
	ErrKeyQueueLate = keyqueue.ErrLate
)

// KeyStats is a snapshot of the queues of WithKey.
type KeyStats = keyqueue.Stats

// place is what a session knows of keys: that of its transaction, and its turn.
type place struct {
	tx      txPlace
	op      hotrow.Op      // what the statement or transaction began with
	row     string         // that it is about, if that was learned
	turn    *keyqueue.Turn // of the transaction, or of the statement
	queued  time.Duration  // how long the last statement waited for it
	parting bool           // the turn ends with the open rows
}

// txPlace is what Begin said about keys.
type txPlace struct {
	key    string
	row    string          // learned by the RunTx that it belongs to
	placed bool            // it belongs to a RunTx that has its turn
	begun  context.Context // Begin's; nil without a key
}

// begin notes the key of a transaction.
func (p *place) begin(ctx context.Context, key string) {
	l := loopOf(ctx)
	if row := l.learnedRow(); key != "" || row != "" {
		p.tx = txPlace{key: key, row: row, placed: l.placed(), begun: ctx}
	}
}

// leave gives up the turn, if there is one.
func (p *place) leave() {
	p.turn.Leave()
	p.turn, p.parting = nil, false
}

// takeTurn waits for the turn on the key of what begins with the statement, if
// that has one: an autocommit statement or a transaction. Not in a transaction
// that runs: whoever holds locks mustn't wait for others.
func (s *Session) takeTurn(ctx context.Context, c *call) error {
	p := &s.place
	p.queued = 0
	if p.turn != nil || s.begin == "" && (s.inTx || s.lease.held() && s.lease.phys.pc.TxStatus() != 'I') {
		return nil
	}
	h := hintsOf(ctx)
	key := cmp.Or(h.key, p.tx.key)
	p.op, p.row = 0, ""
	if rows := s.cluster.rows; rows != nil && key == "" {
		p.op = rows.Op(s.inTx, c.sql, c.args)
		s.takeLearned(ctx, cmp.Or(p.tx.row, rows.Recall(p.op, time.Now())))
		return nil
	}
	if key == "" || h.readOnly || s.inTx && (s.readOnly || p.tx.placed) || loopOf(ctx).placed() {
		return nil
	}
	if p.tx.begun != nil && p.tx.begun != ctx {
		// Many statements of transactions are run without a context.
		both, stop := within(ctx, p.tx.begun)
		defer stop()
		ctx = both
	}
	var err error
	p.turn, err = s.cluster.keys.Enter(ctx, key)
	p.queued = p.turn.Waited()
	if err == nil {
		return nil
	}
	err = notInTurn(err)
	if s.inTx {
		s.txErr, s.txDead = err, true // what comes after it mustn't be committed
	}
	return err
}

// takeLearned makes a row the key of the work, if it has no other. The turn is
// for its own good: if it can't be had, it goes on without.
func (s *Session) takeLearned(ctx context.Context, row string) {
	p, h := &s.place, hintsOf(ctx)
	if row == "" || p.turn != nil || cmp.Or(h.key, p.tx.key) != "" {
		return
	}
	if p.row = row; h.readOnly || s.inTx && (s.readOnly || p.tx.placed) || loopOf(ctx).placed() {
		return
	}
	p.turn, _ = s.cluster.keys.Enter(ctx, row)
	if waited := p.turn.Waited(); waited > 0 {
		p.queued += waited
		s.cluster.rows.Renew(p.op, time.Now())
	}
}

// learn notes the row that a conflict names, for what begins like this work, and
// returns it for the next attempt.
func (s *Session) learn(v sqlstate.Verdict, err *pgconn.PgError) string {
	if s.cluster.rows == nil || err == nil || v.Kind != sqlstate.Conflict {
		return ""
	}
	row := hotrow.Row(err.Detail)
	s.cluster.rows.Learn(s.place.op, row, time.Now())
	return row
}

// rowOf returns the row that a conflict was about, if it is to be learned.
func rowOf(err error) string {
	var op *OpError
	if errors.As(err, &op) {
		return op.row
	}
	return ""
}

// within returns a context like ctx that ends, at the latest, with other.
func within(ctx, other context.Context) (context.Context, func()) {
	undo := func() {}
	if deadline, ok := other.Deadline(); ok {
		ctx, undo = context.WithDeadline(ctx, deadline)
	}
	both, cancel := context.WithCancel(ctx)
	unlink := context.AfterFunc(other, func() {
		if !errors.Is(other.Err(), context.DeadlineExceeded) { // which both has itself
			cancel()
		}
	})
	return both, func() {
		unlink()
		cancel()
		undo()
	}
}

// notInTurn is the error of an operation that didn't get its turn.
func notInTurn(err error) error {
	if errors.Is(err, keyqueue.ErrClosed) {
		return ErrClosed
	}
	return &OpError{Outcome: NotSent, Attempts: 1, Err: err}
}

// ran lets the next one have the key when an autocommit statement has ended;
// one whose rows are still being read ends with them.
func (s *Session) ran() {
	if s.place.turn == nil || s.inTx {
		return
	}
	if s.place.parting = s.open != nil; !s.place.parting {
		s.place.leave()
	}
}
