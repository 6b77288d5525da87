package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// A statement, or the first one of a transaction or sql.Conn, for one node. If it
// can't take it, nobody does.
func ExampleWithNode() {
	ctx := context.Background()
	sim, db, stop := openBank(ctx)
	defer stop()

	var node string
	err := db.QueryRowContext(driver.WithNode(ctx, sim.Node(2).Addr()), "show simnode.node_id").Scan(&node)
	fmt.Println(node, err)

	_, err = db.ExecContext(driver.WithNode(ctx, "nowhere:5432"), "select 1")
	fmt.Println(err)
	// Output:
	// 2 <nil>
	// anywriter: WithNode: no node has the address "nowhere:5432"
}

// Statements about one account run on one node and one after the other, so that
// they never conflict, however many there are.
func ExampleWithKey() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	var running sync.WaitGroup
	for range 20 {
		running.Go(func() {
			ctx := driver.WithKey(ctx, "account/1")
			if _, err := db.ExecContext(ctx, "update accounts set balance = balance + 1 where id = 1"); err != nil {
				log.Fatal(err)
			}
		})
	}
	running.Wait()

	c, err := driver.FromDB(db)
	if err != nil {
		log.Fatal(err)
	}
	conflicts := int64(0)
	for _, n := range c.Stats().Nodes {
		conflicts += n.Conflicts
	}
	fmt.Println(balanceOf(ctx, db, 1), conflicts)
	// Output:
	// 120 0
}

// A transaction that says what it is about waits for its turn instead of losing
// against others that are about the same.
func ExampleTxOptions_key() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	opts := &driver.TxOptions{Key: "account/1"}
	opts.Isolation = sql.LevelRepeatableRead
	var running sync.WaitGroup
	var runs atomic.Int64
	for range 20 {
		running.Go(func() {
			err := driver.RunTx(ctx, db, opts, func(ctx context.Context, tx *sql.Tx) error {
				runs.Add(1)
				var balance int
				if err := tx.QueryRowContext(ctx, "select balance from accounts where id = 1").Scan(&balance); err != nil {
					return err
				}
				_, err := tx.ExecContext(driver.WithCommit(ctx), "update accounts set balance = $1 where id = 1", balance+1)
				return err
			})
			if err != nil {
				log.Fatal(err)
			}
		})
	}
	running.Wait()
	fmt.Println(balanceOf(ctx, db, 1), runs.Load())
	// Output:
	// 120 20
}

// A write that may be done twice is tried again even if it may have been done
// already. Here the answer to the first attempt is lost.
func ExampleWithIdempotent() {
	ctx := context.Background()
	sim, db, stop := openBank(ctx)
	defer stop()

	for _, n := range sim.Nodes() {
		undo, err := n.DropCommitReply(simnode.AfterCommit, 1)
		if err != nil {
			log.Fatal(err)
		}
		defer undo()
	}
	const set = "update accounts set balance = 5 where id = 1" // once or twice, it is 5
	_, err := db.ExecContext(ctx, set)
	fmt.Println(driver.OutcomeOf(err))
	_, err = db.ExecContext(driver.WithIdempotent(ctx), set)
	fmt.Println(driver.OutcomeOf(err), balanceOf(ctx, db, 1))
	// Output:
	// CommitSent
	// Committed 5
}

// A query that calls a function which isn't known to change nothing counts as a
// write: when its answer is lost, its outcome is unknown. With the hint it is a
// read, which had nothing to commit.
func ExampleWithReadOnly() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	const query = "select pg_sleep(60), txid_current()"
	cut := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := db.ExecContext(ctx, query)
		return err
	}
	fmt.Println(driver.OutcomeOf(cut(ctx)))
	fmt.Println(driver.OutcomeOf(cut(driver.WithReadOnly(ctx))))
	// Output:
	// CommitSent
	// DefinitelyAborted
}

// The last statement of a transaction takes COMMIT along: one round trip less.
func ExampleWithCommit() {
	ctx := context.Background()
	_, db, stop := openBank(ctx)
	defer stop()

	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "update accounts set balance = balance - 30 where id = 1"); err != nil {
		log.Fatal(err)
	}
	_, err = tx.ExecContext(driver.WithCommit(ctx), "update accounts set balance = balance + 30 where id = 2")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(balanceOf(ctx, db, 2)) // it is there already
	fmt.Println(tx.Commit())           // says so; nothing is sent
	// Output:
	// 130
	// <nil>
}
