package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// doubtWrites are the ways to add one to a counter that the fence covers and that
// are tried again by themselves.
var doubtWrites = []struct {
	name string
	run  func(ctx context.Context, db *sql.DB, id int, opts *driver.TxOptions) error
}{
	{"autocommit", func(ctx context.Context, db *sql.DB, id int, _ *driver.TxOptions) error {
		_, err := db.ExecContext(ctx, "update doubted set n = n + 1 where id = $1", id)
		return err
	}},
	{"RunTx", func(ctx context.Context, db *sql.DB, id int, opts *driver.TxOptions) error {
		return driver.RunTx(ctx, db, opts, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "update doubted set n = n + 1 where id = $1", id)
			return err
		})
	}},
	{"RunTx with WithCommit", func(ctx context.Context, db *sql.DB, id int, opts *driver.TxOptions) error {
		return driver.RunTx(ctx, db, opts, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(driver.WithCommit(ctx), "update doubted set n = n + 1 where id = $1", id)
			return err
		})
	}},
	{"RunTx with WithCommit returning", func(ctx context.Context, db *sql.DB, id int, opts *driver.TxOptions) error {
		return driver.RunTx(ctx, db, opts, func(ctx context.Context, tx *sql.Tx) error {
			var n int
			return tx.QueryRowContext(driver.WithCommit(ctx), "update doubted set n = n + 1 where id = $1 returning n", id).Scan(&n)
		})
	}},
}

// openDoubted opens a simulated cluster with a fence and a table of counters, and
// counts what its fence finds and how often work is tried again because of 40003.
func openDoubted(t *testing.T, sim *simnode.Sim, seed uint64, counters int) (*sql.DB, *doubtCounts) {
	counts := &doubtCounts{}
	db := openFenced(t, sim, true, seed, cluster.EventListener{
		Resolved: func(_ string, out driver.Outcome, _ time.Duration) {
			counts.found[out].Add(1)
			if counts.resolved != nil {
				counts.resolved()
			}
		},
		Retried: func(_, kind string) {
			if kind == "InDoubt" {
				counts.retried.Add(1)
			}
		},
	})
	_, err := db.Exec("create table doubted (id int primary key, n int not null)")
	require.NoError(t, err)
	for id := range counters {
		_, err = db.Exec("insert into doubted values ($1, 0)", id)
		require.NoError(t, err)
	}
	return db, counts
}

type doubtCounts struct {
	found   [5]atomic.Int64 // by outcome
	retried atomic.Int64

	resolved func() // called after each resolution, if set
}

// unheard makes the storage hear nothing from a node, or the node nothing from the
// storage: its commits end in 40003, without effect in the first case.
func unheard(sim *simnode.Sim, node int, aborts bool) simnode.Undo {
	from, to := []simnode.Endpoint{simnode.AtNode(node)}, []simnode.Endpoint{simnode.AtStorage()}
	if !aborts {
		from, to = to, from
	}
	return sim.PartitionOneWay(from, to)
}

// TestServerInDoubt holds that work which the server answers with 40003, and which
// the fence then finds without effect, is tried again like after a conflict; and
// what is said when it can't be.
func TestServerInDoubt(t *testing.T) {
	for _, w := range doubtWrites {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{InMemory: true, Latency: 200 * time.Microsecond})
				db, counts := openDoubted(t, sim, 1, 1)
				defer func() { require.NoError(t, db.Close()) }()
				for n := 1; n <= 3; n++ {
					heal := unheard(sim, n, true)
					for range 3 { // one of them is given the node
						require.NoError(t, w.run(t.Context(), db, 0, nil))
					}
					heal()
					require.NoError(t, sim.WaitReady(t.Context()))
				}
				require.Equal(t, int64(9), readCounters(t, db))
				require.Positive(t, counts.found[driver.DefinitelyAborted].Load())
				require.Equal(t, counts.found[driver.DefinitelyAborted].Load(), counts.retried.Load())
				require.Zero(t, counts.found[driver.CommitSent].Load())
			})
		})
	}
}

