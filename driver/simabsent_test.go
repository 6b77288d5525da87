package driver_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// TestAbsentOnSimulator holds what becomes of features that the simulator lacks:
// each is a definite abort with 0A000 that isn't retried, outside a transaction and
// inside.
func TestAbsentOnSimulator(t *testing.T) {
	sim := startSim(t, simnode.Config{InMemory: true})
	db := openSim(t, sim, true)
	defer func() { require.NoError(t, db.Close()) }()
	_, err := db.Exec("create table here (id int primary key)")
	require.NoError(t, err)
	check := func(what string, err error) {
		t.Helper()
		require.ErrorContains(t, err, "0A000", what)
		require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), what)
		require.False(t, driver.IsRetryable(err), what)
	}
	for _, query := range []string{
		"listen news", "notify news", "create temp table t (id int)", "select pg_advisory_lock(1)", "select array[1, 2]",
		"select '{1}'::int[]", "set transaction isolation level serializable", "begin isolation level serializable",
		"copy here to stdout", "select 1 from here a join here b on true", "create function f() returns int language sql as 'select 1'",
		"create materialized view v as select 1", "prepare transaction 'x'", "select '{}'::jsonb", "vacuum here",
	} {
		_, err := db.Exec(query)
		check(query, err)
		tx, err := db.Begin()
		require.NoError(t, err)
		_, err = tx.Exec(query)
		check("in a transaction: "+query, err)
		require.NoError(t, tx.Rollback())
	}
	_, err = db.Exec("copy here from stdin")
	require.ErrorContains(t, err, "CopyFrom")
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))

	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	err = conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(context.Background())
		if err != nil {
			return err
		}
		_, err = pc.CopyFrom(context.Background(), pgx.Identifier{"here"}, []string{"id"}, pgx.CopyFromRows([][]any{{1}}))
		return err
	})
	require.ErrorContains(t, err, "0A000")

	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelSerializable})
	require.NoError(t, err, "nothing is sent yet")
	_, err = tx.Exec("insert into here values (1)")
	check("serializable", err)
	require.NoError(t, tx.Rollback())
	var rows int
	require.NoError(t, db.QueryRow("select count(*) from here").Scan(&rows))
	require.Zero(t, rows)
}
