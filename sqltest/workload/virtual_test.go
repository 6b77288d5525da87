package workload_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/history"
	"github.com/anywriter/anywriter/sqltest/workload"
)

// tiny is a database of one number that understands the counter's statements;
// each takes a millisecond of virtual time. Its transactions have no isolation:
// the counter's one-statement transactions need none.
type tiny struct {
	mu   sync.Mutex
	n    int64
	fail int // every fail-th update is lost before it happens; 0 is none
	seen int
}

func (d *tiny) Connect(context.Context) (driver.Conn, error) { return &tinyConn{d}, nil }
func (d *tiny) Driver() driver.Driver                        { return nil }

type tinyConn struct{ db *tiny }

func (c *tinyConn) Prepare(string) (driver.Stmt, error) { return nil, errors.ErrUnsupported }
func (c *tinyConn) Close() error                        { return nil }
func (c *tinyConn) Begin() (driver.Tx, error)           { return c, nil }
func (c *tinyConn) Commit() error                       { return nil }
func (c *tinyConn) Rollback() error                     { return nil }

func (c *tinyConn) ExecContext(_ context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	time.Sleep(time.Millisecond) // the bubble's clock: what a server takes
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	switch {
	case strings.HasPrefix(query, "update"):
		c.db.seen++
		if c.db.fail > 0 && c.db.seen%c.db.fail == 0 {
			return nil, errors.New("lost on the way")
		}
		c.db.n += args[0].Value.(int64)
	case strings.HasPrefix(query, "insert"):
		c.db.n = 0
	}
	return driver.RowsAffected(1), nil
}

func (c *tinyConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	time.Sleep(time.Millisecond) // as above
	c.db.mu.Lock()
	defer c.db.mu.Unlock()
	return &tinyRows{n: c.db.n}, nil
}

type tinyRows struct {
	n    int64
	done bool
}

func (r *tinyRows) Columns() []string { return []string{"n"} }
func (r *tinyRows) Close() error      { return nil }

func (r *tinyRows) Next(dest []driver.Value) error {
	if r.done {
		return io.EOF
	}
	dest[0], r.done = r.n, true
	return nil
}

// runVirtual runs ten virtual seconds and returns the history.
func runVirtual(t *testing.T, db *tiny, seed uint64) (ops []history.Op, stats workload.Stats, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		pool := sql.OpenDB(db)
		defer pool.Close()
		w, newErr := workload.NewCounter(workload.Config{
			DB: pool, Seed: seed, Clients: 4, Rate: 100, Duration: 10 * time.Second,
		})
		require.NoError(t, newErr)
		require.NoError(t, w.Setup(t.Context()))
		var middle workload.Stats
		timer := time.AfterFunc(5*time.Second, func() { middle = w.Stats() })
		defer timer.Stop()
		start := time.Now()
		require.NoError(t, w.Run(t.Context()))
		took := time.Since(start)
		require.InDelta(t, 10, took.Seconds(), 0.02, "virtual seconds")
		ops, stats, err = w.History(), w.Stats(), w.Verify(t.Context())
		require.InDelta(t, 2000, middle.Ops, 8)
		require.Equal(t, took, stats.Elapsed)
	})
	return ops, stats, err
}

func TestVirtualTimeIsExactAndReplays(t *testing.T) {
	ops, stats, err := runVirtual(t, &tiny{}, 42)
	require.NoError(t, err)
	require.InDelta(t, 4000, stats.Ops, 4, "4 clients, 100/s each, 10 s")
	require.Equal(t, stats.Ops, stats.OK)
	require.InDelta(t, float64(time.Millisecond), float64(stats.P99), float64(60*time.Microsecond))
	require.Equal(t, time.Millisecond, stats.Max)
	require.InDelta(t, 0.25, float64(stats.Reads)/float64(stats.Ops), 0.05)
	same, _, err := runVirtual(t, &tiny{}, 42)
	require.NoError(t, err)
	require.Equal(t, ops, same, "the seed decides everything")
	other, _, err := runVirtual(t, &tiny{}, 43)
	require.NoError(t, err)
	require.NotEqual(t, ops, other)
}

func TestVirtualFailuresAreCounted(t *testing.T) {
	ops, stats, err := runVirtual(t, &tiny{fail: 10}, 1)
	require.NoError(t, err)
	require.InDelta(t, 300, stats.SafeFailures, 30)
	require.Equal(t, stats.Ops, stats.OK+stats.SafeFailures)
	require.Len(t, ops, stats.Ops)
}

func TestEndOfContextEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pool := sql.OpenDB(&tiny{})
		defer pool.Close()
		w, err := workload.NewCounter(workload.Config{DB: pool, Duration: time.Hour})
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, w.Run(ctx), context.DeadlineExceeded)
		require.Equal(t, time.Second, w.Stats().Elapsed.Round(10*time.Millisecond))
	})
}
