package driver_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// A procedure, a block or a text of several commands may commit and then fail
// for a reason that is otherwise worth another attempt. It is never run again,
// however its text begins.
func TestWhatHasCommittedIsNotRunAgain(t *testing.T) {
	db, control := open(t), openPgx(t)
	_, err := db.Exec(`drop table if exists inner_once cascade; create table inner_once (v int);
		create or replace procedure commit_and_fail(code text) language plpgsql as $$ begin
			insert into inner_once values (1); commit; raise exception using errcode = code;
		end $$;
		create or replace procedure commit_and_garble() language plpgsql as $$ begin
			insert into inner_once values (1); commit; execute 'selec';
		end $$`)
	require.NoError(t, err)
	for _, text := range []string{
		"insert into inner_once values (1); commit; execute nosuch",
		"begin; insert into inner_once values (1); commit; execute nosuch",
		"insert into inner_once values (1); commit; insert into inner_once values (1, 2)",
		"call commit_and_fail('26000')",
		"call commit_and_fail('40001')",
		";call commit_and_fail('40001')",
		"/* a /* b */ c */ call commit_and_fail('40001')",
		"call commit_and_garble()",
		"; do $$ begin insert into inner_once values (1); commit; raise exception using errcode = '40001'; end $$",
	} {
		for _, again := range []bool{false, true} { // the second time with a cached statement
			_, err = control.Exec("truncate inner_once")
			require.NoError(t, err)
			_, err = db.Exec(text)
			require.Error(t, err, text)
			require.Equal(t, driver.CommitSent, driver.OutcomeOf(err), "%s, again %t: %v", text, again, err)
			require.False(t, driver.IsRetryable(err), text)
			var rows int
			require.NoError(t, control.QueryRow("select count(*) from inner_once").Scan(&rows))
			require.Equal(t, 1, rows, "%s, again %t", text, again)
		}
	}
	checkIdle(t, db)
}

// WithReadOnly is for what a text can't show. It doesn't make a read of one that
// shows a write, alone or in a transaction.
func TestReadOnlyHintOnWrites(t *testing.T) {
	ctx := driver.WithReadOnly(t.Context())
	db, proxy := proxied(t, "default_query_exec_mode=exec") // one exchange each
	_, err := db.Exec("drop table if exists hinted_write cascade; create table hinted_write (v int)")
	require.NoError(t, err)
	const write = "with w as (insert into hinted_write values (1) returning v) select v from w"
	for name, run := range map[string]func() error{
		"alone": func() error {
			proxy.lose()
			_, err := db.ExecContext(ctx, write)
			return err
		},
		"RunTx": func() error {
			return driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
				_, err := tx.ExecContext(ctx, write)
				proxy.lose()
				return err
			})
		},
	} {
		_, err = db.Exec("truncate hinted_write")
		require.NoError(t, err)
		require.Equal(t, driver.CommitSent, driver.OutcomeOf(run()), name)
		var rows int
		require.NoError(t, openPgx(t).QueryRow("select count(*) from hinted_write").Scan(&rows))
		require.Equal(t, 1, rows, name)
	}
}

// What a cursor's query writes is its transaction's: the outcome of a COMMIT
// without an answer is unknown, and the fence decides it.
func TestCursorThatWrites(t *testing.T) {
	for _, declare := range []string{
		"declare c cursor for select write_in_cursor()",
		"declare c cursor with hold for select write_in_cursor()",
	} {
		for _, fenced := range []bool{false, true} {
			var params []string
			if fenced {
				params = installFence(t, sharedServer(t), "anywriter_cursor.fence")
			}
			db, proxy := proxied(t, params...)
			_, err := db.Exec(`drop table if exists by_cursor cascade; create table by_cursor (v int);
				create or replace function write_in_cursor() returns int language sql as
				'insert into by_cursor values (1) returning v'`)
			require.NoError(t, err)
			tx, err := db.Begin()
			require.NoError(t, err)
			_, err = tx.Exec(declare)
			require.NoError(t, err)
			_, err = tx.Exec("move all from c")
			require.NoError(t, err)
			proxy.lose()
			err = tx.Commit()
			if fenced {
				require.NoError(t, err, declare)
			} else {
				require.Equal(t, driver.CommitSent, driver.OutcomeOf(err), "%s: %v", declare, err)
			}
			var rows int
			require.NoError(t, openPgx(t).QueryRow("select count(*) from by_cursor").Scan(&rows))
			require.Equal(t, 1, rows, declare)
		}
	}
}

