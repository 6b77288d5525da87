package driver_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
)

// COPY … FROM STDIN makes the server wait for data that nobody sends: it is
// refused before it is sent, by every protocol and inside a transaction.
func TestCopyFromStdinIsRefused(t *testing.T) {
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		db := open(t, "default_query_exec_mode="+mode)
		_, err := db.Exec("drop table if exists copied cascade; create table copied (v int)")
		require.NoError(t, err)
		for _, text := range []string{"copy copied from stdin", "select 1; copy copied from stdin"} {
			_, err = db.Exec(text)
			require.ErrorContains(t, err, "CopyFrom", mode)
			require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
			_, err = db.Query(text)
			require.ErrorContains(t, err, "CopyFrom", mode)
			tx, err := db.Begin()
			require.NoError(t, err)
			_, err = tx.Exec(text)
			require.ErrorContains(t, err, "CopyFrom", mode)
			require.NoError(t, tx.Rollback())
		}
		checkIdle(t, db)
	}
}

// Somebody else changes the type of a column: the statement that was prepared
// for the old type fails once at most, and not for as long as its connection
// lives.
func TestParameterTypeChanges(t *testing.T) {
	db := open(t, "max_conns_per_node=1", "min_idle=1")
	other := openPgx(t)
	_, err := other.Exec("drop table if exists retyped cascade; create table retyped (v int)")
	require.NoError(t, err)
	insert := func(v any) error {
		_, err := db.Exec("insert into retyped values ($1)", v)
		return err
	}
	require.NoError(t, insert(1))
	_, err = other.Exec("alter table retyped alter v type text")
	require.NoError(t, err)
	_ = insert("word") // can't be an int
	require.NoError(t, insert("word"))
	_, err = other.Exec("alter table retyped alter v type int using length(v)")
	require.NoError(t, err)
	_ = insert(2)
	require.NoError(t, insert(2))
	_, err = other.Exec("drop table retyped; create table retyped (v bool)")
	require.NoError(t, err)
	_ = insert(true)
	require.NoError(t, insert(true))
}

// The server ends the session in the middle of a result: the rows report it,
// nothing is given out twice, and the node isn't blamed.
func TestFatalInTheMiddleOfRows(t *testing.T) {
	db := open(t)
	control := openPgx(t)
	for _, query := range []string{
		"select g, pg_backend_pid(), repeat('x', 1000) from generate_series(1, 100000) g",
		"select g, pg_backend_pid(), repeat('x', 1000) from generate_series(1, 100000) g where $1::int = 1",
	} {
		var args []any
		if strings.Contains(query, "$1") {
			args = []any{1}
		}
		rows, err := db.Query(query, args...)
		require.NoError(t, err)
		count, backend := 0, 0
		for rows.Next() {
			var g int
			require.NoError(t, rows.Scan(&g, &backend, new(sql.RawBytes)))
			if count++; count == 10 {
				terminate(t, control, backend)
			}
			require.Equal(t, count, g, "no row comes twice")
		}
		err = rows.Err()
		require.Error(t, err) // the farewell, or the end of the connection before it
		require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "it was a read")
		require.NoError(t, db.Ping())
	}
	checkIdle(t, db)
}

// One terminated session is no reason to leave a node alone.
func TestOneTerminatedSessionIsTheSessions(t *testing.T) {
	nodes, dsn := servers(t, 2)
	db := openDSN(t, dsn)
	for i := range nodes {
		waitState(t, db, i, health.Up)
	}
	ctx := driver.WithNode(context.Background(), nodes[0].Addr())
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	var backend int
	require.NoError(t, conn.QueryRowContext(ctx, "select pg_backend_pid()").Scan(&backend))
	control, err := sql.Open("pgx", nodes[0].DSN())
	require.NoError(t, err)
	defer control.Close()
	terminate(t, control, backend)
	_, err = conn.ExecContext(ctx, "select 1")
	require.Error(t, err)
	for range 50 {
		require.Equal(t, health.Up, clusterOf(t, db).Stats().Nodes[0].State)
		_, err = db.ExecContext(ctx, "select 1")
		require.NoError(t, err)
	}
	require.NoError(t, conn.Close())

	// A server that is shut down says so to everybody: it is drained or down.
	require.NoError(t, nodes[0].Stop())
	for range 50 {
		_, err = db.Exec("select 1")
		require.NoError(t, err)
	}
	waitState(t, db, 0, health.Draining, health.Down)
}

