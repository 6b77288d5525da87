package driver_test

import (
	"context"
	"database/sql"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// TestFenceInReadOnlyTransactions makes transactions read-only in every way in which
// a statement can, and runs in them what the driver must take for a write: none of
// them may fail because of a row that the fence can't write there.
func TestFenceInReadOnlyTransactions(t *testing.T) {
	dsn := sharedServer(t)
	truth := openPgx(t)
	for _, text := range []string{
		"drop schema if exists shut cascade", "create schema shut", "create table shut.t (id int primary key)",
		"create function shut.read() returns bigint language sql as 'select count(*) from shut.t'",
		"create function shut.close() returns void language sql as $$select set_config('transaction_read_only', 'on', true)$$",
	} {
		_, err := truth.Exec(text)
		require.NoError(t, err)
	}
	db := openDSN(t, withParams(dsn, installFence(t, dsn, "fences.shut")...))
	rows := func() int64 {
		status, err := clusterOf(t, db).FenceStatus(t.Context())
		require.NoError(t, err)
		return status.Rows
	}
	const read = "select shut.read()"
	for name, steps := range map[string][]string{
		"SET TRANSACTION":          {"set transaction read only", read},
		"after a read":             {read, "set transaction read only", read},
		"a setting":                {"set local transaction_read_only = on", read},
		"set_config":               {"select set_config('transaction_read_only', 'on', true)", read},
		"set_config at the end":    {read, "select set_config('transaction_read_only', 'on', true)"},
		"START TRANSACTION inside": {"start transaction read only", read},
		"several commands":         {"set transaction read only; " + read, read},
		"a temporary table":        {"create temporary table shut_own (id int) on commit drop", "set transaction read only", "insert into shut_own values (1)"},
	} {
		t.Run(name, func(t *testing.T) {
			before := rows()
			for _, ride := range []bool{false, true} {
				require.NoError(t, driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
					for i, step := range steps {
						ctx := ctx
						if ride && i == len(steps)-1 {
							ctx = driver.WithCommit(ctx)
						}
						if _, err := tx.ExecContext(ctx, step); err != nil {
							return err
						}
					}
					return nil
				}))
			}
			require.Equal(t, before, rows())
		})
	}
	t.Run("after a write", func(t *testing.T) {
		require.NoError(t, driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "insert into shut.t values (1)"); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "set transaction read only")
			return err
		}))
		var n int
		require.NoError(t, truth.QueryRow("select count(*) from shut.t where id = 1").Scan(&n))
		require.Equal(t, 1, n)
	})
	t.Run("the other way round", func(t *testing.T) {
		before := rows()
		require.NoError(t, driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
			for _, step := range []string{"set transaction read only", "set transaction read write", "insert into shut.t values (2)"} {
				if _, err := tx.ExecContext(ctx, step); err != nil {
					return err
				}
			}
			return nil
		}))
		require.Equal(t, before+1, rows(), "it is fenced")
	})
	t.Run("by a function", func(t *testing.T) {
		for _, ride := range []bool{false, true} {
			err := driver.RunTx(t.Context(), db, &driver.TxOptions{MaxAttempts: 1}, func(ctx context.Context, tx *sql.Tx) error {
				if ride {
					ctx = driver.WithCommit(ctx)
				}
				_, err := tx.ExecContext(ctx, "select shut.close()")
				return err
			})
			require.ErrorContains(t, err, `the commit fence's row can't be written to "fences"."shut"`)
			require.ErrorContains(t, err, "SET TRANSACTION READ ONLY")
			require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
		}
		_, err := db.Exec("select shut.close()")
		require.ErrorContains(t, err, `the commit fence's row can't be written to "fences"."shut"`)
		require.NoError(t, clusterOf(t, db).Ping(t.Context()))
	})
	checkIdle(t, db)
}

