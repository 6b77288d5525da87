package driver_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// syncs counts the round trips that f makes: each ends with Sync, or is a simple
// Query.
func syncs(t *testing.T, proxy *faultproxy.Proxy, f func()) int64 {
	t.Helper()
	count := func() int64 {
		return proxy.Messages(faultproxy.ToServer, 'S') + proxy.Messages(faultproxy.ToServer, 'Q')
	}
	before := count()
	f()
	return count() - before
}

// TestRoundTrips counts what a transaction of k statements costs.
func TestRoundTrips(t *testing.T) {
	dsn := sharedServer(t)
	_, err := openPgx(t).Exec("drop table if exists trips cascade; create table trips (n int); insert into trips values (0)")
	require.NoError(t, err)
	quiet := []string{"probe_interval=1m", "min_idle=1", "max_conns_per_node=1"}
	plain, plainProxy := throughProxy(t, dsn, shared.server.Addr(), quiet...)
	fenced, fencedProxy := throughProxy(t, dsn, shared.server.Addr(), append(installFence(t, dsn, "fences.trips"), quiet...)...)
	control, err := faultproxy.TCP(shared.server.Addr())
	require.NoError(t, err)
	controlProxy, err := faultproxy.Start(control)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, controlProxy.Close()) })
	std, err := sql.Open("pgx", strings.Replace(dsn, shared.server.Addr(), controlProxy.Addr().String(), 1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, std.Close()) })
	std.SetMaxOpenConns(1)

	const update = "update trips set n = n + $1"
	tx := func(db *sql.DB, statements int, last func(context.Context) context.Context) {
		tx, err := db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		for i := range statements {
			ctx := t.Context()
			if i == statements-1 {
				ctx = last(ctx)
			}
			_, err = tx.ExecContext(ctx, update, 1)
			require.NoError(t, err)
		}
		require.NoError(t, tx.Commit())
	}
	same := func(ctx context.Context) context.Context { return ctx }
	for _, c := range []struct {
		name  string
		db    *sql.DB
		proxy *faultproxy.Proxy
		last  func(context.Context) context.Context
		want  []int64 // by the number of statements
	}{
		{"pgx stdlib", std, controlProxy, same, []int64{2, 3, 4, 7}},
		{"anywriter", plain, plainProxy, same, []int64{0, 2, 3, 6}},
		{"anywriter, fenced", fenced, fencedProxy, same, []int64{0, 2, 3, 6}},
		{"anywriter, WithCommit", plain, plainProxy, driver.WithCommit, []int64{0, 1, 2, 5}},
		{"anywriter, fenced, WithCommit", fenced, fencedProxy, driver.WithCommit, []int64{0, 1, 2, 5}},
	} {
		for range 2 { // the statement is prepared, and pgx has pinged
			tx(c.db, 1, same)
		}
		for i, statements := range []int{0, 1, 2, 5} {
			require.Equal(t, c.want[i], syncs(t, c.proxy, func() { tx(c.db, statements, c.last) }), "%s, %d statements", c.name, statements)
		}
	}
	for _, c := range []struct {
		db    *sql.DB
		proxy *faultproxy.Proxy
	}{{plain, plainProxy}, {fenced, fencedProxy}} {
		_, err := c.db.Exec(update, 1)
		require.NoError(t, err)
		require.EqualValues(t, 1, syncs(t, c.proxy, func() {
			_, err = c.db.Exec(update, 1)
			require.NoError(t, err)
		}), "an autocommit write")
	}
}

// TestWithCommit tries what an application may do with the hint.
func TestWithCommit(t *testing.T) {
	for name, params := range map[string][]string{"plain": nil, "fenced": installFence(t, sharedServer(t), "fences.ride")} {
		t.Run(name, func(t *testing.T) { testWithCommit(t, open(t, params...)) })
	}
}

