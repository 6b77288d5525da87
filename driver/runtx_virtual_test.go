package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// ledger is a table of one row on a simulated cluster in virtual time, made to
// provoke conflicts.
type ledger struct {
	t   *testing.T
	sim *simnode.Sim
	db  *sql.DB
}

// inVirtualTime runs a test with a ledger on three nodes, in virtual time.
func inVirtualTime(t *testing.T, test func(t *testing.T, l *ledger), params ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Latency: 100 * time.Microsecond})
		l := &ledger{t: t, sim: sim, db: openSim(t, sim, true, params...)}
		defer func() { require.NoError(t, l.db.Close()) }()
		_, err := l.db.ExecContext(t.Context(), "create table ledger (id int primary key, n int); insert into ledger values (1, 0)")
		require.NoError(t, err)
		test(t, l)
		checkIdle(t, l.db)
	})
}

// at is a context for one node.
func (l *ledger) at(ctx context.Context, node int) context.Context {
	return driver.WithNode(ctx, l.sim.Node(node).Addr())
}

// add adds to the row in a transaction, or outside.
func add(ctx context.Context, x interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}, amount int,
) error {
	_, err := x.ExecContext(ctx, "update ledger set n = n + $1 where id = 1", amount)
	return err
}

// overtake commits a change of the row on another node than the first, so that a
// transaction on the first which has changed it too can't be committed.
func (l *ledger) overtake() { require.NoError(l.t, add(l.at(context.Background(), 2), l.db, 100)) }

func (l *ledger) total() int {
	var n int
	require.NoError(l.t, l.db.QueryRowContext(context.Background(), "select n from ledger where id = 1").Scan(&n))
	return n
}

// run is RunTx on the first node with a closure that adds one and is then handed
// its number; what that returns is what the closure returns.
func (l *ledger) run(ctx context.Context, opts *driver.TxOptions, fn func(ctx context.Context, tx *sql.Tx, run int) error) (int, error) {
	runs := 0
	err := driver.RunTx(l.at(ctx, 1), l.db, opts, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		if err := add(ctx, tx, 1); err != nil {
			return err
		}
		return fn(ctx, tx, runs)
	})
	return runs, err
}

// always conflicts.
func (l *ledger) always(context.Context, *sql.Tx, int) error {
	l.overtake()
	return nil
}

// An attempt whose own time is over is undone and followed by another one,
// whatever the closure makes of it.
func TestAttemptTimeout(t *testing.T) {
	hidden := errors.New("hidden")
	for name, late := range map[string]func(ctx context.Context, tx *sql.Tx) error{
		"returns the context's error": func(ctx context.Context, _ *sql.Tx) error {
			<-ctx.Done()
			return ctx.Err()
		},
		"goes on with the transaction": func(ctx context.Context, tx *sql.Tx) error {
			<-ctx.Done()
			synctest.Wait() // database/sql has rolled back
			_, err := tx.ExecContext(context.WithoutCancel(ctx), "select 1")
			return err
		},
		"says nothing": func(ctx context.Context, _ *sql.Tx) error {
			<-ctx.Done()
			return nil
		},
		"says nothing, later": func(ctx context.Context, _ *sql.Tx) error {
			<-ctx.Done()
			synctest.Wait()
			return nil
		},
		"fails in a statement": func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "select pg_sleep(10)")
			return err
		},
		"hides the error of a statement": func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "select pg_sleep(10)"); err == nil {
				return errors.New("it must be cut off")
			}
			return hidden
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				var seen []error
				opts := &driver.TxOptions{AttemptTimeout: 50 * time.Millisecond, OnRetry: func(attempt int, err error, wait time.Duration) {
					require.Equal(t, 1, attempt)
					require.LessOrEqual(t, wait, 250*time.Millisecond)
					seen = append(seen, err)
				}}
				began := time.Now()
				runs, err := l.run(t.Context(), opts, func(ctx context.Context, tx *sql.Tx, run int) error {
					deadline, ok := ctx.Deadline()
					require.True(t, ok)
					require.LessOrEqual(t, time.Until(deadline), 50*time.Millisecond)
					if run == 1 {
						return late(ctx, tx)
					}
					return nil
				})
				require.NoError(t, err)
				require.Equal(t, 2, runs)
				require.Equal(t, 1, l.total())
				require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
				require.Less(t, time.Since(began), 400*time.Millisecond)
				require.Len(t, seen, 1)
				require.ErrorIs(t, seen[0], context.DeadlineExceeded)
				require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(seen[0]))
			})
		})
	}
}