// The server takes a BEGIN inside a transaction for a mistake without
// consequences, and the inner end for that of all. So it is refused before it is
// sent, and what was open goes on.
func TestBeginInsideHandMadeTransaction(t *testing.T) {
	ctx := t.Context()
	db := open(t)
	_, err := db.Exec("drop table if exists inside_begin cascade; create table inside_begin (v int)")
	require.NoError(t, err)
	for name, begin := range map[string]func(c *sql.Conn) error{
		"text": func(c *sql.Conn) error {
			_, err := c.ExecContext(ctx, "begin")
			return err
		},
		"raw": func(c *sql.Conn) error {
			return c.Raw(func(dc any) error {
				_, err := dc.(interface{ Conn() *pgx.Conn }).Conn().Exec(ctx, "begin")
				return err
			})
		},
	} {
		c, err := db.Conn(ctx)
		require.NoError(t, err)
		require.NoError(t, begin(c))
		_, err = c.ExecContext(ctx, "insert into inside_begin values (1)")
		require.NoError(t, err)
		_, err = c.BeginTx(ctx, nil)
		require.ErrorContains(t, err, "already open", name)
		require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
		err = driver.RunTx(ctx, c, nil, func(context.Context, *sql.Tx) error { return nil })
		require.ErrorContains(t, err, "already open", name)
		_, err = c.ExecContext(ctx, "commit")
		require.NoError(t, err)
		require.NoError(t, driver.RunTx(ctx, c, nil, func(context.Context, *sql.Tx) error { return nil }))
		require.NoError(t, c.Close())
	}
	var rows int
	require.NoError(t, db.QueryRow("select count(*) from inside_begin").Scan(&rows))
	require.Equal(t, 2, rows)
	checkIdle(t, db)
}

// What a closure writes after a ROLLBACK of its own is outside of the transaction,
// or in another one: nobody can vouch for it, and it isn't done again.
func TestWriteAfterRollbackAsText(t *testing.T) {
	db := open(t)
	_, err := db.Exec(`drop table if exists after_rollback cascade; create table after_rollback (v int);
		create or replace function conflict_here() returns int language plpgsql as
		$$ begin raise exception using errcode = '40001'; end $$`)
	require.NoError(t, err)
	for _, texts := range [][]string{
		{"rollback", "insert into after_rollback values (1)"},
		{"rollback and chain", "insert into after_rollback values (1)"},
		{"insert into after_rollback values (1)", "commit", "rollback"},
		{"insert into after_rollback values (1)", "prepare transaction 'after'", "rollback"},
	} {
		for _, then := range []string{"select 1", "select conflict_here()"} {
			_, _ = db.Exec("rollback prepared 'after'")
			_, err = db.Exec("truncate after_rollback")
			require.NoError(t, err)
			runs := 0
			err = driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
				runs++
				for _, text := range texts {
					if _, err := tx.ExecContext(ctx, text); err != nil {
						return err
					}
				}
				_, err := tx.ExecContext(ctx, then)
				return err
			})
			require.Equal(t, driver.CommitSent, driver.OutcomeOf(err), "%q, %s: %v", texts, then, err)
			require.ErrorIs(t, err, driver.ErrTxEnded)
			require.Equal(t, 1, runs, "%q, %s", texts, then)
		}
	}
	_, err = db.Exec("rollback prepared 'after'")
	require.NoError(t, err)
	checkIdle(t, db)
}
