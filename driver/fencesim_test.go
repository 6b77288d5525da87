package driver_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/workload"
)

// openFenced installs a fence on a simulated cluster and opens it.
func openFenced(t *testing.T, sim *simnode.Sim, inMemory bool, seed uint64, events cluster.EventListener) *sql.DB {
	t.Helper()
	cfg, err := driver.ParseConfig(withParams(sim.DSN(), "commit_fence=table"))
	require.NoError(t, err)
	cfg.Seed, cfg.Events = seed, events
	if inMemory {
		cfg.DialFunc = sim.Dial
	}
	require.NoError(t, cluster.InstallFence(t.Context(), cfg))
	return sql.OpenDB(driver.NewConnector(cfg))
}

// TestFenceOnSimulator loses the answers to commits on every node, before and
// after their commit point.
func TestFenceOnSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Latency: 200 * time.Microsecond})
		db := openFenced(t, sim, true, 1, cluster.EventListener{})
		defer func() { require.NoError(t, db.Close()) }()
		_, err := db.Exec("create table fenced (id int primary key)")
		require.NoError(t, err)
		id := 0
		for _, w := range fencedWrites {
			for _, node := range sim.Nodes() {
				for _, point := range []simnode.CommitPoint{simnode.BeforeCommit, simnode.AfterCommit} {
					id++
					undo, err := node.DropCommitReply(point, 1)
					require.NoError(t, err)
					ctx := driver.WithNode(t.Context(), node.Addr())
					err = w.run(ctx, db, id)
					undo()
					var rows int
					require.NoError(t, db.QueryRow("select count(*) from fenced where id = $1", id).Scan(&rows))
					switch driver.OutcomeOf(err) {
					case driver.Committed:
						require.Equal(t, 1, rows, "%s on %s, %v", w.name, node.Addr(), point)
					case driver.DefinitelyAborted:
						require.Equal(t, "transaction", w.name, "everything else is tried again: %v", err)
						require.Equal(t, simnode.BeforeCommit, point)
						require.Zero(t, rows)
					default:
						t.Fatalf("%s on %s, %v: outcome %v: %v", w.name, node.Addr(), point, driver.OutcomeOf(err), err)
					}
				}
			}
		}
		checkIdle(t, db)
	})
}

// TestFenceWhenOriginDies kills a node again and again while transactions commit on
// it: none stays unknown, and each is resolved within half a second.
func TestFenceWhenOriginDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Latency: 500 * time.Microsecond, Jitter: 200 * time.Microsecond})
		var mu sync.Mutex
		var slowest time.Duration
		found := map[driver.Outcome]int{}
		db := openFenced(t, sim, true, 1, cluster.EventListener{
			Resolved: func(_ string, out driver.Outcome, took time.Duration) {
				mu.Lock()
				defer mu.Unlock()
				slowest = max(slowest, took)
				found[out]++
			},
		})
		defer func() { require.NoError(t, db.Close()) }()
		_, err := db.Exec("create table dying (id int primary key)")
		require.NoError(t, err)
		ctx := t.Context()
		var acked []int
		for round := range 12 {
			node := sim.Nodes()[round%3]
			var workers sync.WaitGroup
			for w := range 8 {
				id := round*8 + w
				workers.Go(func() { // ends when its transaction has an outcome
					err := driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
						_, err := tx.ExecContext(ctx, "insert into dying values ($1)", id)
						return err
					})
					if err != nil {
						t.Errorf("round %d: %v", round, err)
						return
					}
					mu.Lock()
					defer mu.Unlock()
					acked = append(acked, id)
				})
			}
			// Into the middle of the commits, a little later each round.
			time.Sleep(time.Duration(1200+300*round) * time.Microsecond)
			undo := node.Kill()
			workers.Wait()
			undo()
			require.NoError(t, sim.WaitReady(ctx))
		}
		var rows int
		require.NoError(t, db.QueryRow("select count(*) from dying").Scan(&rows))
		require.Equal(t, len(acked), rows)
		require.Len(t, acked, 96)
		t.Logf("resolved %v, the slowest in %v", found, slowest)
		require.Zero(t, found[driver.CommitSent])
		require.Positive(t, found[driver.Committed]+found[driver.DefinitelyAborted])
		require.LessOrEqual(t, slowest, 500*time.Millisecond)
	})
}

