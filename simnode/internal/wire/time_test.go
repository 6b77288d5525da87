package wire_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/session"
)

// bubble is a server on an in-memory listener in virtual time.
type bubble struct {
	*server
	fabric *fabric.Fabric
	node   fabric.Addr
}

// inBubble runs a test in virtual time, with everything joined at its end.
func inBubble(t *testing.T, o options, test func(t *testing.T, b *bubble)) {
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{server: newServer(t, o), fabric: fabric.New(fabric.Config{Seed: 1}), node: fabric.Addr{Kind: fabric.KindNode, ID: 1}}
		ln := b.fabric.Listen(b.node)
		done := make(chan error, 1)
		go func() { done <- b.Serve(context.Background(), ln, nil) }()
		test(t, b)
		require.NoError(t, ln.Close())
		b.CloseAll(false)
		require.NoError(t, <-done)
		b.fabric.Close()
	})
}

func (b *bubble) dial(t *testing.T) net.Conn {
	nc, err := b.fabric.Dial(context.Background(), fabric.Addr{Kind: fabric.KindClient, ID: 1}, b.node)
	require.NoError(t, err)
	return nc
}

func (b *bubble) connect(t *testing.T, query string) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig("postgres://postgres@node:1/postgres?sslmode=disable&" + query)
	require.NoError(t, err)
	cfg.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"node"}, nil }
	cfg.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return b.fabric.Dial(ctx, fabric.Addr{Kind: fabric.KindClient, ID: 1}, b.node)
	}
	conn, err := pgx.ConnectConfig(context.Background(), cfg)
	require.NoError(t, err)
	return conn
}

func TestStatementTimeout(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		for _, mode := range []string{"simple_protocol", "cache_statement"} {
			conn := b.connect(t, "statement_timeout=2000&default_query_exec_mode="+mode)
			start := time.Now()
			_, err := conn.Exec(t.Context(), "select pg_sleep(100)")
			e := requireCode(t, err, "57014")
			require.Equal(t, "canceling statement due to statement timeout", e.Message)
			require.Equal(t, 2*time.Second, time.Since(start))
			mustExec(t, conn, "select pg_sleep(1)")
			// Each command of a Query has a timeout of its own.
			_, err = conn.PgConn().Exec(t.Context(), "select pg_sleep(1.5); select pg_sleep(1.5)").ReadAll()
			require.NoError(t, err)
			mustExec(t, conn, "begin")
			mustExec(t, conn, "set local statement_timeout = 0")
			mustExec(t, conn, "select pg_sleep(5)")
			mustExec(t, conn, "commit")
			_, err = conn.Exec(t.Context(), "select pg_sleep(5)")
			requireCode(t, err, "57014")
			require.NoError(t, conn.Close(t.Context()))
		}
	})
}

func TestLockTimeout(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		holder, waiter := b.connect(t, ""), b.connect(t, "lock_timeout=300")
		mustExec(t, holder, "create table t (id int primary key)")
		mustExec(t, holder, "insert into t values (1)")
		mustExec(t, holder, "begin")
		mustExec(t, holder, "select id from t for update")
		start := time.Now()
		_, err := waiter.Exec(t.Context(), "delete from t")
		e := requireCode(t, err, "55P03")
		require.Equal(t, "canceling statement due to lock timeout", e.Message)
		require.Equal(t, 300*time.Millisecond, time.Since(start))
		// Time that is not spent waiting for a lock doesn't count.
		mustExec(t, waiter, "select pg_sleep(1)")
		require.NoError(t, holder.Close(t.Context()))
		mustExec(t, waiter, "delete from t")
		require.NoError(t, waiter.Close(t.Context()))
	})
}

func TestIdleTimeouts(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		for _, c := range []struct{ setting, begin, code, message string }{
			{"idle_session_timeout", "select 1", "57P05", "terminating connection due to idle-session timeout"},
			{"idle_in_transaction_session_timeout", "begin", "25P03", "terminating connection due to idle-in-transaction timeout"},
		} {
			conn := b.connect(t, c.setting+"=3000")
			mustExec(t, conn, c.begin)
			time.Sleep(2900 * time.Millisecond)
			mustExec(t, conn, "select pg_sleep(10)") // busy is not idle
			time.Sleep(2900 * time.Millisecond)
			mustExec(t, conn, "select 1")
			start := time.Now()
			e := requireCode(t, conn.PgConn().WaitForNotification(t.Context()), c.code)
			require.Equal(t, 3*time.Second, time.Since(start))
			require.Equal(t, c.message, e.Message)
			require.Equal(t, "FATAL", e.Severity)
			synctest.Wait()
			require.Empty(t, b.Conns())
		}
		conn := b.connect(t, "idle_in_transaction_session_timeout=3000")
		mustExec(t, conn, "select 1")
		time.Sleep(time.Hour)
		mustExec(t, conn, "select 1")
		require.NoError(t, conn.Close(t.Context()))
	})
}

