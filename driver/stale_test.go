package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// staleCase is a change of a table behind the statement cache's back, and a
// statement that was prepared before it.
type staleCase struct {
	name   string
	change string // done on another connection
	sql    string
	before any // argument before the change; nil: none
	after  any // and after it
}

var staleCases = []staleCase{
	{name: "type of an inserted column", change: "alter table stale_heal alter a type text", sql: "insert into stale_heal (a) values ($1)", before: 1, after: "x"},
	{name: "type of a compared column", change: "alter table stale_heal alter a type text", sql: "select a from stale_heal where a = $1", before: 1, after: "x"},
	{name: "type that Go's value no longer fits", change: "alter table stale_heal alter a type timestamptz using now()", sql: "select a::text from stale_heal where a < $1", before: 1, after: "2024-01-01"},
	{name: "array instead of a number", change: "alter table stale_heal alter a type int[] using array[a]", sql: "insert into stale_heal (a) values ($1)", before: 1, after: []int32{1, 2}},
	{name: "another column", change: "alter table stale_heal add c int", sql: "select * from stale_heal", before: nil, after: nil},
	{name: "a column less", change: "alter table stale_heal drop b", sql: "select * from stale_heal where a = $1", before: 1, after: 1},
	{name: "type of a result", change: "alter table stale_heal alter a type numeric", sql: "select a from stale_heal", before: nil, after: nil},
	{name: "another table of the name", change: "drop table stale_heal; create table stale_heal (a uuid, z bool)", sql: "select * from stale_heal where a = $1", before: 1, after: "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
}

func arguments(arg any) []any {
	if arg == nil {
		return nil
	}
	return []any{arg}
}

// A change of tables elsewhere makes cached descriptions and plans stale, with
// parameters of other types too. Outside transactions, and as the first
// statement of one, nobody notices; later the error comes out once, and the
// statement works afterwards.
func TestStaleStatementsHeal(t *testing.T) {
	ctx := context.Background()
	other := openPgx(t)
	for _, mode := range []string{"cache_statement", "cache_describe"} {
		for _, c := range staleCases {
			name := fmt.Sprintf("%s, %s", mode, c.name)
			setUp := func() *sql.DB {
				_, err := other.Exec("drop table if exists stale_heal; create table stale_heal (a int, b text); insert into stale_heal values (1, 'b')")
				require.NoError(t, err)
				db := open(t, "default_query_exec_mode="+mode, "max_conns_per_node=1", "min_idle=1", "acquire_timeout=10s")
				for range 2 {
					readRows(t, db, c.sql, arguments(c.before)...)
				}
				_, err = other.Exec(c.change)
				require.NoError(t, err)
				return db
			}
			db := setUp()
			got := readRows(t, db, c.sql, arguments(c.after)...)
			require.Equal(t, readRows(t, openPgx(t), c.sql, arguments(c.after)...), got, name)

			db = setUp()
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			rows, err := tx.Query(c.sql, arguments(c.after)...)
			require.NoError(t, err, name)
			require.NoError(t, rows.Close(), name)
			require.NoError(t, tx.Commit(), name)

			db = setUp()
			tx, err = db.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, err = tx.Exec("select 1")
			require.NoError(t, err)
			if rows, err := tx.Query(c.sql, arguments(c.after)...); err == nil { // some changes harm nobody
				require.NoError(t, rows.Close(), name)
				require.NoError(t, tx.Commit(), name)
			} else {
				require.NoError(t, tx.Rollback(), name)
			}
			readRows(t, db, c.sql, arguments(c.after)...)
		}
	}
}

// An error that isn't about types is reported after one more try, which leaves
// nothing behind, and a procedure that commits inside isn't called again.
func TestStaleRetryIsHarmless(t *testing.T) {
	db := open(t, "max_conns_per_node=1", "min_idle=1", "acquire_timeout=10s")
	_, err := db.Exec(`drop table if exists stale_count; create table stale_count (n int);
		create or replace procedure stale_commits(bad bool) language plpgsql as $$
		begin insert into stale_count values (1); commit;
		if bad then raise exception using errcode = '42804'; end if; end $$;
		create or replace function stale_fails(bad bool) returns int language plpgsql as $$
		begin insert into stale_count values (2);
		if bad then raise exception using errcode = '42804'; end if; return 1; end $$`)
	require.NoError(t, err)
	for _, text := range []string{"call stale_commits($1)", "select stale_fails($1)"} {
		_, err = db.Exec(text, false)
		require.NoError(t, err)
		_, err = db.Exec(text, true)
		require.ErrorContains(t, err, "42804", text)
	}
	counts := map[int]int{}
	rows, err := db.Query("select n, count(*) from stale_count group by n")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var n, count int
		require.NoError(t, rows.Scan(&n, &count))
		counts[n] = count
	}
	require.Equal(t, map[int]int{1: 2, 2: 1}, counts)
}
