package cluster

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/health"
)

func refuse(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
}

func openVirtual(t *testing.T, dsn string, dial DialFunc) *Cluster {
	t.Helper()
	config, err := ParseConfig(dsn)
	require.NoError(t, err)
	config.DialFunc, config.Seed = dial, 1
	c, err := Open(t.Context(), config)
	require.NoError(t, err)
	return c
}

// With every node down, an operation waits exactly acquire_timeout, or until
// its context ends, or until the cluster is closed.
func TestAllDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openVirtual(t, "postgres://u@a:1,b:2/db?sslmode=disable&acquire_timeout=700ms", refuse)
		began := time.Now()
		_, err := c.NewSession().Exec(t.Context(), "select 1", nil)
		require.ErrorIs(t, err, ErrNoNode)
		require.Equal(t, 700*time.Millisecond, time.Since(began).Round(50*time.Millisecond))
		for _, n := range c.Stats().Nodes {
			require.Equal(t, health.Down, n.State)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began = time.Now()
		err = c.Ping(ctx)
		require.ErrorIs(t, err, ErrNoNode)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 200*time.Millisecond, time.Since(began))

		closed := make(chan error, 1)
		go func() { // ends when the cluster is closed
			_, err := c.NewSession().Exec(t.Context(), "select 1", nil)
			closed <- err
		}()
		synctest.Wait()
		c.Close()
		require.ErrorIs(t, <-closed, ErrClosed)
		_, err = c.NewSession().Exec(t.Context(), "select 1", nil)
		require.ErrorIs(t, err, ErrClosed)
		c.Close()
	})
}

// A node that accepts connections and then says nothing is found out, its dials
// are cut, and nobody waits longer than acquire_timeout.
func TestSilentNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := func(context.Context, string, string) (net.Conn, error) {
			client, server := net.Pipe()
			go func() { // ends when the client closes its side
				buf := make([]byte, 1024)
				for {
					if _, err := server.Read(buf); err != nil {
						return
					}
				}
			}()
			return client, nil
		}
		c := openVirtual(t, "postgres://u@a:1/db?sslmode=disable", silent)
		began := time.Now()
		_, err := c.NewSession().Exec(t.Context(), "select 1", nil)
		require.ErrorIs(t, err, ErrNoNode)
		require.LessOrEqual(t, time.Since(began), 1300*time.Millisecond)
		c.Close()
		require.Zero(t, c.Stats().Nodes[0].Sockets)
	})
}

func TestHintedNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openVirtual(t, "postgres://u@a:1,b:2/db?sslmode=disable&acquire_timeout=100ms", refuse)
		defer c.Close()
		_, err := c.NewSession().Exec(WithNode(t.Context(), "c:3"), "select 1", nil)
		require.ErrorContains(t, err, `"c:3"`)
		_, err = c.NewSession().Exec(WithNode(t.Context(), "b:2"), "select 1", nil)
		require.ErrorIs(t, err, ErrNoNode)
	})
}

func TestOpenRefusesBadConfigs(t *testing.T) {
	_, err := Open(t.Context(), Config{})
	require.ErrorContains(t, err, "DSNs or Nodes")
	_, err = Open(t.Context(), Config{Nodes: []NodeConfig{{Name: "x"}}})
	require.ErrorContains(t, err, "Conn")
	_, err = Open(t.Context(), Config{DSNs: []string{"postgres://u@h/db"}, Settings: Settings{Balancer: "dice"}})
	require.ErrorContains(t, err, "p2c")
	_, err = Open(t.Context(), Config{DSNs: []string{"postgres://u:secret@h:x/db"}})
	require.Error(t, err)
	require.NotContains(t, err.Error(), "secret")
}

func TestTransactionState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := openVirtual(t, "postgres://u@a:1/db?sslmode=disable&acquire_timeout=50ms", refuse)
		defer c.Close()
		s := c.NewSession()
		require.ErrorIs(t, s.Commit(t.Context()), errNoTx)
		require.ErrorIs(t, s.Rollback(), errNoTx)
		require.NoError(t, s.Begin(t.Context(), TxOptions{}))
		require.True(t, s.InTx())
		require.ErrorIs(t, s.Begin(t.Context(), TxOptions{}), errTxOpen)
		_, err := s.Exec(t.Context(), "select 1", nil)
		require.ErrorIs(t, err, ErrNoNode)
		_, err = s.Exec(t.Context(), "select 2", nil)
		require.ErrorIs(t, err, ErrTxAborted, "a statement of the transaction has failed")
		err = s.Commit(t.Context())
		require.ErrorIs(t, err, ErrTxAborted)
		require.ErrorIs(t, err, ErrNoNode)
		require.NoError(t, s.Begin(t.Context(), TxOptions{}))
		require.NoError(t, s.Commit(t.Context()), "nothing was asked, nothing was sent")
		require.Empty(t, s.Node())
		s.Release()
		s.Release()
	})
}

func TestVerdictOfForeignError(t *testing.T) {
	require.Zero(t, verdictOf(errors.New("x")))
}
