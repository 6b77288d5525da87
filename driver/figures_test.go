package driver_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
)

// figuresAsked reports whether the figures were asked for by name.
func figuresAsked() bool {
	f := flag.Lookup("test.run")
	return f != nil && strings.Contains(f.Value.String(), "Figures")
}

// faultLength is how long a node is dead or frozen in TestFigures.
func faultLength() time.Duration {
	if figuresAsked() {
		return 3 * time.Second
	}
	return time.Second
}

// TestFigures prints what 16 goroutines see, each with one operation per 5 ms,
// half autocommit INSERTs and half point SELECTs under a deadline of 2 s, while
// one node of three is killed, or frozen, and comes back:
//
//	go test ./driver -run TestFigures -v
//
// No read and no write that wasn't sent may fail, and at most the writes that
// were in flight may have an unknown outcome. In a run of all tests the faults
// are shorter, and PostgreSQL is left to TestSickServers.
func TestFigures(t *testing.T) {
	lines := []string{
		"| cluster | fault | operations | safe failures | unknown | writes in flight | longest gap | longest wait |",
		"|---|---|---|---|---|---|---|---|",
	}
	for _, fault := range []string{"kill", "freeze"} {
		lines = append(lines, "| simulator | "+fault+" | "+simulatorFigures(t, fault)+" |")
	}
	if _, err := pgtest.Find(); err == nil && figuresAsked() {
		for _, fault := range []string{"kill", "freeze"} {
			lines = append(lines, "| PostgreSQL 15 × 3 | "+fault+" | "+postgresFigures(t, fault)+" |")
		}
	}
	t.Logf("fault of %v:\n%s", faultLength(), strings.Join(lines, "\n"))
}

func simulatorFigures(t *testing.T, fault string) string {
	sim := startSim(t, simnode.Config{Seed: 5})
	db := openSim(t, sim, false, "acquire_timeout=20s")
	defer func() { require.NoError(t, db.Close()) }()
	_, err := db.ExecContext(t.Context(), "create table points (id int primary key); create table log (g int, i int); "+
		"insert into points (id) select i from generate_series(0, 15) i")
	require.NoError(t, err)
	node := sim.Node(2)
	return figures(t, db, func() func() {
		if fault == "kill" {
			return node.Kill()
		}
		return node.Freeze()
	})
}

func postgresFigures(t *testing.T, fault string) string {
	nodes, dsn := servers(t, 3)
	schema(t, nodes[0].DSN(), nodes[1].DSN(), nodes[2].DSN())
	db, err := sql.Open(driver.Name, patient(dsn))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	return figures(t, db, func() func() {
		hurt, heal := nodes[1].Kill, nodes[1].Restart
		if fault == "freeze" {
			hurt, heal = nodes[1].Freeze, nodes[1].Thaw
		}
		require.NoError(t, hurt())
		return func() { require.NoError(t, heal()) }
	})
}

// figures measures until the longest wait is within its bound, but not for ever,
// and returns a line of the table.
func figures(t *testing.T, db *sql.DB, hurt func() func()) string {
	t.Helper()
	for round := 1; ; round++ {
		line, y := measure(t, db, hurt)
		if y.longest < longestWait {
			return line
		}
		t.Logf("round %d: %s waited for %v", round, y.slow, y.longest)
		require.Less(t, round, measurements, "%s waited for %v, the bound is %v", y.slow, y.longest, longestWait)
	}
}

// measure runs the load, hurts the second node for faultLength, and returns a
// line of the table and what it is made of.
func measure(t *testing.T, db *sql.DB, hurt func() func()) (string, *tally) {
	t.Helper()
	for i := range 3 {
		waitState(t, db, i, health.Up)
	}
	var running sync.WaitGroup
	var writes, peak atomic.Int64 // in flight
	y := &tally{stalled: func() time.Time { return clusterOf(t, db).Stats().LastStall }}
	stop := make(chan struct{})
	for g := range 16 {
		running.Go(func() { // ends when stop is closed
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				pointOperation(db, y, &writes, &peak, g, i)
			}
		})
	}
	<-time.After(time.Second)
	peak.Store(writes.Load())
	heal := hurt()
	<-time.After(faultLength())
	inFlight := peak.Load()
	heal()
	waitState(t, db, 1, health.Recovering, health.Up)
	<-time.After(time.Second)
	close(stop)
	running.Wait()

	require.Empty(t, y.failed, "safe operations that failed")
	require.LessOrEqual(t, y.unknown, int(inFlight))
	return fmt.Sprintf("%d | %d | %d | %d | %v | %v", y.ok+y.unknown+len(y.failed), len(y.failed), y.unknown, inFlight,
		y.gap.Round(time.Millisecond), y.longest.Round(time.Millisecond)), y
}

// pointOperation runs an INSERT or a point SELECT, in turn.
func pointOperation(db *sql.DB, y *tally, writes, peak *atomic.Int64, g, i int) {
	deadline := 20 * time.Second // a starved machine must not look like a failure
	if figuresAsked() {
		deadline = 2 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	began := time.Now()
	if i%2 == 0 {
		var id int
		err := db.QueryRowContext(ctx, "select id from points where id = $1", g).Scan(&id)
		y.add(began, "select", err)
		return
	}
	for now := writes.Add(1); ; {
		if old := peak.Load(); now <= old || peak.CompareAndSwap(old, now) {
			break
		}
	}
	_, err := db.ExecContext(ctx, "insert into log (g, i) values ($1, $2)", g, i)
	writes.Add(-1)
	y.add(began, "insert", err)
}
