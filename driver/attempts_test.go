package driver_test

import (
	"context"
	"database/sql"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// failing makes a table whose inserts fail with the given codes, one after the
// other, and then succeed.
func failing(t *testing.T, db *sql.DB, table string, codes ...string) {
	t.Helper()
	_, err := db.Exec(strings.NewReplacer("TABLE", table, "CODES", "'"+strings.Join(codes, "','")+"'").Replace(`
		drop table if exists TABLE cascade; create table TABLE (v int primary key);
		drop sequence if exists TABLE_count; create sequence TABLE_count;
		create or replace function TABLE_fail() returns trigger language plpgsql as $$
		declare
			codes text[] := array[CODES];
			i int := nextval('TABLE_count');
		begin
			if i <= cardinality(codes) then
				raise exception 'planned' using errcode = codes[i];
			end if;
			return new;
		end $$;
		create trigger fail before insert on TABLE for each row execute function TABLE_fail()`))
	require.NoError(t, err)
}

func repeated(code string, n int) []string {
	codes := make([]string, n)
	for i := range codes {
		codes[i] = code
	}
	return codes
}

// The error of a statement that was tried several times says what became of the
// attempts before the last.
func TestEarlierAttemptsOfStatement(t *testing.T) {
	db := open(t)
	failing(t, db, "chained", "40001", "40P01", "P0001")
	began := time.Now()
	_, err := db.Exec("insert into chained values (1)")
	var op *driver.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, []any{"P0001", 3, driver.DefinitelyAborted}, []any{op.SQLState, op.Attempts, op.Outcome})
	require.Len(t, op.Earlier, 2)
	for i, code := range []string{"40001", "40P01"} {
		a := op.Earlier[i]
		require.Equal(t, []any{i + 1, code, "Conflict", driver.DefinitelyAborted, shared.server.Addr()},
			[]any{a.Number, a.SQLState, a.Kind, a.Outcome, a.Node})
		require.False(t, a.Began.Before(began))
		require.Positive(t, a.Took)
		require.GreaterOrEqual(t, a.Wait, time.Duration(0))
		var pgErr *pgconn.PgError
		require.ErrorAs(t, a.Err, &pgErr)
		require.Equal(t, code, pgErr.Code)
		require.NotErrorIs(t, err, a.Err)
		require.NotErrorIs(t, err, pgErr)
	}
	require.False(t, op.Earlier[1].Began.Before(op.Earlier[0].Began.Add(op.Earlier[0].Took+op.Earlier[0].Wait)))

	db = open(t, "retry_max_attempts=12", "retry_cap=1ms", "retry_base=1ms")
	failing(t, db, "chained", repeated("40001", 40)...)
	_, err = db.Query("insert into chained values (1) returning v")
	require.ErrorAs(t, err, &op)
	require.Equal(t, 12, op.Attempts)
	var numbers []int
	for _, a := range op.Earlier {
		numbers = append(numbers, a.Number)
	}
	require.Equal(t, []int{1, 2, 6, 7, 8, 9, 10, 11}, numbers)
	checkIdle(t, db)
}

// A statement that has lost its only node says so, and what had come before.
func TestNoNodeAfterLostReply(t *testing.T) {
	dsn := sharedServer(t)
	proxy := startLoser(t, shared.server.Addr())
	config, err := driver.ParseConfig(strings.Replace(dsn, shared.server.Addr(), proxy.addr(), 1) + "&acquire_timeout=1s")
	require.NoError(t, err)
	config.Events.Retried = func(string, string) { _ = proxy.Close() }
	db := sql.OpenDB(driver.NewConnector(config))
	defer db.Close()
	var one int
	require.NoError(t, db.QueryRow("select 1").Scan(&one))
	proxy.lose()
	err = db.QueryRow("select 1").Scan(&one)
	var none *driver.NoNodeError
	require.ErrorAs(t, err, &none)
	require.Equal(t, 2, none.Attempts)
	require.Len(t, none.Earlier, 1)
	require.Equal(t, []any{"Connection", proxy.addr()}, []any{none.Earlier[0].Kind, none.Earlier[0].Node})
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
	var op *driver.OpError
	require.NotErrorIs(t, err, none.Earlier[0].Err)
	require.ErrorAs(t, none.Earlier[0].Err, &op)
	require.Empty(t, op.Earlier)
}

// The doubt about an attempt of an idempotent write stays in the final error,
// whose cause is the last attempt's.
func TestDoubtAboutEarlierAttempt(t *testing.T) {
	db, proxy := proxied(t)
	_, err := db.Exec("drop table if exists doubt cascade; create table doubt (id int primary key)")
	require.NoError(t, err)
	insert := "insert into doubt values ($1)"
	_, err = db.Exec(insert, 1)
	require.NoError(t, err)
	proxy.lose()
	_, err = db.ExecContext(driver.WithIdempotent(context.Background()), insert, 2)
	var unknown *driver.OutcomeUnknownError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, []any{2, "", proxy.addr()}, []any{unknown.Attempts, unknown.SQLState, unknown.Node})
	require.Len(t, unknown.Earlier, 1)
	require.Equal(t, driver.CommitSent, unknown.Earlier[0].Outcome)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "23505", pgErr.Code, "the last attempt found what the first had written")
	require.ErrorIs(t, unknown.Earlier[0].Err, io.ErrUnexpectedEOF)
	require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
	require.False(t, driver.IsRetryable(err))
}