func TestHandshakeTimeout(t *testing.T) {
	o, f := fakeOptions()
	_ = f
	scramOptions(&o)
	inBubble(t, o, func(t *testing.T, b *bubble) {
		for _, first := range [][]byte{nil, packet(version30, "user\x00alice\x00\x00")} {
			nc := b.dial(t)
			start := time.Now()
			_, err := nc.Write(first)
			require.NoError(t, err)
			answer := raw{nc, t}.rest()
			require.Contains(t, answer, "FATAL 57014 canceling authentication due to timeout")
			require.Equal(t, time.Minute, time.Since(start))
			require.NoError(t, nc.Close())
		}
	})
}

// TestVanishedClientInMemory: the end of an in-memory connection ends its
// statement, and the locks of its transaction.
func TestVanishedClientInMemory(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		conn := b.connect(t, "")
		mustExec(t, conn, "create table t (id int primary key)")
		mustExec(t, conn, "insert into t values (1)")
		nc := b.dial(t)
		_, err := nc.Write(append(packet(version30, startBody), frame('Q', "begin; delete from t; select pg_sleep(1000)\x00")...))
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, nc.Close())
		start := time.Now()
		mustExec(t, conn, "delete from t")
		require.Less(t, time.Since(start), time.Second)
		require.NoError(t, conn.Close(t.Context()))
	})
}

// TestCancelInMemory: a cancelled context becomes a cancel request of its own
// connection.
func TestCancelInMemory(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		conn := b.connect(t, "")
		pg := conn.PgConn()
		done := make(chan error, 1)
		go func() { done <- query(context.Background(), pg, "select pg_sleep(1000)") }()
		time.Sleep(time.Second)
		nc := b.dial(t)
		key := string([]byte{byte(pg.PID() >> 24), byte(pg.PID() >> 16), byte(pg.PID() >> 8), byte(pg.PID())}) + string(pg.SecretKey())
		_, err := nc.Write(packet(80877102, key))
		require.NoError(t, err)
		requireCode(t, <-done, "57014")
		require.NoError(t, nc.Close())
		// In a block the block fails, and the session lives on.
		mustExec(t, conn, "select 1")
		require.NoError(t, conn.Close(t.Context()))
	})
}

// TestDrainInMemory: a statement, a lock wait and an idle session end within the
// same instant; a client that reads nothing holds nobody up for long.
func TestDrainInMemory(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		idle, busy := b.connect(t, ""), b.connect(t, "")
		done := make(chan error, 1)
		go func() { done <- query(context.Background(), busy.PgConn(), "select pg_sleep(1000)") }()
		stuck := b.dial(t)
		_, err := stuck.Write(append(packet(version30, startBody),
			frame('Q', "select '"+strings.Repeat("x", 10_000)+"' from generate_series(1, 10000)\x00")...))
		require.NoError(t, err)
		time.Sleep(time.Second)
		start := time.Now()
		require.NoError(t, b.Drain(t.Context()))
		require.LessOrEqual(t, time.Since(start), 2*time.Second)
		requireCode(t, <-done, "57P01")
		requireCode(t, idle.PgConn().WaitForNotification(t.Context()), "57P01")
		require.NoError(t, stuck.Close())
	})
}

// TestNow: now() is the transaction's time, statement_timestamp() the statement's.
func TestNow(t *testing.T) {
	inBubble(t, options{session: session.Config{Version: "1.2.3"}}, func(t *testing.T, b *bubble) {
		conn := b.connect(t, "")
		require.Equal(t, "1.2.3", conn.PgConn().ParameterStatus("simnode.version"))
		mustExec(t, conn, "begin")
		begun := one[time.Time](t, conn, "select now()")
		time.Sleep(time.Minute)
		require.Equal(t, begun, one[time.Time](t, conn, "select now()"))
		require.Equal(t, time.Minute, one[time.Time](t, conn, "select statement_timestamp()").Sub(begun))
		mustExec(t, conn, "commit")
		require.Equal(t, time.Minute, one[time.Time](t, conn, "select now()").Sub(begun))
		require.NoError(t, conn.Close(t.Context()))
	})
}
