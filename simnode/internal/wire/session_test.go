package wire_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

func pgxConnect(t testing.TB, s *server, query string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.dsn(query))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func mustExec(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func one[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&v), sql)
	return v
}

func code(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// TestPgx runs pgx's ways of executing a query through the server.
func TestPgx(t *testing.T) {
	s := serve(t, options{})
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			conn := pgxConnect(t, s, "default_query_exec_mode="+mode)
			mustExec(t, conn, "create table t (id serial primary key, v text, n numeric(10,2), at timestamptz default now())")
			mustExec(t, conn, "insert into t (v, n) values ($1, $2)", "a", "1.50")
			mustExec(t, conn, "insert into t (v, n) values ($1, $2)", nil, 2)
			for range 3 {
				require.Equal(t, int64(2), one[int64](t, conn, "select count(*) from t where id > $1", 0))
			}
			require.Equal(t, "1.50", one[string](t, conn, "select n::text from t where v = $1", "a"))
			require.WithinDuration(t, time.Now(), one[time.Time](t, conn, "select at from t where id = $1", 1), time.Minute)
			batch := &pgx.Batch{}
			batch.Queue("insert into t (v) values ($1)", "b")
			batch.Queue("select count(*) from t")
			require.NoError(t, conn.SendBatch(t.Context(), batch).Close())
			require.NoError(t, pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				_, err := tx.Exec(t.Context(), "delete from t where id = $1", 1)
				return err
			}))
			require.Equal(t, int64(2), one[int64](t, conn, "select count(*) from t"))
			mustExec(t, conn, "drop table t")
		})
	}
}

func TestStdlib(t *testing.T) {
	s := serve(t, options{})
	db, err := sql.Open("pgx", s.dsn(""))
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.PingContext(t.Context()))
	_, err = db.ExecContext(t.Context(), "create table t (id int primary key)")
	require.NoError(t, err)
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "insert into t values (1)")
	require.Equal(t, "25006", code(err))
	require.NoError(t, tx.Rollback())
	_, err = db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	require.Equal(t, "0A000", code(err))
	res, err := db.ExecContext(t.Context(), "insert into t select n from generate_series($1::int, $2::int) as n", 1, 10)
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.Equal(t, int64(10), n)
}

// TestSnapshots: what a transaction sees of another's commits.
func TestSnapshots(t *testing.T) {
	s := serve(t, options{})
	a, b := pgxConnect(t, s, ""), pgxConnect(t, s, "")
	mustExec(t, a, "create table t (id int primary key, v int)")
	mustExec(t, a, "insert into t values (1, 1)")
	for _, c := range []struct {
		level string
		want  int
	}{{"read committed", 2}, {"repeatable read", 1}} {
		mustExec(t, a, "update t set v = 1")
		mustExec(t, b, "begin isolation level "+c.level)
		require.Equal(t, 1, one[int](t, b, "select v from t"))
		mustExec(t, a, "update t set v = 2")
		require.Equal(t, c.want, one[int](t, b, "select v from t"), c.level)
		mustExec(t, b, "commit")
	}
	// A transaction takes its snapshot at its first statement, not at BEGIN.
	mustExec(t, b, "begin isolation level repeatable read")
	mustExec(t, a, "update t set v = 3")
	require.Equal(t, 3, one[int](t, b, "select v from t"))
	mustExec(t, a, "update t set v = 4")
	_, err := b.Exec(t.Context(), "update t set v = 5")
	require.Equal(t, "40001", code(err))
	_, err = b.Exec(t.Context(), "select 1")
	require.Equal(t, "25P02", code(err))
	mustExec(t, b, "rollback")
}