// TestFenceInReadOnlyTransactionOnSimulator is the same for one of them on the
// simulator, which has its own SHOW.
func TestFenceInReadOnlyTransactionOnSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true})
		db := openFenced(t, sim, true, 1, cluster.EventListener{})
		defer func() { require.NoError(t, db.Close()) }()
		for _, mode := range []string{"set transaction read only", "set transaction read write"} {
			before, err := clusterOf(t, db).FenceStatus(t.Context())
			require.NoError(t, err)
			require.NoError(t, driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
				if _, err := tx.ExecContext(ctx, mode); err != nil {
					return err
				}
				_, err := tx.ExecContext(driver.WithCommit(ctx), "select set_config('application_name', 'read', true)")
				return err
			}))
			after, err := clusterOf(t, db).FenceStatus(t.Context())
			require.NoError(t, err)
			rows := 0
			if mode == "set transaction read write" {
				rows = 1
			}
			require.EqualValues(t, rows, after.Rows-before.Rows, mode)
		}
	})
}

// TestFenceInReadOnlySessions does the same where the session's default is
// read-only.
func TestFenceInReadOnlySessions(t *testing.T) {
	dsn := sharedServer(t)
	_, err := openPgx(t).Exec("create or replace function public.shut_read() returns int language sql as 'select 1'")
	require.NoError(t, err)
	db := openDSN(t, withParams(dsn, installFence(t, dsn, "fences.shutsessions")...))
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	exec := func(ctx context.Context, text string) {
		t.Helper()
		_, err := conn.ExecContext(ctx, text)
		require.NoError(t, err, text)
	}
	inTx := func(read func(ctx context.Context, tx *sql.Tx) error) {
		t.Helper()
		require.NoError(t, driver.RunTx(t.Context(), conn, nil, read))
	}
	for _, on := range []string{"set default_transaction_read_only = on", "set session characteristics as transaction read only"} {
		exec(t.Context(), on)
		exec(t.Context(), "select shut_read()")
		inTx(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "select shut_read()")
			return err
		})
		inTx(func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(driver.WithCommit(ctx), "select shut_read()")
			return err
		})
		status, err := clusterOf(t, db).FenceStatus(t.Context())
		require.NoError(t, err)
		exec(t.Context(), "set default_transaction_read_only = off")
		exec(t.Context(), "select shut_read()")
		after, err := clusterOf(t, db).FenceStatus(t.Context())
		require.NoError(t, err)
		require.Equal(t, status.Rows+1, after.Rows, "the fence is back")
	}
}

// TestFenceOfReadOnlyRole uses a fence as a role whose transactions begin as
// read-only: they read without its row, and one that says READ WRITE is fenced.
func TestFenceOfReadOnlyRole(t *testing.T) {
	dsn := sharedServer(t)
	truth := openPgx(t)
	params := installFence(t, dsn, "fences.shutrole")
	for _, text := range []string{
		"drop role if exists shut_role", "create role shut_role login superuser",
		"alter role shut_role set default_transaction_read_only = on",
		"create or replace function public.shut_read() returns int language sql as 'select 1'",
		"drop table if exists shut_role_t", "create table shut_role_t (id int)",
	} {
		_, err := truth.Exec(text)
		require.NoError(t, err)
	}
	db := openDSN(t, strings.Replace(withParams(dsn, append(params, "fence_owner=postgres")...), "postgres@", "shut_role@", 1))
	_, err := db.Exec("select shut_read()")
	require.NoError(t, err)
	run := func(steps ...string) {
		t.Helper()
		require.NoError(t, driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
			for _, step := range steps {
				if _, err := tx.ExecContext(ctx, step); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	run("select shut_read()")
	count := func() (n int) {
		require.NoError(t, truth.QueryRow("select count(*) from fences.shutrole").Scan(&n))
		return n
	}
	require.Zero(t, count())
	run("set transaction read write", "insert into shut_role_t values (1)")
	require.Equal(t, 1, count())
	_, err = db.Exec("insert into shut_role_t values (2)")
	var op *driver.OpError
	require.ErrorAs(t, err, &op)
	require.Equal(t, []any{"25006", 1}, []any{op.SQLState, op.Attempts}, "the statement's own")
}
