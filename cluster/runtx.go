package cluster

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/cluster/internal/keyqueue"
	"github.com/anywriter/anywriter/internal/retry"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// TxOptions are the properties of a transaction. The zero value is the
// server's default.
type TxOptions struct {
	Isolation pgx.TxIsoLevel
	ReadOnly  bool
	// Key is WithKey of the transaction.
	Key string
}

func (o TxOptions) sql() string {
	s := "begin"
	if o.Isolation != "" {
		s += " isolation level " + string(o.Isolation)
	}
	if o.ReadOnly {
		s += " read only"
	}
	return s
}

// RetryOptions bound how often and how long RunTx and Retry try. A nil pointer
// and the zero value mean the defaults.
type RetryOptions struct {
	// MaxAttempts bounds the attempts, the first included. 0 means that only the
	// context's deadline, MaxElapsed and the retry budget do, or thirty attempts
	// if there is neither a deadline nor MaxElapsed.
	MaxAttempts int
	// MaxElapsed is the time from the start after which no further attempt
	// begins; 0 means no such limit. An attempt that has begun isn't cut short:
	// that is what the context's deadline and AttemptTimeout are for.
	MaxElapsed time.Duration
	// AttemptTimeout bounds each attempt by a deadline of its context; 0 means
	// that only the caller's context does. If it is over before COMMIT was sent,
	// the attempt is certainly without effect and another one may follow; if it
	// is over while COMMIT is under way, the outcome is as unknown as after the
	// caller's own deadline.
	AttemptTimeout time.Duration
	// BackoffBase and BackoffCap bound the waits between attempts: the n-th, from
	// 0, is drawn from [0, min(BackoffCap, BackoffBase·2ⁿ)]. 0 means retry_base and
	// retry_cap of the cluster.
	BackoffBase, BackoffCap time.Duration
	// OnRetry, if set, is called before the wait for each further attempt, with
	// the number of the attempt that has failed (from 1), its error, and the wait.
	OnRetry func(attempt int, err error, wait time.Duration)
}

// RunOptions are the options of RunTx. A nil pointer and the zero value mean
// the defaults.
type RunOptions struct {
	TxOptions
	RetryOptions
}

// RunTx runs fn inside a transaction of the session and commits it, and runs fn
// again in a new transaction when one has certainly left nothing behind and
// another may do better. It is RunTx of package driver, where the rules for fn
// are, without database/sql. fn must neither commit nor roll back; rows that it
// leaves open are closed.
//
// A session that held no server connection before gives it back between two
// attempts, so that each begins on the best node; any other stays on its node,
// and RunTx ends with ErrSessionLost when its connection breaks.
// In the end the session holds the last attempt's connection until Release.
func RunTx(ctx context.Context, s *Session, opts *RunOptions, fn func(ctx context.Context, s *Session) error) error {
	if opts == nil {
		opts = &RunOptions{}
	}
	movable := !s.used && !s.lease.held()
	first := true
	retry := Retry
	if !opts.ReadOnly { // or it would need no turn on its key
		if retry = s.cluster.Retry; opts.Key != "" {
			ctx = WithKey(ctx, opts.Key)
		}
	}
	return retry(ctx, &opts.RetryOptions, func(ctx context.Context) error {
		if !first && movable {
			s.Release()
		}
		first = false
		return s.runOnce(ctx, opts.TxOptions, movable, fn)
	})
}

// runOnce makes one attempt of RunTx.
func (s *Session) runOnce(ctx context.Context, opts TxOptions, movable bool, fn func(context.Context, *Session) error) error {
	txCtx, watch := WatchTx(ctx)
	if !movable {
		watch.Pin()
	}
	if err := s.Begin(txCtx, opts); err != nil {
		return err
	}
	done := false
	end := func(commit bool) error {
		if s.open != nil {
			_ = s.open.Close() // its error is the transaction's first, if it is one
		}
		switch {
		case s.watch != watch && s.inTx: // fn ended ours and began another
			return s.Rollback()
		case s.watch != watch:
			return nil
		case commit:
			return s.Commit(ctx)
		default:
			return s.Rollback()
		}
	}
	defer func() {
		if !done { // fn panicked, or called runtime.Goexit
			_ = end(false) // the panic is what counts
		}
	}()
	err := fn(ctx, s)
	done = true
	return watch.Verdict(ctx, err, end(err == nil))
}

