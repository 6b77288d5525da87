package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// traceLog is a tracer that writes down the queries, prepares and connects that
// it is told of. Every end must be that of a start.
type traceLog struct {
	mu       sync.Mutex
	events   []string
	prepares int
	connects int
	open     int
}

type startKey struct{}

func (r *traceLog) TraceQueryStart(ctx context.Context, conn *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open++
	_ = conn.PgConn().PID() // must be there
	args := data.Args
	for len(args) > 0 {
		_, mode := args[0].(pgx.QueryExecMode)
		_, formats := args[0].(pgx.QueryResultFormatsByOID) // stdlib's own
		if !mode && !formats {
			break
		}
		args = args[1:]
	}
	return context.WithValue(ctx, startKey{}, fmt.Sprint(data.SQL, args))
}

func (r *traceLog) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryEndData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open--
	result := data.CommandTag.String()
	if data.Err != nil {
		result = "error"
	}
	r.events = append(r.events, fmt.Sprint(ctx.Value(startKey{}), " = ", result))
}

func (r *traceLog) TracePrepareStart(ctx context.Context, _ *pgx.Conn, _ pgx.TracePrepareStartData) context.Context {
	return ctx
}

func (r *traceLog) TracePrepareEnd(context.Context, *pgx.Conn, pgx.TracePrepareEndData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prepares++
}

func (r *traceLog) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

func (r *traceLog) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connects++
}

// take returns what was recorded, and forgets it. pgx's stdlib says "begin
// isolation level …" or "begin" as we do, and may prepare one text twice.
func (r *traceLog) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.events
	r.events = nil
	return out
}

// tracedWork is what both drivers do in TestTracers.
func tracedWork(t *testing.T, db *sql.DB) {
	t.Helper()
	ctx := context.Background()
	var n int
	_, err := db.Exec("create temp table traced (n int)")
	require.NoError(t, err)
	for range 2 { // the second time from the cache
		_, err = db.Exec("insert into traced values ($1), ($2)", 1, 2)
		require.NoError(t, err)
		require.NoError(t, db.QueryRow("select count(*) from traced where n = $1", 1).Scan(&n))
	}
	_, err = db.Exec("select 1; select 2, 3")
	require.NoError(t, err)
	_, err = db.Exec("select $1::int / 0", 1)
	require.Error(t, err)
	_, err = db.Exec("no such statement $1", 1)
	require.Error(t, err)
	tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	require.NoError(t, err)
	for range 2 {
		_, err = tx.Exec("update traced set n = n + $1", 1)
		require.NoError(t, err)
	}
	require.NoError(t, tx.Commit())
	tx, err = db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("delete from traced where n = $1", 2)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
}

// Tracers are told the same queries, arguments, tags and failures as by pgx's
// stdlib, in all modes.
func TestTracers(t *testing.T) {
	dsn := sharedServer(t)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		mine, theirs := &traceLog{}, &traceLog{}
		ours := openWith(t, withParams(dsn, "session_reset=off", "max_conns_per_node=1", "default_query_exec_mode="+mode),
			func(c *driver.Config) { c.Nodes[0].Conn.Tracer = mine })
		tracedWork(t, ours)
		config, err := pgx.ParseConfig(withParams(dsn, "default_query_exec_mode="+mode))
		require.NoError(t, err)
		config.Tracer = theirs
		control := stdlib.OpenDB(*config)
		control.SetMaxOpenConns(1)
		tracedWork(t, control)
		require.NoError(t, control.Close())
		want := theirs.take()
		require.Contains(t, strings.Join(want, "\n"), "update traced set n = n + $1[1] = UPDATE 4")
		require.Equal(t, want, mine.take(), mode)
		require.Zero(t, mine.open, "every start has an end")
		require.Positive(t, mine.connects)
		require.Equal(t, theirs.prepares > 0, mine.prepares > 0, mode)
	}
}