// The same on a sql.Conn: the next attempt waits until the last one's rollback
// is over.
func TestAttemptTimeoutOnConn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		// The rollback takes as long as a round trip to the node, and begins when the
		// closure returns or before.
		undo, err := l.sim.SetLatency(simnode.AtClients(), simnode.AtNode(1), 5*time.Millisecond, 0)
		require.NoError(t, err)
		defer undo()
		runs := 0
		err = driver.RunTx(l.at(t.Context(), 1), conn, &driver.TxOptions{AttemptTimeout: 50 * time.Millisecond}, func(ctx context.Context, tx *sql.Tx) error {
			if err := add(ctx, tx, 1); err != nil {
				return err
			}
			if runs++; runs < 4 {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 4, runs)
		require.NoError(t, conn.Close())
		require.Equal(t, 1, l.total())
	})
}

// If every attempt runs out of time the last error says so.
func TestAttemptTimeoutOfAll(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		runs, err := l.run(t.Context(), &driver.TxOptions{AttemptTimeout: 20 * time.Millisecond, MaxAttempts: 3},
			func(ctx context.Context, _ *sql.Tx, _ int) error {
				<-ctx.Done()
				return ctx.Err()
			})
		require.Equal(t, 3, runs)
		requireGaveUp(t, err, cluster.StopAttempts, 3)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
		require.Zero(t, l.total())
	})
}

// requireGaveUp checks a RetryError and what errors.As finds in it.
func requireGaveUp(t *testing.T, err error, stop cluster.Stop, attempts int) *driver.OpError {
	t.Helper()
	var gaveUp *driver.RetryError
	require.ErrorAs(t, err, &gaveUp)
	require.Equal(t, stop, gaveUp.Stop, "%v", err)
	if attempts > 0 {
		require.Equal(t, attempts, gaveUp.Attempts)
	}
	var op *driver.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, gaveUp.Attempts, op.Attempts)
	require.Len(t, op.Earlier, min(gaveUp.Attempts-1, 8))
	for i, a := range op.Earlier {
		require.NotErrorIs(t, err, a.Err)
		require.Equal(t, driver.DefinitelyAborted, a.Outcome)
		require.Positive(t, a.Took)
		if i > 0 {
			before := op.Earlier[i-1]
			if before.Number == a.Number-1 {
				require.Equal(t, a.Began, before.Began.Add(before.Took+before.Wait), "in virtual time nothing lies between")
			}
		}
	}
	return op
}

// An attempt whose time is over while COMMIT is under way may have been
// committed: it isn't tried again.
func TestAttemptTimeoutInCommit(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		runs, err := l.run(t.Context(), &driver.TxOptions{AttemptTimeout: 50 * time.Millisecond}, func(context.Context, *sql.Tx, int) error {
			_, err := l.sim.SetLatency(simnode.AtClients(), simnode.AtNode(1), 40*time.Millisecond, 0)
			return err
		})
		require.Equal(t, 1, runs)
		var unknown *driver.OutcomeUnknownError
		require.ErrorAs(t, err, &unknown)
		require.Equal(t, l.sim.Node(1).Addr(), unknown.Node)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		l.sim.Heal()
		require.Equal(t, 1, l.total(), "as it happens, it was committed")
	})
}

