package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
)

// conflicts counts what went wrong on all nodes.
func (l *ledger) conflicts() (n int64) {
	for _, node := range clusterOf(l.t, l.db).Stats().Nodes {
		n += node.Conflicts
	}
	return n
}

// keyFree requires that nobody has a turn on a key, or waits for one.
func (l *ledger) keyFree() {
	l.t.Helper()
	keys := clusterOf(l.t, l.db).Stats().Keys
	require.Equal(l.t, []int{0, 0}, []int{keys.Keys, keys.Waiting})
}

// take takes the turn on key k in a transaction of its own, and returns its end.
func (l *ledger) take(k string) (end func()) {
	l.t.Helper()
	tx, err := l.db.BeginTx(driver.WithKey(context.Background(), k), nil)
	require.NoError(l.t, err)
	_, err = tx.Exec("select 1")
	require.NoError(l.t, err)
	return func() { require.NoError(l.t, tx.Commit()) }
}

// readModifyWrite adds one to the row the long way.
func readModifyWrite(ctx context.Context, tx *sql.Tx, last context.Context) error {
	var n int
	if err := tx.QueryRowContext(ctx, "select n from ledger where id = 1").Scan(&n); err != nil {
		return err
	}
	_, err := tx.ExecContext(last, "update ledger set n = $1 where id = 1", n+1)
	return err
}

// Sixteen at once change one row, in statements and in transactions: with the key
// there is no conflict at all, and without it there are many.
func TestKeyAvoidsConflicts(t *testing.T) {
	snapshot := driver.TxOptions{TxOptions: sql.TxOptions{Isolation: sql.LevelRepeatableRead}}
	keyed := snapshot
	keyed.Key = "ledger/1"
	for name, c := range map[string]struct {
		key  string // of statements
		opts *driver.TxOptions
		calm bool
	}{
		"statements":                {},
		"statements with key":       {key: "ledger/1", calm: true},
		"transactions":              {opts: &snapshot},
		"transactions with key":     {opts: &keyed, calm: true},
		"transactions with context": {key: "ledger/1", opts: &snapshot, calm: true},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				var running sync.WaitGroup
				var done atomic.Int64
				ctx := driver.WithKey(t.Context(), c.key)
				once := func() error {
					if c.opts == nil {
						return add(ctx, l.db, 1)
					}
					return driver.RunTx(ctx, l.db, c.opts, func(ctx context.Context, tx *sql.Tx) error {
						return readModifyWrite(ctx, tx, ctx)
					})
				}
				for range 16 {
					running.Go(func() { // ends after its rounds
						for range 5 {
							if err := once(); err == nil {
								done.Add(1)
							} else if c.calm || !driver.IsRetryable(err) {
								t.Error(err) // without the key the retry budget runs out
							}
						}
					})
				}
				running.Wait()
				require.EqualValues(t, done.Load(), l.total())
				if c.calm {
					require.Equal(t, 80, l.total())
				}
				require.Equal(t, c.calm, l.conflicts() == 0, "%d conflicts", l.conflicts())
				l.keyFree()
			})
		})
	}
}

