package driver_test

import (
	"context"
	"database/sql"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// TestNothingLeaks runs every kind of use, and misuse, from 24 goroutines with
// short-lived handles and contexts that are cancelled at random moments, closes
// the DB under it, and then counts what is left: no lease, no goroutine, no
// socket.
func TestNothingLeaks(t *testing.T) {
	sharedServer(t)
	for _, maxOpen := range []int{0, 8} {
		checkGoroutines(t)
		db := open(t, "max_conns_per_node=12")
		_, err := db.Exec("drop table if exists leak; create table leak (a int)")
		require.NoError(t, err)
		db.SetMaxOpenConns(maxOpen)
		db.SetConnMaxLifetime(30 * time.Millisecond)
		db.SetConnMaxIdleTime(20 * time.Millisecond)
		c := clusterOf(t, db)
		shared, err := db.Prepare("select $1::int")
		require.NoError(t, err)
		var running sync.WaitGroup
		const workers, rounds = 24, 60
		for g := range workers {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			running.Go(func() { // ends after its rounds
				for range rounds {
					misuse(db, shared, r)
				}
			})
		}
		running.Wait()
		require.Eventually(t, func() bool { return c.Leases() == 0 && db.Stats().InUse == 0 }, 10*time.Second, time.Millisecond)

		// Close under open rows, an open transaction and a sql.Conn.
		rows, err := db.Query("select generate_series(1, 1000)")
		require.NoError(t, err)
		if maxOpen == 0 {
			tx, err := db.Begin()
			require.NoError(t, err)
			_, err = tx.Exec("select 1")
			require.NoError(t, err)
			defer tx.Rollback()
			require.NoError(t, db.Close())
			require.NoError(t, tx.Rollback())
		} else {
			require.NoError(t, db.Close())
		}
		require.NoError(t, rows.Close())
		c.Close()
		require.Zero(t, c.Leases())
		for _, n := range c.Stats().Nodes {
			require.Zero(t, n.Sockets, "sockets left")
			require.Zero(t, n.InFlight)
		}
	}
}

// misuse does one of 17 things.
func misuse(db *sql.DB, shared *sql.Stmt, r *rand.Rand) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if r.IntN(3) == 0 {
		timer := time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel)
		defer timer.Stop()
	}
	defer func() { _ = recover() }() // the panics below
	kinds := []func(){
		func() { _, _ = db.ExecContext(ctx, "select 1") },
		func() { _, _ = db.ExecContext(ctx, "insert into leak values ($1)", r.IntN(9)) },
		func() { _ = db.QueryRowContext(ctx, "select $1::int", 3).Scan(new(int)) },
		func() { _, _ = db.ExecContext(ctx, "select $1::text", panicking{}) },
		func() { _, _ = db.QueryContext(ctx, "select $1::text", panicking{}) },
		func() { abandonRows(ctx, db) },
		func() { readSome(ctx, db) },
		func() { _ = shared.QueryRowContext(ctx, 4).Scan(new(int)) },
		func() { ownStmt(ctx, db) },
		func() { useTx(ctx, db, true) },
		func() { useTx(ctx, db, false) },
		func() { abandonTx(ctx, db, cancel) },
		func() { useConn(ctx, db, r) },
		func() { useRaw(ctx, db, r.IntN(2) == 0) },
		func() { _, _ = db.ExecContext(ctx, "select 1; select 2; select 1/0") },
		func() { _ = db.PingContext(ctx) },
		func() {
			_ = driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
				_, _ = tx.ExecContext(ctx, "select 1")
				panic("closure")
			})
		},
	}
	kinds[r.IntN(len(kinds))]()
}

// abandonRows leaves rows to the end of their context.
func abandonRows(ctx context.Context, db *sql.DB) {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	rows, err := db.QueryContext(ctx, "select generate_series(1, 500)")
	if err == nil {
		rows.Next()
	}
	_ = cancel // deliberately left to the timeout
}

func readSome(ctx context.Context, db *sql.DB) {
	rows, err := db.QueryContext(ctx, "select generate_series(1, 500)")
	if err != nil {
		return
	}
	defer rows.Close()
	for range 10 {
		rows.Next()
	}
}

func ownStmt(ctx context.Context, db *sql.DB) {
	s, err := db.PrepareContext(ctx, "select $1::text")
	if err != nil {
		return
	}
	defer s.Close()
	_, _ = s.ExecContext(ctx, "x")
	_, _ = s.ExecContext(ctx, panicking{})
	_, _ = s.QueryContext(ctx, panicking{})
}

func useTx(ctx context.Context, db *sql.DB, commit bool) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return
	}
	defer tx.Rollback()
	_, _ = tx.ExecContext(ctx, "insert into leak values (1)")
	_, _ = tx.ExecContext(ctx, "select $1::text", panicking{})
	if commit {
		_ = tx.Commit()
	}
}

// abandonTx leaves a transaction to the cancellation of its context.
func abandonTx(ctx context.Context, db *sql.DB, cancel func()) {
	tx, err := db.BeginTx(ctx, nil)
	if err == nil {
		_, _ = tx.Exec("select 1")
	}
	cancel()
}

func useConn(ctx context.Context, db *sql.DB, r *rand.Rand) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.ExecContext(ctx, "set statement_timeout = '5s'")
	if r.IntN(2) == 0 {
		tx, err := conn.BeginTx(ctx, nil)
		if err == nil {
			_, _ = tx.Exec("select 1")
			_ = tx.Rollback()
		}
	}
	_ = conn.QueryRowContext(ctx, "select 1").Scan(new(int))
}

func useRaw(ctx context.Context, db *sql.DB, panics bool) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.Raw(func(dc any) error {
		pc := dc.(interface{ Conn() *pgx.Conn }).Conn()
		if pc != nil {
			_, _ = pc.Exec(ctx, "select 1")
		}
		if panics {
			panic("raw")
		}
		return nil
	})
}