// Each limit ends the attempts, and the error says which.
func TestLimitsOfRunTx(t *testing.T) {
	step := func(o driver.TxOptions) *driver.TxOptions {
		o.BackoffBase, o.BackoffCap = 40*time.Millisecond, 40*time.Millisecond
		return &o
	}
	for name, c := range map[string]struct {
		opts     *driver.TxOptions
		deadline time.Duration
		stop     cluster.Stop
		attempts int
	}{
		"MaxAttempts":                    {opts: step(driver.TxOptions{MaxAttempts: 4}), stop: cluster.StopAttempts, attempts: 4},
		"MaxAttempts beside MaxElapsed":  {opts: step(driver.TxOptions{MaxAttempts: 2, MaxElapsed: time.Hour}), stop: cluster.StopAttempts, attempts: 2},
		"one attempt":                    {opts: &driver.TxOptions{MaxAttempts: 1}, stop: cluster.StopAttempts, attempts: 1},
		"thirty attempts by default":     {opts: &driver.TxOptions{BackoffCap: time.Millisecond}, stop: cluster.StopAttempts, attempts: 30},
		"MaxElapsed":                     {opts: step(driver.TxOptions{MaxElapsed: 2 * time.Second}), stop: cluster.StopElapsed},
		"MaxElapsed before the deadline": {opts: step(driver.TxOptions{MaxElapsed: 100 * time.Millisecond}), deadline: time.Second, stop: cluster.StopElapsed},
		"deadline":                       {opts: step(driver.TxOptions{}), deadline: 2 * time.Second, stop: cluster.StopDeadline},
		"budget":                         {opts: &driver.TxOptions{BackoffCap: time.Millisecond, MaxAttempts: 5000}, stop: cluster.StopBudget},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				began := time.Now()
				runs, err := l.run(ctx, c.opts, l.always)
				took := time.Since(began)
				require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
				require.True(t, driver.IsRetryable(err), "a limit says nothing about the work")
				var gaveUp *driver.RetryError
				require.ErrorAs(t, err, &gaveUp)
				require.Equal(t, []any{c.stop, runs}, []any{gaveUp.Stop, gaveUp.Attempts})
				if c.attempts != 1 {
					op := requireGaveUp(t, err, c.stop, c.attempts)
					require.Equal(t, "40001", op.SQLState)
					require.Equal(t, l.sim.Node(1).Addr(), op.Node)
				}
				require.Equal(t, 100*runs, l.total())
				switch c.stop {
				case cluster.StopElapsed:
					require.LessOrEqual(t, took, c.opts.MaxElapsed+20*time.Millisecond)
					require.Greater(t, took, c.opts.MaxElapsed-60*time.Millisecond)
				case cluster.StopDeadline:
					require.Less(t, took, c.deadline)
					require.Greater(t, took, c.deadline-60*time.Millisecond)
				case cluster.StopBudget:
					require.Greater(t, runs, 100, "what is saved up")
					require.Less(t, runs, 1000)
				}
			})
		})
	}
}

// A context that ends while RunTx waits ends the wait, and is found beside the
// last error.
func TestCancelBetweenAttempts(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		ctx, cancel := context.WithCancel(t.Context())
		opts := &driver.TxOptions{BackoffBase: time.Hour, BackoffCap: time.Hour, OnRetry: func(_ int, _ error, wait time.Duration) {
			require.Greater(t, wait, time.Second)
			time.AfterFunc(time.Second, cancel)
		}}
		began := time.Now()
		runs, err := l.run(ctx, opts, l.always)
		require.Equal(t, 1, runs)
		require.InDelta(t, time.Second, time.Since(began), float64(50*time.Millisecond))
		require.ErrorIs(t, err, context.Canceled)
		var gaveUp *driver.RetryError
		require.ErrorAs(t, err, &gaveUp)
		require.Equal(t, []any{cluster.StopContext, 1}, []any{gaveUp.Stop, gaveUp.Attempts})
		require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
		require.False(t, driver.IsRetryable(err))

		// One that has ended already asks for nothing.
		runs, err = l.run(ctx, nil, l.always)
		require.ErrorIs(t, err, context.Canceled)
		require.Zero(t, runs)
		require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
	})
}

