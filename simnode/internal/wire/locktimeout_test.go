package wire_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
)

// lockWaits are statements that wait for what another session has done in its open
// transaction. (A DROP TABLE that meets statements on the table's rows, which waits in
// PostgreSQL, is decided by certification here: one of the two gets 40001.)
var lockWaits = []struct {
	holder  string
	waiters []string
}{
	{"update t set n = 1 where id = 1", []string{
		"update t set n = 2 where id = 1", "delete from t", "select * from t for update", "update t set id = 7 where id = 1",
		"insert into t values (1, 5) on conflict (id) do update set n = 5", "truncate t",
	}},
	{"delete from t where id = 1", []string{
		"insert into t values (1, 5)", "insert into t values (1, 5) on conflict (id) do nothing",
	}},
	{"insert into t values (9, 9)", []string{
		"insert into t values (9, 1)", "insert into t values (9, 1) on conflict (id) do nothing",
		"insert into t values (9, 1) on conflict do nothing", "update t set id = 9 where id = 1",
		"insert into t (id) values (8), (9)",
	}},
	{"create schema made", []string{"create schema made", "create schema if not exists made"}},
	{"create table app.made (id int)", []string{"create table app.made (id int)", "drop schema app cascade"}},
	{"drop schema app", []string{"create table app.x (id int)", "drop schema app", "drop schema if exists app cascade"}},
	{"drop table t", []string{"drop table t", "drop table if exists t"}},
}

// lockTimeout is 40 ms, set in every way and unit.
var lockTimeout = []string{
	"set lock_timeout = 40; begin", "set lock_timeout = '40ms'; begin", "begin; set local lock_timeout = '0.04 s'",
	"begin; select set_config('lock_timeout', '40000us', true)", "begin; set lock_timeout to 40",
}

// playLockWaits runs each of them under a lock timeout, and wants the wait to end
// with 55P03.
func playLockWaits(t *testing.T, holder, waiter *pgx.Conn, check func(waited time.Duration, sql string)) {
	mustExec(t, holder, "create table t (id int primary key, n int)")
	mustExec(t, holder, "insert into t values (1, 0)")
	mustExec(t, holder, "create schema app")
	n := 0
	for _, c := range lockWaits {
		for _, sql := range c.waiters {
			mustExec(t, holder, "begin")
			mustExec(t, holder, c.holder)
			_, err := waiter.PgConn().Exec(t.Context(), lockTimeout[n%len(lockTimeout)]).ReadAll()
			n++
			require.NoError(t, err)
			start := time.Now()
			_, err = waiter.Exec(t.Context(), sql)
			check(time.Since(start), sql)
			require.Equal(t, "55P03", code(err), "%s: %v", sql, err)
			require.ErrorContains(t, err, "canceling statement due to lock timeout")
			mustExec(t, waiter, "rollback")
			mustExec(t, waiter, "reset lock_timeout")
			mustExec(t, holder, "rollback")
		}
	}
	require.NoError(t, waiter.Close(context.Background()))
	require.NoError(t, holder.Close(context.Background()))
}

func TestLockTimeoutOnEveryLock(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		playLockWaits(t, b.connect(t, ""), b.connect(t, ""), func(waited time.Duration, sql string) {
			require.Equal(t, 40*time.Millisecond, waited, sql)
		})
	})
}

// TestLockTimeoutOnPostgreSQL holds the list above to a real server.
func TestLockTimeoutOnPostgreSQL(t *testing.T) {
	pg := pgtest.Start(t, pgtest.Options{})
	var conns [2]*pgx.Conn
	for i := range conns {
		var err error
		conns[i], err = pgx.Connect(t.Context(), pg.DSN())
		require.NoError(t, err)
	}
	playLockWaits(t, conns[0], conns[1], func(waited time.Duration, sql string) {
		require.GreaterOrEqual(t, waited, 40*time.Millisecond, sql)
	})
}

// The shorter of the two timeouts ends the statement, each with its own error, and
// the lock timeout counts anew for each lock.
func TestLockTimeoutAndStatementTimeout(t *testing.T) {
	inBubble(t, options{}, func(t *testing.T, b *bubble) {
		holder, waiter := b.connect(t, ""), b.connect(t, "lock_timeout=1s&statement_timeout=700ms")
		mustExec(t, holder, "create table t (id int primary key)")
		mustExec(t, holder, "insert into t values (1), (2)")
		mustExec(t, holder, "begin")
		mustExec(t, holder, "select id from t for update")
		ends := func(code string, after time.Duration) {
			t.Helper()
			start := time.Now()
			_, err := waiter.Exec(t.Context(), "delete from t")
			requireCode(t, err, code)
			require.Equal(t, after, time.Since(start))
		}
		ends("57014", 700*time.Millisecond)
		mustExec(t, waiter, "set statement_timeout = '3s'")
		ends("55P03", time.Second)
		mustExec(t, waiter, "begin")
		mustExec(t, waiter, "set local lock_timeout = 400")
		ends("55P03", 400*time.Millisecond)
		mustExec(t, waiter, "rollback")
		ends("55P03", time.Second)
		mustExec(t, waiter, "begin")
		mustExec(t, waiter, "set lock_timeout = 1")
		mustExec(t, waiter, "rollback")
		ends("55P03", time.Second)
		mustExec(t, waiter, "begin")
		mustExec(t, waiter, "set lock_timeout = 30")
		mustExec(t, waiter, "commit")
		ends("55P03", 30*time.Millisecond)
		mustExec(t, waiter, "begin")
		mustExec(t, waiter, "savepoint a")
		mustExec(t, waiter, "set lock_timeout = 90")
		mustExec(t, waiter, "savepoint b")
		mustExec(t, waiter, "set local lock_timeout = 60")
		mustExec(t, waiter, "rollback to b")
		ends("55P03", 90*time.Millisecond)
		mustExec(t, waiter, "rollback to a")
		ends("55P03", 30*time.Millisecond)
		mustExec(t, waiter, "rollback")
		mustExec(t, waiter, "set lock_timeout = 0")
		ends("57014", 3*time.Second)
		require.NoError(t, holder.Close(t.Context()))
		require.NoError(t, waiter.Close(t.Context()))
	})
}
