package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// TestHooksThatDontReturn: a function of the application that panics or ends its
// goroutine (a test's hook that calls FailNow does) fails one dial, whoever dials: the
// prober and the pool try again, and nothing is left open.
func TestHooksThatDontReturn(t *testing.T) {
	boom := errors.New("boom")
	leaves := map[string]func(){"panic": func() { panic(boom) }, "Goexit": runtime.Goexit}
	for name, leave := range leaves {
		for _, hook := range []string{"BeforeConnect", "DialFunc", "AfterConnect"} {
			t.Run(hook+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { hookDoesntReturn(t, hook, leave) })
			})
		}
	}
}

func hookDoesntReturn(t *testing.T, hook string, leave func()) {
	sim := startSim(t, simnode.Config{Nodes: 1, InMemory: true})
	var broken atomic.Bool
	called := func(by string) {
		if by == hook && broken.Load() {
			leave()
		}
	}
	cfg := config(t, sim.DSN()+"&acquire_timeout=1s")
	cfg.BeforeConnect = func(context.Context, *pgx.ConnConfig) error {
		called("BeforeConnect")
		return nil
	}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		called("DialFunc")
		return sim.Dial(ctx, network, addr)
	}
	cfg.AfterConnect = func(context.Context, *pgx.Conn) error {
		called("AfterConnect")
		return nil
	}
	db := sql.OpenDB(driver.NewConnector(cfg))
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	c := clusterOf(t, db)
	query := func() error {
		var n int
		return db.QueryRowContext(t.Context(), "select 1").Scan(&n)
	}
	serves := func() {
		t.Helper()
		began := time.Now()
		for query() != nil {
			require.Less(t, time.Since(began), 3*time.Second)
			time.Sleep(10 * time.Millisecond) // a client that is turned away is told so at once
		}
	}
	for _, hurt := range []func(){
		func() {}, // from the start
		func() { // when a session is undone, and its connection opened again
			_, err := db.ExecContext(t.Context(), "set application_name = 'x'")
			require.NoError(t, err)
		},
		func() { // when the node is back
			start := sim.Node(1).Kill()
			time.Sleep(2 * time.Second)
			start()
			require.NoError(t, sim.WaitReady(t.Context()))
		},
	} {
		broken.Store(true)
		hurt()
		_ = query() // fails, unless there is an idle connection
		time.Sleep(5 * time.Second)
		broken.Store(false)
		serves()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Zero(t, c.Leases())
		node := c.Stats().Nodes[0]
		require.Equal(t, health.Up, node.State)
		require.Equal(t, node.Conns, node.Sockets, "connections that nobody closes")
	}
}
