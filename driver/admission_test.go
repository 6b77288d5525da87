package driver_test

import (
	"context"
	"database/sql"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// farSim starts a simulated cluster in virtual time whose nodes are a millisecond
// away from the clients, and opens the driver on it.
func farSim(t *testing.T, params ...string) (*simnode.Sim, *sql.DB) {
	t.Helper()
	sim := startSim(t, simnode.Config{InMemory: true})
	for i := range sim.Nodes() {
		_, err := sim.SetLatency(simnode.AtClients(), simnode.AtNode(i+1), 500*time.Microsecond, 0)
		require.NoError(t, err)
	}
	db := openSim(t, sim, true, params...)
	db.SetMaxIdleConns(64)
	for i := range sim.Nodes() {
		waitState(t, db, i, health.Up)
	}
	return sim, db
}

// TestTenThousandGoroutines: ten thousand operations at once on twelve server
// connections all end well, each within the time that those before it need.
func TestTenThousandGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, db := farSim(t, "max_conns_per_node=4")
		defer func() { require.NoError(t, db.Close()) }()
		const many = 10_000
		var running sync.WaitGroup
		var failed atomic.Int64
		var first atomic.Pointer[error]
		began := time.Now()
		for range many {
			running.Go(func() { // ends with its operation
				var one int
				if err := db.QueryRowContext(t.Context(), "select 1").Scan(&one); err != nil {
					failed.Add(1)
					first.CompareAndSwap(nil, &err)
				}
			})
		}
		running.Wait()
		if err := first.Load(); err != nil {
			t.Errorf("%d of %d failed: %v", failed.Load(), many, *err)
		}
		// Twelve at a time of a millisecond each; the statement is prepared once per
		// connection, which costs another.
		assert.Less(t, time.Since(began), 900*time.Millisecond)
		stats := clusterOf(t, db).Stats()
		assert.Zero(t, stats.Queue)
		for _, n := range stats.Nodes {
			assert.LessOrEqual(t, n.Conns, 4)
			assert.InDelta(t, many/3, n.Picks, many/30, "%s", n.Addr)
		}
		checkIdle(t, db)
	})
}

// TestQueueTurnsAwayWhoCannotBeServed: with more operations than can be served in
// acquire_timeout for longer than a second, those for whom it is hopeless are told at
// once, and the others are served in turn.
func TestQueueTurnsAwayWhoCannotBeServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, db := farSim(t, "max_conns_per_node=1")
		defer func() { require.NoError(t, db.Close()) }()
		var running sync.WaitGroup
		var mu sync.Mutex
		var served, atOnce, late int
		for i := range 2000 {
			time.Sleep(time.Millisecond) // 1,000 a second, where 30 can be served
			running.Go(func() {          // ends with its operation
				began := time.Now()
				_, err := db.ExecContext(t.Context(), "select pg_sleep(0.1)")
				took := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					served++
					assert.Less(t, took, 1200*time.Millisecond)
				case took < time.Millisecond:
					atOnce++
					assert.ErrorIs(t, err, driver.ErrNoNode)
					assert.ErrorContains(t, err, "operations wait for a connection already")
					assert.Equal(t, driver.NotSent, driver.OutcomeOf(err))
				default:
					late++
					assert.ErrorIs(t, err, driver.ErrNoNode)
					assert.InDelta(t, time.Second, took, float64(10*time.Millisecond), "operation %d", i)
				}
			})
		}
		running.Wait()
		t.Logf("%d served, %d turned away at once, %d after acquire_timeout", served, atOnce, late)
		assert.GreaterOrEqual(t, served, 80)
		assert.Greater(t, atOnce, 800)
		checkIdle(t, db)
	})
}

// TestQueueShedsByRecentEvidence: slow operations a while ago say nothing of a burst
// of quick ones.
func TestQueueShedsByRecentEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, db := farSim(t)
		defer func() { require.NoError(t, db.Close()) }()
		var running sync.WaitGroup
		run := func(many int, statement string) {
			for range many {
				running.Go(func() { // ends with its operation
					_, err := db.ExecContext(t.Context(), statement)
					assert.NoError(t, err)
				})
			}
			running.Wait()
		}
		run(96, "select pg_sleep(0.9)") // twice as many as there are connections
		time.Sleep(time.Minute)
		run(2000, "select 1")
	})
}

