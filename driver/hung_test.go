package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"strings"
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

// hanger dials a simulated cluster; new connections to some nodes hang while it says
// so: what is open goes on, the prober's connection among it.
type hanger struct {
	sim    *simnode.Sim
	addrs  string       // of the nodes that it is about
	silent bool         // the dial is answered, and then nothing comes; else it isn't
	hangs  atomic.Bool  // new connections
	stuck  atomic.Int64 // dials that hang just now
}

func (h *hanger) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if !h.hangs.Load() || !strings.Contains(h.addrs, addr) {
		return h.sim.Dial(ctx, network, addr)
	}
	h.stuck.Add(1)
	if !h.silent {
		defer h.stuck.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	client, server := net.Pipe()
	go func() { // ends when the client hangs up
		defer h.stuck.Add(-1)
		_, _ = io.Copy(io.Discard, server) // that is how it ends
	}()
	return client, nil
}

// openHanger opens a DB whose connections to the first nodes will hang: so many of
// them. All nodes are up, and only the prober is connected.
func openHanger(t *testing.T, sim *simnode.Sim, nodes int, params string) (*sql.DB, *hanger) {
	t.Helper()
	h := &hanger{sim: sim}
	for i := range nodes {
		h.addrs += sim.Node(i+1).Addr() + " "
	}
	cfg := config(t, sim.DSN()+"&min_idle=0"+params)
	cfg.Seed, cfg.DialFunc = 1, h.Dial
	db := sql.OpenDB(driver.NewConnector(cfg))
	for i := range sim.Nodes() {
		waitState(t, db, i, health.Up)
	}
	return db, h
}

// work runs operations of a millisecond from so many goroutines for some time, every
// 20 ms each, and returns how many there were, how many of them took so long that they
// have waited for a node, and the longest wait.
func work(t *testing.T, db *sql.DB, goroutines int, during time.Duration) (ops, waits int, longest time.Duration) {
	t.Helper()
	const takes, noise = time.Millisecond, time.Millisecond
	var mu sync.Mutex
	var running sync.WaitGroup
	end := time.Now().Add(during)
	for i := range goroutines {
		running.Go(func() { // ends when the time is up
			time.Sleep(time.Duration(i) * 20 * time.Millisecond / time.Duration(goroutines))
			for time.Now().Before(end) {
				began := time.Now()
				_, err := db.ExecContext(t.Context(), "select pg_sleep(0.001)")
				wait := time.Since(began) - takes
				assert.NoError(t, err)
				mu.Lock()
				ops++
				if wait > noise {
					waits++
					longest = max(longest, wait)
				}
				mu.Unlock()
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	running.Wait()
	return ops, waits, longest
}

func picks(t *testing.T, db *sql.DB, node int) int64 {
	t.Helper()
	return clusterOf(t, db).Stats().Nodes[node].Picks
}

// TestHungDials: a node that answers the prober and no new connection costs a few waits
// at first; then it is tried by one operation after the other, which doesn't wait for it
// either. Once it answers new connections it has its share within seconds.
func TestHungDials(t *testing.T) {
	hung := func(t *testing.T, params string, goroutines int, silent bool) {
		sim := startSim(t, simnode.Config{Nodes: 2, InMemory: true})
		db, h := openHanger(t, sim, 1, params)
		defer func() { require.NoError(t, db.Close()) }()
		h.silent = silent
		h.hangs.Store(true)
		_, waits, longest := work(t, db, goroutines, time.Second)
		require.Positive(t, waits, "nobody has met the hanging dials")
		require.LessOrEqual(t, waits, 5+goroutines)
		require.LessOrEqual(t, longest, 100*time.Millisecond)
		_, waits, longest = work(t, db, goroutines, 10*time.Second)
		require.LessOrEqual(t, waits, 7, "it is tried after 1/4, 1/2, 1, 2 and then each 2 1/2 s")
		require.LessOrEqual(t, longest, 5*time.Millisecond)
		require.LessOrEqual(t, h.stuck.Load(), int64(6), "five and the last try")
		s := clusterOf(t, db).Stats().Nodes[0]
		require.Equal(t, health.Up, s.State)
		require.Contains(t, s.Note, "its dials hang; waits in vain for one: ")
		require.Zero(t, s.Picks)

		h.hangs.Store(false)
		_, waits, _ = work(t, db, goroutines, 2600*time.Millisecond)
		require.LessOrEqual(t, waits, 1, "the one that finds out")
		before := picks(t, db, 0)
		ops, waits, _ := work(t, db, goroutines, 2*time.Second)
		require.Zero(t, waits)
		require.InDelta(t, 0.5, float64(picks(t, db, 0)-before)/float64(ops), 0.1)
		require.Empty(t, clusterOf(t, db).Stats().Nodes[0].Note)
	}
	for _, c := range []struct {
		params     string
		goroutines int
		silent     bool
	}{
		{"", 8, false},
		{"", 8, true},
		{"&dial_timeout=300ms", 8, true},
		{"&dial_timeout=50ms", 8, true},
		{"&dial_timeout=50ms", 8, false},
		{"&dial_timeout=1h", 8, false},
		{"&max_conns_per_node=2", 8, true},
		{"&max_conns_per_node=1&dial_timeout=1s&balancer=round_robin", 1, false},
		{"&balancer=round_robin", 8, false},
		{"&balancer=least_inflight", 8, true},
	} {
		t.Run(fmt.Sprintf("%s silent=%v", c.params, c.silent), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { hung(t, c.params, c.goroutines, c.silent) })
		})
	}
}

// TestHungDialsAtOnce: dials that fill a node's pool and hang longer than anybody waits
// for them make room for others, so the node is back as soon.
func TestHungDialsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 2, InMemory: true})
		db, h := openHanger(t, sim, 1, "&dial_timeout=1h&balancer=round_robin")
		defer func() { require.NoError(t, db.Close()) }()
		h.hangs.Store(true)
		_, waits, _ := work(t, db, 50, time.Second)
		require.LessOrEqual(t, waits, 50)
		require.Equal(t, 16, clusterOf(t, db).Stats().Nodes[0].Conns, "dials that hang")
		_, waits, longest := work(t, db, 50, 4*time.Second)
		require.LessOrEqual(t, waits, 5)
		require.LessOrEqual(t, longest, 5*time.Millisecond)
		require.LessOrEqual(t, clusterOf(t, db).Stats().Nodes[0].Conns, 6)
		h.hangs.Store(false)
		work(t, db, 50, 2600*time.Millisecond)
		before := picks(t, db, 0)
		ops, waits, _ := work(t, db, 50, 2*time.Second)
		require.Zero(t, waits)
		require.InDelta(t, 0.5, float64(picks(t, db, 0)-before)/float64(ops), 0.1)
	})
}