// A write in a transaction that its own caller made read-only fails at once,
// on one node.
func TestReadOnlyByChoice(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists chosen cascade; create table chosen (v int)")
	require.NoError(t, err)
	runs := 0
	opts := &driver.TxOptions{TxOptions: sql.TxOptions{ReadOnly: true}}
	err = driver.RunTx(context.Background(), db, opts, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		_, err := tx.ExecContext(ctx, "insert into chosen values (1)")
		return err
	})
	require.ErrorContains(t, err, "read-only")
	require.Equal(t, 1, runs)
	require.False(t, driver.IsRetryable(err))

	readOnly := open(t, "default_transaction_read_only=on")
	_, err = readOnly.Exec("insert into chosen values (1)")
	var op *driver.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, []any{"25006", 1, driver.DefinitelyAborted}, []any{op.SQLState, op.Attempts, op.Outcome})
	require.Equal(t, health.Up, clusterOf(t, readOnly).Stats().Nodes[0].State)
}

// A node that takes no writes leaves them to the others.
func TestReadOnlyNodeIsLeft(t *testing.T) {
	nodes, dsn := servers(t, 2)
	for _, s := range nodes {
		control, err := sql.Open("pgx", s.DSN())
		require.NoError(t, err)
		_, err = control.Exec("create table places (v int)")
		require.NoError(t, err)
		if s == nodes[0] {
			_, err = control.Exec("alter system set default_transaction_read_only = on")
			require.NoError(t, err)
			_, err = control.Exec("select pg_reload_conf()")
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				var on string
				return control.QueryRow("show default_transaction_read_only").Scan(&on) == nil && on == "on"
			}, 20*time.Second, time.Millisecond)
		}
		require.NoError(t, control.Close())
	}
	db := openDSN(t, dsn+"&balancer=round_robin")
	for i := range 40 {
		_, err := db.Exec("insert into places values ($1)", i)
		require.NoError(t, err)
	}
	control, err := sql.Open("pgx", nodes[1].DSN())
	require.NoError(t, err)
	defer control.Close()
	var n int
	require.NoError(t, control.QueryRow("select count(*) from places").Scan(&n))
	require.Equal(t, 40, n)
}

func TestUnknownHintedNodeIsNotSent(t *testing.T) {
	db := open(t)
	_, err := db.ExecContext(driver.WithNode(context.Background(), "nobody:1"), "select 1")
	require.ErrorContains(t, err, `"nobody:1"`)
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
}

// explosive is a context that panics when it is asked by the driver, and not by
// database/sql, while it is armed.
type explosive struct {
	context.Context
	armed *bool
}

func (e explosive) Done() <-chan struct{} {
	if *e.armed && bytes.Contains(debug.Stack(), []byte("pgconn")) {
		panic("context")
	}
	return e.Context.Done()
}

// Panics in code of the application come back as errors, or go on, or are logged
// (those of a listener), and leave neither a lease nor a handle behind: where database/sql doesn't guard itself
// (BeginTx, Commit, Ping, Query) a panic that gets through would.
func TestPanicsOfTheApplication(t *testing.T) {
	sharedServer(t)
	checkGoroutines(t)
	db := open(t, "max_conns_per_node=2")
	db.SetMaxOpenConns(2)
	var panicked *cluster.PanicError
	for range 4 {
		armed := false
		ctx, cancel := context.WithCancel(context.Background())
		tx, err := db.BeginTx(explosive{ctx, &armed}, nil)
		require.NoError(t, err)
		_, err = tx.Exec("select 1")
		require.NoError(t, err)
		armed = true
		err = tx.Commit()
		require.ErrorAs(t, err, &panicked)
		require.ErrorContains(t, err, "committing")
		_, err = db.QueryContext(explosive{ctx, &armed}, "select 1")
		require.ErrorAs(t, err, &panicked)
		_, err = db.ExecContext(explosive{ctx, &armed}, "select 1")
		require.ErrorAs(t, err, &panicked)
		cancel()
		checkIdle(t, db)
	}
	config, err := driver.ParseConfig(patient(sharedServer(t)))
	require.NoError(t, err)
	config.Events.Picked = func(string) { panic("listener") }
	listening := sql.OpenDB(driver.NewConnector(config))
	defer listening.Close()
	listening.SetMaxOpenConns(2)
	for range 4 {
		require.NoError(t, listening.Ping(), "a listener's panic is nobody else's")
		var one int
		require.NoError(t, listening.QueryRow("select 1").Scan(&one))
		_, err = listening.Exec("select 1")
		require.NoError(t, err)
		checkIdle(t, listening)
	}
	require.NoError(t, db.Close())
}