func testWithCommit(t *testing.T, db *sql.DB) {
	_, err := db.Exec("drop table if exists ride cascade; create table ride (id int primary key, other int unique deferrable initially deferred)")
	require.NoError(t, err)
	ctx := driver.WithCommit(t.Context())
	begin := func() *sql.Tx {
		tx, err := db.Begin()
		require.NoError(t, err)
		return tx
	}
	rows := func() (n int) {
		require.NoError(t, db.QueryRow("select count(*) from ride").Scan(&n))
		return n
	}

	// Exec, and nothing may follow.
	tx := begin()
	res, err := tx.ExecContext(ctx, "insert into ride values (1, 1)")
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.Equal(t, 1, rows())
	_, err = tx.Exec("insert into ride values (2, 2)")
	require.ErrorContains(t, err, "WithCommit")
	require.NoError(t, tx.Commit())

	// Rows.
	tx = begin()
	var id int
	require.NoError(t, tx.QueryRowContext(ctx, "insert into ride values (2, 2) returning id").Scan(&id))
	require.Equal(t, 2, id)
	require.NoError(t, tx.Commit())

	// The rows are left unread when Commit is called.
	tx = begin()
	open, err := tx.QueryContext(ctx, "insert into ride values (3, 3), (4, 4) returning id")
	require.NoError(t, err)
	require.True(t, open.Next())
	require.NoError(t, open.Close())
	require.NoError(t, tx.Commit())
	require.Equal(t, 4, rows())

	// The statement fails: the server skips the COMMIT.
	tx = begin()
	_, err = tx.Exec("insert into ride values (5, 5)")
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "insert into ride values (1, 6)")
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "%v", err)
	require.ErrorIs(t, tx.Commit(), driver.ErrTxAborted)
	require.Equal(t, 4, rows())

	// The COMMIT fails.
	tx = begin()
	_, err = tx.ExecContext(ctx, "insert into ride values (6, 1)")
	require.NoError(t, err, "the statement itself is fine")
	err = tx.Commit()
	require.ErrorContains(t, err, "23505")
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
	tx = begin()
	_, err = tx.ExecContext(ctx, "insert into ride values (6, 1)")
	require.NoError(t, err)
	require.NoError(t, tx.Rollback())
	require.Equal(t, 4, rows())

	// Too late to roll back.
	tx = begin()
	_, err = tx.ExecContext(ctx, "insert into ride values (7, 7)")
	require.NoError(t, err)
	err = tx.Rollback()
	require.ErrorContains(t, err, "was committed together")
	require.Equal(t, driver.Committed, driver.OutcomeOf(err))
	require.Equal(t, 5, rows())

	// Where COMMIT can't travel, it goes by itself.
	for _, text := range []string{"insert into ride values (8, 8); insert into ride values (9, 9)", "savepoint a"} {
		tx = begin()
		_, err = tx.ExecContext(ctx, text)
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
	}
	require.Equal(t, 7, rows())

	// Outside a transaction it means nothing.
	_, err = db.ExecContext(ctx, "insert into ride values (10, 10)")
	require.NoError(t, err)

	// On a sql.Conn the next transaction is a new one.
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for id := 11; id < 14; id++ {
		tx, err = conn.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(ctx, "insert into ride values ($1, $1)", id)
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
	}
	require.Equal(t, 11, rows())
}

// TestWithCommitInRunTx returns an error from a closure that has committed.
func TestWithCommitInRunTx(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists ridetx cascade; create table ridetx (id int primary key)")
	require.NoError(t, err)
	insert := func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(driver.WithCommit(ctx), "insert into ridetx values (1)")
		return err
	}
	require.NoError(t, driver.RunTx(t.Context(), db, nil, insert))
	second := errors.New("something else went wrong")
	_, err = db.Exec("delete from ridetx")
	require.NoError(t, err)
	runs := 0
	err = driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		require.NoError(t, insert(ctx, tx))
		return second
	})
	require.ErrorIs(t, err, second)
	require.Equal(t, driver.Committed, driver.OutcomeOf(err), "%v", err)
	require.Equal(t, 1, runs)
}

// TestWithCommitThenCancelled cancels the context of a transaction that has been
// committed already: database/sql then reports the context's end, but RunTx knows
// better.
func TestWithCommitThenCancelled(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists ridecancel cascade; create table ridecancel (id int primary key)")
	require.NoError(t, err)
	for id := range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		runs := 0
		err = driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
			runs++
			_, err := tx.ExecContext(driver.WithCommit(ctx), "insert into ridecancel values ($1)", id)
			cancel()
			return err
		})
		require.Equal(t, driver.Committed, driver.OutcomeOf(err), "%v", err)
		require.Equal(t, 1, runs)
	}
	var n int
	require.NoError(t, db.QueryRow("select count(*) from ridecancel").Scan(&n))
	require.Equal(t, 5, n)
}

// TestWithCommitLost loses the answer to a statement with which COMMIT
// travelled.
func TestWithCommitLost(t *testing.T) {
	dsn := sharedServer(t)
	truth := openPgx(t)
	_, err := truth.Exec("drop table if exists ridelost cascade; create table ridelost (id int primary key)")
	require.NoError(t, err)
	write := func(db *sql.DB, id int) (exec, commit error) {
		tx, err := db.Begin()
		require.NoError(t, err)
		_, exec = tx.ExecContext(driver.WithCommit(t.Context()), "insert into ridelost values ($1)", id)
		return exec, tx.Commit()
	}
	count := func(id int) (n int) {
		require.NoError(t, truth.QueryRow("select count(*) from ridelost where id = $1", id).Scan(&n))
		return n
	}
	db, proxy := throughProxy(t, dsn, shared.server.Addr())
	proxy.MustAdd(atSync("commit", faultproxy.CutReply, faultproxy.After))
	exec, commit := write(db, 1)
	require.Equal(t, driver.CommitSent, driver.OutcomeOf(exec))
	require.Equal(t, driver.CommitSent, driver.OutcomeOf(commit))
	require.Equal(t, 1, count(1))

	db, proxy = throughProxy(t, dsn, shared.server.Addr(), installFence(t, dsn, "fences.ridelost")...)
	proxy.MustAdd(atSync("commit", faultproxy.CutReply, faultproxy.After))
	exec, commit = write(db, 2)
	require.NoError(t, exec)
	require.NoError(t, commit)
	require.Equal(t, 1, count(2))

	// COMMIT runs when it is executed, not at Sync: it must not arrive at all.
	proxy.MustAdd(faultproxy.Rule{
		Direction: faultproxy.ToServer, Type: 'P', Action: faultproxy.Reset, Place: faultproxy.Before,
		Match: func(m faultproxy.Message) bool { return bytes.Contains(m.Body(), []byte("commit")) },
	})
	exec, commit = write(db, 3)
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(exec))
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(commit))
	require.True(t, driver.IsRetryable(commit))
	require.Zero(t, count(3))
}