// TestHungDialsLeaveConnections: the connections that a node has serve on while its
// dials hang, and who finds none of them idle waits for nothing.
func TestHungDialsLeaveConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 2, InMemory: true})
		db, h := openHanger(t, sim, 1, "&balancer=round_robin")
		defer func() { require.NoError(t, db.Close()) }()
		work(t, db, 2, time.Second) // one each
		require.Equal(t, 1, clusterOf(t, db).Stats().Nodes[0].Conns)
		h.hangs.Store(true)
		work(t, db, 40, time.Second)
		before := picks(t, db, 0)
		ops, waits, longest := work(t, db, 40, 10*time.Second)
		require.LessOrEqual(t, waits, 6)
		require.LessOrEqual(t, longest, 5*time.Millisecond)
		require.LessOrEqual(t, h.stuck.Load(), int64(6), "five and the last try")
		// One connection that does an operation per millisecond, for 40 every 21 ms.
		require.Greater(t, float64(picks(t, db, 0)-before)/float64(ops), 0.25)
		s := clusterOf(t, db).Stats().Nodes[0]
		require.Equal(t, []any{health.Up, health.BreakerClosed}, []any{s.State, s.Breaker})
	})
}

// TestAllDialsHang: where every node's dials hang, operations wait as long as they may,
// the error says for what, and those that still wait when dials are answered go on.
func TestAllDialsHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 2, InMemory: true})
		db, h := openHanger(t, sim, 2, "&acquire_timeout=3s")
		defer func() { require.NoError(t, db.Close()) }()
		h.hangs.Store(true)
		for range 3 {
			var running sync.WaitGroup
			for range 20 {
				running.Go(func() { // ends with acquire_timeout
					began := time.Now()
					_, err := db.ExecContext(t.Context(), "select 1")
					assert.ErrorIs(t, err, driver.ErrNoNode)
					assert.Equal(t, 3*time.Second, time.Since(began))
					for i := range sim.Nodes() {
						assert.Regexp(t, sim.Node(i+1).Addr()+".*its dials hang; waits in vain for one: [0-9]+", err.Error())
					}
				})
			}
			running.Wait()
		}
		var running sync.WaitGroup
		for range 20 {
			running.Go(func() { // ends when it has a node
				_, err := db.ExecContext(t.Context(), "select 1")
				assert.NoError(t, err)
			})
		}
		time.Sleep(900 * time.Millisecond)
		h.hangs.Store(false)
		healed := time.Now()
		running.Wait()
		require.LessOrEqual(t, time.Since(healed), 300*time.Millisecond, "there is no other node, so they ask each 1/4 s")
	})
}

// TestLongDials: dials that take long, and succeed, aren't taken for ones that hang for
// good: the node has its share once they have had their time, also if it is the only one.
func TestLongDials(t *testing.T) {
	long := func(t *testing.T, takes time.Duration, nodes int) {
		sim := startSim(t, simnode.Config{Nodes: nodes, InMemory: true})
		cfg := config(t, sim.DSN()+"&min_idle=0&balancer=round_robin&acquire_timeout=20s")
		var slow atomic.Bool
		cfg.Seed = 1
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if slow.Load() && addr == sim.Node(1).Addr() {
				select {
				case <-time.After(takes):
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return sim.Dial(ctx, network, addr)
		}
		db := sql.OpenDB(driver.NewConnector(cfg))
		defer func() { require.NoError(t, db.Close()) }()
		for i := range nodes {
			waitState(t, db, i, health.Up)
		}
		slow.Store(true)
		began := time.Now()
		_, err := db.ExecContext(driver.WithNode(t.Context(), sim.Node(1).Addr()), "select 1")
		require.NoError(t, err)
		require.LessOrEqual(t, time.Since(began), takes+20*time.Millisecond)
		_, waits, longest := work(t, db, 8, time.Second)
		if nodes > 1 {
			require.LessOrEqual(t, waits, 5+8)
			require.LessOrEqual(t, longest, 100*time.Millisecond)
		}
		work(t, db, 8, takes+time.Second)
		before := picks(t, db, 0)
		ops, waits, _ := work(t, db, 8, 2*time.Second)
		require.Zero(t, waits)
		require.InDelta(t, 1/float64(nodes), float64(picks(t, db, 0)-before)/float64(ops), 0.1)
	}
	for _, takes := range []time.Duration{time.Second, 4 * time.Second, 9 * time.Second} {
		for nodes := 1; nodes <= 2; nodes++ {
			t.Run(fmt.Sprintf("%v, %d nodes", takes, nodes), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { long(t, takes, nodes) })
			})
		}
	}
}