// The context may end while an operation waits for any of these; it comes back
// within the deadline, with the context's error, and nothing is left.
func TestContextEndsAtEveryWait(t *testing.T) {
	db := open(t, "max_conns_per_node=1", "min_idle=1", "acquire_timeout=1m")
	background := context.Background()
	_, err := db.Exec("drop table if exists awaited cascade; create table awaited (id int primary key); insert into awaited values (1)")
	require.NoError(t, err)
	holder, err := openPgx(t).Begin()
	require.NoError(t, err)
	_, err = holder.Exec("select * from awaited for update")
	require.NoError(t, err)
	busy := func(t *testing.T) { // takes the only connection
		conn, err := db.Conn(background)
		require.NoError(t, err)
		_, err = conn.ExecContext(background, "select 1")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, conn.Close()) })
	}
	for name, use := range map[string]func(t *testing.T, ctx context.Context) error{
		"a connection": func(t *testing.T, ctx context.Context) error {
			busy(t)
			_, err := db.ExecContext(ctx, "select 1")
			return err
		},
		"a connection, for a ping": func(t *testing.T, ctx context.Context) error {
			busy(t)
			return db.PingContext(ctx)
		},
		"an answer": func(t *testing.T, ctx context.Context) error {
			_, err := db.ExecContext(ctx, "delete from awaited where id = $1", 1)
			return err
		},
		"an answer by the simple protocol": func(t *testing.T, ctx context.Context) error {
			_, err := db.ExecContext(ctx, "select 1; delete from awaited")
			return err
		},
		"rows": func(t *testing.T, ctx context.Context) error {
			rows, err := db.QueryContext(ctx, "select g, pg_sleep(case when g > 500 then 30 else 0 end) from generate_series(1, 1000) g")
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
			}
			return rows.Err()
		},
		"the first statement of a transaction": func(t *testing.T, ctx context.Context) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			defer tx.Rollback()
			_, err = tx.ExecContext(ctx, "delete from awaited")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(background, 60*time.Millisecond)
			defer cancel()
			began := time.Now()
			err := use(t, ctx)
			require.Less(t, time.Since(began), 20*time.Second)
			require.ErrorIs(t, err, context.DeadlineExceeded, fmt.Sprint(err))
		})
		checkIdle(t, db)
	}
	require.NoError(t, holder.Rollback())

	// A conflict that never ends is tried again until the next wait would pass
	// the deadline, and then reported as what it is.
	_, err = db.Exec(`create or replace function always() returns trigger language plpgsql as
		$$ begin raise exception 'again' using errcode = '40001'; end $$;
		create trigger always before insert on awaited for each row execute function always()`)
	require.NoError(t, err)
	var op *driver.OpError
	for limit := 400 * time.Millisecond; limit < 20*time.Second; limit *= 2 {
		ctx, cancel := context.WithTimeout(background, limit)
		began := time.Now()
		_, err = db.ExecContext(ctx, "insert into awaited values (2)")
		cancel()
		require.Less(t, time.Since(began), 20*time.Second)
		var unknown *driver.OutcomeUnknownError
		if errors.As(err, &op) && op.Attempts > 2 && !errors.As(err, &unknown) {
			break
		}
		// On a slow machine the deadline may pass while an attempt is under way, and
		// is too short for several.
	}
	require.ErrorAs(t, err, &op)
	require.Equal(t, "40001", op.SQLState)
	require.Equal(t, driver.DefinitelyAborted, op.Outcome)
	require.Greater(t, op.Attempts, 2)
	var n int
	require.NoError(t, db.QueryRow("select count(*) from awaited").Scan(&n))
	require.Equal(t, health.Up, clusterOf(t, db).Stats().Nodes[0].State, "no deadline of a caller is a node's fault")
}
