package cluster

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster/engine"
)

// TestFenceCheckCutShort ends a probe's context in the middle of the fence's
// examination: that says nothing about the fence, so it mustn't turn away
// operations as a wrong fence table does.
func TestFenceCheckCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openVirtual(t, "postgres://u@a:1/db?sslmode=disable&commit_fence=table&fence_table=a.b", refuse)
		defer c.Close()
		profile, ok := engine.ByName("postgres")
		require.True(t, ok)
		c.nodes[0].profile.Store(&profile)
		config, err := pgconn.ParseConfig("postgres://u@a:1/db?sslmode=disable")
		require.NoError(t, err)
		client, server := net.Pipe()
		defer server.Close()
		defer client.Close()
		conn, err := pgconn.Construct(&pgconn.HijackedConn{
			Conn: client, Config: config, TxStatus: 'I', Frontend: config.BuildFrontend(client, client),
		})
		require.NoError(t, err)

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err = c.nodes[0].checkFence(ctx, conn)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, conn.IsClosed())
		var fence *FenceError
		require.NotErrorAs(t, err, &fence)
	})
}
