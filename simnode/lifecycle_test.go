package simnode_test

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

func TestStartRefusesWhatCannotBe(t *testing.T) {
	for name, cfg := range map[string]simnode.Config{
		"Nodes is 17":            {Nodes: 17},
		"Nodes is -1":            {Nodes: -1},
		"Mode is 9":              {Mode: 9},
		"Sabotage is 200":        {Sabotage: 200},
		"MaxConnections is -1":   {MaxConnections: -1},
		"Latency -1ns":           {Latency: -1},
		"ports 65535 to 65537":   {Port: 65535},
		"together with InMemory": {Port: 6000, InMemory: true},
		"empty name":             {Roles: map[string]string{"": "secret"}},
	} {
		sim, err := simnode.Start(context.Background(), cfg)
		require.ErrorContains(t, err, name)
		require.ErrorContains(t, err, "simnode")
		require.NotContains(t, err.Error(), "secret")
		require.Nil(t, sim)
	}
}

func TestStartWithABusyPort(t *testing.T) {
	other := start(t, simnode.Config{Nodes: 1})
	_, text, err := net.SplitHostPort(other.Node(1).Addr())
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	_, err = simnode.Start(context.Background(), simnode.Config{Nodes: 1, Port: port})
	require.ErrorContains(t, err, "node 1")
	require.ErrorContains(t, err, "address already in use")
	require.ErrorContains(t, err, text)
}

func TestStartOnceItsContextIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sim, err := simnode.Start(ctx, simnode.Config{})
	require.ErrorIs(t, err, context.Canceled)
	require.Nil(t, sim)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		sim, err := simnode.Start(ctx, simnode.Config{InMemory: true, Latency: time.Minute})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "node 1 is not ready")
		require.Nil(t, sim)
	})
}

func TestTwoClustersInOneProcess(t *testing.T) {
	for range 2 {
		sim := start(t, simnode.Config{})
		conn := connect(t, sim, 1)
		exec(t, conn, "create table same(id int primary key)")
		exec(t, conn, "insert into same values (1)")
		require.Equal(t, "1", value(t, connect(t, sim, 3), "select count(*) from same"))
	}
}

func TestClustersOfOneTwoAndFiveNodes(t *testing.T) {
	for _, nodes := range []int{1, 2, 5} {
		sim := start(t, simnode.Config{Nodes: nodes, InMemory: true})
		exec(t, connect(t, sim, 1), "create table t(id int)")
		exec(t, connect(t, sim, nodes), "insert into t values (1)")
		require.Equal(t, "1", value(t, connect(t, sim, 1), "select count(*) from t"))
	}
}

func TestCloseUnderLoad(t *testing.T) {
	for _, cfg := range []simnode.Config{{}, {InMemory: true}} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		sim, err := simnode.Start(ctx, cfg)
		require.NoError(t, err)
		exec(t, connect(t, sim, 1), "create table t(id int primary key, n int); insert into t values (1, 0)")
		var ended sync.WaitGroup
		begun := make(chan struct{}, 12)
		for i := range 12 {
			conn := connect(t, sim, 1+i%3)
			// Ends when the cluster is closed.
			ended.Go(func() {
				for n := 0; ; n++ {
					_, err := conn.Exec(ctx, "update t set n = n + 1")
					if conn.IsClosed() {
						require.Error(t, err)
						return
					}
					if n == 2 {
						begun <- struct{}{}
					}
				}
			})
		}
		for range 12 {
			<-begun
		}
		began := time.Now()
		require.NoError(t, sim.Close())
		require.Less(t, time.Since(began), 20*time.Second)
		require.NoError(t, sim.Close())
		ended.Wait()
		cancel()
		require.ErrorIs(t, sim.Node(1).Start(), simnode.ErrClosed)
		_, err = sim.Dial(context.Background(), "tcp", sim.Node(1).Addr())
		require.Error(t, err)
		_, err = sim.Node(1).Drain(context.Background())
		require.Error(t, err)
		require.Error(t, sim.Node(1).SetLag(1))
		sim.Node(1).Freeze()()
		sim.Node(1).Kill()()
		sim.Node(1).Isolate()()
		sim.Partition([]simnode.Endpoint{simnode.AtNode(1)}, []simnode.Endpoint{simnode.AtStorage()})()
		sim.Heal()
	}
}

func TestCloseEndsWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, err := simnode.Start(context.Background(), simnode.Config{InMemory: true})
		require.NoError(t, err)
		read, stop := sim.Watch()
		_, stopUnread := sim.Watch()
		ended := make(chan struct{})
		// Ends when the cluster is closed.
		go func() {
			defer close(ended)
			for range read {
			}
		}()
		require.NoError(t, sim.Close())
		<-ended
		stop()
		stopUnread()
		late, stopLate := sim.Watch()
		_, open := <-late
		require.False(t, open)
		stopLate()
	})
}

// Start and Close of the cluster may meet in any order; goleak sees what is left.
func TestStartOfANodeDuringClose(t *testing.T) {
	for range 20 {
		sim, err := simnode.Start(context.Background(), simnode.Config{Nodes: 2, InMemory: true})
		require.NoError(t, err)
		undo := sim.Node(2).Kill()
		var ended sync.WaitGroup
		// Both end at once.
		ended.Go(undo)
		ended.Go(func() { require.NoError(t, sim.Close()) })
		ended.Wait()
		require.Equal(t, simnode.StateKilled, sim.Node(2).Status().State)
	}
}

func TestKillDuringCommitIsAtOnceAndSilent(t *testing.T) {
	virtual(t, simnode.Config{Latency: 20 * time.Millisecond}, func(t *testing.T, sim *simnode.Sim) {
		for i, after := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 90 * time.Millisecond} {
			conn := connect(t, sim, 3)
			exec(t, conn, "begin; update t set n = n + 1 where id = 1")
			done := make(chan error, 1)
			// Ends with the node.
			go func() {
				_, err := conn.Exec(context.Background(), "commit")
				done <- err
			}()
			<-time.After(after)
			began := time.Now()
			undo := sim.Node(3).Kill()
			require.Less(t, time.Since(began), 10*time.Millisecond, "kill %d took long", i)
			err := <-done
			require.Error(t, err)
			var pg *pgconn.PgError
			require.NotErrorAs(t, err, &pg, "a killed process says nothing")
			undo()
			ready(t, sim)
			// What the dead node may have left in the votes of others is cleared.
			<-time.After(time.Second)
			exec(t, connect(t, sim, 1), "update t set n = n + 1 where id = 1")
		}
		equalCaches(t, sim)
	})
}

func TestOnlyOneLifeAtATime(t *testing.T) {
	sim := start(t, simnode.Config{InMemory: true})
	var ended sync.WaitGroup
	for i := range 8 {
		// All end after one fault each.
		ended.Go(func() {
			switch i % 4 {
			case 0:
				sim.Node(2).Kill()()
			case 1:
				sim.Node(2).Freeze()()
			case 2:
				_ = sim.Node(2).Start()
			case 3:
				sim.Node(2).Isolate()()
			}
		})
	}
	ended.Wait()
	require.NoError(t, sim.Node(2).Start())
	ready(t, sim)
	exec(t, connect(t, sim, 2), "create table t(id int)")
	equalCaches(t, sim)
}

func TestRolesAndPasswords(t *testing.T) {
	odd := []string{
		"secret", " ", "a b", "pässwörd", "\u00a0\u2003x", "%2F:@?#", "日本語", "\u0007bell", "'\";--",
		fmt.Sprintf("%0500d", 7),
	}
	roles := map[string]string{"postgres": "root pw"}
	for i, password := range odd {
		roles[fmt.Sprintf("role%d", i)] = password
	}
	sim := start(t, simnode.Config{Roles: roles, InMemory: true, Nodes: 1})
	login := func(user, password string) error {
		cfg, err := pgx.ParseConfig("postgres://" + sim.Node(1).Addr() + "/postgres?sslmode=disable")
		require.NoError(t, err)
		cfg.User, cfg.Password, cfg.DialFunc = user, password, sim.Dial
		conn, err := pgx.ConnectConfig(context.Background(), cfg)
		if err != nil {
			require.NotContains(t, err.Error(), password)
			return err
		}
		require.Equal(t, user, value(t, conn, "select current_user"))
		return conn.Close(context.Background())
	}
	for user, password := range roles {
		require.NoError(t, login(user, password), "%s %q", user, password)
		e := serverError(t, login(user, password+"x"), "28P01")
		require.Equal(t, "FATAL", e.Severity)
	}
	serverError(t, login("nobody", "secret"), "28P01")
}