// The waits are those of the data source name unless the options say otherwise.
func TestBackoffOptions(t *testing.T) {
	longest := func(opts driver.TxOptions) time.Duration {
		var out time.Duration
		opts.MaxAttempts = 8
		opts.OnRetry = func(_ int, _ error, wait time.Duration) { out = max(out, wait) }
		inVirtualTime(t, func(t *testing.T, l *ledger) {
			_, err := l.run(t.Context(), &opts, l.always)
			require.Error(t, err)
		}, "retry_base=10s", "retry_cap=20s")
		return out
	}
	byName := longest(driver.TxOptions{})
	require.Greater(t, byName, 5*time.Second)
	require.LessOrEqual(t, byName, 20*time.Second)
	capped := longest(driver.TxOptions{BackoffBase: time.Millisecond, BackoffCap: 3 * time.Millisecond})
	require.LessOrEqual(t, capped, 3*time.Millisecond)
	require.Greater(t, capped, time.Millisecond)
}

// A closure that takes no notice of its context holds up RunTx, but neither a
// server connection nor a goroutine.
func TestClosureOutlivesItsContext(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		began := time.Now()
		runs, err := l.run(ctx, nil, func(context.Context, *sql.Tx, int) error {
			time.Sleep(time.Minute)
			require.Zero(t, clusterOf(t, l.db).Leases())
			require.Zero(t, l.db.Stats().InUse)
			return nil
		})
		require.Equal(t, 1, runs)
		require.GreaterOrEqual(t, time.Since(began), time.Minute)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
		require.Zero(t, l.total())
	})
}

// A panic and runtime.Goexit roll back before they go on, also when the context
// has ended and somebody else is rolling back.
func TestClosureLeavesByPanicOrGoexit(t *testing.T) {
	for name, late := range map[string]bool{"at once": false, "after its context": true} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				leave := func(how func()) (recovered any) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					var running sync.WaitGroup
					running.Go(func() { // ends with the closure
						defer func() { recovered = recover() }()
						_, _ = l.run(ctx, nil, func(ctx context.Context, _ *sql.Tx, _ int) error {
							if late {
								<-ctx.Done()
							}
							how()
							return nil
						})
						t.Error("RunTx has returned")
					})
					running.Wait()
					synctest.Wait()
					checkIdle(t, l.db)
					return recovered
				}
				require.Equal(t, "closure", leave(func() { panic("closure") }))
				require.Nil(t, leave(runtime.Goexit))
				require.Zero(t, l.total())
			})
		})
	}
}

// Whoever ends the transaction in the closure gets a clear answer.
func TestClosureEndsTheTransaction(t *testing.T) {
	boom := errors.New("business rule")
	exec := func(text string) func(context.Context, *sql.Tx) error {
		return func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, text)
			return err
		}
	}
	commit := func(_ context.Context, tx *sql.Tx) error { return tx.Commit() }
	rollback := func(_ context.Context, tx *sql.Tx) error { return tx.Rollback() }
	for name, c := range map[string]struct {
		end      func(context.Context, *sql.Tx) error
		then     error
		conflict bool // of the first run
		outcome  driver.Outcome
		is       error
		total    int
		runs     int
	}{
		"commits":            {end: commit, outcome: driver.Committed, total: 1, runs: 1},
		"commits and fails":  {end: commit, then: boom, outcome: driver.Committed, is: boom, total: 1, runs: 1},
		"commits, conflicts": {end: commit, conflict: true, outcome: driver.Committed, total: 101, runs: 2},
		"commits, conflicts, and hides it": {end: func(ctx context.Context, tx *sql.Tx) error {
			_ = tx.Commit()
			return nil
		}, conflict: true, outcome: driver.Committed, total: 101, runs: 2},
		"rolls back":               {end: rollback, outcome: driver.DefinitelyAborted, is: driver.ErrTxEnded, runs: 1},
		"rolls back and fails":     {end: rollback, then: boom, outcome: driver.Unknown, is: boom, runs: 1},
		"says commit":              {end: exec("commit"), outcome: driver.CommitSent, is: driver.ErrTxEnded, total: 1, runs: 1},
		"says commit and fails":    {end: exec("commit"), then: boom, outcome: driver.CommitSent, is: boom, total: 1, runs: 1},
		"says commit among others": {end: exec("select 1; commit; begin"), outcome: driver.CommitSent, is: driver.ErrTxEnded, total: 1, runs: 1},
		"says rollback":            {end: exec("rollback"), outcome: driver.DefinitelyAborted, is: driver.ErrTxEnded, runs: 1},
		"uses savepoints":          {end: exec("savepoint a; select 1; rollback to a; release a"), outcome: driver.Committed, total: 1, runs: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				runs, err := l.run(t.Context(), nil, func(ctx context.Context, tx *sql.Tx, run int) error {
					if c.conflict && run == 1 {
						l.overtake()
					}
					if err := c.end(ctx, tx); err != nil {
						return err
					}
					return c.then
				})
				require.Equal(t, c.outcome, driver.OutcomeOf(err), "%v", err)
				require.Equal(t, c.runs, runs)
				if c.is != nil {
					require.ErrorIs(t, err, c.is)
				}
				require.Equal(t, c.total, l.total())
			})
		})
	}
}