// How long each kind of work keeps its turn.
func TestHowLongATurnLasts(t *testing.T) {
	key := func() context.Context { return driver.WithKey(context.Background(), "k") }
	for name, work := range map[string]func(t *testing.T, l *ledger, held func(bool)){
		"a query until its rows are closed": func(t *testing.T, l *ledger, held func(bool)) {
			rows, err := l.db.QueryContext(key(), "select i from generate_series(1, 100000) i")
			require.NoError(t, err)
			require.True(t, rows.Next())
			held(true)
			require.NoError(t, rows.Close())
			held(false)
		},
		"a session until it is broken or released": func(t *testing.T, l *ledger, held func(bool)) {
			s := clusterOf(t, l.db).NewSession()
			for _, end := range []func(){func() { s.Break(errors.New("panic")) }, func() {}} {
				_, err := s.Query(key(), "select i from generate_series(1, 100000) i", nil)
				require.NoError(t, err)
				held(true)
				end()
				if s.Node() == "" {
					held(false) // nobody will read the rows
				}
				s.Release()
				held(false)
			}
		},
		"a failed statement until its end": func(t *testing.T, l *ledger, held func(bool)) {
			_, err := l.db.ExecContext(key(), "select 1/0")
			require.Error(t, err)
			held(false)
		},
		"a transaction until COMMIT": func(t *testing.T, l *ledger, held func(bool)) {
			tx, err := l.db.BeginTx(key(), nil)
			require.NoError(t, err)
			held(false) // nothing has been sent
			require.NoError(t, add(t.Context(), tx, 1))
			held(true)
			require.NoError(t, add(key(), tx, 1)) // inside, a key has no effect
			held(true)
			require.NoError(t, tx.Commit())
			held(false)
		},
		"a transaction whose first statement has the key": func(t *testing.T, l *ledger, held func(bool)) {
			tx, err := l.db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			require.NoError(t, add(key(), tx, 1))
			held(true)
			require.NoError(t, tx.Rollback())
			held(false)
		},
		"a transaction until its context ends": func(t *testing.T, l *ledger, held func(bool)) {
			ctx, cancel := context.WithCancel(key())
			tx, err := l.db.BeginTx(ctx, nil)
			require.NoError(t, err)
			require.NoError(t, add(t.Context(), tx, 1))
			cancel()
			synctest.Wait()
			time.Sleep(time.Second) // ROLLBACK has been answered
			held(false)
			require.Error(t, tx.Commit())
		},
		"a transaction until its COMMIT has travelled": func(t *testing.T, l *ledger, held func(bool)) {
			tx, err := l.db.BeginTx(key(), nil)
			require.NoError(t, err)
			require.NoError(t, add(driver.WithCommit(t.Context()), tx, 1))
			held(false)
			require.NoError(t, tx.Commit())
		},
		"a sql.Conn between its statements": func(t *testing.T, l *ledger, held func(bool)) {
			conn, err := l.db.Conn(t.Context())
			require.NoError(t, err)
			for range 3 {
				require.NoError(t, add(key(), conn, 1))
				held(false)
			}
			_, err = conn.ExecContext(key(), "begin")
			require.NoError(t, err)
			require.NoError(t, add(key(), conn, 1))
			held(false) // it is in a transaction
			_, err = conn.ExecContext(key(), "rollback")
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		},
		"RunTx as a whole": func(t *testing.T, l *ledger, held func(bool)) {
			runs := 0
			require.NoError(t, driver.RunTx(l.at(key(), 1), l.db, nil, func(ctx context.Context, tx *sql.Tx) error {
				held(true)
				if runs++; runs == 1 {
					require.NoError(t, add(ctx, tx, 1))
					l.overtake()
				}
				return add(ctx, tx, 1)
			}))
			require.Equal(t, 2, runs)
			held(false)
			require.Panics(t, func() {
				_ = driver.RunTx(key(), l.db, nil, func(context.Context, *sql.Tx) error {
					held(true)
					panic("out")
				})
			})
			held(false)
		},
		"work in the closure waits for no other turn": func(t *testing.T, l *ledger, held func(bool)) {
			end := l.take("other")
			opts := &driver.TxOptions{Key: "k"}
			require.NoError(t, driver.RunTx(t.Context(), l.db, opts, func(ctx context.Context, tx *sql.Tx) error {
				_, err := l.db.ExecContext(driver.WithKey(ctx, "k"), "select 1")
				require.NoError(t, err)
				_, err = l.db.ExecContext(driver.WithKey(ctx, "other"), "select 1")
				require.NoError(t, err)
				return driver.RunTx(ctx, l.db, opts, func(ctx context.Context, tx *sql.Tx) error {
					held(true)
					return add(ctx, tx, 1)
				})
			}))
			end()
			held(false)
		},
		"a context that is kept has no turn": func(t *testing.T, l *ledger, held func(bool)) {
			var kept context.Context
			require.NoError(t, driver.RunTx(t.Context(), l.db, &driver.TxOptions{Key: "k"}, func(ctx context.Context, tx *sql.Tx) error {
				kept = ctx
				return add(ctx, tx, 1)
			}))
			held(false)
			end := l.take("k")
			ctx, cancel := context.WithTimeout(driver.WithKey(kept, "k"), time.Second)
			defer cancel()
			_, err := l.db.ExecContext(ctx, "select 1")
			require.ErrorIs(t, err, context.DeadlineExceeded, "it waits like everybody")
			end()
		},
		"what changes nothing": func(t *testing.T, l *ledger, held func(bool)) {
			end := l.take("k")
			_, err := l.db.ExecContext(driver.WithReadOnly(key()), "select n from ledger")
			require.NoError(t, err)
			readOnly := sql.TxOptions{ReadOnly: true}
			require.NoError(t, driver.RunTx(key(), l.db, &driver.TxOptions{TxOptions: readOnly, Key: "k"}, func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, "select n from ledger")
				return err
			}))
			tx, err := l.db.BeginTx(key(), &readOnly)
			require.NoError(t, err)
			_, err = tx.Exec("select 1")
			require.NoError(t, err)
			require.NoError(t, tx.Commit())
			held(true)
			end()
			held(false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				work(t, l, func(want bool) {
					t.Helper()
					require.Equal(t, want, clusterOf(t, l.db).Stats().Keys.Keys > 0)
				})
				l.keyFree()
			})
		})
	}
}

