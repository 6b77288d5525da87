package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// BenchmarkTxOverLink times transactions of 0 to 5 UPDATEs over a link of 1 and of
// 5 ms each way, in turn with pgx's stdlib over the same link, and reports the
// ratios of the medians:
//
//	go test ./driver -run '^$' -bench TxOverLink -benchtime 20x
func BenchmarkTxOverLink(b *testing.B) {
	dsn := sharedServer(b)
	control := openPgx(b)
	if _, err := control.Exec("drop table if exists link cascade; create table link (n int); insert into link values (0)"); err != nil {
		b.Fatal(err)
	}
	fence := installFence(b, dsn, "fences.link")
	for _, delay := range []time.Duration{time.Millisecond, 5 * time.Millisecond} {
		cfg, err := faultproxy.TCP(shared.server.Addr())
		if err != nil {
			b.Fatal(err)
		}
		proxy, err := faultproxy.Start(cfg)
		if err != nil {
			b.Fatal(err)
		}
		defer proxy.Close()
		proxy.SetLatency(faultproxy.ToServer, delay)
		proxy.SetLatency(faultproxy.ToClient, delay)
		far := strings.Replace(dsn, shared.server.Addr(), proxy.Addr().String(), 1)
		ours := openDSN(b, withParams(far, "synchronous_commit=off"))
		fenced := openDSN(b, withParams(far, append(fence, "synchronous_commit=off")...))
		theirs, err := sql.Open("pgx", withParams(far, "synchronous_commit=off"))
		if err != nil {
			b.Fatal(err)
		}
		defer theirs.Close()
		for _, statements := range []int{0, 1, 2, 5} {
			b.Run(fmt.Sprintf("%v/%d", delay, statements), func(b *testing.B) {
				benchLink(b, statements, theirs, ours, fenced)
			})
		}
	}
}

// benchLink runs the four ways in turn.
func benchLink(b *testing.B, statements int, theirs, ours, fenced *sql.DB) {
	same := func(ctx context.Context) context.Context { return ctx }
	ways := []struct {
		name string
		db   *sql.DB
		last func(context.Context) context.Context
	}{
		{"stdlib-ms", theirs, same},
		{"ours", ours, same},
		{"WithCommit", ours, driver.WithCommit},
		{"fenced", fenced, same},
		{"fenced+WithCommit", fenced, driver.WithCommit},
	}
	times := make([][]time.Duration, len(ways))
	for _, w := range ways { // the statement is prepared now
		linkTx(b, w.db, max(statements, 1), w.last)
	}
	for b.Loop() {
		for i, w := range ways {
			began := time.Now()
			linkTx(b, w.db, statements, w.last)
			times[i] = append(times[i], time.Since(began))
		}
	}
	median := func(i int) float64 {
		slices.Sort(times[i])
		return float64(times[i][len(times[i])/2])
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(0)/1e6, ways[0].name)
	for i, w := range ways[1:] {
		b.ReportMetric(median(i+1)/median(0), w.name)
	}
}

// linkTx runs one transaction.
func linkTx(b *testing.B, db *sql.DB, statements int, last func(context.Context) context.Context) {
	ctx := context.Background()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range statements {
		if i == statements-1 {
			ctx = last(ctx)
		}
		if _, err := tx.ExecContext(ctx, "update link set n = n + $1", 1); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}