// A conflict after the closure has committed by a statement isn't tried again:
// the first half would be done twice.
func TestConflictAfterCommitAsText(t *testing.T) {
	db := open(t)
	failing(t, db, "halves", "P0002", "40001") // the sequence counts the first row below as well
	_, err := db.Exec("alter sequence halves_count restart; drop table if exists first_half; create table first_half (v int)")
	require.NoError(t, err)
	runs := 0
	err = driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		if _, err := tx.ExecContext(ctx, "insert into first_half values (1)"); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "commit"); err != nil {
			return err
		}
		_, _ = tx.ExecContext(ctx, "insert into halves values (1)") // P0002
		_, err := tx.ExecContext(ctx, "insert into halves values (1)")
		return err
	})
	require.Equal(t, 1, runs)
	require.ErrorIs(t, err, driver.ErrTxEnded)
	require.Equal(t, driver.CommitSent, driver.OutcomeOf(err))
	var halves int
	require.NoError(t, db.QueryRow("select count(*) from first_half").Scan(&halves))
	require.Equal(t, 1, halves)
	checkIdle(t, db)
}

// On a sql.Conn a lost connection ends RunTx at once: nothing can follow.
func TestRunTxOnLostConn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		runs := 0
		never := &driver.TxOptions{OnRetry: func(int, error, time.Duration) { t.Error("there is no session for another attempt") }}
		err = driver.RunTx(l.at(t.Context(), 1), conn, never, func(ctx context.Context, tx *sql.Tx) error {
			runs++
			if err := add(ctx, tx, 1); err != nil {
				return err
			}
			l.sim.Node(1).Reset()
			return add(ctx, tx, 1)
		})
		require.Equal(t, 1, runs)
		require.ErrorIs(t, err, driver.ErrSessionLost)
		require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
		require.True(t, driver.IsRetryable(err), "in another session")
		var gaveUp *driver.RetryError
		require.ErrorAs(t, err, &gaveUp)
		require.Equal(t, []any{cluster.StopSession, 1, 0}, []any{gaveUp.Stop, gaveUp.Attempts, len(gaveUp.Earlier)})
		require.NoError(t, conn.Close())
	})
}

