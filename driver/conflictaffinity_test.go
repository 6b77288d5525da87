package driver_test

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// hotLoad lets eight goroutines, as users do, change row 1 again and again and
// other rows in between, through all nodes, and returns how many attempts a
// commit of each kind took.
func hotLoad(t *testing.T, l *ledger) (statements, transactions float64) {
	t.Helper()
	_, err := l.db.ExecContext(t.Context(), "insert into ledger select i, 0 from generate_series(2, 100) i")
	require.NoError(t, err)
	opts := driver.TxOptions{TxOptions: sql.TxOptions{Isolation: sql.LevelRepeatableRead}}
	var runs, commits, total atomic.Int64
	transact := func(id int) {
		for {
			err := driver.RunTx(t.Context(), l.db, &opts, func(ctx context.Context, tx *sql.Tx) error {
				runs.Add(1)
				var n int
				if err := tx.QueryRowContext(ctx, "select n from ledger where id = $1", id).Scan(&n); err != nil {
					return err
				}
				_, err := tx.ExecContext(ctx, "update ledger set n = $1 where id = $2", n+1, id)
				return err
			})
			if err == nil {
				commits.Add(1)
				total.Add(1)
				return
			}
			require.True(t, driver.IsRetryable(err), err) // the retry budget
			<-time.After(10 * time.Millisecond)
		}
	}
	var changes, failures atomic.Int64
	change := func(id int) {
		for {
			_, err := l.db.ExecContext(t.Context(), "update ledger set n = n + 1 where id = $1", id)
			if err == nil {
				changes.Add(1)
				total.Add(1)
				return
			}
			require.True(t, driver.IsRetryable(err), err)
			failures.Add(1)
			<-time.After(10 * time.Millisecond)
		}
	}
	load := func(work func(id int)) int64 {
		before := l.conflicts()
		var running sync.WaitGroup
		for g := range 8 {
			running.Go(func() { // ends after its rounds
				rng := rand.New(rand.NewPCG(uint64(g), 3))
				for i := range 40 {
					if i%4 == 3 {
						work(2 + rng.IntN(99))
					} else {
						work(1)
					}
					<-time.After(time.Duration(rng.IntN(1000)) * time.Microsecond)
				}
			})
		}
		running.Wait()
		return l.conflicts() - before
	}
	load(transact)
	conflicts := load(change)
	var sum int64
	require.NoError(t, l.db.QueryRowContext(t.Context(), "select sum(n) from ledger").Scan(&sum))
	require.Equal(t, total.Load(), sum)
	l.keyFree()
	return 1 + float64(conflicts)/float64(changes.Load()), float64(runs.Load()) / float64(commits.Load())
}

// With conflict_affinity=on hardly a conflict is left of what many are without.
func TestConflictAffinity(t *testing.T) {
	var statements, transactions [2]float64
	for i, param := range []string{"conflict_affinity=off", "conflict_affinity=on"} {
		inVirtualTime(t, func(t *testing.T, l *ledger) {
			statements[i], transactions[i] = hotLoad(t, l)
			stats := clusterOf(t, l.db).Stats()
			require.Equal(t, i == 1, stats.LearnedRows > 0)
			require.Equal(t, i == 1, stats.Keys.Entered > 0)
		}, param)
	}
	t.Logf("attempts per commit without and with: statements %.2f, transactions %.2f", statements, transactions)
	for _, got := range [][2]float64{statements, transactions} {
		require.Greater(t, got[0], 1.15, "the load provokes conflicts")
		require.Less(t, got[1]-1, (got[0]-1)/3, "of three conflicts two are avoided at least")
	}
}

// What is learned, what comes of it, and when it is forgotten.
func TestLearnedRow(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		entered := func() int64 { return clusterOf(t, l.db).Stats().Keys.Entered }
		fine := func(context.Context, *sql.Tx, int) error { return nil }
		run := func(opts *driver.TxOptions, fn func(context.Context, *sql.Tx, int) error, want int) {
			t.Helper()
			runs, err := l.run(t.Context(), opts, fn)
			require.NoError(t, err)
			require.Equal(t, want, runs)
		}
		conflict := func(_ context.Context, _ *sql.Tx, run int) error {
			if run == 1 {
				l.overtake()
			}
			require.EqualValues(t, run-1, entered(), "the second attempt has a turn on the row")
			return nil
		}
		run(nil, fine, 1)
		require.Zero(t, entered(), "nothing is known yet")
		run(nil, conflict, 2)
		require.Equal(t, 1, clusterOf(t, l.db).Stats().LearnedRows)
		run(nil, fine, 1)
		require.EqualValues(t, 2, entered(), "the same beginning: it takes its turn at once")
		run(&driver.TxOptions{Key: "mine"}, fine, 1)
		require.EqualValues(t, 3, entered(), "one turn: a key of one's own counts")
		require.NoError(t, add(t.Context(), l.db, 1))
		require.EqualValues(t, 3, entered(), "a statement by itself is another thing")
		_, err := l.db.ExecContext(t.Context(), "update ledger set n = n + $1 where id = 1", 2)
		require.NoError(t, err)
		require.EqualValues(t, 3, entered(), "and so are other arguments")

		where := make(map[int]bool)
		for range 10 {
			require.NoError(t, driver.RunTx(t.Context(), l.db, nil, func(ctx context.Context, tx *sql.Tx) error {
				if err := add(ctx, tx, 1); err != nil {
					return err
				}
				var id int
				err := tx.QueryRowContext(ctx, "show simnode.node_id").Scan(&id)
				where[id] = true
				return err
			}))
		}
		require.Len(t, where, 1, "all go to the row's node")
		require.EqualValues(t, 13, entered())

		<-time.After(10 * time.Second)
		run(nil, fine, 1)
		require.EqualValues(t, 13, entered(), "ten seconds without a conflict or a wait: it is forgotten")
		require.Zero(t, clusterOf(t, l.db).Stats().LearnedRows)
		l.keyFree()
	}, "conflict_affinity=on")
}

// Without the setting nothing is learned, whatever the server says.
func TestNothingIsLearnedUnasked(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		runs, err := l.run(t.Context(), nil, func(_ context.Context, _ *sql.Tx, run int) error {
			if run == 1 {
				l.overtake()
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 2, runs)
		stats := clusterOf(t, l.db).Stats()
		require.Zero(t, stats.LearnedRows)
		require.Zero(t, stats.Keys.Entered)
	})
}
