package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/internal/pgtest"
)

// shared is one PostgreSQL server for the tests that don't hurt it.
var shared struct {
	once   sync.Once
	server *pgtest.Server
	err    error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "end PostgreSQL:", err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left over:", err)
		code = 1
	}
	os.Exit(code)
}

// sharedServer returns the DSN of the shared server, or skips the test.
func sharedServer(t testing.TB) string {
	t.Helper()
	shared.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		shared.server, shared.err = pgtest.Open(ctx, pgtest.Options{
			MaxConnections: 200,
			Settings:       map[string]string{"max_prepared_transactions": "10", "deadlock_timeout": "100ms"},
		})
	})
	if errors.Is(shared.err, pgtest.ErrNotFound) && os.Getenv(pgtest.RequireEnv) == "" {
		t.Skip(shared.err)
	}
	require.NoError(t, shared.err)
	return shared.server.DSN()
}

// briefly returns a context for what waits for a node in vain.
func briefly(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	t.Cleanup(cancel)
	return ctx
}

// open opens a DB on the shared server.
func open(t testing.TB, params ...string) *sql.DB {
	t.Helper()
	return openDSN(t, withParams(sharedServer(t), params...))
}

func withParams(dsn string, params ...string) string {
	for _, p := range params {
		dsn += "&" + p
	}
	return dsn
}

// patient returns a DSN with which operations wait longer for a node than by
// default, unless it says how long: a busy machine may need more than a second for
// a server's first answer. acquire_timeout has its own tests, in virtual time.
func patient(dsn string) string {
	if strings.Contains(dsn, "acquire_timeout") {
		return dsn
	}
	return withParams(dsn, "acquire_timeout=20s")
}

func openDSN(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("anywriter", patient(dsn))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// openPgx opens the same server through pgx's stdlib, the control.
func openPgx(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", sharedServer(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// checkIdle fails the test if the DB still holds leases or open handles.
func checkIdle(t testing.TB, db *sql.DB) {
	t.Helper()
	c := clusterOf(t, db)
	// database/sql takes a handle back just after the handle has released its lease.
	require.Eventually(t, func() bool { return c.Leases() == 0 && db.Stats().InUse == 0 }, 20*time.Second, time.Millisecond)
}

func clusterOf(t testing.TB, db *sql.DB) *cluster.Cluster {
	t.Helper()
	c, err := driver.FromDB(db)
	require.NoError(t, err)
	return c
}

// checkGoroutines fails the test if goroutines started since are left over.
func checkGoroutines(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	servers := goleak.IgnoreAnyFunction("github.com/anywriter/anywriter/internal/pgtest.(*Server).launch.func1")
	t.Cleanup(func() { goleak.VerifyNone(t, ignore, servers) })
}

// servers starts n PostgreSQL servers and returns them with a DSN that lists
// all of them.
func servers(t testing.TB, n int) ([]*pgtest.Server, string) {
	t.Helper()
	var out []*pgtest.Server
	var addrs []string
	for range n {
		s := pgtest.Start(t, pgtest.Options{})
		out = append(out, s)
		addrs = append(addrs, s.Addr())
	}
	return out, "postgres://postgres@" + strings.Join(addrs, ",") + "/postgres?sslmode=disable&engine=independent"
}
