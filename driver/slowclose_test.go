package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// stubborn is a transport whose Close blocks until it is let go.
type stubborn struct {
	net.Conn
	closing func() // returns when it may close
}

func (s stubborn) Close() error {
	s.closing()
	return s.Conn.Close()
}

// TestCloseThatBlocks: a transport of DialFunc whose Close takes long, or for ever,
// holds up neither the calls on its node, which end with the cut, nor what is found out
// of the other nodes, nor the node's return, nor Close.
func TestCloseThatBlocks(t *testing.T) {
	for _, long := range []time.Duration{700 * time.Millisecond, time.Minute} {
		t.Run(fmt.Sprint(long), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { closeThatBlocks(t, long) })
		})
	}
}

func closeThatBlocks(t *testing.T, long time.Duration) {
	sim := startSim(t, simnode.Config{Nodes: 3, InMemory: true})
	var mu sync.Mutex
	closing := 0 // transports in their Close
	count := func(by int) int {
		mu.Lock()
		defer mu.Unlock()
		closing += by
		return closing
	}
	cfg := config(t, sim.DSN())
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := sim.Dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return stubborn{conn, func() {
			count(+1)
			time.Sleep(long)
			count(-1)
		}}, nil
	}
	t.Cleanup(func() {
		time.Sleep(long)
		synctest.Wait()
		require.Zero(t, count(0), "transports in their Close")
	})
	db := sql.OpenDB(driver.NewConnector(cfg))
	t.Cleanup(func() { _ = db.Close() }) // where the test has failed
	c := clusterOf(t, db)
	for i := range 3 {
		waitState(t, db, i, health.Up)
	}
	const calls = 5
	ends := make(chan time.Time, calls)
	first := driver.WithNode(t.Context(), sim.Node(1).Addr())
	var txs []*sql.Tx
	for range calls {
		tx, err := db.BeginTx(first, nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(first, "select 1")
		require.NoError(t, err)
		txs = append(txs, tx)
	}
	thaw := sim.Node(1).Freeze()
	frozen := time.Now()
	for _, tx := range txs {
		go func() { // ends when its node is cut
			_, err := tx.ExecContext(first, "select 1")
			if err != nil {
				ends <- time.Now()
			}
			_ = tx.Rollback()
		}()
	}
	for range calls {
		require.Less(t, (<-ends).Sub(frozen), time.Second)
	}
	require.Positive(t, count(0), "the transports of the node are being closed")

	start := sim.Node(2).Kill()
	killed := time.Now()
	waitState(t, db, 1, health.Down)
	require.Less(t, time.Since(killed), time.Second)
	require.EqualValues(t, health.Down, c.Stats().Nodes[0].State)
	_, err := db.ExecContext(t.Context(), "select 1")
	require.NoError(t, err)

	thaw()
	start()
	thawed := time.Now()
	waitState(t, db, 0, health.Recovering, health.Up)
	require.Less(t, time.Since(thawed), 3*time.Second)
	_, err = db.ExecContext(first, "select 1")
	require.NoError(t, err)

	closed := time.Now()
	require.NoError(t, db.Close())
	require.Less(t, time.Since(closed), 5*time.Second)
	require.Equal(t, long > time.Second, count(0) > 0, "Close waits for what doesn't take too long")
}
