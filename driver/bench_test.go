package driver_test

import (
	"context"
	"database/sql"
	"slices"
	"testing"
	"time"
)

// The overhead over pgx's stdlib:
//
//	go test ./driver -run '^$' -bench Canned -count 10     in this process, without sockets
//	go test ./driver -run '^$' -bench Loopback -count 10   against PostgreSQL
//
// Each benchmark runs both drivers; compare the medians of one run only.

func benchQueryRow(b *testing.B, db *sql.DB, query string) {
	b.Helper()
	ctx := context.Background()
	var v int
	if err := db.QueryRowContext(ctx, query).Scan(&v); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := db.QueryRowContext(ctx, query).Scan(&v); err != nil {
			b.Fatal(err)
		}
	}
}

func benchExec(b *testing.B, db *sql.DB, query string, args ...any) {
	b.Helper()
	ctx := context.Background()
	if _, err := db.ExecContext(ctx, query, args...); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := db.ExecContext(ctx, query, args...); err != nil {
			b.Fatal(err)
		}
	}
}

func benchTx(b *testing.B, db *sql.DB, query string) {
	b.Helper()
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tx.ExecContext(ctx, query); err != nil {
			b.Fatal(err)
		}
		if err := tx.Commit(); err != nil {
			b.Fatal(err)
		}
	}
}

func both(b *testing.B, ours, theirs *sql.DB, run func(b *testing.B, db *sql.DB)) {
	b.Run("anywriter", func(b *testing.B) { run(b, ours) })
	b.Run("stdlib", func(b *testing.B) { run(b, theirs) })
}

func BenchmarkCannedQueryRow(b *testing.B) {
	ours, theirs := openCanned(b)
	both(b, ours, theirs, func(b *testing.B, db *sql.DB) { benchQueryRow(b, db, "select 7") })
}

func BenchmarkCannedExec(b *testing.B) {
	ours, theirs := openCanned(b)
	both(b, ours, theirs, func(b *testing.B, db *sql.DB) { benchExec(b, db, "insert $1", "x") })
}

func BenchmarkCannedTx(b *testing.B) {
	ours, theirs := openCanned(b)
	both(b, ours, theirs, func(b *testing.B, db *sql.DB) { benchTx(b, db, "select 7") })
}

func BenchmarkLoopbackQueryRow(b *testing.B) {
	ours, theirs := open(b), openPgx(b)
	both(b, ours, theirs, func(b *testing.B, db *sql.DB) { benchQueryRow(b, db, "select 7") })
}

func BenchmarkLoopbackExec(b *testing.B) {
	ours, theirs := open(b), openPgx(b)
	both(b, ours, theirs, func(b *testing.B, db *sql.DB) { benchExec(b, db, "select $1::int", 7) })
}

func BenchmarkLoopbackTx(b *testing.B) {
	ours, theirs := open(b), openPgx(b)
	both(b, ours, theirs, func(b *testing.B, db *sql.DB) { benchTx(b, db, "select 7") })
}

// BenchmarkRatio runs both drivers in turn, in short rounds, and reports the
// ratio of their median times per operation: under a load that changes, that
// is the only figure that means something. It also counts allocations:
//
//	go test ./driver -run '^$' -bench Ratio -benchtime 300x
func BenchmarkRatio(b *testing.B) {
	loopbackOurs, loopbackTheirs := open(b), openPgx(b)
	cannedOurs, cannedTheirs := openCanned(b)
	ctx := context.Background()
	var v int
	query := func(db *sql.DB) error { return db.QueryRowContext(ctx, "select 7").Scan(&v) }
	for _, c := range []struct {
		name         string
		ours, theirs *sql.DB
		op           func(db *sql.DB) error
	}{
		{"canned/queryrow", cannedOurs, cannedTheirs, query},
		{"canned/exec", cannedOurs, cannedTheirs, func(db *sql.DB) error {
			_, err := db.ExecContext(ctx, "insert $1", "x")
			return err
		}},
		{"canned/tx", cannedOurs, cannedTheirs, func(db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "insert"); err != nil {
				return err
			}
			return tx.Commit()
		}},
		{"loopback/queryrow", loopbackOurs, loopbackTheirs, query},
		{"loopback/exec", loopbackOurs, loopbackTheirs, func(db *sql.DB) error {
			_, err := db.ExecContext(ctx, "select $1::int", 7)
			return err
		}},
		{"loopback/tx", loopbackOurs, loopbackTheirs, func(db *sql.DB) error {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "select $1::int", 7); err != nil {
				return err
			}
			return tx.Commit()
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			const chunk = 50
			var ours, theirs []float64
			for b.Loop() {
				theirs = append(theirs, timeChunk(b, c.theirs, chunk, c.op))
				ours = append(ours, timeChunk(b, c.ours, chunk, c.op))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ours[len(ours)/2], "ours-ns")
			b.ReportMetric(theirs[len(theirs)/2], "stdlib-ns")
			b.ReportMetric(ours[len(ours)/2]/theirs[len(theirs)/2], "ratio")
			b.ReportMetric(allocsOf(c.ours, c.op), "ours-allocs")
			b.ReportMetric(allocsOf(c.theirs, c.op), "stdlib-allocs")
		})
	}
}

// allocsOf returns the allocations of one operation, those of a server in this
// process included.
func allocsOf(db *sql.DB, op func(*sql.DB) error) float64 {
	return testing.AllocsPerRun(200, func() { _ = op(db) }) // an error has been seen by the timing
}

// timeChunk returns the nanoseconds per operation of n operations.
func timeChunk(b *testing.B, db *sql.DB, n int, op func(*sql.DB) error) float64 {
	b.Helper()
	began := time.Now()
	for range n {
		if err := op(db); err != nil {
			b.Fatal(err)
		}
	}
	return float64(time.Since(began)) / float64(n)
}
