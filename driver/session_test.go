package driver_test

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
)

func pid(t testing.TB, q interface {
	QueryRowContext(context.Context, string, ...any) *sql.Row
},
) int {
	t.Helper()
	var p int
	require.NoError(t, q.QueryRowContext(context.Background(), "select pg_backend_pid()").Scan(&p))
	return p
}

// One handle serves statements on all nodes; a sql.Conn and what happens in it
// stays on one server session.
func TestAffinity(t *testing.T) {
	_, dsn := servers(t, 3)
	db := openDSN(t, dsn+"&balancer=round_robin")
	db.SetMaxOpenConns(1)
	ctx := context.Background()
	for i := range 3 {
		waitState(t, db, i, health.Up)
	}
	stmt, err := db.Prepare("select inet_server_port()")
	require.NoError(t, err)
	defer stmt.Close()
	ports := map[int]int{}
	for i := range 60 {
		var port int
		if i%2 == 0 {
			require.NoError(t, db.QueryRow("select inet_server_port()").Scan(&port))
		} else {
			require.NoError(t, stmt.QueryRow().Scan(&port))
		}
		ports[port]++
	}
	require.Len(t, ports, 3)
	for _, n := range ports {
		require.InDelta(t, 20, n, 4, "%v", ports)
	}
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	first := pid(t, conn)
	for range 20 {
		require.Equal(t, first, pid(t, conn))
		tx, err := conn.BeginTx(ctx, nil)
		require.NoError(t, err)
		require.Equal(t, first, pid(t, tx))
		require.NoError(t, tx.Rollback())
	}
	require.NoError(t, conn.Close())
	checkIdle(t, db)
}

func TestEmptyTransactionTakesNoConnection(t *testing.T) {
	db := open(t)
	require.NoError(t, db.Ping())
	picks := clusterOf(t, db).Stats().Nodes[0].Picks
	for range 5 {
		tx, err := db.BeginTx(context.Background(), &sql.TxOptions{Isolation: sql.LevelSerializable, ReadOnly: true})
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		tx, err = db.Begin()
		require.NoError(t, err)
		require.NoError(t, tx.Rollback())
	}
	require.Equal(t, picks, clusterOf(t, db).Stats().Nodes[0].Picks)
}

func TestTransactionOptions(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	for level, want := range map[sql.IsolationLevel]string{
		sql.LevelDefault: "read committed", sql.LevelReadUncommitted: "read uncommitted",
		sql.LevelReadCommitted: "read committed", sql.LevelRepeatableRead: "repeatable read",
		sql.LevelSnapshot: "repeatable read", sql.LevelSerializable: "serializable",
	} {
		for range 2 { // first with Parse in the same flush as BEGIN, then with the cached statement
			tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: level, ReadOnly: true})
			require.NoError(t, err)
			var got, ro string
			require.NoError(t, tx.QueryRow("select current_setting('transaction_isolation'), current_setting('transaction_read_only')").
				Scan(&got, &ro))
			require.Equal(t, []string{want, "on"}, []string{got, ro})
			require.NoError(t, tx.Commit())
		}
	}
	_, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable})
	require.ErrorContains(t, err, "serializable", "the error says what is known")
	checkIdle(t, db)
}

func TestFirstStatementFails(t *testing.T) {
	db := open(t)
	for _, bad := range []string{"selec 1", "select 1/0", "select * from nothing_here"} {
		tx, err := db.Begin()
		require.NoError(t, err)
		_, err = tx.Exec(bad)
		require.Error(t, err)
		_, err = tx.Exec("select 1")
		require.ErrorContains(t, err, "25P02", bad)
		require.ErrorIs(t, tx.Commit(), driver.ErrTxAborted, bad)
	}
	checkIdle(t, db)
}

// Several commands and Raw send the pending BEGIN by itself first.
func TestBeginAlone(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	_, err := db.Exec("drop table if exists alone cascade; create table alone (v int)")
	require.NoError(t, err)
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("insert into alone values (1); insert into alone values (2)")
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())

	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	tx, err = conn.BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(ctx)
		if err != nil {
			return err
		}
		_, err = pc.CopyFrom(ctx, pgx.Identifier{"alone"}, []string{"v"}, pgx.CopyFromRows([][]any{{7}, {8}}))
		return err
	}))
	var n int
	require.NoError(t, tx.QueryRow("select count(*) from alone").Scan(&n))
	require.Equal(t, 2, n)
	require.NoError(t, tx.Rollback())
	require.NoError(t, conn.QueryRowContext(ctx, "select count(*) from alone").Scan(&n))
	require.Zero(t, n)
	require.NoError(t, conn.Close())
}

func TestRawLikeStdlib(t *testing.T) {
	db := open(t)
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(dc any) error {
		pc := dc.(interface{ Conn() *pgx.Conn }).Conn()
		return pc.Ping(context.Background())
	}))
}

