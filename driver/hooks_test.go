package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
)

// openWith opens a DB with a configuration that the test changes.
func openWith(t testing.TB, dsn string, change func(*driver.Config)) *sql.DB {
	t.Helper()
	config, err := driver.ParseConfig(patient(dsn))
	require.NoError(t, err)
	change(&config)
	db := sql.OpenDB(driver.NewConnector(config))
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// vault gives out passwords, each time the one that was current at the call
// before: like a cache of tokens that notices a rotation one question late.
type vault struct {
	current, cached atomic.Value // string
	asked           atomic.Int64
}

func (v *vault) set(password string) { v.current.Store(password) }

func (v *vault) beforeConnect(_ context.Context, c *pgx.ConnConfig) error {
	v.asked.Add(1)
	c.Password, _ = v.cached.Swap(v.current.Load()).(string)
	return nil
}

// The password is changed on the server while the pool runs. Every connection
// after that, the prober's included, is refused with the old one at first, and
// no operation notices.
func TestPasswordRotation(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Password: "first"})
	admin, err := pgx.Connect(context.Background(), "host="+server.SocketDir()+" user=postgres database=postgres port="+
		server.Addr()[len("127.0.0.1:"):])
	require.NoError(t, err)
	defer admin.Close(context.Background())
	var v vault
	v.cached.Store("first")
	v.set("first")
	var denied atomic.Int64
	dsn := "postgres://postgres@" + server.Addr() + "/postgres?sslmode=disable"
	db := openWith(t, dsn, func(c *driver.Config) {
		c.BeforeConnect = v.beforeConnect
		c.Events.Warned = func(string) { denied.Add(1) }
		c.Events.StateChanged = func(_ string, to health.State, _ health.Reason) {
			if to == health.Down {
				denied.Add(1)
			}
		}
	})
	ctx := context.Background()
	require.NoError(t, db.Ping())
	for _, password := range []string{"second", "third"} {
		before := v.asked.Load()
		_, err = admin.Exec(ctx, "alter role postgres password '"+password+"'")
		require.NoError(t, err)
		v.set(password)
		var conns []*sql.Conn
		for range 6 { // more than are open: some must be dialed
			conn, err := db.Conn(ctx)
			require.NoError(t, err)
			_, err = conn.ExecContext(ctx, "select 1")
			require.NoError(t, err)
			conns = append(conns, conn)
		}
		for _, conn := range conns {
			require.NoError(t, conn.Close())
		}
		require.GreaterOrEqual(t, v.asked.Load(), before+2, "a connection was opened and refused")
		_, err = admin.Exec(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'")
		require.NoError(t, err)
		var n int
		require.NoError(t, db.QueryRow("select 1").Scan(&n))
		waitState(t, db, 0, health.Up, health.Recovering) // the prober has dialed again
	}
	require.Zero(t, denied.Load(), "no warning, and the node was never down")
	checkIdle(t, db)
}

// A credential that stays wrong is reported soon, was asked for more
// than once, and is no fault of the node.
func TestPasswordRefused(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Password: "right"})
	var asked atomic.Int64
	db := openWith(t, "postgres://postgres@"+server.Addr()+"/postgres?sslmode=disable&min_idle=0", func(c *driver.Config) {
		c.BeforeConnect = func(_ context.Context, config *pgx.ConnConfig) error {
			asked.Add(1)
			config.Password = "wrong"
			return nil
		}
	})
	began := time.Now()
	_, err := db.Exec("select 1")
	require.ErrorContains(t, err, "28P01")
	require.NotContains(t, err.Error(), "wrong")
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
	require.Less(t, time.Since(began), 10*time.Second, "it doesn't wait for acquire_timeout")
	require.NotEqual(t, health.Down, clusterOf(t, db).Stats().Nodes[0].State)
	require.GreaterOrEqual(t, asked.Load(), int64(2))
}

// Hooks that fail or panic fail the operation, with their own error, and are no
// fault of the node.
func TestFailingHooks(t *testing.T) {
	dsn := withParams(sharedServer(t), "acquire_timeout=10s")
	broken := errors.New("vault is sealed")
	for name, change := range map[string]func(*driver.Config){
		"before fails": func(c *driver.Config) {
			c.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { return broken }
		},
		"before panics": func(c *driver.Config) {
			c.BeforeConnect = func(context.Context, *pgx.ConnConfig) error { panic(broken) }
		},
		"after fails":  func(c *driver.Config) { c.AfterConnect = func(context.Context, *pgx.Conn) error { return broken } },
		"after panics": func(c *driver.Config) { c.AfterConnect = func(context.Context, *pgx.Conn) error { panic(broken) } },
	} {
		db := openWith(t, dsn, change)
		_, err := db.Exec("select 1")
		require.ErrorIs(t, err, broken, name)
		var failed *driver.HookError
		require.ErrorAs(t, err, &failed, name)
		require.Equal(t, driver.NotSent, driver.OutcomeOf(err), name)
		require.NotEqual(t, health.Down, clusterOf(t, db).Stats().Nodes[0].State, name)
		checkIdle(t, db)
	}
}

type pair struct {
	N int32
	S string
}