// Retry runs fn, and runs it again for as long as it returns an error that
// IsRetryable accepts, or one that says that only the attempt's own time was
// over, within the limits of the options. It is for code that leaves
// transactions to somebody else, an ORM for example: fn must run one whole
// transaction with the context that it is given, and return its error, wrapped
// or not.
//
// The waits and the retry budget are those of the cluster on which a transaction
// was begun with the context of the attempt. Errors of the driver come back as a
// *RetryError if there was more than one attempt, or if another one would have
// been made but for the limits; all other errors as fn returned them.
func Retry(ctx context.Context, opts *RetryOptions, fn func(ctx context.Context) error) error {
	return retryOn(ctx, nil, opts, fn)
}

// Retry is the function Retry for work on this cluster. With WithKey in its
// context it waits for its turn before the first attempt, under the caller's
// deadline and not AttemptTimeout, and keeps it until it returns. The function
// knows the cluster of the work only after the first attempt, whose transaction
// waits by itself.
func (c *Cluster) Retry(ctx context.Context, opts *RetryOptions, fn func(ctx context.Context) error) error {
	return retryOn(ctx, c, opts, fn)
}

// retryOn is Retry; c is nil if the cluster isn't known yet.
func retryOn(ctx context.Context, c *Cluster, opts *RetryOptions, fn func(ctx context.Context) error) error {
	if opts == nil {
		opts = &RetryOptions{}
	}
	l := &loop{opts: opts, began: time.Now(), outer: loopOf(ctx), queues: c != nil}
	l.cluster.Store(c)
	l.watch.loop = l
	ctx = context.WithValue(ctx, watchKey{}, &l.watch)
	defer l.leaveKey()
	for {
		if err := l.takeTurn(ctx); err != nil {
			return l.fail(ctx, err, StopFinal)
		}
		began := time.Now()
		err, timedOut := l.attempt(ctx, fn)
		if err == nil {
			return nil
		}
		reason := reasonOf(err)
		switch {
		case !mayRepeat(reason, timedOut), noNode(reason) && !timedOut && !l.bounded(ctx):
			return l.fail(ctx, err, StopFinal)
		case l.lost != nil:
			return l.fail(ctx, err, StopSession)
		}
		ended := time.Now()
		wait, stop := l.next(ctx, reason, ended)
		if stop != StopUnknown {
			return l.fail(ctx, err, stop)
		}
		if opts.OnRetry != nil {
			opts.OnRetry(l.made, err, wait)
		}
		if !pause(ctx, wait) {
			return l.fail(ctx, err, StopContext)
		}
		l.learn(ctx, reason)
		l.earlier = remember(l.earlier, failedAttempt(l.made, err, began, ended, wait))
	}
}

// loop is one call of Retry.
type loop struct {
	opts    *RetryOptions
	watch   TxWatch                 // of transactions that nobody else watches
	cluster atomic.Pointer[Cluster] // of the first transaction that was begun in it
	began   time.Time
	made    int // attempts

	queues bool  // it waits for its turn on the key of the context
	outer  *loop // the Retry in whose function this one was called
	turn   atomic.Pointer[keyqueue.Turn]
	row    atomic.Pointer[string] // that the last conflict was about; see conflict_affinity

	// What was begun with the context of the attempt, RunTx's own apart, and how
	// often a commit was asked for.
	begun, commits atomic.Int64

	lost    error // why no attempt can follow in the session
	pace    pacer
	earlier []Attempt
}

// loopOf returns the Retry to which a context belongs, or nil.
func loopOf(ctx context.Context) *loop {
	if w, ok := ctx.Value(watchKey{}).(*TxWatch); ok {
		return w.loop
	}
	return nil
}

// takeTurn waits for the turn on the key of the work, if it has one.
func (l *loop) takeTurn(ctx context.Context) error {
	c, h, row := l.cluster.Load(), hintsOf(ctx), l.learnedRow()
	key := h.key
	if key == "" {
		key = row
	} else if row = ""; !l.queues {
		return nil
	}
	if key == "" || h.readOnly || l.placed() {
		return nil
	}
	turn, err := c.keys.Enter(ctx, key)
	switch {
	case err == nil:
		l.turn.Store(turn)
	case row == "": // one that was learned is for its own good
		return notInTurn(err)
	}
	return nil
}

// learn keeps the row that a conflict was about for the next attempt. The turn on
// another one that was learned before is of no use any more.
func (l *loop) learn(ctx context.Context, err error) {
	row := rowOf(err)
	if row == "" || row == l.learnedRow() || hintsOf(ctx).key != "" {
		return
	}
	l.leaveKey()
	l.row.Store(&row)
}

// learnedRow returns the row that the last conflict was about, or "".
func (l *loop) learnedRow() string {
	if l == nil || l.row.Load() == nil {
		return ""
	}
	return *l.row.Load()
}

// leaveKey gives up the turn, if there is one. Whoever keeps the context of the work
// beyond its end has none any more.
func (l *loop) leaveKey() { l.turn.Swap(nil).Leave() }