// A rollback after a cancelled context keeps the server connection.
func TestRollbackKeepsConnection(t *testing.T) {
	db := open(t, "max_conns_per_node=1", "min_idle=1")
	first := pid(t, db)
	for range 10 {
		ctx, cancel := context.WithCancel(context.Background())
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, "select 1")
		require.NoError(t, err)
		cancel()
		err = tx.Commit()
		require.Error(t, err)
		checkIdle(t, db)
	}
	require.Equal(t, first, pid(t, db))
}

func TestRawIsReset(t *testing.T) {
	db := open(t, "max_conns_per_node=1", "min_idle=1")
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(ctx)
		if err == nil {
			_, err = pc.Exec(ctx, "set statement_timeout = '44s'")
		}
		return err
	}))
	require.NoError(t, conn.Close())
	var got string
	require.NoError(t, db.QueryRow("select current_setting('statement_timeout')").Scan(&got))
	require.Equal(t, "0", got)
}

// Statements of the connection that a checkout changed behind the cache's back
// work again: DEALLOCATE ALL and DISCARD ALL, and a table whose columns change.
func TestStaleStatements(t *testing.T) {
	db := open(t, "max_conns_per_node=1", "min_idle=1")
	other := openPgx(t)
	_, err := db.Exec("drop table if exists stale cascade; create table stale (a int); insert into stale values (1)")
	require.NoError(t, err)
	read := func() []string { return readRows(t, db, "select * from stale") }
	read()
	for _, drop := range []string{"deallocate all", "discard all"} {
		_, err = db.Exec(drop)
		require.NoError(t, err)
		read()
	}
	_, err = other.Exec("alter table stale add b text default 'x'")
	require.NoError(t, err)
	require.Len(t, read(), 4, "0A000 'cached plan must not change result type' is healed")
	require.Zero(t, clusterOf(t, db).Leases())

	// As the first statement of a transaction too; later it is reported.
	_, err = other.Exec("alter table stale add c text default 'y'")
	require.NoError(t, err)
	tx, err := db.Begin()
	require.NoError(t, err)
	rows, err := tx.Query("select * from stale")
	require.NoError(t, err)
	names, err := rows.Columns()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c"}, names)
	require.NoError(t, rows.Close())
	_, err = other.Exec("insert into stale values (2)")
	require.NoError(t, err)
	require.NoError(t, tx.Commit())

	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(context.Background())
		if err == nil {
			_, err = pc.Exec(context.Background(), "deallocate all") // unseen by the cache
		}
		return err
	}))
	again, err := conn.QueryContext(context.Background(), "select * from stale")
	require.NoError(t, err, "26000 is healed")
	require.NoError(t, again.Close())
}

func TestStatementCacheEvicts(t *testing.T) {
	db := open(t, "statement_cache_capacity=5", "max_conns_per_node=1", "min_idle=1")
	for i := range 40 {
		var n int
		require.NoError(t, db.QueryRow(fmt.Sprintf("select %d + $1::int", i), 1).Scan(&n))
		require.Equal(t, i+1, n)
	}
	var n int
	require.NoError(t, db.QueryRow("select count(*) from pg_prepared_statements").Scan(&n))
	require.LessOrEqual(t, n, 7)
}

// A sql.Conn that loses its server connection after use doesn't move.
func TestLostSession(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "set statement_timeout = '10s'")
	require.NoError(t, err)
	_, err = openPgx(t).Exec("select pg_terminate_backend($1)", pid(t, conn))
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "select 1")
	require.Error(t, err)
	require.NotErrorIs(t, err, sqldriver.ErrBadConn)
	_, err = conn.ExecContext(ctx, "select 1")
	require.ErrorIs(t, err, driver.ErrSessionLost)
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
	_, err = conn.BeginTx(ctx, nil)
	require.ErrorIs(t, err, driver.ErrSessionLost)
	require.NoError(t, conn.Close())
	require.NoError(t, db.Ping())
	checkIdle(t, db)
}

// conn.Exec("BEGIN") must not let the next write go elsewhere, nor be retried.
func TestHandMadeTransaction(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "drop table if exists hand cascade; create table hand (v int)")
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "BEGIN")
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "insert into hand values (1)")
	require.NoError(t, err)
	_, err = openPgx(t).Exec("select pg_terminate_backend($1)", pid(t, conn))
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "insert into hand values (2)")
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "%v", err)
	require.NoError(t, conn.Close())
	// Left open, it is thrown away with its connection.
	_, err = db.Exec("begin")
	require.NoError(t, err)
	_, err = db.Exec("insert into hand values (3)")
	require.NoError(t, err)
	var n int
	require.NoError(t, db.QueryRow("select count(*) from hand").Scan(&n))
	require.Equal(t, 1, n)
	checkIdle(t, db)
}

type panicking struct{}

func (panicking) Value() (sqldriver.Value, error) { panic("valuer") }

