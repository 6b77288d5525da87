package simnode_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/pgdiff"
)

func TestScratch(t *testing.T) {
	files := os.Getenv("SCRATCH")
	if files == "" {
		t.Skip()
	}
	for _, f := range strings.Split(files, ",") {
		for _, proto := range []pgdiff.Protocol{pgdiff.Simple, pgdiff.Extended} {
			sim := start(t, simnode.Config{})
			pg := pgtest.Start(t, pgtest.Options{})
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			left := func(ctx context.Context) (*pgconn.PgConn, error) {
				n++
				return pgconn.Connect(ctx, "postgres://postgres@"+sim.Node(1+(n-1)%3).Addr()+"/postgres?sslmode=disable")
			}
			right := func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.Connect(ctx, pg.DSN()) }
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			ds, err := pgdiff.Diff(ctx, left, right, string(b), pgdiff.Options{Protocol: proto, Messages: true})
			cancel()
			if err != nil {
				t.Error(f, proto, err)
			}
			for _, d := range ds {
				if proto == pgdiff.Extended && strings.Contains(d.Left+d.Right, "cannot insert multiple commands") {
					continue
				}
				t.Errorf("%s %v: %s", f, proto, d)
			}
		}
	}
}
