package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// cannedPair opens the driver, with round robin, on two canned servers. end is
// their answer to each statement, with the number of the node; picked is told
// the node of every server connection that is taken.
func cannedPair(t *testing.T, end func(node int, sql string) string, picked func(node string), params ...string) *sql.DB {
	t.Helper()
	var nodes [2]*canned
	for i := range nodes {
		nodes[i] = &canned{clusterID: "c", nodeID: fmt.Sprint(i), end: func(sql string) string { return end(i, sql) }}
	}
	dsn := withParams("postgres://u@n0:1,n1:1/db?sslmode=disable&balancer=round_robin", params...)
	db := openWith(t, dsn, func(c *driver.Config) {
		c.Seed = 1
		c.Events.Picked = picked
		c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if strings.HasPrefix(addr, "n0") {
				return nodes[0].dial(ctx, network, addr)
			}
			return nodes[1].dial(ctx, network, addr)
		}
	})
	t.Cleanup(func() {
		require.NoError(t, db.Close())
		for _, n := range nodes {
			n.running.Wait()
		}
	})
	return db
}

// A session that its server has ended is replaced by a new connection of the
// same node, although the balancer's turn is the other's.
func TestFreshConnectionSameNode(t *testing.T) {
	checkGoroutines(t)
	for _, code := range []string{"57P05", "25P03", "25P04"} {
		var armed atomic.Bool
		var picks []string
		db := cannedPair(t, func(_ int, sql string) string {
			if strings.Contains(sql, "7") && armed.CompareAndSwap(true, false) {
				return code
			}
			return ""
		}, func(node string) { picks = append(picks, node) })
		var v int
		for range 4 {
			require.NoError(t, db.QueryRow("select 7").Scan(&v))
		}
		for range 6 {
			armed.Store(true)
			picks = nil
			require.NoError(t, db.QueryRow("select 7").Scan(&v))
			require.Len(t, picks, 2)
			require.Equal(t, picks[0], picks[1], code)
			require.False(t, armed.Load())
		}
		for i, n := range clusterOf(t, db).Stats().Nodes {
			require.Equal(t, health.Up, n.State, "node %d, %s", i, code)
		}
		checkIdle(t, db)
	}
}

// 57P05 and 25P03 come before the server reads anything, so a write can follow
// too, alone or as the first statement of a transaction. 25P04 may come in the
// middle of one.
func TestFreshConnectionForWrites(t *testing.T) {
	checkGoroutines(t)
	for code, want := range map[string]driver.Outcome{
		"57P05": driver.Committed, "25P03": driver.Committed, "25P04": driver.CommitSent,
	} {
		var armed atomic.Bool
		db := cannedPair(t, func(_ int, sql string) string {
			if strings.Contains(sql, "insert") && armed.CompareAndSwap(true, false) {
				return code
			}
			return ""
		}, nil)
		for range 3 {
			armed.Store(true)
			_, err := db.Exec("insert")
			require.Equal(t, want, driver.OutcomeOf(err), "%s: %v", code, err)
		}
		armed.Store(true)
		tx, err := db.Begin()
		require.NoError(t, err)
		_, err = tx.Exec("insert")
		if want == driver.Committed {
			require.NoError(t, err, code)
			require.NoError(t, tx.Commit())
		} else {
			require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "%s: %v", code, err)
			require.NoError(t, tx.Rollback())
		}
		// What a sql.Conn has set up before doesn't move with it.
		conn, err := db.Conn(context.Background())
		require.NoError(t, err)
		_, err = conn.ExecContext(context.Background(), "set x = 1")
		require.NoError(t, err)
		armed.Store(true)
		tx, err = conn.BeginTx(context.Background(), nil)
		require.NoError(t, err)
		_, err = tx.Exec("insert")
		require.Error(t, err, code)
		require.Error(t, tx.Commit())
		require.NoError(t, conn.Close())
	}
}

