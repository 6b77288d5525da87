package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
)

// picksDuring returns how often each node was taken while f ran.
func picksDuring(t *testing.T, db *sql.DB, f func()) []int64 {
	t.Helper()
	before := clusterOf(t, db).Stats()
	f()
	after := clusterOf(t, db).Stats()
	out := make([]int64, len(after.Nodes))
	for i := range out {
		out[i] = after.Nodes[i].Picks - before.Nodes[i].Picks
	}
	return out
}

// reader is what has a QueryRowContext.
type reader interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// portOf returns the port of the server that a read runs on.
func portOf(t *testing.T, db reader) string {
	t.Helper()
	var port string
	require.NoError(t, db.QueryRowContext(context.Background(), "select current_setting('port')").Scan(&port))
	return port
}

func port(s *pgtest.Server) string { return fmt.Sprint(s.Port()) }

// kinds are the ways to read, and to write, without a session of one's own.
func readAll(t *testing.T, db *sql.DB, times int) {
	t.Helper()
	ctx := context.Background()
	for range times {
		portOf(t, db)
		_, err := db.ExecContext(driver.WithReadOnly(ctx), "select harmless()")
		require.NoError(t, err)
		tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		require.NoError(t, err)
		portOf(t, tx)
		require.NoError(t, tx.Commit())
	}
}

func writeAll(t *testing.T, db *sql.DB, times int) {
	t.Helper()
	ctx := context.Background()
	for range times {
		_, err := db.ExecContext(ctx, "insert into kept values (1)")
		require.NoError(t, err)
		_, err = db.ExecContext(ctx, "select harmless()")
		require.NoError(t, err, "nobody has said that it only reads")
		tx, err := db.BeginTx(ctx, nil)
		require.NoError(t, err)
		portOf(t, tx) // a read comes first, but it isn't a read-only transaction
		_, err = tx.ExecContext(ctx, "insert into kept values (2)")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
	}
}

// A primary and two standbys under each value of read_from.
func TestReadFrom(t *testing.T) {
	checkGoroutines(t)
	nodes := []*pgtest.Server{pgtest.Start(t, pgtest.Options{})}
	control(t, nodes[0], "create table kept (v int)")
	control(t, nodes[0], "create function harmless() returns int language sql volatile as 'select 1'")
	control(t, nodes[0], "create sequence counted")
	control(t, nodes[0], "create view counting as select nextval('counted') as n")
	nodes = append(nodes, nodes[0].Standby(t), nodes[0].Standby(t))
	opened := func(t *testing.T, params ...string) *sql.DB {
		db, _ := openRoles(t, listed(nodes, params...))
		waitRoles(t, db, cluster.RoleWriter, cluster.RoleReadOnly, cluster.RoleReadOnly)
		return db
	}
	const times = 40
	for _, c := range []struct {
		param  string
		shares func(t *testing.T, picks []int64)
	}{
		{"read_from=writers", readsOfWriters},
		{"target_session_attrs=read-write", readsOfWriters},
		{"read_from=any&balancer=round_robin", func(t *testing.T, picks []int64) {
			for _, n := range picks {
				require.InDelta(t, times, n, 1, "a third each: %v", picks)
			}
		}},
		{"read_from=prefer_replicas&balancer=round_robin", func(t *testing.T, picks []int64) {
			require.Zero(t, picks[0])
			require.InDelta(t, 1.5*times, picks[1], 1, "half each: %v", picks)
		}},
		{"target_session_attrs=prefer-standby", func(t *testing.T, picks []int64) {
			require.Zero(t, picks[0])
		}},
	} {
		t.Run(c.param, func(t *testing.T) {
			db := opened(t, c.param)
			picks := picksDuring(t, db, func() { readAll(t, db, times) })
			require.Equal(t, int64(3*times), picks[0]+picks[1]+picks[2])
			c.shares(t, picks)
			require.Equal(t, []int64{3 * times, 0, 0}, picksDuring(t, db, func() { writeAll(t, db, times) }))
			checkIdle(t, db)
		})
	}
	t.Run("sessions", func(t *testing.T) { sessionsOfReplicas(t, opened(t, "read_from=prefer_replicas"), nodes) })
	t.Run("hidden writes", func(t *testing.T) { hiddenWrites(t, opened(t, "read_from=prefer_replicas"), nodes[0]) })
	t.Run("hints", func(t *testing.T) { hintsAndRoles(t, opened(t), nodes) })
	t.Run("read-only clients", func(t *testing.T) {
		db := opened(t, "read_from=prefer_replicas", "default_transaction_read_only=on")
		require.NotEqual(t, port(nodes[0]), portOf(t, db))
		tx, err := db.Begin()
		require.NoError(t, err)
		require.NotEqual(t, port(nodes[0]), portOf(t, tx), "it can't write either")
		require.NoError(t, tx.Rollback())
	})
	t.Run("replicas fail", func(t *testing.T) { replicasFail(t, opened(t, "read_from=prefer_replicas"), nodes) })
}

func readsOfWriters(t *testing.T, picks []int64) { require.Equal(t, []int64{0, 0}, picks[1:]) }