// TestServerInDoubtGivenUp takes the time for another attempt away: the error tells
// what the fence has found, and not the server's doubt.
func TestServerInDoubtGivenUp(t *testing.T) {
	for _, w := range doubtWrites {
		t.Run(w.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{InMemory: true, Latency: 200 * time.Microsecond})
				db, counts := openDoubted(t, sim, 1, 1)
				defer func() { require.NoError(t, db.Close()) }()
				heal := unheard(sim, 2, true)
				ctx := driver.WithNode(t.Context(), sim.Node(2).Addr())
				if w.name == "autocommit" { // which knows no other limit
					var cancel context.CancelFunc
					ctx, cancel = context.WithCancel(ctx)
					defer cancel()
					counts.resolved = cancel
				}
				err := w.run(ctx, db, 0, &driver.TxOptions{MaxAttempts: 1})
				heal()
				require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "%v", err)
				require.ErrorContains(t, err, "the commit fence has ruled it out")
				require.NotContains(t, err.Error(), "unknown")
				require.Contains(t, err.Error(), "40003")
				var server *pgconn.PgError
				require.ErrorAs(t, err, &server)
				require.Equal(t, "40003", server.Code)
				require.NoError(t, sim.WaitReady(t.Context()))
				require.Zero(t, readCounters(t, db))
				require.EqualValues(t, 1, counts.found[driver.DefinitelyAborted].Load())
			})
		})
	}
}

func readCounters(t *testing.T, db *sql.DB) (sum int64) {
	t.Helper()
	require.NoError(t, db.QueryRow("select sum(n) from doubted").Scan(&sum))
	return sum
}

// TestFencedCounterInDoubt adds to counters from all sides while one node after the
// other answers 40003, of commits that were lost and of commits that weren't: each
// success counts exactly once, and there is nothing else than success.
func TestFencedCounterInDoubt(t *testing.T) {
	var retried, committed int64
	for _, seed := range bankSeeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{InMemory: true, Seed: seed, Latency: 200 * time.Microsecond, Jitter: 100 * time.Microsecond})
				const counters, workers, rounds = 4, 6, 100
				db, counts := openDoubted(t, sim, seed, counters)
				defer func() { require.NoError(t, db.Close()) }()
				replay := fmt.Sprintf("go test ./driver -run TestFencedCounterInDoubt -bank.seed %d", seed)
				random := rand.New(rand.NewPCG(seed, 0x40003))
				var joined sync.WaitGroup
				for w := range workers {
					own := rand.New(rand.NewPCG(seed, uint64(w)))
					joined.Go(func() { // ends after its rounds
						for range rounds {
							write := doubtWrites[own.IntN(len(doubtWrites))]
							if err := write.run(t.Context(), db, own.IntN(counters), nil); err != nil {
								t.Errorf("%s: %v\nreplay: %s", write.name, err, replay)
							}
							time.Sleep(time.Duration(own.IntN(100)) * time.Millisecond)
						}
					})
				}
				stop, faults := make(chan struct{}), make(chan struct{})
				go func() { // ends when the workers have
					defer close(faults)
					for i := 0; ; i++ {
						heal := unheard(sim, 1+random.IntN(3), i%2 == 0)
						time.Sleep(time.Duration(200+random.IntN(700)) * time.Millisecond)
						heal()
						select {
						case <-stop:
							return
						case <-time.After(time.Duration(random.IntN(300)) * time.Millisecond):
						}
					}
				}()
				joined.Wait()
				close(stop)
				<-faults
				require.NoError(t, sim.WaitReady(t.Context()))
				require.EqualValues(t, workers*rounds, readCounters(t, db), "replay: %s", replay)
				found := counts.found[driver.Committed].Load()
				t.Logf("found %d aborted and %d committed, %d tried again after 40003",
					counts.found[driver.DefinitelyAborted].Load(), found, counts.retried.Load())
				require.Zero(t, counts.found[driver.CommitSent].Load())
				retried += counts.retried.Load()
				committed += found
			})
		})
	}
	require.Positive(t, retried, "40003 that the fence found aborted")
	require.Positive(t, committed, "40003 that the fence found committed")
}
