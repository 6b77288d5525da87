package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// costGoroutines is how many goroutines work at the same time where it isn't
// one. It is max_conns_per_node's default, so that nobody waits for a connection.
const costGoroutines = 16

// costOp is an operation whose cost is measured. What prepare returns may be
// called by many goroutines at the same time.
type costOp struct {
	name    string
	prepare func(t testing.TB, db *sql.DB) func(ctx context.Context) error
}

var costOps = []costOp{
	{"Exec", func(_ testing.TB, db *sql.DB) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := db.ExecContext(ctx, "insert into written values ($1)", 3)
			return err
		}
	}},
	{"QueryRow", func(_ testing.TB, db *sql.DB) func(context.Context) error {
		return func(ctx context.Context) error {
			var v int
			return db.QueryRowContext(ctx, "select v from known where id = $1", 3).Scan(&v)
		}
	}},
	{"prepared QueryRow", func(t testing.TB, db *sql.DB) func(context.Context) error {
		stmt, err := db.Prepare("select v from known where id = $1")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, stmt.Close()) })
		return func(ctx context.Context) error {
			var v int
			return stmt.QueryRowContext(ctx, 3).Scan(&v)
		}
	}},
	{"transaction of one statement", func(_ testing.TB, db *sql.DB) func(context.Context) error {
		return func(ctx context.Context) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "insert into written values ($1)", 3); err != nil {
				return err
			}
			return tx.Commit()
		}
	}},
}

// gang is a number of goroutines that do the same operation at the same time.
type gang struct {
	size int
	op   func(ctx context.Context) error
}

