package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/anywriter/anywriter/cluster"
)

// Beginner begins transactions: a *sql.DB or a *sql.Conn.
type Beginner interface {
	BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
}

// TxOptions are the options of RunTx and Retry. A nil pointer and the zero
// value mean the defaults.
type TxOptions struct {
	// TxOptions are database/sql's: isolation level and read-only. Retry
	// ignores them.
	sql.TxOptions
	// Key says what the transaction is about, as WithKey does: RunTx waits for
	// its turn before the first attempt and keeps it until it returns. Retry
	// ignores it.
	Key string
	// MaxAttempts bounds the attempts, the first included. 0 means that only the
	// context's deadline, MaxElapsed and the retry budget do, or thirty attempts
	// if there is neither a deadline nor MaxElapsed.
	MaxAttempts int
	// MaxElapsed is the time from the start after which no further attempt
	// begins; 0 means no such limit. It cuts no attempt short.
	MaxElapsed time.Duration
	// AttemptTimeout bounds each attempt by a deadline of its context; 0 means
	// that only the caller's context does. An attempt whose own time is over
	// before COMMIT was sent is certainly without effect, and another may follow.
	AttemptTimeout time.Duration
	// BackoffBase and BackoffCap bound the waits between attempts: the n-th, from
	// 0, is drawn from [0, min(BackoffCap, BackoffBase·2ⁿ)]. 0 means retry_base and
	// retry_cap of the data source name.
	BackoffBase, BackoffCap time.Duration
	// OnRetry, if set, is called before the wait for each further attempt, with
	// the number of the attempt that has failed (from 1), its error, and the wait.
	OnRetry func(attempt int, err error, wait time.Duration)
}

func (o *TxOptions) retry() *cluster.RetryOptions {
	return &cluster.RetryOptions{
		MaxAttempts: o.MaxAttempts, MaxElapsed: o.MaxElapsed, AttemptTimeout: o.AttemptTimeout,
		BackoffBase: o.BackoffBase, BackoffCap: o.BackoffCap, OnRetry: o.OnRetry,
	}
}

// RunTx runs fn inside a transaction and commits it. A nil error means that the
// transaction was committed, once. When a transaction has certainly left nothing
// behind, and failed because of a conflict (SQLSTATE 40001, 40P01) or because
// its node went away before COMMIT was sent, RunTx runs fn again in a new one,
// until it succeeds, the attempts, MaxElapsed or the retry budget are used up,
// or the context's deadline leaves no time for the next wait. Without a deadline,
// MaxElapsed and MaxAttempts it doesn't try again after acquire_timeout has
// passed without any node.
//
// # What may stand in fn
//
// fn may be run several times, and each run may be undone. Everything that it
// does through tx is. What it does elsewhere isn't: it should assign results and
// not add to them, and send nothing that can't be sent twice; side effects
// belong behind RunTx. It passes its ctx on to what it calls, doesn't keep tx,
// and leaves no goroutine behind that uses it. An error of a statement should be
// returned, wrapped or not; one that fn hides, by returning nil or an error of
// its own, isn't hidden from RunTx, which tries again if the first error of the
// transaction allows it and never takes a transaction that the server has failed
// for a success. ROLLBACK TO a savepoint heals a transaction.
//
// If fn returns an error, the transaction is rolled back and the error returned;
// only if the transaction had failed for a retryable reason that fn's error
// doesn't show is it a *ClosureError with both. If fn panics or calls
// runtime.Goexit, the transaction is rolled back and the panic goes on.
//
// RunTx ends the transaction, fn need not. If fn calls tx.Commit, that is what
// counts: RunTx returns nil if it succeeded and fn returns nil, an error with
// outcome Committed if fn fails after it, and tries again if it failed with a
// conflict. If fn calls tx.Rollback and returns nil, RunTx returns ErrTxEnded,
// since nothing was committed. If it ends the transaction by a statement, such as
// COMMIT, RunTx can't vouch for anything: it returns an *OutcomeUnknownError with
// ErrTxEnded and doesn't run fn again.
//
// # Cancellation
//
// When the context ends, the transaction is rolled back and its connection given
// back, even if fn takes no notice; RunTx returns when fn does. OutcomeOf tells
// what the context's end meant: NotSent and DefinitelyAborted before COMMIT was
// sent, CommitSent (an *OutcomeUnknownError) while COMMIT was under way and the
// commit fence, if there is one, couldn't tell either. The context's error is
// found by errors.Is in all three. A transaction whose outcome is unknown is
// never run again.
//
// # Errors
//
// The driver's errors come back as a *RetryError if there was more than one
// attempt or a limit forbade another; errors.As finds in it the last *OpError,
// *OutcomeUnknownError or *NoNodeError, with the attempts before it. All other
// errors come back as fn returned them.
//
// On a *sql.Conn the attempts stay on its node: a connection that breaks is an
// error there, which has ErrSessionLost, and no attempt follows.
func RunTx(ctx context.Context, db Beginner, opts *TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if opts == nil {
		opts = &TxOptions{}
	}
	if opts.Key != "" {
		ctx = WithKey(ctx, opts.Key)
	}
	retry := cluster.Retry
	if c := clusterOf(db); c != nil && !opts.ReadOnly { // or it would need no turn on its key
		retry = c.Retry
	}
	return retry(ctx, opts.retry(), func(ctx context.Context) error {
		return runOnce(ctx, db, &opts.TxOptions, fn)
	})
}