// COMMIT that travels with the last statement is told too, and so are BEGIN
// before Raw and the ROLLBACK after a failed transaction.
func TestTracersOfTransactions(t *testing.T) {
	rec := &traceLog{}
	db := openWith(t, sharedServer(t), func(c *driver.Config) { c.Nodes[0].Conn.Tracer = rec })
	ctx := context.Background()
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = tx.ExecContext(driver.WithCommit(ctx), "select 1")
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	require.Equal(t, []string{"begin[] = BEGIN", "commit[] = COMMIT", "select 1[] = SELECT 1"}, rec.take())

	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	tx, err = conn.BeginTx(ctx, nil)
	require.NoError(t, err)
	require.NoError(t, conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(ctx)
		if err == nil {
			_, err = pc.Exec(ctx, "select 2")
		}
		return err
	}))
	_, err = tx.Exec("select 1/0")
	require.Error(t, err)
	require.ErrorIs(t, tx.Commit(), driver.ErrTxAborted)
	require.NoError(t, conn.Close())
	require.Equal(t, []string{"begin[] = BEGIN", "select 2[] = SELECT 1", "select 1/0[] = error", "commit[] = error"}, rec.take())
	require.Zero(t, rec.open)
}

// Notices of statements reach OnNotice of the node's configuration, and
// notifications WaitForNotification of the connection that Raw gives.
func TestNoticesAndNotifications(t *testing.T) {
	var mu sync.Mutex
	var notices []string
	db := openWith(t, sharedServer(t), func(c *driver.Config) {
		c.Nodes[0].Conn.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
			mu.Lock()
			defer mu.Unlock()
			notices = append(notices, n.Message)
		}
	})
	_, err := db.Exec("do $$ begin raise notice 'hear %', 7; end $$")
	require.NoError(t, err)
	mu.Lock()
	require.Equal(t, []string{"hear 7"}, notices)
	mu.Unlock()

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(ctx)
		if err != nil {
			return err
		}
		if _, err = pc.Exec(ctx, "listen parity"); err != nil {
			return err
		}
		if _, err = db.Exec("select pg_notify('parity', 'news')"); err != nil { // on another connection
			return err
		}
		n, err := pc.WaitForNotification(ctx)
		if err == nil {
			require.Equal(t, "news", n.Payload)
		}
		return err
	}))
}

// SendBatch and large objects on the pinned connection are part of the
// sql.Tx around them.
func TestRawInTransaction(t *testing.T) {
	db := open(t)
	ctx := context.Background()
	_, err := db.Exec("drop table if exists raw_tx; create table raw_tx (n int)")
	require.NoError(t, err)
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()
	var object uint32
	for _, commit := range []bool{false, true} {
		tx, err := conn.BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, conn.Raw(func(dc any) error {
			pc, err := dc.(driver.PgxConn).PgxConn(ctx)
			if err != nil {
				return err
			}
			b := &pgx.Batch{}
			b.Queue("insert into raw_tx values ($1)", 1)
			b.Queue("insert into raw_tx values ($1)", 2)
			if err := pc.SendBatch(ctx, b).Close(); err != nil {
				return err
			}
			return pc.QueryRow(ctx, "select lo_from_bytea(0, $1)", []byte("large")).Scan(&object)
		}))
		var n int
		require.NoError(t, tx.QueryRow("select count(*) from raw_tx").Scan(&n))
		require.Equal(t, 2, n)
		if commit {
			require.NoError(t, tx.Commit())
		} else {
			require.NoError(t, tx.Rollback())
		}
		require.NoError(t, conn.QueryRowContext(ctx, "select count(*) from raw_tx").Scan(&n))
		require.Equal(t, map[bool]int{true: 2, false: 0}[commit], n)
		var objects int
		require.NoError(t, conn.QueryRowContext(ctx, "select count(*) from pg_largeobject_metadata where oid = $1", object).Scan(&objects))
		require.Equal(t, map[bool]int{true: 1, false: 0}[commit], objects)
	}
}