// In the order in which they came, and whoever conflicts keeps its place.
func TestRetryKeepsItsPlace(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		var running sync.WaitGroup
		var order []int
		for i := range 4 {
			running.Go(func() { // ends after its transaction
				first := true
				require.NoError(t, driver.RunTx(l.at(t.Context(), 1), l.db, &driver.TxOptions{Key: "k"}, func(ctx context.Context, tx *sql.Tx) error {
					order = append(order, i)
					if err := add(ctx, tx, 1); err != nil {
						return err
					}
					if first {
						l.overtake()
					}
					first = false
					return nil
				}))
			})
			synctest.Wait()
		}
		running.Wait()
		require.Equal(t, []int{0, 0, 1, 1, 2, 2, 3, 3}, order)
		l.keyFree()
	})
}

func TestKeyRefusals(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		end := l.take("k")
		ctx := driver.WithKey(t.Context(), "k")
		var running sync.WaitGroup
		for range 2 {
			running.Go(func() { require.NoError(t, add(ctx, l.db, 1)) }) // ends when its turn has come
		}
		synctest.Wait()
		keys := clusterOf(t, l.db).Stats().Keys
		require.Equal(t, []int{1, 2}, []int{keys.Keys, keys.Waiting})

		refused := func(err, cause error) {
			t.Helper()
			var full *driver.KeyQueueError
			require.ErrorAs(t, err, &full)
			require.ErrorIs(t, err, cause)
			require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
			require.False(t, driver.IsRetryable(err))
		}
		err := add(ctx, l.db, 1)
		refused(err, driver.ErrKeyQueueFull)
		x, ok := driver.ExplainError(err)
		require.True(t, ok)
		matchLines(t, x.String(), "statement: by itself", "attempt 1: the key's queue is full after 0s",
			"outcome: NotSent, because nothing of it had been sent")
		ran := false
		err = driver.RunTx(ctx, l.db, nil, func(context.Context, *sql.Tx) error { ran = true; return nil })
		refused(err, driver.ErrKeyQueueFull)
		require.False(t, ran)
		tx, err := l.db.BeginTx(ctx, nil)
		require.NoError(t, err)
		refused(add(ctx, tx, 1), driver.ErrKeyQueueFull)
		require.ErrorIs(t, tx.Commit(), driver.ErrTxAborted)

		end()
		running.Wait()
		require.Equal(t, 2, l.total())
		l.keyFree()
		require.Equal(t, int64(3), clusterOf(t, l.db).Stats().Keys.RefusedFull)
	}, "key_queue=2")
}

