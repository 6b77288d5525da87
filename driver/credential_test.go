package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
)

// keeper is where an application's password comes from: it keeps the one it has
// got until the server refuses it.
type keeper struct {
	mu             sync.Mutex
	kept, actual   string
	asked, refused int
}

func (v *keeper) set(_ context.Context, config *pgx.ConnConfig) error {
	config.Host = "192.0.2.1" // must have no effect
	v.mu.Lock()
	defer v.mu.Unlock()
	config.Password = v.kept
	v.asked++
	return nil
}

func (v *keeper) refresh(ctx context.Context, config *pgx.ConnConfig) error {
	if err := driver.RefusedCredential(ctx); err != nil {
		v.mu.Lock()
		v.kept = v.actual
		v.refused++
		v.mu.Unlock()
	}
	return v.set(ctx, config)
}

func (v *keeper) counts() (asked, refused int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.asked, v.refused
}

// rotate changes the role's password over a connection that needs none.
func (v *keeper) rotate(t *testing.T, s *pgtest.Server, password string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", s.SocketDir(), s.Port()))
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "alter role postgres password '"+password+"'")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	v.mu.Lock()
	v.actual = password
	v.mu.Unlock()
}

// TestKeptPassword changes the password while the pool runs: connections
// that are open stay, the next ones get the new password, and no statement
// fails.
func TestKeptPassword(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Password: "first"})
	v := &keeper{kept: "first", actual: "first"}
	var fell atomic.Int64
	db := openWith(t, withParams(server.DSN(), "min_idle=1"), func(c *driver.Config) {
		c.Nodes[0].Conn.Password = "nonsense"
		c.BeforeConnect = v.refresh
		c.Events.StateChanged = func(_ string, to health.State, _ health.Reason) {
			if !to.Serving() {
				fell.Add(1)
			}
		}
	})
	hold := func() *sql.Conn {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(t.Context(), "select 1")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close()) })
		return conn
	}
	first := hold()
	asked, refused := v.counts()
	require.GreaterOrEqual(t, asked, 2, "one connection of the pool, and the prober's")
	require.Zero(t, refused)
	for i, password := range []string{"second", "third"} {
		v.rotate(t, server, password)
		for range 3 {
			hold()
		}
		require.NoError(t, first.PingContext(t.Context()))
		_, refused := v.counts()
		require.Greater(t, refused, i)
	}
	require.Zero(t, fell.Load(), "a refused credential is no fault of the node")

	// The prober's next connection, and those of the pool, after a restart.
	v.rotate(t, server, "fourth")
	require.NoError(t, server.Restart())
	waitState(t, db, 0, health.Up, health.Recovering)
	require.NoError(t, db.Ping())
}

// TestRefusedOnce has a wrong password that stays wrong.
func TestRefusedOnce(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Password: "right"})
	dsn := withParams(server.DSN(), "min_idle=0", "probe_interval=1m", "acquire_timeout=1m")
	// A busy machine dials more than it needs: those that were opened in time are
	// taken first.
	check := func(db *sql.DB) {
		t.Helper()
		var err error
		var began time.Time
		for err == nil {
			conn, connErr := db.Conn(t.Context())
			require.NoError(t, connErr)
			defer conn.Close()
			began = time.Now()
			_, err = conn.ExecContext(t.Context(), "select 1")
		}
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
		require.Equal(t, "28P01", pgErr.Code)
		require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
		require.Less(t, time.Since(began), 30*time.Second, "it doesn't wait for acquire_timeout")
	}
	v := &keeper{kept: "wrong"}
	db := openWith(t, dsn, func(c *driver.Config) { c.BeforeConnect = v.set })
	check(db)
	asked, _ := v.counts()
	require.GreaterOrEqual(t, asked, 2, "the hook was asked again")
	require.NotEqual(t, health.Down, clusterOf(t, db).Stats().Nodes[0].State)

	// The prober got in before the password became wrong.
	v = &keeper{kept: "right"}
	db = openWith(t, dsn, func(c *driver.Config) { c.BeforeConnect = v.set })
	require.NoError(t, db.Ping())
	v.mu.Lock()
	v.kept = "wrong"
	v.mu.Unlock()
	before, _ := v.counts()
	check(db)
	after, _ := v.counts()
	require.GreaterOrEqual(t, after-before, 2)
	require.Equal(t, health.Up, clusterOf(t, db).Stats().Nodes[0].State)
	require.NoError(t, db.Ping(), "open connections need no password")
}

// TestSlowBeforeConnect has a token service that takes longer than any silent
// node is waited for: the node isn't blamed for it.
func TestSlowBeforeConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &canned{clusterID: "c1", nodeID: "1"}
		config, err := driver.ParseConfig("postgres://u@one:1/db?sslmode=disable&acquire_timeout=30s&min_idle=0")
		require.NoError(t, err)
		config.DialFunc, config.Seed = server.dial, 1
		config.BeforeConnect = func(ctx context.Context, _ *pgx.ConnConfig) error {
			select {
			case <-time.After(4 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		config.Events.StateChanged = func(node string, to health.State, reason health.Reason) {
			if !to.Serving() {
				t.Errorf("%s is %v: %v", node, to, reason)
			}
		}
		db := sql.OpenDB(driver.NewConnector(config))
		began := time.Now()
		_, err = db.Exec("insert")
		require.NoError(t, err)
		require.InDelta(t, 8, time.Since(began).Seconds(), 0.5, "the prober's connection, then the pool's")
		require.NoError(t, db.Close())
		server.running.Wait()
	})
}

// TestSlowDialsFail has dials that take longer than one node is waited for, so
// that nobody sees them fail: the reason is reported all the same, and soon. An
// old failure is no reason.
func TestSlowDialsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &canned{clusterID: "c1", nodeID: "1"}
		config, err := driver.ParseConfig("postgres://u@one:1/db?sslmode=disable&acquire_timeout=30s&min_idle=0")
		require.NoError(t, err)
		config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			time.Sleep(200 * time.Millisecond) // in virtual time
			return server.dial(ctx, network, addr)
		}
		config.Seed = 1
		broken := errors.New("no such type")
		var failing atomic.Bool
		failing.Store(true)
		config.AfterConnect = func(context.Context, *pgx.Conn) error {
			if failing.Load() {
				return broken
			}
			return nil
		}
		db := sql.OpenDB(driver.NewConnector(config))
		began := time.Now()
		_, err = db.Exec("insert")
		require.ErrorIs(t, err, broken)
		require.Less(t, time.Since(began), 2*time.Second)
		failing.Store(false)
		time.Sleep(time.Minute)
		_, err = db.Exec("insert")
		require.NoError(t, err)
		require.NoError(t, db.Close())
		server.running.Wait()
	})
}