// TestFailedBlockReleasesLocks: a failed block keeps nobody waiting, and one with
// a savepoint keeps only what came before it.
func TestFailedBlockReleasesLocks(t *testing.T) {
	s := serve(t, options{})
	a, b := pgxConnect(t, s, ""), pgxConnect(t, s, "lock_timeout=10s")
	mustExec(t, a, "create table t (id int primary key, v int)")
	mustExec(t, a, "insert into t values (1, 0), (2, 0)")
	mustExec(t, a, "begin")
	mustExec(t, a, "update t set v = 1 where id = 1")
	_, err := a.Exec(t.Context(), "select 1/0")
	require.Equal(t, "22012", code(err))
	mustExec(t, b, "update t set v = 9 where id = 1")
	mustExec(t, a, "rollback")

	mustExec(t, a, "begin")
	mustExec(t, a, "update t set v = 1 where id = 1")
	mustExec(t, a, "savepoint s")
	mustExec(t, a, "update t set v = 1 where id = 2")
	_, err = a.Exec(t.Context(), "select 1/0")
	require.Equal(t, "22012", code(err))
	mustExec(t, b, "update t set v = 9 where id = 2")
	mustExec(t, b, "set lock_timeout = '20ms'")
	_, err = b.Exec(t.Context(), "update t set v = 8 where id = 1")
	require.Equal(t, "55P03", code(err))
	mustExec(t, a, "rollback to s")
	mustExec(t, a, "commit")
	require.Equal(t, 1, one[int](t, b, "select v from t where id = 1"))
}

// TestCommitFailure: in a simple Query and in a block the error stands in place of
// the completion; in the extended protocol it follows at Sync.
func TestCommitFailure(t *testing.T) {
	s := serve(t, options{})
	conn := pgxConnect(t, s, "")
	mustExec(t, conn, "create table t (id int primary key)")
	conflict := sqlerr.New("40001", "could not serialize access due to concurrent update").WithDetail("no majority of votes")
	refuse := func() { s.node.set(func(n *soloNode) { n.refuse = conflict }) }

	refuse()
	results, err := conn.PgConn().Exec(t.Context(), "insert into t values (1)").ReadAll()
	e := requireCode(t, err, "40001")
	require.Equal(t, "no majority of votes", e.Detail)
	require.Empty(t, results, "no completion before the error")

	refuse()
	_, err = conn.Exec(t.Context(), "insert into t values ($1)", 1)
	requireCode(t, err, "40001")
	p := &player{nc: dial(t, s.addr())}
	p.start(t)
	refuse()
	require.Equal(t, "ParseComplete\nBindComplete\nCommandComplete INSERT 0 1\n"+
		"ErrorResponse ERROR 40001 could not serialize access due to concurrent update | detail: no majority of votes\nReadyForQuery I\n",
		p.play(t, "Parse - insert into t values (1)\nBind - - =>\nExecute - 0\nSync"))
	require.NoError(t, p.nc.Close())

	mustExec(t, conn, "begin")
	mustExec(t, conn, "insert into t values (1)")
	mustExec(t, conn, "set local application_name = 'x'")
	mustExec(t, conn, "set application_name = 'y'")
	refuse()
	_, err = conn.Exec(t.Context(), "commit")
	requireCode(t, err, "40001")
	require.Equal(t, byte('I'), conn.PgConn().TxStatus())
	require.Empty(t, one[string](t, conn, "show application_name"), "SET is undone by a commit that failed")
	require.Zero(t, one[int](t, conn, "select count(*) from t"))

	s.node.set(func(n *soloNode) { n.refuse = sqlerr.Fatal("08007", "transaction resolution unknown") })
	_, err = conn.Exec(t.Context(), "insert into t values (1)")
	requireCode(t, err, "08007")
	require.Error(t, conn.Ping(t.Context()), "FATAL ends the session")
}

// play sends the lines of a script and gives the answers.
func (p *player) play(t *testing.T, script string) string {
	t.Helper()
	ready := 0
	for line := range strings.SplitSeq(script, "\n") {
		m, err := parseMessage(line)
		require.NoError(t, err)
		if line == "Sync" || strings.HasPrefix(line, "Query") {
			ready++
		}
		p.fe.Send(m)
	}
	require.NoError(t, p.fe.Flush())
	return p.receive(nil, ready, "")
}

