package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
)

// TestFarNode: a node in another region, to which opening a connection takes many
// round trips, is found well when the program starts, and when it comes back. Only one
// beyond any place on earth has to be given up for a while first.
func TestFarNode(t *testing.T) {
	for _, c := range []struct{ roundTrip, back time.Duration }{
		{100 * time.Millisecond, 3 * time.Second},
		{200 * time.Millisecond, 3 * time.Second},
		{300 * time.Millisecond, 3 * time.Second},
		{450 * time.Millisecond, 5 * time.Second},
		{700 * time.Millisecond, 30 * time.Second},
	} {
		t.Run(fmt.Sprint(c.roundTrip), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := startSim(t, simnode.Config{Nodes: 3, InMemory: true, Roles: map[string]string{"postgres": "secret"}})
				sim.SetLatency(simnode.AtClients(), simnode.AtNode(1), c.roundTrip/2, 0)
				cfg := config(t, strings.Replace(sim.DSN(), "postgres@", "postgres:secret@", 1))
				cfg.DialFunc = sim.Dial
				db := sql.OpenDB(driver.NewConnector(cfg))
				defer func() { require.NoError(t, db.Close()) }()
				serves := func(within time.Duration) {
					t.Helper()
					began := time.Now()
					for !clusterOf(t, db).Stats().Nodes[0].State.Serving() {
						require.Less(t, time.Since(began), within)
						time.Sleep(10 * time.Millisecond)
					}
				}
				serves(c.back)
				if c.roundTrip <= 450*time.Millisecond {
					require.Zero(t, clusterOf(t, db).Stats().Nodes[0].Cuts, "it was taken for frozen at first")
				}
				time.Sleep(5 * time.Second)
				start := sim.Node(1).Kill()
				waitState(t, db, 0, health.Down)
				time.Sleep(2 * time.Second)
				start()
				require.NoError(t, sim.WaitReady(t.Context()))
				serves(c.back)
			})
		})
	}
}

// TestOthersDontDelayACut: nodes that aren't the cluster's, or are only other names of
// its nodes, have no say in whether most of it would stay.
func TestOthersDontDelayACut(t *testing.T) {
	const limit = 700 * time.Millisecond
	with := func(t *testing.T, sim *simnode.Sim, others string) driver.Config {
		t.Helper()
		return config(t, strings.Replace(sim.DSN(), sim.Node(1).Addr(), sim.Node(1).Addr()+others, 1))
	}
	frozen := func(t *testing.T, sim *simnode.Sim, cfg driver.Config, joining bool) {
		cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			switch addr {
			case "alias:5432":
				addr = sim.Node(1).Addr()
			case "new1:5432", "new2:5432", "new3:5432":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return sim.Dial(ctx, network, addr)
		}
		db := sql.OpenDB(driver.NewConnector(cfg))
		defer func() { require.NoError(t, db.Close()) }()
		waitState(t, db, 0, health.Up)
		time.Sleep(2 * time.Second)
		if joining {
			next := with(t, sim, ",new1:5432,new2:5432,new3:5432")
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- clusterOf(t, db).SetNodes(ctx, next) }() // ends with ctx
			defer func() { cancel(); require.Error(t, <-done) }()
			time.Sleep(3 * time.Second)
		}
		began := time.Now()
		defer sim.Node(1).Freeze()()
		for i := range clusterOf(t, db).Stats().Nodes {
			if n := clusterOf(t, db).Stats().Nodes[i]; n.Addr != "alias:5432" && n.Addr != sim.Node(1).Addr() {
				continue
			}
			waitState(t, db, i, health.Down)
			require.Less(t, time.Since(began), limit)
		}
	}
	t.Run("alias", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := startSim(t, simnode.Config{Nodes: 2, InMemory: true})
			frozen(t, sim, with(t, sim, ",alias:5432"), false)
		})
	})
	t.Run("joining", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			sim := startSim(t, simnode.Config{Nodes: 3, InMemory: true})
			frozen(t, sim, config(t, sim.DSN()), true)
		})
	})
}
