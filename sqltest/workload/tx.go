package workload

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/anywriter/anywriter/sqltest/history"
)

// TxFunc runs fn in a transaction and commits it; it may run fn again after an
// attempt that certainly left nothing. opts may be nil.
type TxFunc func(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error

// CommitError is an error that came when COMMIT, or a statement that is a
// transaction by itself, had been or may have been sent.
type CommitError struct {
	// Err is the driver's error.
	Err error
}

// Error says what happened.
func (e *CommitError) Error() string { return "commit: " + e.Err.Error() }

// Unwrap returns the driver's error.
func (e *CommitError) Unwrap() error { return e.Err }

// PlainTx is a TxFunc of database/sql alone: one attempt, and an error of
// Commit as a *CommitError.
func PlainTx(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return err
	}
	if err := fn(ctx, tx); err != nil {
		_ = tx.Rollback() // the first error is the one to report
		return err
	}
	if err := tx.Commit(); err != nil {
		return &CommitError{Err: err}
	}
	return nil
}

// ConflictRetry is a TxFunc that runs inner again, up to attempts times, when
// the server rejected the transaction by 40001 or 40P01.
func ConflictRetry(inner TxFunc, attempts int) TxFunc {
	return func(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(ctx context.Context, tx *sql.Tx) error) error {
		var err error
		for range max(attempts, 1) {
			if err = inner(ctx, db, opts, fn); !isConflict(err) {
				return err
			}
		}
		return err
	}
}

// Classify judges an error with what any driver gives:
//
//   - an error in the chain with Ambiguous() bool that says true is Unknown; one
//     that says false knows better than the server's 40003;
//   - a SQLSTATE from the server is Aborted, except those with which a server
//     ends a session or says itself that it doesn't know: these are Unknown at
//     commit and a SafeFailure before;
//   - any other error is Unknown in a *CommitError (unless Ambiguous said false)
//     and a SafeFailure otherwise, because what is never committed is never
//     applied.
func Classify(err error) history.Outcome {
	if err == nil {
		return history.OK
	}
	var ambiguous interface{ Ambiguous() bool }
	told := errors.As(err, &ambiguous)
	if told && ambiguous.Ambiguous() {
		return history.Unknown
	}
	state := sqlState(err)
	if state == "40003" && !told {
		return history.Unknown
	}
	if state != "" && !endsSession(state) {
		return history.Aborted
	}
	var commit *CommitError
	if errors.As(err, &commit) && !told {
		return history.Unknown
	}
	return history.SafeFailure
}

// endsSession tells whether the SQLSTATE speaks of the session or the server
// and not of the statement: connection exceptions, shutdowns, internal errors.
func endsSession(state string) bool {
	return strings.HasPrefix(state, "08") || strings.HasPrefix(state, "57P") ||
		strings.HasPrefix(state, "58") || strings.HasPrefix(state, "XX") || state == "57014"
}

func sqlState(err error) string {
	var withState interface{ SQLState() string }
	if errors.As(err, &withState) {
		return withState.SQLState()
	}
	return ""
}

func isConflict(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// autocommit marks an error of a statement outside a transaction.
func autocommit(err error) error {
	if err == nil {
		return nil
	}
	return &CommitError{Err: err}
}

// execAll runs statements one by one.
func execAll(ctx context.Context, db *sql.DB, statements ...string) error {
	for _, statement := range statements {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("workload: %s: %w", statement, err)
		}
	}
	return nil
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// readAll scans the rows of a query, one call of scan each.
func readAll(ctx context.Context, db querier, query string, scan func(rows *sql.Rows) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("workload: %s: %w", query, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("workload: %s: %w", query, err)
		}
	}
	return rows.Err()
}