// TestStability: nothing leaves before its snapshot is stable, in any form of
// answer.
func TestStability(t *testing.T) {
	s := serve(t, options{})
	p := &player{nc: dial(t, s.addr())}
	p.start(t)
	p.play(t, "Query create table t (id int primary key); insert into t values (1), (2)")
	defer func() { require.NoError(t, p.nc.Close()) }()
	unstable := sqlerr.New("57P05", "not stable")
	s.node.set(func(n *soloNode) { n.stable = func() error { return unstable } })
	const refused = "ErrorResponse ERROR 57P05 not stable\nReadyForQuery I\n"
	for script, want := range map[string]string{
		"Query select id from t":                                   refused,
		"Query select id from t where id > 5":                      refused,
		"Query select id from t for update":                        refused,
		"Query insert into t values (1)":                           refused, // 23505 tells of the row
		"Query insert into t values (3) returning id":              refused,
		"Query update t set id = 9 where id = 77":                  refused, // UPDATE 0 tells of its absence
		"Query select * from missing":                              refused,
		"Parse - select id from t\nBind - - =>\nExecute - 0\nSync": "ParseComplete\nBindComplete\n" + refused,
		"Parse - select id from t\nBind - - =>\nExecute - 1\nSync": "ParseComplete\nBindComplete\n" + refused,
		// A write waits at its commit; one that is told before waits there.
		"Parse - insert into t values (4)\nBind - - =>\nExecute - 0\nFlush\nSync": "ParseComplete\nBindComplete\nCommandComplete INSERT 0 1\n" + refused,
		"Query insert into t values (5)":                                          "CommandComplete INSERT 0 1\nReadyForQuery I\n",
		"Query show timezone":                                                     "RowDescription \"TimeZone\":25/-1\nDataRow \"UTC\"\nCommandComplete SHOW\nReadyForQuery I\n",
	} {
		got := p.play(t, script)
		if want == refused {
			require.NotContains(t, got, "DataRow", script)
			got = strings.TrimPrefix(got, "RowDescription \"id\":23/4#1\n")
		}
		require.Equal(t, want, got, script)
	}
	s.node.set(func(n *soloNode) { n.stable, n.waited = nil, nil })
	p.play(t, "Query select id from t")
	s.node.set(func(n *soloNode) { require.Equal(t, []message.LSN{n.store.Applied()}, n.waited) })
}

// TestNotReady: without a lease no statement gets a snapshot, and the probe says so.
func TestNotReady(t *testing.T) {
	s := serve(t, options{})
	conn := pgxConnect(t, s, "")
	require.Equal(t, "on", one[string](t, conn, "show simnode.ready"))
	s.node.set(func(n *soloNode) { n.ready = sqlerr.New("57P03", "the node holds no read lease") })
	for _, text := range []string{"show simnode.ready", "show simnode.role", "select 1", "create table t (id int)"} {
		_, err := conn.Exec(t.Context(), text)
		requireCode(t, err, "57P03")
	}
	require.Equal(t, "1", conn.PgConn().ParameterStatus("simnode.node_id"))
	require.Equal(t, "cluster-under-test", conn.PgConn().ParameterStatus("simnode.cluster_id"))
	require.NoError(t, func() error { _, err := conn.Exec(t.Context(), "show timezone"); return err }())
}

// TestRole: a node says what it takes, in words that a driver's probe knows.
func TestRole(t *testing.T) {
	var readOnly atomic.Bool
	s := serve(t, options{session: session.Config{ReadOnly: readOnly.Load}})
	conn := pgxConnect(t, s, "")
	role := func() string { return one[string](t, conn, "show simnode.role") }
	require.Equal(t, "writer", role())
	readOnly.Store(true)
	require.Equal(t, "read-only", role())
	s.node.set(func(n *soloNode) { n.alone = true })
	require.Equal(t, "no majority", role())
	readOnly.Store(false)
	require.Equal(t, "no majority", role())
	s.node.set(func(n *soloNode) { n.alone = false })
	mustExec(t, conn, "set default_transaction_read_only = on")
	require.Equal(t, "writer, read-only by choice", role())
	_, err := conn.Exec(t.Context(), "set simnode.role = 'writer'")
	requireCode(t, err, "55P02")
}