// TestQueueShedsByItsOwnKind: those who wait for a busy node have nobody turned away
// who would take any.
func TestQueueShedsByItsOwnKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, db := farSim(t, "acquire_timeout=10s")
		defer func() { require.NoError(t, db.Close()) }()
		pinned := driver.WithNode(t.Context(), sim.Node(2).Addr())
		var running sync.WaitGroup
		for range 400 {
			running.Go(func() { _, _ = db.ExecContext(pinned, "select pg_sleep(1)") }) // ends with its operation
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2500 * time.Millisecond)
		require.Greater(t, clusterOf(t, db).Stats().Queue, 300)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for range 100 {
			running.Go(func() { // ends with its operation
				_, err := db.ExecContext(ctx, "select 1")
				assert.NoError(t, err)
			})
		}
		began := time.Now()
		_, err := db.ExecContext(driver.WithNode(ctx, sim.Node(2).Addr()), "select 1")
		assert.ErrorIs(t, err, driver.ErrNoNode)
		assert.ErrorContains(t, err, "operations wait for a connection already", "at sixteen a second")
		assert.Zero(t, time.Since(began))
		running.Wait()
	})
}

// TestNobodyOvertakesAtARecoveringNode: those who waited for the only node are served
// in the order in which they came, eight at once at first, and newcomers after them.
func TestNobodyOvertakesAtARecoveringNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Nodes: 1})
		_, err := sim.SetLatency(simnode.AtClients(), simnode.AtNode(1), 500*time.Microsecond, 0)
		require.NoError(t, err)
		db := openSim(t, sim, true, "acquire_timeout=60s", "max_conns_per_node=90")
		defer func() { require.NoError(t, db.Close()) }()
		waitState(t, db, 0, health.Up)
		undo := sim.Node(1).Kill()
		waitState(t, db, 0, health.Down)
		var running sync.WaitGroup
		var mu sync.Mutex
		var order []int
		start := func(i int) {
			running.Go(func() { // ends with its operation
				tx, err := db.BeginTx(t.Context(), nil)
				if !assert.NoError(t, err) {
					return
				}
				_, err = tx.ExecContext(t.Context(), "select 1")
				assert.NoError(t, err)
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				_, err = tx.ExecContext(t.Context(), "select pg_sleep(0.1)")
				assert.NoError(t, err)
				assert.NoError(t, tx.Commit())
			})
		}
		for i := range 1000 {
			start(i)
			time.Sleep(time.Millisecond)
		}
		assert.Equal(t, 1000, clusterOf(t, db).Stats().Queue)
		undo()
		most := 0
		running.Go(func() { // ends when the node has taken the first and answered them
			waitState(t, db, 0, health.Recovering)
			for range 50 {
				most = max(most, clusterOf(t, db).Stats().Leases)
				time.Sleep(time.Millisecond)
			}
		})
		for i := range 500 {
			time.Sleep(3 * time.Millisecond)
			start(1000 + i)
		}
		running.Wait()
		require.Len(t, order, 1500)
		assert.LessOrEqual(t, most, 8+4, "eight at once, and fifty a second")
		for at, i := range order {
			// Who gets a new connection answers later than who gets one that is there.
			if ahead := i - at; ahead > 16 {
				t.Fatalf("operation %d was served at place %d", i, at)
			}
		}
	})
}

// TestFullNodeSpills: operations that meet a node without a free connection go to
// another one at once.
func TestFullNodeSpills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, db := farSim(t, "max_conns_per_node=2", "balancer=round_robin")
		defer func() { require.NoError(t, db.Close()) }()
		pinned := driver.WithNode(t.Context(), sim.Node(2).Addr())
		for range 2 {
			tx, err := db.BeginTx(pinned, nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback()) }()
			_, err = tx.ExecContext(pinned, "select 1")
			require.NoError(t, err)
		}
		for range 30 {
			began := time.Now()
			_, err := db.ExecContext(t.Context(), "select 1")
			require.NoError(t, err)
			require.LessOrEqual(t, time.Since(began), 5*time.Millisecond, "no waiting")
		}
		ctx, cancel := context.WithTimeout(pinned, 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		_, err := db.ExecContext(ctx, "select 1")
		require.ErrorIs(t, err, driver.ErrNoNode)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 300*time.Millisecond, time.Since(began), "who wants that node waits for it")
	})
}