// Retry runs fn, and runs it again for as long as it returns an error that
// IsRetryable accepts, or one that says that only the attempt's own time was
// over before COMMIT was sent, within the limits of the options. It is for code
// that leaves transactions to somebody else, for example an ORM: fn must run one
// whole transaction, beginning with BeginTx and the context that it is given, and
// return its error, wrapped or not. What RunTx says about side effects, outcomes
// and errors holds here too.
func Retry(ctx context.Context, opts *TxOptions, fn func(ctx context.Context) error) error {
	if opts == nil {
		opts = &TxOptions{}
	}
	return cluster.Retry(ctx, opts.retry(), fn)
}

// isConn reports whether transactions of db are all in one session: db is a
// *sql.Conn, or something that embeds one.
func isConn(db Beginner) bool {
	_, ok := db.(interface {
		Raw(func(driverConn any) error) error
	})
	return ok
}

// clusterOf returns the cluster behind a database, or a connection, of this
// driver's; nil if another driver stands before it.
func clusterOf(db Beginner) *cluster.Cluster {
	var c *cluster.Cluster
	switch db := db.(type) {
	case interface{ Driver() driver.Driver }: // a *sql.DB, or what embeds one
		if bound, ok := db.Driver().(boundDriver); ok {
			c, _ = bound.clusterOf() // its error is that of BeginTx
		}
	case interface {
		Raw(func(driverConn any) error) error
	}: // a *sql.Conn
		_ = db.Raw(func(dc any) error {
			if own, ok := dc.(*conn); ok {
				c = own.cluster
			}
			return nil
		})
	}
	return c
}

// runOnce makes one attempt of RunTx.
func runOnce(ctx context.Context, db Beginner, opts *sql.TxOptions, fn func(context.Context, *sql.Tx) error) error {
	txCtx, watch := cluster.WatchTx(ctx)
	if isConn(db) {
		watch.Pin()
	}
	tx, err := db.BeginTx(txCtx, opts)
	if err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) && OutcomeOf(err) == Unknown {
			// It was over while a free handle was waited for.
			err = &OpError{Outcome: NotSent, Attempts: 1, Err: err}
		}
		return err
	}
	done := false
	defer func() {
		if !done { // fn panicked, or called runtime.Goexit
			_ = tx.Rollback() // the panic is what counts
			watch.Wait()
		}
	}()
	err = fn(ctx, tx)
	done = true
	if err == nil {
		return watch.Verdict(ctx, nil, tx.Commit())
	}
	end := tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		// database/sql has rolled back because the context is over.
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return watch.Verdict(ctx, err, end)
}
