package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/internal/retry"
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
	// MaxAttempts bounds the attempts, the first included. 0 means that only the
	// context's deadline and the retry budget do, or thirty attempts if the
	// context has no deadline.
	MaxAttempts int
	// OnRetry, if set, is called before each further attempt with the number of
	// attempts made so far and the error of the last.
	OnRetry func(attempt int, err error)
}

// RunTx runs fn inside a transaction and commits it. When the transaction is
// certainly without effect, because of a conflict (SQLSTATE 40001, 40P01) or
// because its node went away before COMMIT was sent, it runs fn again in a new
// transaction, until it succeeds, the attempts or the retry budget are used
// up, or the context's deadline leaves no time for the next wait.
//
// fn may be run several times: it must do nothing outside the transaction that
// can't be done twice, and must not keep tx. If it returns an error, the
// transaction is rolled back, and the error returned unless the transaction
// failed for one of the reasons above. If it panics, the transaction is rolled
// back and the panic goes on. On a *sql.Conn the attempts stay on its node: a
// connection that breaks is an error there.
//
// An *OutcomeUnknownError means that COMMIT was sent and not answered: RunTx
// doesn't run fn again then.
func RunTx(ctx context.Context, db Beginner, opts *TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if opts == nil {
		opts = &TxOptions{}
	}
	return repeat(ctx, opts, func(a *attempt) error { return runOnce(ctx, db, opts, a, fn) })
}

// Retry runs fn, and runs it again for as long as it returns an error that
// IsRetryable accepts, under the same rules as RunTx. It is for code that
// leaves transactions to somebody else, for example an ORM; fn must run the
// whole transaction and return its error, wrapped or not.
func Retry(ctx context.Context, opts *TxOptions, fn func(ctx context.Context) error) error {
	if opts == nil {
		opts = &TxOptions{}
	}
	return repeat(ctx, opts, func(*attempt) error { return fn(ctx) })
}

// attempt is what a transaction's handle tells RunTx about it, so that a
// closure which hides an error can't hide that the transaction failed.
//
// When the context ends, database/sql rolls the transaction back from a
// goroutine of its own, which RunTx can't join: err is therefore atomic.
type attempt struct {
	cluster *cluster.Cluster
	err     atomic.Pointer[error]
}

type attemptKey struct{}

func attemptOf(ctx context.Context) *attempt {
	a, _ := ctx.Value(attemptKey{}).(*attempt)
	return a
}

// note keeps the transaction's first error.
func (a *attempt) note(err error) {
	if err != nil {
		a.err.CompareAndSwap(nil, &err)
	}
}

// reason returns the error that decides about another attempt.
func (a *attempt) reason(err error) error {
	first := a.err.Load()
	if first != nil && !IsRetryable(err) && OutcomeOf(err) != CommitSent {
		return *first
	}
	return err
}

// repeat runs once until it succeeds or may not be run again.
func repeat(ctx context.Context, opts *TxOptions, once func(*attempt) error) error {
	policy := retry.Policy{MaxAttempts: opts.MaxAttempts}
	if _, bounded := ctx.Deadline(); bounded && policy.MaxAttempts == 0 {
		// Whoever sets a deadline has said how long to try.
		policy.MaxAttempts = math.MaxInt
	}
	waits := retry.NewBackOff(policy, rand.Uint64())
	for made := 1; ; made++ {
		a := &attempt{}
		err := once(a)
		if err == nil {
			return nil
		}
		reason := a.reason(err)
		if !IsRetryable(reason) {
			return err
		}
		d := waits.NextBackOff()
		if d < 0 || !retry.FitsContext(ctx, time.Now(), d) {
			return err
		}
		if a.cluster != nil && !a.cluster.AllowRetry(reason) {
			return err
		}
		if opts.OnRetry != nil {
			opts.OnRetry(made, err)
		}
		if !pause(ctx, d) {
			return err
		}
	}
}

// pause waits for d and reports whether the context lasted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// runOnce makes one attempt of RunTx.
func runOnce(ctx context.Context, db Beginner, opts *TxOptions, a *attempt, fn func(context.Context, *sql.Tx) error) error {
	tx, err := db.BeginTx(context.WithValue(ctx, attemptKey{}, a), &opts.TxOptions)
	if err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // fn panicked, or called runtime.Goexit
			_ = tx.Rollback() // the panic is what counts
		}
	}()
	err = fn(ctx, tx)
	done = true
	if err == nil {
		return tx.Commit()
	}
	if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
		return fmt.Errorf("%w (and rolling back: %w)", err, rollback)
	}
	return err
}
