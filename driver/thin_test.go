package driver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/health"
)

func TestThreeNodes(t *testing.T) {
	_, dsn := servers(t, 3)
	db := openDSN(t, dsn+"&balancer=round_robin") // p2c leaves out a node that is slow by chance
	ctx := context.Background()
	for i := range 3 {
		waitState(t, db, i, health.Up)
	}
	seen := map[int]int{}
	for range 60 {
		var port int
		require.NoError(t, db.QueryRowContext(ctx, "select inet_server_port()").Scan(&port))
		seen[port]++
	}
	require.Len(t, seen, 3, "statements are spread over the nodes: %v", seen)

	conn, err := db.Conn(ctx)
	require.NoError(t, err)
	_, err = conn.ExecContext(ctx, "create table a (id int primary key, v text)")
	require.NoError(t, err)
	tx, err := conn.BeginTx(ctx, nil)
	require.NoError(t, err)
	for i := range 5 {
		res, err := tx.ExecContext(ctx, "insert into a values ($1, $2)", i, "x")
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
	require.NoError(t, tx.Commit())
	var n int
	require.NoError(t, conn.QueryRowContext(ctx, "select count(*) from a").Scan(&n))
	require.Equal(t, 5, n)
	require.NoError(t, conn.Close())
	checkIdle(t, db)
}
