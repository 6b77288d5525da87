package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// The closure runs again when a conflict or a fault has certainly undone it.
func ExampleRunTx() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	amount, from, to := 30, 1, 2
	err := driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "update accounts set balance = balance - $1 where id = $2", amount, from)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "update accounts set balance = balance + $1 where id = $2", amount, to)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(balanceOf(ctx, db, 1), balanceOf(ctx, db, 2))
	// Output: 70 130
}

// Limits, and a hook that is told of each further attempt. Here somebody else
// changes the same account through another node, so that the first attempt can't
// be committed.
func ExampleRunTx_options() {
	ctx := context.Background()
	sim, db, stop := openBank(ctx)
	defer stop()

	opts := &driver.TxOptions{
		TxOptions:      sql.TxOptions{Isolation: sql.LevelRepeatableRead},
		MaxAttempts:    5,
		AttemptTimeout: 10 * time.Second,
		OnRetry: func(attempt int, err error, wait time.Duration) {
			var op *driver.OpError
			if errors.As(err, &op) {
				fmt.Printf("attempt %d: SQLSTATE %s, %v\n", attempt, op.SQLState, op.Outcome)
			}
		},
	}
	runs := 0
	err := driver.RunTx(driver.WithNode(ctx, sim.Node(1).Addr()), db, opts, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "update accounts set balance = balance - 30 where id = 1"); err != nil {
			return err
		}
		if runs++; runs == 1 {
			elsewhere := driver.WithNode(ctx, sim.Node(2).Addr())
			_, err := db.ExecContext(elsewhere, "update accounts set balance = balance + 1000 where id = 1")
			return err
		}
		return nil
	})
	fmt.Println(err, runs, balanceOf(ctx, db, 1))
	// Output:
	// attempt 1: SQLSTATE 40001, DefinitelyAborted
	// <nil> 2 1070
}

// An error of the closure's own rolls back and comes back as it is.
func ExampleRunTx_rollback() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	errInsufficient := errors.New("insufficient funds")
	err := driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "update accounts set balance = balance - 500 where id = 1"); err != nil {
			return err
		}
		var balance int
		if err := tx.QueryRowContext(ctx, "select balance from accounts where id = 1").Scan(&balance); err != nil {
			return err
		}
		if balance < 0 {
			return errInsufficient
		}
		return nil
	})
	fmt.Println(err, balanceOf(ctx, db, 1))
	// Output: insufficient funds 100
}

// Retry is for code that begins and commits by itself, an ORM for example.
func ExampleRetry() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	saveByORM := func(ctx context.Context) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("orm: %w", err)
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "update accounts set balance = 7 where id = 2"); err != nil {
			return fmt.Errorf("orm: %w", err)
		}
		return tx.Commit()
	}
	err := driver.Retry(ctx, &driver.TxOptions{MaxElapsed: 10 * time.Second}, saveByORM)
	fmt.Println(err, balanceOf(ctx, db, 2))
	// Output: <nil> 7
}

// The outcome tells what is known of work that ended in an error. Here the
// answer to a commit is lost.
func ExampleOutcomeOf() {
	ctx := context.Background()
	sim, db, stop := openBank(ctx)
	defer stop()

	_, err := db.ExecContext(ctx, "insert into accounts values (1, 0)")
	fmt.Println(driver.OutcomeOf(err))
	_, err = db.ExecContext(driver.WithNode(ctx, "nowhere:5432"), "insert into accounts values (3, 0)")
	fmt.Println(driver.OutcomeOf(err))
	if _, err := sim.Node(1).DropCommitReply(simnode.AfterCommit, 1); err != nil {
		log.Fatal(err)
	}
	_, err = db.ExecContext(driver.WithNode(ctx, sim.Node(1).Addr()), "insert into accounts values (3, 0)")
	fmt.Println(driver.OutcomeOf(err))
	fmt.Println(driver.OutcomeOf(nil))
	// Output:
	// DefinitelyAborted
	// NotSent
	// CommitSent
	// Committed
}

// A plain transaction isn't run again by anybody; its error says whether that
// would be safe and may help.
func ExampleIsRetryable() {
	ctx := context.Background()
	sim, db, stop := openBank(ctx)
	defer stop()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err = tx.ExecContext(driver.WithNode(ctx, sim.Node(1).Addr()), "update accounts set balance = 0"); err != nil {
		log.Fatal(err)
	}
	// Meanwhile, on another node:
	if _, err = db.ExecContext(driver.WithNode(ctx, sim.Node(2).Addr()), "update accounts set balance = 1"); err != nil {
		log.Fatal(err)
	}
	err = tx.Commit()
	fmt.Println(driver.OutcomeOf(err), driver.IsRetryable(err))

	_, err = db.ExecContext(ctx, "insert into accounts values (1, 0)")
	fmt.Println(driver.OutcomeOf(err), driver.IsRetryable(err))
	// Output:
	// DefinitelyAborted true
	// DefinitelyAborted false
}

// The attempts before the last are data of the error that comes in the end.
func ExampleRetryError() {
	ctx := context.Background()
	sim, db, stop := openBank(ctx)
	defer stop()

	here, there := driver.WithNode(ctx, sim.Node(1).Addr()), driver.WithNode(ctx, sim.Node(2).Addr())
	err := driver.RunTx(here, db, &driver.TxOptions{MaxAttempts: 3}, func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "update accounts set balance = balance - 1 where id = 1"); err != nil {
			return err
		}
		_, err := db.ExecContext(there, "update accounts set balance = balance + 1 where id = 1") // always faster
		return err
	})
	var gaveUp *driver.RetryError
	if errors.As(err, &gaveUp) {
		fmt.Println(gaveUp.Attempts, gaveUp.Stop)
		for _, a := range gaveUp.Earlier {
			fmt.Println(a.Number, a.Kind, a.SQLState, a.Outcome, a.Node == sim.Node(1).Addr())
		}
	}
	// Output:
	// 3 no attempts are left
	// 1 Conflict 40001 DefinitelyAborted true
	// 2 Conflict 40001 DefinitelyAborted true
}

// Why did my statement do that? Print the explanation for all of it: candidates,
// the reason for the choice, waits, attempts.
func ExampleExplain() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	conn, err := db.Conn(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "update accounts set balance = $1 where id = $2", 5, 1); err != nil {
		log.Fatal(err)
	}
	x, err := driver.Explain(conn)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: it %s\n", x.Class, x.Why)
	fmt.Println(len(x.Candidates), x.Attempts)
	fmt.Printf("%v, because %s\n", x.Outcome, x.Reason)
	// Output:
	// Write: it begins with UPDATE
	// 3 1
	// Committed, because the server has confirmed it
}

// An error of the driver's explains its statement.
func ExampleExplainError() {
	ctx := context.Background()
	sim, db, stop := openBank(ctx)
	defer stop()

	if _, err := sim.Node(1).DropCommitReply(simnode.AfterCommit, 1); err != nil {
		log.Fatal(err)
	}
	_, err := db.ExecContext(driver.WithNode(ctx, sim.Node(1).Addr()), "insert into accounts values (3, 0)")
	x, ok := driver.ExplainError(err)
	fmt.Println(ok, x.Scope)
	fmt.Println(x.Node == sim.Node(1).Addr(), x.Choice)
	fmt.Printf("%v, because %s\n", x.Outcome, x.Reason)
	fmt.Println(x.Stop)
	// Output:
	// true by itself
	// true asked for by WithNode
	// CommitSent, because it had been sent and no final answer came
	// the last error allows no other attempt
}
