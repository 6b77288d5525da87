package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// epochs tells when everything that was under way at some time is over.
type epochs struct {
	mu  sync.Mutex
	now *sync.WaitGroup // of the work that began since the last turn
}

// begin returns what ends the work.
func (e *epochs) begin() (end func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.now == nil {
		e.now = &sync.WaitGroup{}
	}
	e.now.Add(1)
	return e.now.Done
}

// turn returns when all work that had begun is over.
func (e *epochs) turn() {
	e.mu.Lock()
	before := e.now
	e.now = nil
	e.mu.Unlock()
	if before != nil {
		before.Wait()
	}
}

// purgeLoad is writers that write all the time while answers to their commits are
// lost, and a purge that goes on all the time too.
type purgeLoad struct {
	db    *sql.DB
	truth *sql.DB // that loses nothing
	table string  // the fence's
	skip  string  // the kind of work that is left out

	epochs   epochs
	fates    sync.Map // outcome by id
	ids      atomic.Int64
	deleted  int64
	resolved atomic.Int64 // by the fence
}

// events count what the fence was asked.
func (l *purgeLoad) events() cluster.EventListener {
	return cluster.EventListener{Resolved: func(string, driver.Outcome, time.Duration) { l.resolved.Add(1) }}
}

// write writes until the context is over.
func (l *purgeLoad) write(ctx context.Context, worker int) error {
	for n := worker; ctx.Err() == nil; n++ {
		w := fencedWrites[n%len(fencedWrites)]
		if w.name == l.skip {
			continue
		}
		id := int(l.ids.Add(1))
		end := l.epochs.begin()
		err := w.run(context.WithoutCancel(ctx), l.db, id)
		end()
		switch out := driver.OutcomeOf(err); out {
		case driver.Committed, driver.DefinitelyAborted, driver.NotSent:
			l.fates.Store(id, out)
		default:
			return fmt.Errorf("%s of %d: outcome %v: %w", w.name, id, out, err)
		}
	}
	return nil
}

// cycle makes all rows old whose transactions are over for certain, purges them,
// and returns how many rows of that age are left.
func (l *purgeLoad) cycle(ctx context.Context) (left int, err error) {
	var began time.Time
	if err := l.truth.QueryRowContext(ctx, "select clock_timestamp()").Scan(&began); err != nil {
		return 0, err
	}
	l.epochs.turn()
	age := "update " + l.table + " set created_at = $1 where created_at < $2 and created_at > $3"
	if err := untilDone(func() error {
		_, err := l.truth.ExecContext(driver.WithIdempotent(ctx), age, began.Add(-2*cluster.MinFenceAge), began, began.Add(-cluster.MinFenceAge))
		return err
	}); err != nil {
		return 0, fmt.Errorf("make rows old: %w", err)
	}
	c, err := driver.FromDB(l.db)
	if err != nil {
		return 0, err
	}
	if err := untilDone(func() error {
		n, err := c.PurgeFence(ctx, cluster.MinFenceAge)
		l.deleted += n
		return err
	}); err != nil {
		return 0, fmt.Errorf("purge: %w", err)
	}
	err = l.truth.QueryRowContext(ctx, "select count(*) from "+l.table+" where created_at < $1", began.Add(-cluster.MinFenceAge)).Scan(&left)
	return left, err
}

// untilDone repeats what has failed without effect.
func untilDone(f func() error) error {
	for {
		var state interface{ SQLState() string }
		err := f()
		conflict := errors.As(err, &state) && state.SQLState() == "40001"
		if err == nil || !conflict && !driver.IsRetryable(err) {
			return err
		}
	}
}

// run lets the writers write during a number of cycles and checks what came of
// it: whoever was told something was told the truth, and the table holds the
// rows of the last cycle only.
func (l *purgeLoad) run(t *testing.T, writers, cycles int) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var working sync.WaitGroup
	for worker := range writers {
		working.Go(func() { // ends with the context, which the last cycle ends
			if err := l.write(ctx, worker); err != nil {
				t.Error(err)
				stop()
			}
		})
	}
	peak := int64(0)
	for range cycles {
		if ctx.Err() != nil {
			break
		}
		left, err := l.cycle(t.Context())
		if err != nil || left > 0 {
			t.Errorf("%d old rows are left after a purge: %v", left, err)
			break
		}
		var rows int64
		require.NoError(t, l.truth.QueryRow("select count(*) from "+l.table).Scan(&rows))
		peak = max(peak, rows)
	}
	stop()
	working.Wait()
	left, err := l.cycle(t.Context())
	require.NoError(t, err)
	require.Zero(t, left)
	var rows int64
	require.NoError(t, l.truth.QueryRow("select count(*) from "+l.table).Scan(&rows))
	t.Logf("%d writes, %d answers lost and resolved; %d rows of the fence deleted, %d at most after a purge, %d in the end",
		l.ids.Load(), l.resolved.Load(), l.deleted, peak, rows)
	require.Less(t, rows, int64(20), "the purge's own")
	require.Positive(t, l.resolved.Load())
	require.Greater(t, l.deleted, int64(cycles))
	l.check(t)
}

