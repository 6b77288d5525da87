package simnode_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
)

// benchRows is the size of the table; every statement goes to one row by key.
const benchRows = 1000

// BenchmarkPointRead measures prepared reads by primary key over TCP, on a cluster
// of three nodes and, where there is one, on PostgreSQL 15 in the same run. Compare
// the two: the machines that this runs on are noisy.
func BenchmarkPointRead(b *testing.B) {
	onBoth(b, func(b *testing.B, conn *pgx.Conn, i int64) error {
		var v string
		return conn.QueryRow(b.Context(), "select v from bench where id = $1", i%benchRows).Scan(&v)
	})
}

// BenchmarkUpdate measures one-row updates by primary key over TCP: a quorum
// commit of three nodes and six storage nodes each, or PostgreSQL's commit with
// fsync off.
func BenchmarkUpdate(b *testing.B) {
	onBoth(b, func(b *testing.B, conn *pgx.Conn, i int64) error {
		// Neighbouring connections get rows far apart, so that few wait for each other.
		_, err := conn.Exec(b.Context(), "update bench set n = n + 1 where id = $1", i*7919%benchRows)
		return err
	})
}

func onBoth(b *testing.B, op func(b *testing.B, conn *pgx.Conn, i int64) error) {
	b.Run("simnode", func(b *testing.B) {
		sim, err := simnode.Start(b.Context(), simnode.Config{})
		require.NoError(b, err)
		defer func() { require.NoError(b, sim.Close()) }()
		run(b, "postgres://postgres@"+sim.Node(1).Addr()+"/postgres?sslmode=disable", op)
	})
	b.Run("postgresql", func(b *testing.B) {
		run(b, pgtest.Start(b, pgtest.Options{}).DSN(), op)
	})
}

// run gives every goroutine a connection of its own and reports operations per
// second over all of them.
func run(b *testing.B, dsn string, op func(b *testing.B, conn *pgx.Conn, i int64) error) {
	ctx := context.Background()
	setup, err := pgx.Connect(ctx, dsn)
	require.NoError(b, err)
	defer func() { _ = setup.Close(ctx) }()
	_, err = setup.Exec(ctx, "create table bench(id int primary key, v text not null, n int not null)")
	require.NoError(b, err)
	_, err = setup.Exec(ctx, fmt.Sprintf("insert into bench select i, 'value ' || i, 0 from generate_series(0, %d) i", benchRows-1))
	require.NoError(b, err)
	var next atomic.Int64
	b.SetParallelism(4)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close(ctx) }()
		for pb.Next() {
			if err := op(b, conn, next.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}

// BenchmarkStart measures a cluster of three nodes from nothing to ready. The
// parser is loaded at the first statement and not here.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		sim, err := simnode.Start(b.Context(), simnode.Config{})
		require.NoError(b, err)
		require.NoError(b, sim.Close())
	}
}