// Whoever waits leaves when its context ends, be it that of BeginTx and the
// statement has none; and is told at once if there is no hope.
func TestKeyDeadlines(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		end := l.take("k")
		for range 3 {
			ctx, cancel := context.WithTimeout(driver.WithKey(t.Context(), "k"), time.Second)
			began := time.Now()
			tx, err := l.db.BeginTx(ctx, nil)
			require.NoError(t, err)
			err = add(context.Background(), tx, 1)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
			require.Equal(t, time.Second, time.Since(began))
			require.Error(t, tx.Commit())

			err = driver.RunTx(ctx, l.db, nil, func(context.Context, *sql.Tx) error { panic("not run") })
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
			cancel()
		}
		var running sync.WaitGroup
		running.Go(func() { l.take("k")() }) // ends when its turn has come
		synctest.Wait()
		end()
		running.Wait()
		l.keyFree()

		end = l.take("k")
		running.Go(func() { l.take("k")() })
		synctest.Wait()
		time.Sleep(3 * time.Second)
		end()
		running.Wait()
		l.keyFree()
		require.Equal(t, int64(6), clusterOf(t, l.db).Stats().Keys.GaveUp)
	})
}

// The wait for the turn isn't a part of the attempt.
func TestAttemptTimeoutBeginsWithTheTurn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		end := l.take("k")
		var running sync.WaitGroup
		runs := 0
		running.Go(func() { // ends when its turn has come
			opts := &driver.TxOptions{Key: "k", AttemptTimeout: 50 * time.Millisecond}
			require.NoError(t, driver.RunTx(t.Context(), l.db, opts, func(ctx context.Context, tx *sql.Tx) error {
				runs++
				return add(ctx, tx, 1)
			}))
		})
		time.Sleep(time.Second)
		end()
		running.Wait()
		require.Equal(t, 1, runs)
		l.keyFree()
	})
}

// On a *sql.Conn RunTx has its turn from the beginning, too.
func TestRunTxOnConnTakesATurn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		require.NoError(t, driver.RunTx(t.Context(), conn, &driver.TxOptions{Key: "k"}, func(ctx context.Context, tx *sql.Tx) error {
			require.Equal(t, 1, clusterOf(t, l.db).Stats().Keys.Keys)
			return add(ctx, tx, 1)
		}))
		require.NoError(t, conn.Close())
		l.keyFree()
	})
}

func TestExplainTellsOfTheTurn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		end := l.take("k")
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		time.AfterFunc(30*time.Millisecond, end)
		_, err = conn.ExecContext(driver.WithKey(t.Context(), "k"), "select n from ledger")
		require.NoError(t, err)
		x := explain(t, conn)
		require.InDelta(t, 30, x.Queued.Milliseconds(), 5)
		require.Less(t, x.Waited, 5*time.Millisecond, "the wait for a node is another one")
		require.Regexp(t, `key: waited 3[0-9]ms for its turn`, x.String())
		_, err = conn.ExecContext(t.Context(), "select n from ledger")
		require.NoError(t, err)
		require.Zero(t, explain(t, conn).Queued)
		require.NoError(t, conn.Close())
	})
}

// A key has its node; when that is gone it has another, and it comes back.
func TestKeyMovesWithItsNode(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		where := func() (id int) {
			require.NoError(t, driver.RunTx(t.Context(), l.db, &driver.TxOptions{Key: "account/7"}, func(ctx context.Context, tx *sql.Tx) error {
				if err := add(ctx, tx, 1); err != nil {
					return err
				}
				return tx.QueryRowContext(ctx, "show simnode.node_id").Scan(&id)
			}))
			return id
		}
		home := where()
		for range 10 {
			require.Equal(t, home, where())
		}
		heal := l.sim.Node(home).Kill()
		next := where() // the first attempt may have met the dying node
		require.NotEqual(t, home, next)
		for range 10 {
			require.Equal(t, next, where())
		}
		heal()
		waitState(t, l.db, home-1, health.Up)
		time.Sleep(5 * time.Second) // failures are forgotten, slow start is over
		require.Equal(t, home, where())
		l.keyFree()
	})
}