// While no node is there RunTx goes on trying for as long as the caller has
// given it; whoever has set no limit waits for acquire_timeout.
func TestRunTxWithoutNodes(t *testing.T) {
	for name, c := range map[string]struct {
		opts   driver.TxOptions
		limit  time.Duration // of the context; 0: none
		outage time.Duration
		runs   int
		tries  int // at least
		took   [2]time.Duration
	}{
		"shorter than acquire_timeout": {outage: 300 * time.Millisecond, runs: 1, took: [2]time.Duration{300 * time.Millisecond, 1200 * time.Millisecond}},
		"no limit":                     {outage: time.Minute, tries: 1, took: [2]time.Duration{time.Second, 1100 * time.Millisecond}},
		"deadline":                     {limit: time.Minute, outage: 5 * time.Second, runs: 1, took: [2]time.Duration{5 * time.Second, 7 * time.Second}},
		"deadline is over":             {limit: 5 * time.Second, outage: time.Minute, tries: 4, took: [2]time.Duration{4 * time.Second, 5 * time.Second}},
		"MaxElapsed":                   {opts: driver.TxOptions{MaxElapsed: time.Minute}, outage: 5 * time.Second, runs: 1, took: [2]time.Duration{5 * time.Second, 7 * time.Second}},
		"MaxElapsed is over":           {opts: driver.TxOptions{MaxElapsed: 3 * time.Second}, outage: time.Minute, tries: 3, took: [2]time.Duration{2 * time.Second, 4 * time.Second}},
		"MaxAttempts":                  {opts: driver.TxOptions{MaxAttempts: 4}, outage: time.Minute, tries: 4, took: [2]time.Duration{4 * time.Second, 5 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				var undo []simnode.Undo
				for _, n := range l.sim.Nodes() {
					undo = append(undo, n.Kill())
				}
				back := time.AfterFunc(c.outage, func() {
					for _, u := range undo {
						u()
					}
				})
				ctx := t.Context()
				if c.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.limit)
					defer cancel()
				}
				began, runs := time.Now(), 0
				err := driver.RunTx(ctx, l.db, &c.opts, func(ctx context.Context, tx *sql.Tx) error {
					err := add(ctx, tx, 1)
					if err == nil {
						runs++
					}
					return err
				})
				took := time.Since(began)
				require.Equal(t, c.runs, runs)
				require.GreaterOrEqual(t, took, c.took[0])
				require.LessOrEqual(t, took, c.took[1])
				if c.runs == 1 {
					require.NoError(t, err)
					require.Equal(t, 1, l.total())
					return
				}
				require.ErrorIs(t, err, driver.ErrNoNode)
				require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
				var none *driver.NoNodeError
				require.ErrorAs(t, err, &none)
				require.GreaterOrEqual(t, max(none.Attempts, 1), c.tries)
				if back.Stop() {
					for _, u := range undo {
						u()
					}
				}
				require.NoError(t, l.sim.WaitReady(t.Context()))
			})
		})
	}
}

// Without a sql.Conn the next attempt begins on another node, at once.
func TestRunTxMovesAtOnce(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		var waits []time.Duration
		runs := 0
		err := driver.RunTx(t.Context(), l.db, &driver.TxOptions{OnRetry: func(_ int, _ error, wait time.Duration) {
			waits = append(waits, wait)
		}}, func(ctx context.Context, tx *sql.Tx) error {
			if err := add(ctx, tx, 1); err != nil {
				return err
			}
			if runs++; runs == 1 {
				for _, n := range l.sim.Nodes() {
					n.Reset()
				}
			}
			return add(ctx, tx, 1)
		})
		require.NoError(t, err)
		require.Equal(t, []time.Duration{0}, waits)
		require.Equal(t, 2, l.total())
	})
}