// placed reports whether the work, or what it is a part of, has its turn on a key.
func (l *loop) placed() bool {
	for ; l != nil; l = l.outer {
		if l.turn.Load() != nil {
			return true
		}
	}
	return false
}

// attempt runs fn once and reports whether the time of the attempt alone was
// over when it failed.
func (l *loop) attempt(ctx context.Context, fn func(context.Context) error) (err error, timedOut bool) {
	l.made++
	l.begun.Store(0)
	l.commits.Store(0)
	own := ctx
	if l.opts.AttemptTimeout > 0 {
		var cancel context.CancelFunc
		own, cancel = context.WithTimeout(ctx, l.opts.AttemptTimeout)
		defer cancel()
	}
	err = fn(own)
	return l.known(own, err), own.Err() != nil && ctx.Err() == nil
}

// known adds to the bare error of a context that is over what is known of the
// transactions that were begun with it: if nobody has asked for a commit, all of
// them are undone.
func (l *loop) known(ctx context.Context, err error) error {
	over := ctx.Err()
	if err == nil || over == nil || !errors.Is(err, over) || OutcomeOf(err) != Unknown ||
		l.begun.Load() == 0 || l.commits.Load() > 0 {
		return err
	}
	return &OpError{Outcome: DefinitelyAborted, Attempts: 1, Err: err}
}

// reasonOf returns the error that decides about another attempt.
func reasonOf(err error) error {
	if hidden, ok := err.(*ClosureError); ok {
		return hidden.First
	}
	return err
}

// mayRepeat reports whether work that ended in an error can and should be done
// again.
func mayRepeat(err error, timedOut bool) bool {
	return IsRetryable(err) || timedOut && outOfTime(err) && OutcomeOf(err).SafeToRepeat()
}

// noNode reports whether an attempt ended before it began, because no node could
// be had within acquire_timeout.
func noNode(err error) bool { return errors.Is(err, ErrNoNode) }

// bounded reports whether the caller has said for how long to try. If not, a
// cluster without a node is reported after acquire_timeout, as by every other
// operation: the thirty attempts that a conflict is worth would be half a minute
// of waiting that nobody has asked for.
func (l *loop) bounded(ctx context.Context) bool {
	_, deadline := ctx.Deadline()
	return deadline || l.opts.MaxElapsed > 0 || l.opts.MaxAttempts > 0
}

// outOfTime reports whether work ended because its context's deadline passed.
func outOfTime(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || verdictOf(err).Kind == sqlstate.Canceled
}

// next returns the wait before the next attempt, or why there is none.
func (l *loop) next(ctx context.Context, reason error, now time.Time) (time.Duration, Stop) {
	c := l.cluster.Load()
	if l.made == 1 {
		l.pace = l.pacer(ctx, c)
	}
	pace := l.pace.next
	if noNode(reason) {
		pace = l.pace.nextUncharged // no node has had any work from it
	}
	wait, stop := pace(ctx, now, verdictOf(reason).Retry == sqlstate.RetryOtherNode)
	if stop == StopUnknown && c != nil {
		c.countRetry(reason)
	}
	return wait, stop
}

// pacer makes the pacer of a loop from its options and, for what they leave
// open, the cluster's settings.
func (l *loop) pacer(ctx context.Context, c *Cluster) pacer {
	p := pacer{seed: rand.Uint64}
	if c != nil {
		p = pacer{policy: c.retrier.policy, budget: c.retrier.budget, seed: c.retrier.seed}
	}
	set(&p.policy.Base, l.opts.BackoffBase)
	set(&p.policy.Cap, l.opts.BackoffCap)
	p.policy.MaxAttempts = retry.DefaultMaxAttempts
	if _, bounded := ctx.Deadline(); bounded || l.opts.MaxElapsed > 0 {
		p.policy.MaxAttempts = math.MaxInt // whoever sets a time has said how long to try
	}
	set(&p.policy.MaxAttempts, l.opts.MaxAttempts)
	if l.opts.MaxElapsed > 0 {
		p.limit = l.began.Add(l.opts.MaxElapsed)
	}
	return p
}

// fail returns the error that Retry ends with.
func (l *loop) fail(ctx context.Context, err error, stop Stop) error {
	if stop == StopFinal && (l.made <= 1 || OutcomeOf(err) == Unknown) {
		return err // nothing to add, or not ours to wrap: it may be compared with ==
	}
	e := &RetryError{Attempts: l.made, Earlier: l.earlier, Stop: stop, Err: err}
	switch stop {
	case StopContext:
		e.Cause = ctx.Err()
	case StopSession:
		e.Cause = l.lost
	}
	return e
}
