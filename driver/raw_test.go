package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// withPgx runs f on the pgx connection of a checkout.
func withPgx(t *testing.T, conn *sql.Conn, f func(pc *pgx.Conn) error) error {
	t.Helper()
	return conn.Raw(func(dc any) error {
		pc, err := dc.(driver.PgxConn).PgxConn(t.Context())
		if err != nil {
			return err
		}
		return f(pc)
	})
}

// bulk copies three rows and inserts two more in a batch.
func bulk(ctx context.Context, pc *pgx.Conn) error {
	n, err := pc.CopyFrom(ctx, pgx.Identifier{"bulk"}, []string{"id", "v"}, pgx.CopyFromRows([][]any{{1, "a"}, {2, "b"}, {3, "c"}}))
	if err != nil {
		return err
	}
	if n != 3 {
		return errors.New("CopyFrom miscounted")
	}
	var batch pgx.Batch
	batch.Queue("insert into bulk values ($1, $2)", 4, "d")
	batch.Queue("insert into bulk values ($1, $2)", 5, "e")
	var count int
	batch.Queue("select count(*) from bulk").QueryRow(func(row pgx.Row) error { return row.Scan(&count) })
	if err := pc.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	if count != 5 {
		return errors.New("the batch doesn't see its own rows")
	}
	return nil
}

// TestBulkThroughRaw uses CopyFrom and SendBatch outside a transaction, and as
// the first thing inside one, whose BEGIN is sent before.
func TestBulkThroughRaw(t *testing.T) {
	db := open(t)
	other := openPgx(t)
	_, err := db.Exec("drop table if exists bulk; create table bulk (id int primary key, v text)")
	require.NoError(t, err)
	rows := func() (n int) {
		require.NoError(t, other.QueryRow("select count(*) from bulk").Scan(&n))
		return n
	}
	ctx := t.Context()
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	defer conn.Close()
	work := func(pc *pgx.Conn) error { return bulk(ctx, pc) }

	require.NoError(t, withPgx(t, conn, work))
	require.Equal(t, 5, rows())
	_, err = other.Exec("delete from bulk")
	require.NoError(t, err)

	for _, commit := range []bool{false, true} {
		tx, err := conn.BeginTx(ctx, nil)
		require.NoError(t, err)
		require.NoError(t, withPgx(t, conn, work))
		require.Zero(t, rows(), "nothing is visible before the commit")
		_, err = tx.Exec("insert into bulk values (6, 'f')")
		require.NoError(t, err)
		if !commit {
			require.NoError(t, tx.Rollback())
			require.Zero(t, rows())
			continue
		}
		require.NoError(t, tx.Commit())
		require.Equal(t, 6, rows())
	}

	// What fails through Raw fails the transaction.
	tx, err := conn.BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.Exec("insert into bulk values (7, 'g')")
	require.NoError(t, err)
	require.ErrorContains(t, withPgx(t, conn, work), "23505")
	require.ErrorIs(t, tx.Commit(), driver.ErrTxAborted)
	require.Equal(t, 6, rows())
	require.NoError(t, conn.Close())
	checkIdle(t, db)
}
