package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// A conflict that a statement meets on PostgreSQL is tried again whatever the
// closure makes of its error; an error that another attempt can't cure isn't, and
// is never taken for a success.
func TestErrorsThatAClosureHides(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists hides cascade; create table hides (id int primary key, n int); insert into hides values (1, 0)")
	require.NoError(t, err)
	hidden := errors.New("hidden")
	for name, hide := range map[string]func(ctx context.Context, tx *sql.Tx, err error) error{
		"passed on":              func(_ context.Context, _ *sql.Tx, err error) error { return fmt.Errorf("closure: %w", err) },
		"replaced":               func(context.Context, *sql.Tx, error) error { return hidden },
		"swallowed":              func(context.Context, *sql.Tx, error) error { return nil },
		"swallowed, rolled back": func(_ context.Context, tx *sql.Tx, _ error) error { return tx.Rollback() },
		"swallowed, and went on": func(ctx context.Context, tx *sql.Tx, _ error) error {
			_, err := tx.ExecContext(ctx, "select 1")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := db.Exec("update hides set n = 0")
			require.NoError(t, err)
			opts := &driver.TxOptions{TxOptions: sql.TxOptions{Isolation: sql.LevelRepeatableRead}}
			runs := 0
			err = driver.RunTx(t.Context(), db, opts, func(ctx context.Context, tx *sql.Tx) error {
				var n int
				if err := tx.QueryRowContext(ctx, "select n from hides").Scan(&n); err != nil {
					return err
				}
				if runs++; runs == 1 { // somebody else is faster
					if _, err := db.ExecContext(ctx, "update hides set n = n + 100"); err != nil {
						return err
					}
				}
				if _, err := tx.ExecContext(ctx, "update hides set n = $1", n+1); err != nil {
					return hide(ctx, tx, err)
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, 2, runs)
			var n int
			require.NoError(t, db.QueryRow("select n from hides").Scan(&n))
			require.Equal(t, 101, n)

			runs = 0
			err = driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
				runs++
				_, err := tx.ExecContext(ctx, "insert into hides values (1, 1)")
				require.Error(t, err)
				return hide(ctx, tx, err)
			})
			require.Equal(t, 1, runs)
			require.Error(t, err)
			if name != "replaced" {
				require.ErrorContains(t, err, "23505")
				require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
			} else {
				require.Same(t, hidden, err)
			}
		})
	}
	checkIdle(t, db)
}

// ROLLBACK TO gives back what a failed statement spoiled: the transaction can be
// committed, and an error that the closure returns afterwards is its own.
func TestSavepointHeals(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists late_healed; create table late_healed (v int)")
	require.NoError(t, err)
	own := errors.New("business rule")
	for _, returned := range []error{nil, own} {
		failing(t, db, "healed", "40001")
		runs := 0
		err := driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
			runs++
			for _, text := range []string{"insert into late_healed values (1)", "savepoint a"} {
				if _, err := tx.ExecContext(ctx, text); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, "insert into healed values (1)"); driver.OutcomeOf(err) != driver.DefinitelyAborted {
				return errors.New("it must fail")
			}
			if _, err := tx.ExecContext(ctx, "rollback to a"); err != nil {
				return err
			}
			return returned
		})
		require.Equal(t, 1, runs)
		if returned != nil {
			require.Same(t, own, err)
		} else {
			require.NoError(t, err)
		}
	}
	var n int
	require.NoError(t, db.QueryRow("select count(*) from late_healed").Scan(&n))
	require.Equal(t, 1, n)
	checkIdle(t, db)
}

// Two transactions that take row locks in opposite order: PostgreSQL ends one of
// them by 40P01, and both are carried out in the end.
func TestDeadlockIsRetried(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists locked cascade; create table locked (id int primary key, n int); insert into locked values (0, 0), (1, 0)")
	require.NoError(t, err)
	var first sync.WaitGroup // both have their first lock
	first.Add(2)
	met := make(chan string, 100)
	errs := make(chan error, 2)
	for g := range 2 {
		go func() { // ends with its transaction
			runs := 0
			opts := &driver.TxOptions{OnRetry: func(_ int, err error, _ time.Duration) {
				var op *driver.OpError
				if errors.As(err, &op) {
					met <- op.SQLState
				}
			}}
			errs <- driver.RunTx(context.Background(), db, opts, func(ctx context.Context, tx *sql.Tx) error {
				for i := range 2 {
					if _, err := tx.ExecContext(ctx, "update locked set n = n + 1 where id = $1", g^i); err != nil {
						return err
					}
					if runs++; runs == 1 {
						first.Done()
						first.Wait()
					}
				}
				return nil
			})
		}()
	}
	for range 2 {
		require.NoError(t, <-errs)
	}
	require.Equal(t, "40P01", <-met)
	var low, high int
	require.NoError(t, db.QueryRow("select min(n), max(n) from locked").Scan(&low, &high))
	require.Equal(t, []int{2, 2}, []int{low, high})
	checkIdle(t, db)
}

// The deadline of an attempt cuts a statement short on PostgreSQL, too; the
// server connection isn't left inside the transaction.
func TestAttemptTimeoutOnPostgres(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists cut cascade; create table cut (n int)")
	require.NoError(t, err)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	for name, beginner := range map[string]driver.Beginner{"sql.DB": db, "sql.Conn": conn} {
		runs := 0
		var first error
		opts := &driver.TxOptions{AttemptTimeout: 3 * time.Second, OnRetry: func(_ int, err error, _ time.Duration) { first = err }}
		err = driver.RunTx(t.Context(), beginner, opts, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "insert into cut values (1)"); err != nil {
				return err
			}
			if runs++; runs == 1 {
				_, err := tx.ExecContext(ctx, "select pg_sleep(30)")
				return err
			}
			return nil
		})
		if name == "sql.DB" {
			require.NoError(t, err)
			require.Equal(t, 2, runs)
		} else {
			// Cutting a statement short costs its connection, and with it the sql.Conn.
			require.NoError(t, first, "no other attempt is made")
			require.ErrorIs(t, err, driver.ErrSessionLost)
			first = err
		}
		require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(first), "%v", first)
		require.ErrorIs(t, first, context.DeadlineExceeded)
		if name == "sql.DB" {
			continue
		}
		require.Equal(t, 1, runs)
	}
	require.NoError(t, conn.Close())
	var n int
	require.NoError(t, db.QueryRow("select count(*) from cut").Scan(&n))
	require.Equal(t, 1, n)
	checkIdle(t, db)
}