// check compares what the writers were told with what is there.
func (l *purgeLoad) check(t *testing.T) {
	there := map[int]int{}
	rows, err := l.truth.Query("select id from fenced")
	require.NoError(t, err)
	for rows.Next() {
		var id int
		require.NoError(t, rows.Scan(&id))
		there[id]++
	}
	require.NoError(t, rows.Err())
	told := map[driver.Outcome]int{}
	l.fates.Range(func(id, out any) bool {
		told[out.(driver.Outcome)]++
		want := 0
		if out == driver.Committed {
			want = 1
		}
		if got := there[id.(int)]; got != want {
			t.Errorf("write %d was told %v and is there %d times", id, out, got)
		}
		delete(there, id.(int))
		return true
	})
	require.Empty(t, there, "rows that nobody wrote")
	t.Logf("told %v", told)
	require.Greater(t, told[driver.Committed], told[driver.DefinitelyAborted])
}

// TestPurgeUnderLoad purges a fence table of PostgreSQL while it is written to as
// fast as that goes and answers to commits are lost.
func TestPurgeUnderLoad(t *testing.T) {
	dsn := sharedServer(t)
	l := &purgeLoad{truth: openPgx(t), table: "fences.load"}
	_, err := l.truth.Exec("drop table if exists fenced cascade; drop table if exists fences.load; create table fenced (id int not null)")
	require.NoError(t, err)
	params := append(installFence(t, dsn, l.table), "fence_resolve_timeout=30s", "acquire_timeout=30s")
	proxy := startLoser(t, shared.server.Addr())
	l.db = openWith(t, withParams(strings.Replace(dsn, shared.server.Addr(), proxy.addr(), 1), params...), func(c *driver.Config) { c.Events = l.events() })
	// Never what the server might still carry out later: a mark may be purged as
	// soon as its writer has been told.
	for every, rule := range map[int64]faultproxy.Rule{
		23: atSync(`"fences"."load"`, faultproxy.CutReply, faultproxy.After),
		37: atSync(`"fences"."load"`, faultproxy.Reset, faultproxy.Before),
	} {
		var flushes atomic.Int64
		commits := rule.Match
		rule.Times = -1
		rule.Match = func(m faultproxy.Message) bool {
			return commits(m) && !proxy.probers.has(m.Conn) && flushes.Add(1)%every == 0
		}
		proxy.MustAdd(rule)
	}
	l.run(t, 4, 8)
	checkIdle(t, l.db)
}

// TestPurgeUnderLoadOnSimulator does the same on three nodes, which lose the
// answers to commits before and after the commit point.
func TestPurgeUnderLoadOnSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true, Latency: 200 * time.Microsecond})
		// database/sql closes a statement under the mutex of a handle that somebody
		// else is using then, and waiting for a mutex stops virtual time.
		l := &purgeLoad{table: "anywriter.fence", skip: "prepared"}
		l.db = openFenced(t, sim, true, 1, l.events())
		defer func() { require.NoError(t, l.db.Close()) }()
		l.truth = openSim(t, sim, true)
		defer func() { require.NoError(t, l.truth.Close()) }()
		_, err := l.truth.Exec("create table fenced (id int not null)")
		require.NoError(t, err)
		done := make(chan struct{})
		var losing sync.WaitGroup
		losing.Go(func() { // ends with done
			for n := 0; ; n++ {
				point := []simnode.CommitPoint{simnode.BeforeCommit, simnode.AfterCommit}[n%2]
				undo, err := sim.Nodes()[n%3].DropCommitReply(point, 1)
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case <-time.After(3 * time.Millisecond):
					undo()
				case <-done:
					undo()
					return
				}
			}
		})
		defer losing.Wait()
		defer close(done)
		l.run(t, 6, 80)
		checkIdle(t, l.db)
	})
}