// TestHooks: a reply is lost before or after the commit point.
func TestHooks(t *testing.T) {
	var before, after atomic.Bool
	s := serve(t, options{session: session.Config{Hooks: session.Hooks{
		BeforeCommitPoint: func(s session.Startup) bool { return before.Load() && s.PID != 0 },
		AfterCommitPoint:  func(s session.Startup, err error) bool { return after.Load() && err == nil },
	}}})
	watch := pgxConnect(t, s, "")
	mustExec(t, watch, "create table t (id int primary key)")
	for i, c := range []struct {
		flag *atomic.Bool
		rows int
	}{{&before, 0}, {&after, 1}} {
		for _, mode := range []string{"simple_protocol", "exec"} {
			conn := pgxConnect(t, s, "default_query_exec_mode="+mode)
			c.flag.Store(true)
			_, err := conn.Exec(t.Context(), "insert into t values ($1)", i)
			c.flag.Store(false)
			require.Error(t, err)
			require.Empty(t, code(err), "the connection is cut without a word: %v", err)
			require.Equal(t, c.rows, one[int](t, watch, "select count(*) from t"))
			mustExec(t, watch, "delete from t")
		}
	}
}

func TestReadOnlyNode(t *testing.T) {
	var readOnly atomic.Bool
	s := serve(t, options{session: session.Config{ReadOnly: readOnly.Load}})
	conn := pgxConnect(t, s, "")
	mustExec(t, conn, "create table t (id int)")
	readOnly.Store(true)
	_, err := conn.Exec(t.Context(), "insert into t values (1)")
	requireCode(t, err, "25006")
	_, err = conn.Exec(t.Context(), "begin read write")
	requireCode(t, err, "25006")
	mustExec(t, conn, "rollback")
	readOnly.Store(false)
	mustExec(t, conn, "insert into t values (1)")
}

func TestHeldRowsAreBounded(t *testing.T) {
	s := serve(t, options{session: session.Config{MaxBufferedBytes: 10_000}})
	conn := pgxConnect(t, s, "default_query_exec_mode=exec")
	mustExec(t, conn, "create table t (id int)")
	_, err := conn.Exec(t.Context(), "insert into t select n from generate_series(1, 1000) as n returning id")
	e := requireCode(t, err, "53400")
	require.Contains(t, e.Message, "10000 bytes")
	mustExec(t, conn, "insert into t select n from generate_series(1, 1000) as n")
	require.Equal(t, 1000, one[int](t, conn, "select count(*) from t"))
}

// TestCharacteristicsAfterSavepoint: a savepoint that is gone again does not pin
// the transaction's characteristics.
func TestCharacteristicsAfterSavepoint(t *testing.T) {
	s := serve(t, options{})
	a, b := pgxConnect(t, s, ""), pgxConnect(t, s, "")
	mustExec(t, a, "create table t (id int primary key)")
	mustExec(t, a, "begin read only")
	mustExec(t, a, "savepoint x")
	mustExec(t, a, "release x")
	mustExec(t, a, "set transaction read write")
	mustExec(t, a, "set transaction isolation level repeatable read")
	mustExec(t, a, "insert into t values (1)")
	mustExec(t, b, "insert into t values (2)")
	require.Equal(t, 1, one[int](t, a, "select count(*) from t"))
	mustExec(t, a, "commit")
	require.Equal(t, 2, one[int](t, a, "select count(*) from t"))
}