// TestFencedCounter increments a counter under every kind of fault: it ends at the
// number of successes exactly, since no outcome stays unknown.
func TestFencedCounter(t *testing.T) {
	for _, seed := range bankSeeds() {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{InMemory: true, Seed: seed, Latency: 200 * time.Microsecond, Jitter: 100 * time.Microsecond})
				db := openFenced(t, sim, true, seed, cluster.EventListener{})
				defer func() { require.NoError(t, db.Close()) }()
				fencedCounter(t, sim, db, seed, 20*time.Second)
			})
		})
	}
}

func fencedCounter(t *testing.T, sim *simnode.Sim, db *sql.DB, seed uint64, duration time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), duration+time.Minute)
	defer cancel()
	replay := fmt.Sprintf("go test ./driver -run TestFencedCounter -bank.seed %d", seed)
	c, err := workload.NewCounter(workload.Config{
		DB: db, Seed: seed, Clients: 6, Rate: 15, Duration: duration, Tx: runTx, Replay: replay,
	})
	require.NoError(t, err)
	require.NoError(t, c.Setup(ctx))
	schedule, err := simnode.NewSchedule(sim, simnode.Plan(duration, len(sim.Nodes()), seed, simnode.AllFaults()...))
	require.NoError(t, err)
	var joined sync.WaitGroup
	joined.Go(func() { schedule.Play(ctx) }) // ends with the last fault
	require.NoError(t, c.Run(ctx))
	joined.Wait()
	require.NoError(t, sim.WaitReady(ctx))
	require.NoError(t, c.Verify(ctx))
	stats := c.Stats()
	t.Logf("%d operations, %d unknown, %d retried, longest wait %v", stats.Ops, stats.Unknown, stats.Retries, stats.LongestWait)
	require.Zero(t, stats.Unknown, "replay: %s", replay)
	require.Zero(t, stats.SafeFailures, "replay: %s", replay)
	require.Positive(t, stats.OK)
}

// silenced is a connection that swallows the resolver's first questions, as if it
// had frozen.
type silenced struct {
	net.Conn
	left *atomic.Int64 // how many it swallows
}

func (c *silenced) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("on conflict (id) do nothing")) && c.left.Add(-1) >= 0 {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// TestFenceOnSilentConnection freezes the connections on which the fence is asked
// first: others are asked within fence_resolve_timeout, and nothing stays unknown.
func TestFenceOnSilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Latency: 200 * time.Microsecond})
		cfg, err := driver.ParseConfig(withParams(sim.DSN(), "commit_fence=table"))
		require.NoError(t, err)
		var left atomic.Int64
		var slowest time.Duration
		cfg.Seed, cfg.Events.Resolved = 1, func(_ string, _ driver.Outcome, took time.Duration) { slowest = max(slowest, took) }
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := sim.Dial(ctx, network, addr)
			return &silenced{Conn: conn, left: &left}, err
		}
		require.NoError(t, cluster.InstallFence(t.Context(), cfg))
		db := sql.OpenDB(driver.NewConnector(cfg))
		defer func() { require.NoError(t, db.Close()) }()
		_, err = db.Exec("create table fenced (id int primary key)")
		require.NoError(t, err)
		for id := range 6 {
			undo, err := sim.Nodes()[id%3].DropCommitReply(simnode.AfterCommit, 1)
			require.NoError(t, err)
			left.Store(int64(1 + id%2))
			_, err = db.ExecContext(driver.WithNode(t.Context(), sim.Nodes()[id%3].Addr()), "insert into fenced values ($1)", id)
			undo()
			require.NoError(t, err)
			require.Negative(t, left.Load(), "questions were swallowed, and one wasn't")
		}
		require.Less(t, slowest, 2*time.Second)
		var rows int
		require.NoError(t, db.QueryRow("select count(*) from fenced").Scan(&rows))
		require.Equal(t, 6, rows)
		checkIdle(t, db)
	})
}