// "Fresh" is a connection that was opened after the failure: all that were idle
// then may have met the same end.
func TestFreshConnectionIsNew(t *testing.T) {
	checkGoroutines(t)
	var dials, budget atomic.Int64
	server := &canned{clusterID: "c", nodeID: "1", end: func(sql string) string {
		if strings.Contains(sql, "7") && budget.Add(-1) == 0 {
			return "57P05"
		}
		return ""
	}}
	db := openWith(t, "postgres://u@n0:1/db?sslmode=disable&min_idle=0", func(c *driver.Config) {
		c.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials.Add(1)
			return server.dial(ctx, network, addr)
		}
	})
	t.Cleanup(func() { require.NoError(t, db.Close()); server.running.Wait() })
	var conns []*sql.Conn
	for range 5 {
		conn, err := db.Conn(context.Background())
		require.NoError(t, err)
		_, err = conn.ExecContext(context.Background(), "insert")
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		require.NoError(t, conn.Close())
	}
	before := dials.Load()
	budget.Store(1)
	var v int
	require.NoError(t, db.QueryRow("select 7").Scan(&v))
	require.Equal(t, before+1, dials.Load())
}

// A node that can't be picked any more isn't insisted on.
func TestFreshConnectionGivesWay(t *testing.T) {
	checkGoroutines(t)
	var first atomic.Int64
	first.Store(-1)
	db := cannedPair(t, func(node int, sql string) string {
		if !strings.Contains(sql, "7") {
			return ""
		}
		if first.CompareAndSwap(-1, int64(node)) {
			return "57P05"
		}
		if first.Load() == int64(node) {
			return "57P01" // on its way down
		}
		return ""
	}, nil)
	var v int
	require.NoError(t, db.QueryRow("select 7").Scan(&v))
	require.Equal(t, 7, v)
}

// idle_session_timeout of a real server, shorter than the time between probes,
// costs neither operations nor the node's health.
func TestIdleSessionTimeout(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"idle_session_timeout": "100ms"}})
	var mu sync.Mutex
	var states []string
	db := openWith(t, server.DSN()+"&min_idle=0", func(c *driver.Config) {
		c.Events.StateChanged = func(_ string, to health.State, why health.Reason) {
			if to != health.Up && why != health.ReasonLate { // late is what a busy machine is
				mu.Lock()
				defer mu.Unlock()
				states = append(states, fmt.Sprintf("%v (%v)", to, why))
			}
		}
	})
	watch, err := sql.Open("pgx", server.DSN())
	require.NoError(t, err)
	defer watch.Close()
	for range 3 {
		before := pid(t, db)
		_, err := db.Exec("create temp table if not exists idle (v int)")
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			var n int
			err := watch.QueryRow("select count(*) from pg_stat_activity where pid = $1", before).Scan(&n)
			return err == nil && n == 0
		}, 10*time.Second, 10*time.Millisecond)
		require.NotEqual(t, before, pid(t, db))
	}
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, states)
}

// A connection that idled for longer than a second is taken again without any
// message to the server before the statement: pgxpool's ping is off.
func TestNoPingAfterIdle(t *testing.T) {
	sharedServer(t)
	cfg, err := faultproxy.TCP(shared.server.Addr())
	require.NoError(t, err)
	proxy, err := faultproxy.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	db := openDSN(t, "postgres://postgres@"+proxy.Addr().String()+"/postgres?sslmode=disable&max_conns_per_node=1&probe_interval=1m&acquire_timeout=10s")
	require.NoError(t, db.Ping())
	query := func() int64 {
		before := requests(proxy)
		var n int
		require.NoError(t, db.QueryRow("select 1").Scan(&n))
		return requests(proxy) - before
	}
	query() // prepares it
	warm := query()
	idle := time.NewTimer(1200 * time.Millisecond) // the ping's limit is one second
	<-idle.C
	require.Equal(t, warm, query())
	require.EqualValues(t, 3, warm, "Bind, Execute, Sync")
}

// requests counts the messages that have gone to the server, but for those that
// open a connection.
func requests(proxy *faultproxy.Proxy) int64 {
	var n int64
	for _, typ := range []byte("PBDECSHQFdcfX") {
		n += proxy.Messages(faultproxy.ToServer, typ)
	}
	return n
}