// A session reads on a replica and then needs a writer.
func sessionsOfReplicas(t *testing.T, db *sql.DB, nodes []*pgtest.Server) {
	ctx := context.Background()
	primary := port(nodes[0])
	session := func() *sql.Conn {
		conn, err := db.Conn(ctx)
		require.NoError(t, err)
		return conn
	}
	conn := session()
	replica := portOf(t, conn)
	require.NotEqual(t, primary, replica)
	require.Equal(t, replica, portOf(t, conn), "reads stay where they are")
	_, err := conn.ExecContext(ctx, "insert into kept values (3)")
	require.NoError(t, err, "a write moves the session, which has only read")
	require.Equal(t, primary, portOf(t, conn), "and then it stays")
	require.NoError(t, conn.Close())

	conn = session()
	require.NotEqual(t, primary, portOf(t, conn))
	tx, err := conn.BeginTx(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, primary, portOf(t, tx))
	require.NoError(t, tx.Rollback())
	require.NoError(t, conn.Close())

	conn = session()
	tx, err = conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.NotEqual(t, primary, portOf(t, tx))
	require.NoError(t, tx.Commit())
	require.NoError(t, conn.Raw(func(raw any) error {
		var at string
		pc := raw.(interface{ Conn() *pgx.Conn }).Conn()
		return errors.Join(pc.QueryRow(ctx, "select current_setting('port')").Scan(&at), equal(primary, at))
	}), "nobody knows what Raw is for")
	require.NoError(t, conn.Close())

	// A setting ties it to the replica: the error says so, and nothing is lost.
	conn = session()
	tx, err = conn.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "set application_name = 'tied'")
	require.NoError(t, err)
	require.NoError(t, tx.Commit())
	_, err = conn.ExecContext(ctx, "insert into kept values (4)")
	require.ErrorContains(t, err, "ties it to a node that takes no writes")
	var refused *pgconn.PgError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, "25006", refused.Code)
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
	require.False(t, driver.IsRetryable(err))
	var name string
	require.NoError(t, conn.QueryRowContext(ctx, "show application_name").Scan(&name))
	require.Equal(t, "tied", name)
	require.NoError(t, conn.Close())
	for _, n := range clusterOf(t, db).Stats().Nodes {
		require.Equal(t, health.Up, n.State, "%+v", n)
	}
	checkIdle(t, db)
}

func equal(want, got string) error {
	if want != got {
		return fmt.Errorf("want %s, got %s", want, got)
	}
	return nil
}

// What looks like a read, or is said to be one, but writes, is refused by a
// replica and runs on the primary.
func hiddenWrites(t *testing.T, db *sql.DB, primary *pgtest.Server) {
	ctx := context.Background()
	before := control(t, primary, "select nextval('counted')")
	var first, second, third int64
	require.NoError(t, db.QueryRow("select n from counting").Scan(&first))
	require.NoError(t, db.QueryRowContext(driver.WithReadOnly(ctx), "select nextval('counted')").Scan(&second))
	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	require.NotEqual(t, port(primary), portOf(t, conn))
	require.NoError(t, conn.QueryRowContext(ctx, "select n from counting").Scan(&third), "also in a session that has only read")
	require.Equal(t, port(primary), portOf(t, conn))
	require.NoError(t, conn.Close())
	start := int64(mustInt(t, before))
	require.Equal(t, []int64{start + 1, start + 2, start + 3}, []int64{first, second, third})

	// In a transaction that was said to be read-only it is the caller's mistake.
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	require.NoError(t, err)
	require.ErrorContains(t, tx.QueryRow("select n from counting").Scan(&third), "read-only")
	require.NoError(t, tx.Rollback())
	checkIdle(t, db)
}

// WithNode has the last word about a read, and can't make a standby take writes.
func hintsAndRoles(t *testing.T, db *sql.DB, nodes []*pgtest.Server) {
	require.Equal(t, port(nodes[0]), portOf(t, db))
	ctx := driver.WithNode(context.Background(), nodes[2].Addr())
	var at string
	require.NoError(t, db.QueryRowContext(ctx, "select current_setting('port')").Scan(&at))
	require.Equal(t, port(nodes[2]), at)
	_, err := db.ExecContext(driver.WithNode(briefly(t), nodes[2].Addr()), "insert into kept values (5)")
	require.ErrorIs(t, err, driver.ErrNoNode)
	require.ErrorContains(t, err, "takes no writes: it is a standby")
	x, ok := driver.ExplainError(err)
	require.True(t, ok)
	require.Contains(t, x.String(), "left out, it takes no writes: it is a standby")
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
}

// Reads come to the primary when no replica is well, and go back.
func replicasFail(t *testing.T, db *sql.DB, nodes []*pgtest.Server) {
	for i := 1; i <= 2; i++ {
		require.NoError(t, nodes[i].Stop())
		waitState(t, db, i, health.Down, health.Draining)
	}
	require.Equal(t, port(nodes[0]), portOf(t, db))
	require.NoError(t, nodes[1].Restart())
	require.Eventually(t, func() bool { return portOf(t, db) == port(nodes[1]) }, 20*time.Second, 5*time.Millisecond)

	// Without a primary reads go on, writes and pings don't.
	require.NoError(t, nodes[0].Kill())
	waitState(t, db, 0, health.Down)
	require.Equal(t, port(nodes[1]), portOf(t, db))
	require.ErrorContains(t, db.PingContext(briefly(t)), "takes no writes: it is a standby")
	_, err := db.ExecContext(briefly(t), "insert into kept values (6)")
	require.ErrorIs(t, err, driver.ErrNoNode)
}