// run does the operation n times in each goroutine and returns the first error.
func (g gang) run(n int) error {
	errs := make([]error, g.size)
	work := func(i int) {
		ctx := context.Background()
		for range n {
			if err := g.op(ctx); err != nil {
				errs[i] = err
				return
			}
		}
	}
	if g.size == 1 {
		work(0)
		return errs[0]
	}
	var wg sync.WaitGroup
	for i := range g.size {
		wg.Go(func() { work(i) }) // ends after n operations
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// cost is what one operation takes.
type cost struct {
	cpu, wall time.Duration
	allocs    float64
}

// measure runs the operation n times in each goroutine.
func (g gang) measure(b *testing.B, n int) cost {
	b.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, began := cpuTime(b), time.Now()
	if err := g.run(n); err != nil {
		b.Fatal(err)
	}
	wall := time.Since(began)
	cpu = cpuTime(b) - cpu
	runtime.ReadMemStats(&after)
	ops := time.Duration(n * g.size)
	return cost{cpu: cpu / ops, wall: wall / ops, allocs: float64(after.Mallocs-before.Mallocs) / float64(ops)}
}

// cpuTime is what this process has used of its processors.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// medianCost is the median of each figure by itself.
func medianCost(costs []cost) cost {
	return cost{
		cpu:    medianOf(costs, func(c cost) time.Duration { return c.cpu }),
		wall:   medianOf(costs, func(c cost) time.Duration { return c.wall }),
		allocs: medianOf(costs, func(c cost) float64 { return c.allocs }),
	}
}

func medianOf[T time.Duration | float64](costs []cost, figure func(cost) T) T {
	all := make([]T, len(costs))
	for i, c := range costs {
		all[i] = figure(c)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// compare measures gangs in turn, n operations of each goroutine at a time, as
// often as b wants, and returns the medians. Each round begins with another
// gang, so that what the one before leaves behind falls on all of them.
func compare(b *testing.B, n int, gangs ...gang) []cost {
	for _, g := range gangs { // connections are opened and statements prepared now
		if err := g.run(n); err != nil {
			b.Fatal(err)
		}
	}
	costs := make([][]cost, len(gangs))
	for round := 0; b.Loop(); round++ {
		for i := range gangs {
			j := (round + i) % len(gangs)
			costs[j] = append(costs[j], gangs[j].measure(b, n))
		}
	}
	b.ReportMetric(0, "ns/op") // of a round, which is no figure of anybody's
	medians := make([]cost, len(gangs))
	for i := range gangs {
		medians[i] = medianCost(costs[i])
	}
	return medians
}

// micros prints a duration in microseconds.
func micros(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d)/1e3) }

// BenchmarkCost compares this driver with pgx's stdlib in one run and prints the
// tables of docs/performance.md:
//
//	go test ./driver -run '^$' -bench 'Cost$' -benchtime 200x -v
//
// Both take turns in rounds of some milliseconds, at 1 and at 16 goroutines, and
// the medians are compared: on a machine whose load changes, no other figure
// means anything. Benchtime is the number of rounds.
func BenchmarkCost(b *testing.B) {
	b.Run("canned", benchCanned)
	b.Run("loopback", benchLoopback)
	b.Run("fence", benchFence)
}

// benchCanned measures the CPU time and allocations of this process alone,
// against a server that has neither socket nor goroutine.
func benchCanned(b *testing.B) {
	lines := []string{
		"| canned server | goroutines | CPU of stdlib, µs | of anywriter, µs | more, µs | allocations of stdlib | of anywriter |",
		"|---|---|---|---|---|---|---|",
	}
	ours, theirs := openInstant(b)
	for _, op := range costOps {
		for _, goroutines := range []int{1, costGoroutines} {
			b.Run(fmt.Sprintf("%s/%d", op.name, goroutines), func(b *testing.B) {
				c := compare(b, 800/goroutines,
					gang{goroutines, op.prepare(b, theirs)}, gang{goroutines, op.prepare(b, ours)})
				b.ReportMetric(float64(c[1].cpu-c[0].cpu)/1e3, "more-cpu-µs")
				b.ReportMetric(c[1].allocs-c[0].allocs, "more-allocs")
				lines = append(lines, fmt.Sprintf("| %s | %d | %s | %s | %s | %.1f | %.1f |", op.name, goroutines,
					micros(c[0].cpu), micros(c[1].cpu), micros(c[1].cpu-c[0].cpu), c[0].allocs, c[1].allocs))
			})
		}
	}
	lines = append(lines, "", fmt.Sprintf("A cache line went from one processor to another in %v.", lineTransfer()))
	b.Log("\n" + strings.Join(lines, "\n"))
}

// lineTransfer measures how long a cache line takes from one processor to another: two
// threads hand it to and fro. The figures for many goroutines depend on it, and on a
// virtual machine it changes with the processors that the host lends.
func lineTransfer() time.Duration {
	const rounds = 100_000
	var turn atomic.Int64
	player := func(first int64) {
		for i := first; i < 2*rounds; i += 2 {
			for spins := 1; turn.Load() != i; spins++ {
				if spins%10_000 == 0 {
					runtime.Gosched() // there is one processor, or the other thread isn't running
				}
			}
			turn.Store(i + 1)
		}
	}
	var wg sync.WaitGroup
	began := time.Now()
	wg.Go(func() { player(1) }) // ends after its rounds
	player(0)
	wg.Wait()
	return time.Since(began) / (2 * rounds)
}

// benchLoopback measures the time of an operation against PostgreSQL.
func benchLoopback(b *testing.B) {
	lines := []string{
		"| PostgreSQL over loopback | goroutines | stdlib, µs | anywriter, µs | ratio | CPU of stdlib, µs | of anywriter, µs |",
		"|---|---|---|---|---|---|---|",
	}
	ours, theirs := open(b), openPgx(b)
	costTables(b, theirs)
	for _, db := range []*sql.DB{ours, theirs} {
		db.SetMaxIdleConns(costGoroutines)
	}
	for _, op := range costOps {
		for _, goroutines := range []int{1, costGoroutines} {
			b.Run(fmt.Sprintf("%s/%d", op.name, goroutines), func(b *testing.B) {
				c := compare(b, 160/goroutines,
					gang{goroutines, op.prepare(b, theirs)}, gang{goroutines, op.prepare(b, ours)})
				ratio := float64(c[1].wall) / float64(c[0].wall)
				b.ReportMetric(ratio, "ratio")
				lines = append(lines, fmt.Sprintf("| %s | %d | %s | %s | %.2f | %s | %s |", op.name, goroutines,
					micros(c[0].wall), micros(c[1].wall), ratio, micros(c[0].cpu), micros(c[1].cpu)))
			})
		}
	}
	b.Log("\n" + strings.Join(lines, "\n"))
}

// costTables makes the tables of costOps.
func costTables(b *testing.B, db *sql.DB) {
	b.Helper()
	_, err := db.Exec("drop table if exists known, written; create table written (v bigint); " +
		"create table known (id bigint primary key, v bigint); insert into known values (3, 7)")
	require.NoError(b, err)
}

// benchFence measures what the commit fence costs on PostgreSQL: the same two
// writes without and with it.
func benchFence(b *testing.B) {
	lines := []string{
		"| commit fence | goroutines | without, µs | with, µs | ratio |",
		"|---|---|---|---|---|",
	}
	fence := installFence(b, sharedServer(b), "fences.cost")
	off, on := open(b), open(b, fence...)
	costTables(b, off)
	for _, db := range []*sql.DB{off, on} {
		db.SetMaxIdleConns(costGoroutines)
	}
	for _, op := range costOps {
		if !strings.Contains(op.name, "Exec") && !strings.Contains(op.name, "transaction") {
			continue // it writes nothing
		}
		for _, goroutines := range []int{1, costGoroutines} {
			b.Run(fmt.Sprintf("%s/%d", op.name, goroutines), func(b *testing.B) {
				c := compare(b, 160/goroutines,
					gang{goroutines, op.prepare(b, off)}, gang{goroutines, op.prepare(b, on)})
				ratio := float64(c[1].wall) / float64(c[0].wall)
				b.ReportMetric(ratio, "ratio")
				lines = append(lines, fmt.Sprintf("| %s | %d | %s | %s | %.2f |", op.name, goroutines,
					micros(c[0].wall), micros(c[1].wall), ratio))
			})
		}
	}
	b.Log("\n" + strings.Join(lines, "\n"))
}

// No operation allocates more often than through pgx's stdlib, at 1 and at 16
// goroutines, and each stays within its bound. The server allocates nothing.
// What allocates beside the operations (the runtime, a pool's timer) can only
// raise a count, so the least of several counts is the operation's own.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	bounds := map[string]float64{
		"Exec": 3, "QueryRow": 9, "prepared QueryRow": 12, "transaction of one statement": 15,
	}
	ours, theirs := openInstant(t)
	for _, op := range costOps {
		for _, goroutines := range []int{1, costGoroutines} {
			ourOps := allocations(t, gang{goroutines, op.prepare(t, ours)})
			theirOps := allocations(t, gang{goroutines, op.prepare(t, theirs)})
			t.Logf("%s, %d goroutines: ours %.2f, stdlib %.2f", op.name, goroutines, ourOps, theirOps)
			require.LessOrEqual(t, ourOps, theirOps, "%s, %d goroutines", op.name, goroutines)
			require.LessOrEqual(t, math.Floor(ourOps), bounds[op.name], "%s, %d goroutines", op.name, goroutines)
		}
	}
}

// allocations is the least number of allocations per operation in several runs.
func allocations(t *testing.T, g gang) float64 {
	t.Helper()
	require.NoError(t, g.run(2), "connections are opened and statements prepared")
	const n = 200
	least := math.Inf(1)
	for range 8 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		require.NoError(t, g.run(n))
		runtime.ReadMemStats(&after)
		least = min(least, float64(after.Mallocs-before.Mallocs)/float64(n*g.size))
	}
	return least
}