func TestPanickingValuer(t *testing.T) {
	db := open(t, "max_conns_per_node=2")
	db.SetMaxOpenConns(2)
	for _, mode := range []string{"", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		if mode != "" {
			db = open(t, "default_query_exec_mode="+mode)
		}
		for range 3 {
			_, err := db.Exec("select $1::text", panicking{})
			require.ErrorContains(t, err, "valuer", mode)
			require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
			_, err = db.Query("select $1::text", panicking{})
			require.ErrorContains(t, err, "valuer", mode)
			stmt, err := db.Prepare("select $1::text")
			require.NoError(t, err)
			_, err = stmt.Query(panicking{})
			require.ErrorContains(t, err, "valuer", mode)
			require.NoError(t, stmt.Close())
			tx, err := db.Begin()
			require.NoError(t, err)
			_, err = tx.Exec("select $1::text", panicking{})
			require.ErrorContains(t, err, "valuer", mode)
			require.NoError(t, tx.Rollback())
		}
		checkIdle(t, db)
	}
}

func TestRunTxPanicRollsBack(t *testing.T) {
	db := open(t)
	require.PanicsWithValue(t, "closure", func() {
		_ = driver.RunTx(context.Background(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
			_, _ = tx.ExecContext(ctx, "select 1")
			panic("closure")
		})
	})
	checkIdle(t, db)
	boom := errors.New("business rule")
	runs := 0
	err := driver.RunTx(context.Background(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		_, err := tx.ExecContext(ctx, "select 1")
		require.NoError(t, err)
		return boom
	})
	require.ErrorIs(t, err, boom)
	require.Equal(t, 1, runs)
	checkIdle(t, db)
}

func TestRetry(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists retry cascade; create table retry (id int primary key, n int); insert into retry values (1, 0)")
	require.NoError(t, err)
	ctx := context.Background()
	attempts := 0
	err = driver.Retry(ctx, nil, func(ctx context.Context) error {
		attempts++
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead})
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var n int
		if err := tx.QueryRow("select n from retry").Scan(&n); err != nil {
			return err
		}
		if attempts == 1 { // somebody else is faster
			if _, err := db.Exec("update retry set n = n + 1"); err != nil {
				return err
			}
		}
		if _, err := tx.Exec("update retry set n = $1", n+10); err != nil {
			return fmt.Errorf("orm: %w", err)
		}
		return tx.Commit()
	})
	require.NoError(t, err)
	require.Equal(t, 2, attempts)
	var n int
	require.NoError(t, db.QueryRow("select n from retry").Scan(&n))
	require.Equal(t, 11, n)
}

func TestNoOpenRowsTwice(t *testing.T) {
	db := open(t)
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	defer conn.Close()
	rows, err := conn.QueryContext(context.Background(), "select generate_series(1, 3)")
	require.NoError(t, err)
	require.True(t, rows.Next())
	_, err = conn.ExecContext(context.Background(), "select 1")
	require.ErrorContains(t, err, "rows")
	require.NoError(t, rows.Close())
	_, err = conn.ExecContext(context.Background(), "select 1")
	require.NoError(t, err)
}

func TestNamedArgsAndOptions(t *testing.T) {
	db := open(t)
	var n int
	require.NoError(t, db.QueryRow("select @a::int + @b::int", pgx.NamedArgs{"a": 1, "b": 2}).Scan(&n))
	require.Equal(t, 3, n)
	require.NoError(t, db.QueryRow("select $1::int", pgx.QueryExecModeExec, 4).Scan(&n))
	require.Equal(t, 4, n)
	_, err := db.Exec("select $1::int")
	require.ErrorContains(t, err, "expected 1 arguments, got 0")
	_, err = db.Exec("select $1::int", 1, 2)
	require.ErrorContains(t, err, "expected 1 arguments, got 2")
	checkIdle(t, db)
}

func TestContextErrors(t *testing.T) {
	db := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := db.ExecContext(ctx, "select 1")
	require.ErrorIs(t, err, context.Canceled)
	ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = db.ExecContext(ctx, "select pg_sleep(60)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 20*time.Second)
	require.NoError(t, db.Ping())
	checkIdle(t, db)
	var down bool
	for _, n := range clusterOf(t, db).Stats().Nodes {
		down = down || !n.State.Serving()
	}
	require.False(t, down, "a caller's deadline is no fault of the node")
}

func TestClosedDB(t *testing.T) {
	checkGoroutines(t)
	db := open(t)
	c := clusterOf(t, db)
	rows, err := db.Query("select generate_series(1, 100000)")
	require.NoError(t, err)
	require.NoError(t, db.Close())
	_, err = db.Exec("select 1")
	require.ErrorContains(t, err, "closed")
	require.NoError(t, rows.Close())
	c.Close() // waits for the end of what Close of the DB left running
	require.Zero(t, c.Leases())
	for _, n := range c.Stats().Nodes {
		require.Zero(t, n.Sockets)
		require.Zero(t, n.InFlight)
	}
	_, err = driver.FromDB(openPgx(t))
	require.ErrorContains(t, err, "wasn't opened")
}

// TestIsolationLevels: what PostgreSQL doesn't know is refused before anything is
// sent.
func TestIsolationLevels(t *testing.T) {
	db := open(t)
	_, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelLinearizable})
	require.ErrorContains(t, err, "Linearizable isn't supported")
	require.ErrorContains(t, err, "serializable")
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
}