// Types that AfterConnect registers on a connection's TypeMap are known to
// arguments, to scans and to ColumnTypes.
func TestAfterConnectTypes(t *testing.T) {
	_, err := open(t).Exec(`drop type if exists hook_pair, hook_mood cascade; drop domain if exists hook_small;
		create type hook_pair as (n int4, s text); create type hook_mood as enum ('sad', 'happy');
		create domain hook_small as int4 check (value < 100)`)
	require.NoError(t, err)
	names := []string{"hook_pair", "_hook_pair", "hook_mood", "_hook_mood", "hook_small"}
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec"} {
		dsn := withParams(sharedServer(t), "default_query_exec_mode="+mode)
		db := openWith(t, dsn, func(c *driver.Config) {
			c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
				types, err := conn.LoadTypes(ctx, names)
				conn.TypeMap().RegisterTypes(types)
				return err
			}
		})
		rows, err := db.Query("select $1::hook_pair, $2::hook_pair[], $3::hook_mood, $4::hook_small",
			pair{7, "a,\"b"}, []pair{{1, "x"}, {2, "y"}}, "happy", 42)
		require.NoError(t, err, mode)
		types, err := rows.ColumnTypes()
		require.NoError(t, err)
		require.Equal(t, "HOOK_PAIR", types[0].DatabaseTypeName())
		require.Equal(t, "HOOK_MOOD", types[2].DatabaseTypeName())
		require.True(t, rows.Next())
		var mood, single, several string
		var small int
		require.NoError(t, rows.Scan(&single, &several, &mood, &small))
		require.Equal(t, []any{"happy", 42}, []any{mood, small})
		require.NoError(t, rows.Close())

		conn, err := db.Conn(context.Background())
		require.NoError(t, err)
		var p pair
		var ps []pair
		require.NoError(t, conn.Raw(func(dc any) error {
			pc, err := dc.(driver.PgxConn).PgxConn(context.Background())
			if err != nil {
				return err
			}
			return pc.QueryRow(context.Background(), "select $1::hook_pair, $2::hook_pair[]", pair{7, "z"}, []pair{{1, "x"}}).Scan(&p, &ps)
		}))
		require.Equal(t, pair{7, "z"}, p)
		require.Equal(t, []pair{{1, "x"}}, ps)
		require.NoError(t, conn.Close())
	}
	// Without the hook the server's types aren't known.
	_, err = open(t).Query("select $1::hook_pair", pair{7, "a"})
	require.Error(t, err)
}

// What AfterConnect has set outlives the reset of the session.
func TestAfterConnectSettingsStay(t *testing.T) {
	dsn := withParams(sharedServer(t), "max_conns_per_node=1", "min_idle=1")
	var calls atomic.Int64
	db := openWith(t, dsn, func(c *driver.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			calls.Add(1)
			_, err := conn.Exec(ctx, "set search_path = pg_temp, public")
			return err
		}
	})
	before := pid(t, db)
	for range 2 {
		var path string
		require.NoError(t, db.QueryRow("show search_path").Scan(&path))
		require.Equal(t, "pg_temp, public", path)
		_, err := db.Exec("set search_path = nowhere")
		require.NoError(t, err)
	}
	require.Equal(t, before, pid(t, db))
	require.EqualValues(t, 3, calls.Load(), "once for the connection, and after each reset")
}

// What pgx itself has prepared on a connection given to Raw doesn't outlive the
// reset, and pgx knows that; nor do notifications that nobody has read.
func TestRawTwice(t *testing.T) {
	db := open(t, "max_conns_per_node=1", "min_idle=1")
	other := openPgx(t)
	ctx := context.Background()
	raw := func(f func(*pgx.Conn) error) {
		conn, err := db.Conn(ctx)
		require.NoError(t, err)
		require.NoError(t, conn.Raw(func(dc any) error {
			pc, err := dc.(driver.PgxConn).PgxConn(ctx)
			if err != nil {
				return err
			}
			return f(pc)
		}))
		require.NoError(t, conn.Close())
	}
	for range 3 {
		raw(func(pc *pgx.Conn) error {
			var n pgtype.Int4
			if err := pc.QueryRow(ctx, "select $1::int + 1", 1).Scan(&n); err != nil {
				return err
			}
			if _, err := pc.Exec(ctx, "listen raw_twice"); err != nil {
				return err
			}
			if _, err := other.Exec("notify raw_twice, 'old'"); err != nil {
				return err
			}
			return pc.Ping(ctx) // reads the notification, which pgx keeps
		})
	}
	raw(func(pc *pgx.Conn) error {
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		defer cancel()
		n, err := pc.WaitForNotification(short)
		require.ErrorIs(t, err, context.DeadlineExceeded, "%+v", n)
		return nil
	})
}

// TestHookLeavesATransactionOpen: nothing runs on a connection in which a hook has
// begun a transaction, where it would be acknowledged and lost.
func TestHookLeavesATransactionOpen(t *testing.T) {
	db := openWith(t, sharedServer(t), func(c *driver.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "begin")
			return err
		}
	})
	_, err := db.ExecContext(t.Context(), "select 1")
	var hook *cluster.HookError
	require.ErrorAs(t, err, &hook)
	require.ErrorContains(t, err, "inside a transaction")
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
}