// TestDisconnectRollsBack: an open transaction ends with its connection.
func TestDisconnectRollsBack(t *testing.T) {
	s := serve(t, options{})
	a := pgxConnect(t, s, "")
	mustExec(t, a, "create table t (id int primary key)")
	b, err := pgx.Connect(t.Context(), s.dsn(""))
	require.NoError(t, err)
	mustExec(t, b, "begin")
	mustExec(t, b, "insert into t values (1)")
	require.NoError(t, b.Close(t.Context()))
	// Waits for b's lock, which its end releases.
	mustExec(t, a, "insert into t values (1)")
}

// TestStartupSettings: bad settings of the startup message refuse the connection.
func TestStartupSettings(t *testing.T) {
	s := serve(t, options{})
	for query, want := range map[string]string{
		"nonsense=1":             "42704",
		"statement_timeout=abc":  "22023",
		"client_encoding=latin1": "22023",
		"server_version=1":       "55P02",
	} {
		_, err := pgx.Connect(t.Context(), s.dsn(query))
		e := requireCode(t, err, want)
		require.Equal(t, "FATAL", e.Severity)
	}
	conn := pgxConnect(t, s, "timezone=Europe/Berlin&application_name=app&statement_timeout=5000&options=-c%20foo.bar%3D1")
	require.Equal(t, "Europe/Berlin", one[string](t, conn, "show timezone"))
	require.Equal(t, "5s", one[string](t, conn, "show statement_timeout"))
	require.Equal(t, "1", one[string](t, conn, "show foo.bar"))
	mustExec(t, conn, "set statement_timeout = 1000")
	mustExec(t, conn, "reset statement_timeout")
	require.Equal(t, "5s", one[string](t, conn, "show statement_timeout"))
	mustExec(t, conn, "discard all")
	require.Equal(t, "app", one[string](t, conn, "show application_name"))
	for name, want := range map[string]string{
		"server_version": "15.0 (anywriter simnode)", "server_encoding": "UTF8", "client_encoding": "UTF8",
		"DateStyle": "ISO, MDY", "IntervalStyle": "postgres", "TimeZone": "Europe/Berlin", "integer_datetimes": "on",
		"standard_conforming_strings": "on", "is_superuser": "on", "session_authorization": "postgres",
		"application_name": "app", "in_hot_standby": "off", "default_transaction_read_only": "off", "simnode.version": "dev",
	} {
		require.Equal(t, want, conn.PgConn().ParameterStatus(name), name)
	}
}

// TestSequences: currval is the session's own, nextval everybody's.
func TestSequences(t *testing.T) {
	s := serve(t, options{})
	a, b := pgxConnect(t, s, ""), pgxConnect(t, s, "")
	mustExec(t, a, "create table t (id serial primary key, v text)")
	_, err := a.Exec(t.Context(), "select currval('t_id_seq')")
	require.Equal(t, "55000", code(err))
	require.Equal(t, 1, one[int](t, a, "insert into t (v) values ('a') returning id"))
	require.Equal(t, 2, one[int](t, b, "insert into t (v) values ('b') returning id"))
	require.Equal(t, 1, one[int](t, a, "select currval('t_id_seq')"))
	require.Equal(t, 3, one[int](t, a, `select nextval('"public"."t_id_seq"')`))
	require.Equal(t, 3, one[int](t, a, "select lastval()"))
	require.Equal(t, 50, one[int](t, a, "select setval('public.T_id_seq', 50)"))
	require.Equal(t, 51, one[int](t, b, "insert into t (v) values ('c') returning id"))
	for name, want := range map[string]string{"a.b.c": "0A000", `"x`: "42602", "missing": "42P01", "t": "42809"} {
		_, err := a.Exec(t.Context(), "select nextval($1)", name)
		require.Equal(t, want, code(err), name)
	}
	mustExec(t, a, "begin read only")
	_, err = a.Exec(t.Context(), "select nextval('t_id_seq')")
	e := requireCode(t, err, "25006")
	require.Equal(t, "cannot execute nextval() in a read-only transaction", e.Message)
	mustExec(t, a, "rollback")
	mustExec(t, a, "discard sequences")
	_, err = a.Exec(t.Context(), "select lastval()")
	require.Equal(t, "55000", code(err))
}
