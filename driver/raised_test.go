package driver_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// TestRaisedConnectionError holds that an error of class 08 which a function raises,
// as foreign servers do whose own connection fails, is the statement's own inside a
// transaction, and of unknown outcome where it meets a commit: nothing of it is left
// here, but that isn't known of a foreign server. The node isn't suspected.
func TestRaisedConnectionError(t *testing.T) {
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			db := open(t, "default_query_exec_mode="+mode)
			for _, text := range []string{
				"drop table if exists raised cascade", "create table raised (v int)",
				`create or replace function raise08() returns trigger language plpgsql as $$ begin
					raise exception 'a foreign server is gone' using errcode = tg_argv[0]; end $$`,
				"create trigger now before insert on raised for each row when (new.v < 2) execute function raise08('08006')",
				"create constraint trigger late after insert on raised deferrable initially deferred for each row when (new.v = 2) execute function raise08('08003')",
			} {
				_, err := db.Exec(text)
				require.NoError(t, err)
			}
			insert := func(v int) error {
				_, err := db.Exec("insert into raised values ($1)", v)
				return err
			}
			inTx := func() error {
				tx, err := db.Begin()
				require.NoError(t, err)
				defer tx.Rollback()
				_, err = tx.Exec("insert into raised values (1)")
				return err
			}
			late := func() error {
				tx, err := db.Begin()
				require.NoError(t, err)
				defer tx.Rollback()
				_, err = tx.Exec("insert into raised values (2)")
				require.NoError(t, err)
				return tx.Commit()
			}
			for range 20 { // many times what opens a breaker
				var op *driver.OpError
				err := inTx()
				require.ErrorAs(t, err, &op)
				require.Equal(t, []any{"08006", driver.DefinitelyAborted, 1}, []any{op.SQLState, op.Outcome, op.Attempts})
				require.False(t, driver.IsRetryable(err))
				for state, err := range map[string]error{"08006": insert(1), "08003": insert(2), "08003 at COMMIT": late()} {
					var unknown *driver.OutcomeUnknownError
					require.ErrorAs(t, err, &unknown, state)
					require.Equal(t, []any{state[:5], 1}, []any{unknown.SQLState, unknown.Attempts})
					require.False(t, driver.IsRetryable(err))
				}
			}
			require.NoError(t, insert(3))
			var rows int
			require.NoError(t, db.QueryRow("select count(*) from raised").Scan(&rows))
			require.Equal(t, 1, rows)
			checkIdle(t, db)
		})
	}
}

// TestForeignCommitLost loses the answer to the COMMIT of a foreign server, which
// postgres_fdw sends before the local one: the row is there, so nobody may say that the
// work is undone, the commit fence included, which knows of the local part alone.
func TestForeignCommitLost(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	if control(t, server, "select count(*) from pg_available_extensions where name = 'postgres_fdw'") == "0" {
		t.Skip("this PostgreSQL comes without postgres_fdw")
	}
	proxy := startProxy(t, server.Addr())
	_, port, _ := strings.Cut(proxy.Addr().String(), ":")
	for _, text := range []string{
		"create table target (id int)", "create extension postgres_fdw",
		fmt.Sprintf("create server far foreign data wrapper postgres_fdw options (host '127.0.0.1', port '%s', dbname 'postgres')", port),
		"create user mapping for postgres server far options (user 'postgres')",
		"create foreign table away (id int) server far options (table_name 'target')",
	} {
		control(t, server, text)
	}
	id := 0
	for name, params := range map[string][]string{"plain": nil, "fence": installFence(t, server.DSN(), "fences.far")} {
		db := openDSN(t, withParams(server.DSN(), params...))
		inTx := func(last func(context.Context) context.Context) func(string) error {
			return func(text string) error {
				return driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
					_, err := tx.ExecContext(last(ctx), text)
					return err
				})
			}
		}
		for way, run := range map[string]func(string) error{
			"autocommit": func(text string) error { _, err := db.Exec(text); return err },
			"RunTx":      inTx(func(ctx context.Context) context.Context { return ctx }),
			"WithCommit": inTx(driver.WithCommit),
		} {
			t.Run(name+"/"+way, func(t *testing.T) {
				id++
				armed := proxy.MustAdd(faultproxy.Rule{
					Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.CutReply,
					Match: func(m faultproxy.Message) bool { return bytes.Contains(m.Body(), []byte("COMMIT TRANSACTION")) },
				})
				err := run(fmt.Sprintf("insert into away values (%d)", id))
				require.Equal(t, 1, armed.Fired())
				armed.Remove()
				require.Equal(t, "1", control(t, server, fmt.Sprintf("select count(*) from target where id = %d", id)))
				require.Equal(t, driver.CommitSent, driver.OutcomeOf(err), "%v", err)
				var unknown *driver.OutcomeUnknownError
				require.ErrorAs(t, err, &unknown)
				require.Equal(t, []any{"08006", 1}, []any{unknown.SQLState, unknown.Attempts})
				checkIdle(t, db)
			})
		}
	}
}