// Retry, as an ORM would use it.
func TestRetryOfForeignTransactions(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		orm := func(ctx context.Context, fn func(tx *sql.Tx) error) error {
			ctx = l.at(ctx, 1)
			tx, err := l.db.BeginTx(ctx, nil)
			if err != nil {
				return fmt.Errorf("orm: begin: %w", err)
			}
			defer tx.Rollback()
			if err := add(ctx, tx, 1); err != nil {
				return fmt.Errorf("orm: %w", err)
			}
			if err := fn(tx); err != nil {
				return fmt.Errorf("orm: %w", err)
			}
			if err := tx.Commit(); err != nil {
				return fmt.Errorf("orm: commit: %w", err)
			}
			return nil
		}
		runs := 0
		err := driver.Retry(t.Context(), &driver.TxOptions{AttemptTimeout: 100 * time.Millisecond}, func(ctx context.Context) error {
			runs++
			return orm(ctx, func(tx *sql.Tx) error {
				switch runs {
				case 1:
					l.overtake()
				case 2:
					_, err := tx.ExecContext(ctx, "select pg_sleep(10)")
					return err
				}
				return nil
			})
		})
		require.NoError(t, err)
		require.Equal(t, 3, runs)
		require.Equal(t, 101, l.total())

		// A bare error of the attempt's context is enough if nobody has asked for a
		// commit.
		for name, c := range map[string]struct {
			end  func(tx *sql.Tx) error
			runs int
			out  driver.Outcome
		}{
			"open":        {func(*sql.Tx) error { return nil }, 2, driver.Committed},
			"rolled back": {func(tx *sql.Tx) error { return tx.Rollback() }, 2, driver.Committed},
			"committed":   {func(tx *sql.Tx) error { return tx.Commit() }, 1, driver.Unknown},
			"committed by a statement": {func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), "commit")
				return err
			}, 1, driver.Unknown},
			"committed by the last statement": {func(tx *sql.Tx) error {
				return add(driver.WithCommit(t.Context()), tx, 0)
			}, 1, driver.Unknown},
		} {
			runs = 0
			err = driver.Retry(t.Context(), &driver.TxOptions{AttemptTimeout: 50 * time.Millisecond}, func(ctx context.Context) error {
				if runs++; runs > 1 {
					return nil
				}
				tx, err := l.db.BeginTx(l.at(ctx, 1), nil)
				require.NoError(t, err)
				require.NoError(t, add(ctx, tx, 0))
				require.NoError(t, c.end(tx))
				<-ctx.Done()
				return fmt.Errorf("orm: %w", ctx.Err())
			})
			require.Equal(t, []any{c.runs, c.out}, []any{runs, driver.OutcomeOf(err)}, "%s: %v", name, err)
		}

		// Its limits are those of RunTx, the cluster's budget and waits included.
		retries := clusterOf(t, l.db).Stats().Nodes[0].Retries
		runs = 0
		err = driver.Retry(t.Context(), &driver.TxOptions{MaxAttempts: 3}, func(ctx context.Context) error {
			runs++
			return orm(ctx, func(*sql.Tx) error { l.overtake(); return nil })
		})
		require.Equal(t, 3, runs)
		require.Equal(t, "40001", requireGaveUp(t, err, cluster.StopAttempts, 3).SQLState)
		require.Equal(t, retries+2, clusterOf(t, l.db).Stats().Nodes[0].Retries)

		// What isn't the driver's comes back as it is.
		foreign := errors.New("not found")
		err = driver.Retry(t.Context(), nil, func(context.Context) error { return foreign })
		require.Same(t, foreign, err)
		runs = 0
		err = driver.Retry(t.Context(), nil, func(ctx context.Context) error {
			if runs++; runs == 1 {
				return orm(ctx, func(*sql.Tx) error { l.overtake(); return nil })
			}
			return foreign
		})
		require.Same(t, foreign, err, "also after another attempt, so that it can be compared")
		require.Equal(t, 2, runs)
	})
}

// WithNode of BeginTx counts for the first statement, unless that has its own.
func TestNodeOfTransaction(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		where := func(begin, first context.Context) (node int) {
			tx, err := l.db.BeginTx(begin, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback()) }()
			require.NoError(t, tx.QueryRowContext(first, "show simnode.node_id").Scan(&node))
			return node
		}
		for node := 1; node <= 3; node++ {
			require.Equal(t, node, where(l.at(t.Context(), node), t.Context()))
			require.Equal(t, node, where(l.at(t.Context(), 4-node), l.at(t.Context(), node)))
		}
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		tx, err := conn.BeginTx(l.at(t.Context(), 2), nil)
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
		tx, err = conn.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(l.at(t.Context(), 3), "select 1")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		require.Equal(t, l.sim.Node(3).Addr(), explain(t, conn).Node, "the hint of a transaction ends with it")
		require.NoError(t, conn.Close())
	})
}