// TestHerdMeetsARecoveringNode: ninety operations that have waited for a node
// don't overrun it with a connection each when it comes back.
func TestHerdMeetsARecoveringNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, db := farSim(t, "max_conns_per_node=100", "acquire_timeout=20s")
		defer func() { require.NoError(t, db.Close()) }()
		undo := sim.Node(2).Kill()
		waitState(t, db, 1, health.Down)
		pinned := driver.WithNode(t.Context(), sim.Node(2).Addr())
		var running sync.WaitGroup
		for range 90 { // with the prober's, fewer than the 100 that a server takes
			running.Go(func() { // ends with its operation
				_, err := db.ExecContext(pinned, "select pg_sleep(5)")
				assert.NoError(t, err)
			})
		}
		time.Sleep(time.Second)
		before := clusterOf(t, db).Stats().Nodes[1].Opened
		undo()
		waitState(t, db, 1, health.Recovering)
		opened := func() int64 { return clusterOf(t, db).Stats().Nodes[1].Opened - before }
		time.Sleep(time.Second)
		assert.LessOrEqual(t, opened(), int64(58), "a burst of eight, and fifty a second")
		assert.Greater(t, opened(), int64(40))
		time.Sleep(time.Second)
		assert.GreaterOrEqual(t, opened(), int64(90))
		running.Wait()
		assert.LessOrEqual(t, opened(), int64(100), "max_conns_per_node: dials that nobody waits for any more go on")
		checkIdle(t, db)
	})
}

// TestPlaceIsKeptOverAFailedDial: one node's dials hang, so those who are given its
// slots get nothing there; they are served by the other node before those who came
// later, and nobody waits for good.
func TestPlaceIsKeptOverAFailedDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Nodes: 2})
		cfg, err := driver.ParseConfig(sim.DSN() + "&max_conns_per_node=2&min_idle=0&acquire_timeout=20s&dial_timeout=10s")
		require.NoError(t, err)
		var hang atomic.Bool
		cfg.Seed = 1
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if hang.Load() && addr == sim.Node(1).Addr() {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return sim.Dial(ctx, network, addr)
		}
		db := sql.OpenDB(driver.NewConnector(cfg))
		defer func() { require.NoError(t, db.Close()) }()
		for i := range sim.Nodes() {
			waitState(t, db, i, health.Up)
		}
		hang.Store(true) // the prober has its connection
		var running sync.WaitGroup
		var mu sync.Mutex
		var order []int
		for i := range 40 {
			running.Go(func() { // ends with its operation
				_, err := db.ExecContext(t.Context(), "select pg_sleep(0.3)")
				assert.NoError(t, err)
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			time.Sleep(time.Millisecond)
		}
		began := time.Now()
		running.Wait()
		assert.Less(t, time.Since(began), 7*time.Second, "two at a time")
		for at, i := range order {
			// Those who met the sick node before they queued are behind who came then.
			assert.InDelta(t, at, i, 5, "operation %d was served at place %d", i, at)
		}
		checkIdle(t, db)
	})
}

// TestPingIsBounded: Ping ends with acquire_timeout, whatever the nodes do, and asks
// each of them within it.
func TestPingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, db := farSim(t, "acquire_timeout=90ms", "balancer=round_robin", "max_conns_per_node=2")
		defer func() { require.NoError(t, db.Close()) }()
		ping := func() (time.Duration, error) {
			began := time.Now()
			err := db.PingContext(t.Context())
			return time.Since(began), err
		}
		var undo []func()
		freeze := func(id int) { undo = append(undo, sim.Node(id).Freeze()) }
		freeze(1)
		freeze(2)
		for range 3 { // so whichever is first in turn
			took, err := ping()
			require.NoError(t, err)
			require.LessOrEqual(t, took, 65*time.Millisecond, "a third for each of the frozen nodes")
		}
		freeze(3)
		took, err := ping()
		require.ErrorIs(t, err, driver.ErrNoNode)
		require.NotErrorIs(t, db.PingContext(t.Context()), driver.ErrClosed)
		require.LessOrEqual(t, took, 90*time.Millisecond)
		require.Greater(t, took, 80*time.Millisecond)
		for i, f := range undo {
			f()
			waitState(t, db, i, health.Up)
		}

		for range 6 { // all connections are in use
			tx, err := db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback()) }()
			_, err = tx.ExecContext(t.Context(), "select 1")
			require.NoError(t, err)
		}
		took, err = ping()
		require.ErrorIs(t, err, driver.ErrNoNode)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "the caller has set none")
		require.ErrorContains(t, err, "all 2 connections are in use")
		require.Equal(t, 90*time.Millisecond, took)
	})
}
