package wire_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
)

// BenchmarkStatements runs the same prepared statements over TCP on one node
// without a cluster and on PostgreSQL 15, one client each. Server and client share
// the processors; allocations are those of both where both are in this process.
func BenchmarkStatements(b *testing.B) {
	b.Run("simnode", func(b *testing.B) { benchmarkStatements(b, serve(b, options{}).dsn("")) })
	b.Run("postgres", func(b *testing.B) {
		benchmarkStatements(b, pgtest.Start(b, pgtest.Options{}).DSN())
	})
}

func benchmarkStatements(b *testing.B, dsn string) {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(b, err)
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, "create table bench (id int primary key, v int)")
	require.NoError(b, err)
	_, err = conn.Exec(ctx, "insert into bench select n, 0 from generate_series(1, 1000) as n")
	require.NoError(b, err)
	var v int
	for name, run := range map[string]func(i int) error{
		"point read": func(i int) error {
			return conn.QueryRow(ctx, "select v from bench where id = $1", 1+i%1000).Scan(&v)
		},
		"update": func(i int) error {
			_, err := conn.Exec(ctx, "update bench set v = v + 1 where id = $1", 1+i%1000)
			return err
		},
		"show": func(int) error {
			_, err := conn.Exec(ctx, "show transaction_isolation")
			return err
		},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				require.NoError(b, run(i))
			}
		})
	}
}
