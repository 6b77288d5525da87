package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
)

// longestWait is what no operation may exceed on a machine that has time to
// spare. It is measured on real servers with real clocks, so the best of
// measurements counts: what a busy machine adds once says nothing about the
// driver, while a driver that is too slow is so every time. The same bound is
// held to the millisecond in virtual time, by the bank among others.
var longestWait = func() time.Duration {
	if raceEnabled {
		return 3 * time.Second // the race detector makes everything slower, the detector of frozen nodes too
	}
	return time.Second
}()

// measurements is how often a real-time bound is measured before it counts as
// broken.
const measurements = 3

// tally is what a load saw.
type tally struct {
	// stalled, if not nil, returns when the driver last found its own process to
	// have stood still. Waits are counted from then, as silences are.
	stalled func() time.Time

	mu      sync.Mutex
	ok      int
	unknown int
	failed  []error // safe operations that failed
	longest time.Duration
	gap     time.Duration // longest time without any success
	last    time.Time
	slow    string
}

func (y *tally) add(began time.Time, what string, err error) {
	now := time.Now()
	d := now.Sub(began)
	y.mu.Lock()
	defer y.mu.Unlock()
	if d >= longestWait && y.stalled != nil {
		if last := y.stalled(); last.After(began) {
			d = now.Sub(last)
		}
	}
	if d > y.longest {
		y.longest, y.slow = d, fmt.Sprintf("%s: %v", what, err)
	}
	switch {
	case err == nil:
		y.ok++
		if gap := now.Sub(y.last); !y.last.IsZero() && gap > y.gap {
			y.gap = gap
		}
		y.last = now
	case driver.OutcomeOf(err) == driver.CommitSent:
		y.unknown++
	default:
		y.failed = append(y.failed, fmt.Errorf("%s: %w", what, err))
	}
}

// longestSoFar returns the longest wait and what waited, and begins anew.
func (y *tally) longestSoFar() (time.Duration, string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	d, what := y.longest, y.slow
	y.longest, y.slow = 0, ""
	return d, what
}

// load runs half inserts, half point reads, and some transactions from 16
// goroutines, each one operation per interval, until stop is closed.
func load(t *testing.T, db *sql.DB, y *tally, stop <-chan struct{}, interval time.Duration) *sync.WaitGroup {
	t.Helper()
	var running sync.WaitGroup
	for g := range 16 {
		running.Go(func() { // ends when stop is closed
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				y.add(operation(db, g, i))
			}
		})
	}
	return &running
}

func operation(db *sql.DB, g, i int) (began time.Time, what string, err error) {
	// Long enough that a starved machine doesn't look like a failure: how long
	// anybody waits is measured.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	began = time.Now()
	switch i % 4 {
	case 0, 2:
		what = "select"
		var n int
		err = db.QueryRowContext(ctx, "select id from points where id = $1", g).Scan(&n)
	case 1:
		what = "insert"
		_, err = db.ExecContext(ctx, "insert into log (g, i) values ($1, $2)", g, i)
	default:
		what = "tx"
		err = driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "update points set n = n + 1 where id = $1", g); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "insert into log (g, i) values ($1, $2)", g, i)
			return err
		})
	}
	return began, what, err
}

func schema(t *testing.T, dsns ...string) {
	t.Helper()
	for _, dsn := range dsns {
		db, err := sql.Open("pgx", dsn)
		require.NoError(t, err)
		_, err = db.Exec("create table points (id int primary key, n int default 0); create table log (g int, i int); " +
			"insert into points (id) select generate_series(0, 15)")
		require.NoError(t, err)
		require.NoError(t, db.Close())
	}
}

// sharesDuring returns each node's share of the leases taken during d.
func sharesDuring(t *testing.T, db *sql.DB, d time.Duration) []float64 {
	t.Helper()
	before := clusterOf(t, db).Stats()
	<-time.After(d)
	after := clusterOf(t, db).Stats()
	total, out := 0.0, make([]float64, len(after.Nodes))
	for i := range after.Nodes {
		out[i] = float64(after.Nodes[i].Picks - before.Nodes[i].Picks)
		total += out[i]
	}
	for i := range out {
		out[i] /= total
	}
	return out
}

// settledShares returns the shares once they are even, or those of the last of
// ten seconds.
func settledShares(t *testing.T, db *sql.DB) []float64 {
	t.Helper()
	var shares []float64
	for range 10 {
		shares = sharesDuring(t, db, time.Second)
		if slices.Min(shares) >= 1.0/3-0.09 && slices.Max(shares) <= 1.0/3+0.09 {
			break
		}
	}
	return shares
}

func waitState(t *testing.T, db *sql.DB, node int, states ...health.State) {
	t.Helper()
	require.Eventually(t, func() bool {
		s := clusterOf(t, db).Stats().Nodes[node].State
		for _, want := range states {
			if s == want {
				return true
			}
		}
		return false
	}, 20*time.Second, 5*time.Millisecond, "node %d doesn't become %v", node, states)
}

// TestSickServers kills one of three servers, and freezes one of three others,
// under load, and brings it back: nothing while it is down, its share after, no
// safe operation that fails, and nobody waits for long.
func TestSickServers(t *testing.T) {
	checkGoroutines(t)
	t.Run("killed", func(t *testing.T) { sickServer(t, 0, (*pgtest.Server).Kill, (*pgtest.Server).Restart) })
	t.Run("frozen", func(t *testing.T) { sickServer(t, 1, (*pgtest.Server).Freeze, (*pgtest.Server).Thaw) })
}

func sickServer(t *testing.T, sick int, hurt, heal func(*pgtest.Server) error) {
	nodes, dsn := servers(t, 3)
	schema(t, nodes[0].DSN(), nodes[1].DSN(), nodes[2].DSN())
	db := openDSN(t, dsn)
	db.SetMaxIdleConns(16)
	stalls := func() time.Time { return clusterOf(t, db).Stats().LastStall }
	y, stop := &tally{stalled: stalls}, make(chan struct{})
	running := load(t, db, y, stop, 10*time.Millisecond)
	round := 1
	for ; ; round++ {
		sharesDuring(t, db, time.Second)
		y.longestSoFar()
		require.NoError(t, hurt(nodes[sick]))
		waitState(t, db, sick, health.Down)
		shares := sharesDuring(t, db, time.Second)
		require.Less(t, shares[sick], 0.002, "a node that is down gets nothing: %v", shares)
		longest, what := y.longestSoFar()
		require.NoError(t, heal(nodes[sick]))
		waitState(t, db, sick, health.Up)
		t.Logf("round %d: longest wait %v (%s), %d stalls so far", round, longest, what, clusterOf(t, db).Stats().Stalls)
		if longest < longestWait {
			break
		}
		require.Less(t, round, measurements, "%s waited for %v, the bound is %v", what, longest, longestWait)
	}
	shares := settledShares(t, db)
	close(stop)
	running.Wait()

	t.Logf("ok %d, unknown %d, failed %d, longest gap %v, shares after %.2f", y.ok, y.unknown, len(y.failed), y.gap, shares)
	require.Empty(t, y.failed, "safe operations that failed")
	require.LessOrEqual(t, y.unknown, 16*round)
	require.InDelta(t, 1.0/3, shares[sick], 0.09, "a healed node gets its share back")
	checkIdle(t, db)
}
