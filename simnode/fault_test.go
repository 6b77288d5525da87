package simnode_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

// virtual runs a test on a cluster in virtual time, with one row in table t.
func virtual(t *testing.T, cfg simnode.Config, run func(t *testing.T, sim *simnode.Sim)) {
	t.Helper()
	cfg.InMemory = true
	synctest.Test(t, func(t *testing.T) {
		sim := start(t, cfg)
		conn := connect(t, sim, 1)
		exec(t, conn, "create table t(id int primary key, n int)")
		exec(t, conn, "insert into t values (1, 0)")
		run(t, sim)
	})
}

// ready waits until every node that runs serves.
func ready(t *testing.T, sim *simnode.Sim) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	require.NoError(t, sim.WaitReady(ctx))
}

// equalCaches waits until all running nodes have applied the whole log, and holds
// their caches against each other.
func equalCaches(t *testing.T, sim *simnode.Sim) {
	t.Helper()
	first := ""
	for _, n := range sim.Nodes() {
		var digest string
		for {
			got, applied, err := n.CacheDigest()
			require.NoError(t, err)
			if applied == sim.LogLength() {
				digest = got
				break
			}
			<-time.After(5 * time.Millisecond)
		}
		if first == "" {
			first = digest
		}
		require.Equal(t, first, digest, "the cache of %v", n)
	}
}

// attempt runs a statement with a bound on its time.
func attempt(conn *pgx.Conn, sql string, bound time.Duration) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	began := time.Now()
	_, err = conn.Exec(ctx, sql)
	return time.Since(began), err
}

func TestKillAndStartWithAColdCache(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		doomed, other := connect(t, sim, 3), connect(t, sim, 1)
		exec(t, doomed, "begin; update t set n = 100 where id = 1")
		undo := sim.Node(3).Kill()
		_, err := attempt(doomed, "commit", time.Second)
		require.Error(t, err)
		require.False(t, pgconn.Timeout(err), "a killed node resets its connections: %v", err)
		_, err = sim.Dial(context.Background(), "tcp", sim.Node(3).Addr())
		require.ErrorContains(t, err, "refused")
		require.Equal(t, simnode.StateKilled, sim.Node(3).Status().State)
		took, err := attempt(other, "update t set n = n + 1 where id = 1", time.Second)
		require.NoError(t, err, "what the dead node had locked is free")
		require.Less(t, took, 300*time.Millisecond)
		before := sim.Node(3).Status().Incarnation
		require.Zero(t, before)
		undo()
		undo() // idempotent
		ready(t, sim)
		require.Equal(t, "1", value(t, connect(t, sim, 3), "select n from t"), "the cache was rebuilt from the log")
		require.EqualValues(t, 2, sim.Node(3).Status().Incarnation)
		exec(t, connect(t, sim, 3), "update t set n = n + 1 where id = 1")
		equalCaches(t, sim)
	})
}

func TestKillDuringStatements(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		for _, sql := range []string{"select pg_sleep(100)", "update t set n = 5"} {
			holder, busy := connect(t, sim, 2), connect(t, sim, 2)
			exec(t, holder, "begin; update t set n = 1")
			done := make(chan error, 1)
			// Ends with the node.
			go func() {
				_, err := busy.Exec(context.Background(), sql)
				done <- err
			}()
			synctest.Wait()
			undo := sim.Node(2).Kill()
			err := <-done
			require.Error(t, err)
			var pg *pgconn.PgError
			require.False(t, errors.As(err, &pg), "a killed process says nothing: %v", err)
			undo()
			ready(t, sim)
		}
	})
}

func TestTwoOfThreeKilled(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		last := connect(t, sim, 1)
		sim.Node(2).Kill()
		sim.Node(3).Kill()
		<-time.After(time.Second)
		_, err := attempt(last, "update t set n = 1", 5*time.Second)
		var pg *pgconn.PgError
		require.ErrorAs(t, err, &pg)
		require.Contains(t, []string{"40001", "57P03"}, pg.Code)
		require.Error(t, sim.Node(1).Status().Err)
		require.NoError(t, sim.Node(2).Start())
		ready(t, sim)
		exec(t, last, "update t set n = 1")
	})
}

func TestFreezeAndThaw(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		frozen, other := connect(t, sim, 2), connect(t, sim, 1)
		exec(t, frozen, "begin; update t set n = n + 100 where id = 1")
		undo := sim.Node(2).Freeze()
		sim.Node(2).Freeze() // once is enough
		require.Equal(t, simnode.StateFrozen, sim.Node(2).Status().State)
		took, err := attempt(other, "update t set n = n + 1 where id = 1", time.Second)
		require.NoError(t, err)
		require.Less(t, took, 300*time.Millisecond, "the cluster waits for one lease at most")
		took, err = attempt(other, "update t set n = n + 1 where id = 1", time.Second)
		require.NoError(t, err)
		require.Less(t, took, 50*time.Millisecond)
		undo()
		undo()
		e := fails(t, frozen, "40001", "commit")
		require.Contains(t, e.Detail, `table "t"`)
		ready(t, sim)
		require.Equal(t, "2", value(t, frozen, "select n from t"))
		equalCaches(t, sim)
	})
}

func TestAFrozenNodeTakesConnectionsAndSaysNothing(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		undo := sim.Node(2).Freeze()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := sim.Dial(ctx, "tcp", sim.Node(2).Addr())
		require.NoError(t, err)
		defer func() { require.NoError(t, conn.Close()) }()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}) // SSLRequest
		require.NoError(t, err)
		answer := make([]byte, 1)
		_, err = conn.Read(answer)
		var ne net.Error
		require.ErrorAs(t, err, &ne)
		require.True(t, ne.Timeout())
		undo()
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Second)))
		_, err = conn.Read(answer)
		require.NoError(t, err)
		require.Equal(t, byte('N'), answer[0])
	})
}

func TestKillOfAFrozenNode(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		thaw := sim.Node(2).Freeze()
		start := sim.Node(2).Kill()
		thaw()
		require.Equal(t, simnode.StateKilled, sim.Node(2).Status().State)
		start()
		ready(t, sim)
		require.Equal(t, "0", value(t, connect(t, sim, 2), "select n from t"))
	})
}

func TestACutOffNodeRefusesToServe(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		alone, writing, other := connect(t, sim, 3), connect(t, sim, 3), connect(t, sim, 1)
		exec(t, writing, "begin; update t set n = 100 where id = 1")
		heal := sim.Partition([]simnode.Endpoint{simnode.AtNode(3)},
			[]simnode.Endpoint{simnode.AtNode(1), simnode.AtNode(2), simnode.AtStorage()})
		<-time.After(600 * time.Millisecond)
		for _, sql := range []string{"select 1", "show simnode.ready", "select n from t", "update t set n = 5"} {
			took, err := attempt(alone, sql, 2*time.Second)
			require.Error(t, err, sql)
			serverError(t, err, "57P03")
			require.LessOrEqual(t, took, 300*time.Millisecond, sql)
		}
		took, err := attempt(writing, "commit", 2*time.Second)
		e := serverError(t, err, "40001")
		require.Equal(t, "no majority of votes", e.Detail)
		require.Less(t, took, 400*time.Millisecond)
		_, err = attempt(other, "update t set n = n + 1 where id = 1", time.Second)
		require.NoError(t, err)
		heal()
		ready(t, sim)
		require.Equal(t, "1", value(t, alone, "select n from t"))
		equalCaches(t, sim)
	})
}

func TestANodeWithoutStorageRefusesToServe(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		alone := connect(t, sim, 3)
		heal := sim.Partition([]simnode.Endpoint{simnode.AtNode(3)}, []simnode.Endpoint{simnode.AtStorage()})
		<-time.After(600 * time.Millisecond)
		_, err := attempt(alone, "select n from t", 2*time.Second)
		serverError(t, err, "57P03")
		heal()
		ready(t, sim)
		require.Equal(t, "0", value(t, alone, "select n from t"))
	})
}

// A node that hears no other node has the storage's lease all the same: it reads what
// the others commit, and commits nothing.
func TestANodeThatHearsNoNodeReads(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		alone, other := connect(t, sim, 3), connect(t, sim, 1)
		require.Equal(t, "writer", value(t, alone, "show simnode.role"))
		sim.Partition([]simnode.Endpoint{simnode.AtNode(3)}, []simnode.Endpoint{simnode.AtNode(1), simnode.AtNode(2)})
		<-time.After(600 * time.Millisecond)
		withoutMajority(t, sim, alone)
		for n := range 10 {
			exec(t, other, "update t set n = "+strconv.Itoa(n)+" where id = 1")
			require.Equal(t, strconv.Itoa(n), value(t, alone, "select n from t"), "it reads what was committed before")
		}
		require.Equal(t, "writer", value(t, other, "show simnode.role"))
		sim.Heal()
		ready(t, sim)
		require.Equal(t, "writer", value(t, alone, "show simnode.role"))
		exec(t, alone, "update t set n = 1")
	})
}

func TestTheLastNodeReads(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		alone := connect(t, sim, 3)
		restart := []simnode.Undo{sim.Node(1).Kill(), sim.Node(2).Kill()}
		<-time.After(600 * time.Millisecond)
		withoutMajority(t, sim, alone)
		for _, undo := range restart {
			undo()
		}
		ready(t, sim)
		exec(t, alone, "update t set n = 1")
	})
}

// withoutMajority checks what a node answers that hears no majority.
func withoutMajority(t *testing.T, sim *simnode.Sim, alone *pgx.Conn) {
	t.Helper()
	_, err := attempt(alone, "show simnode.ready", time.Second)
	serverError(t, err, "57P03")
	require.Equal(t, "no majority", value(t, alone, "show simnode.role"))
	require.Equal(t, "0", value(t, connect(t, sim, 3), "select n from t"), "on a new connection")
	for _, begin := range []string{"begin", "begin read only", "begin isolation level repeatable read"} {
		exec(t, alone, begin)
		require.Equal(t, "0", value(t, alone, "select n from t"), begin)
		exec(t, alone, "commit")
	}
	for _, write := range []string{"update t set n = 5", "insert into t values (2, 0)", "select n from t for update", "create table u (id int)"} {
		took, err := attempt(alone, write, 2*time.Second)
		e := serverError(t, err, "40001")
		require.Equal(t, "no majority of votes", e.Detail, write)
		require.Less(t, took, 200*time.Millisecond, write)
	}
}

func TestAReadOnlyNode(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		conn, open, other := connect(t, sim, 2), connect(t, sim, 2), connect(t, sim, 1)
		exec(t, open, "begin; update t set n = 1 where id = 1")
		undo, second := sim.Node(2).SetReadOnly(), sim.Node(2).SetReadOnly()
		require.Equal(t, "read-only", value(t, conn, "show simnode.role"))
		for _, write := range []string{"update t set n = 5", "insert into t values (2, 0)", "select n from t for update", "create table u (id int)", "begin read write"} {
			_, err := attempt(conn, write, time.Second)
			serverError(t, err, "25006")
			exec(t, conn, "rollback")
		}
		exec(t, open, "commit")
		require.Equal(t, "1", value(t, conn, "select n from t"))
		sim.Node(3).Kill() // node 2's vote is needed now
		exec(t, other, "update t set n = 2")
		require.Equal(t, "2", value(t, conn, "select n from t"))
		sim.Node(2).Kill()()
		ready(t, sim)
		conn = connect(t, sim, 2)
		require.Equal(t, "read-only", value(t, conn, "show simnode.role"), "after a restart")
		undo()
		undo()
		require.Equal(t, "read-only", value(t, conn, "show simnode.role"), "one of two is still in force")
		second()
		require.Equal(t, "writer", value(t, conn, "show simnode.role"))
		exec(t, conn, "update t set n = 3")
	})
}

func TestIsolateIsSilentToClients(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		conn := connect(t, sim, 2)
		sim.Node(2).Isolate()
		_, err := attempt(conn, "select 1", time.Second)
		require.True(t, pgconn.Timeout(err), err)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err = sim.Dial(ctx, "tcp", sim.Node(2).Addr())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		sim.Heal()
		ready(t, sim)
		require.Equal(t, "0", value(t, connect(t, sim, 2), "select n from t"))
	})
}

func TestLatencyAndLoss(t *testing.T) {
	virtual(t, simnode.Config{Seed: 3}, func(t *testing.T, sim *simnode.Sim) {
		conn := connect(t, sim, 1)
		undo, err := sim.SetLatency(simnode.AtClients(), simnode.AtNode(1), 30*time.Millisecond, 0)
		require.NoError(t, err)
		took, err := attempt(conn, "select 1", time.Second)
		require.NoError(t, err)
		require.GreaterOrEqual(t, took, 60*time.Millisecond)
		undo()
		took, err = attempt(conn, "select 1", time.Second)
		require.NoError(t, err)
		require.Less(t, took, 20*time.Millisecond)
		_, err = sim.SetLoss(simnode.AtNode(1), simnode.AtNode(2), 1.5)
		require.Error(t, err)
		_, err = sim.SetLatency(simnode.AtNode(1), simnode.AtNode(2), -1, 0)
		require.Error(t, err)
		for _, pair := range [][2]simnode.Endpoint{
			{simnode.AtNode(1), simnode.AtNode(2)}, {simnode.AtNode(1), simnode.AtNode(3)}, {simnode.AtNode(1), simnode.AtStorage()},
		} {
			_, err = sim.SetLoss(pair[0], pair[1], 0.2)
			require.NoError(t, err)
		}
		done := 0
		for range 50 {
			if _, err := attempt(conn, "update t set n = n + 1", 3*time.Second); err == nil {
				done++
			} else {
				serverError(t, err, "40001")
			}
		}
		require.Greater(t, done, 25)
		sim.Heal()
		require.Equal(t, done, atoi(t, value(t, connect(t, sim, 2), "select n from t")))
		equalCaches(t, sim)
	})
}

func TestStorageNodesAndZonesDown(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		conn := connect(t, sim, 1)
		upAZ, err := sim.StopAZ(1)
		require.NoError(t, err)
		took, err := attempt(conn, "update t set n = 1", time.Second)
		require.NoError(t, err, "four of six are a write quorum")
		require.Less(t, took, 300*time.Millisecond)
		up, err := sim.StopStorage(6)
		require.NoError(t, err)
		_, err = attempt(connect(t, sim, 2), "update t set n = 2", 4*time.Second)
		require.Error(t, err, "three of six are not")
		up()
		up()
		upAZ()
		ready(t, sim)
		exec(t, connect(t, sim, 3), "update t set n = 3")
		require.Equal(t, "3", value(t, connect(t, sim, 2), "select n from t"))
		for _, bad := range []int{0, 7} {
			_, err = sim.StopStorage(bad)
			require.ErrorContains(t, err, "simnode")
		}
		_, err = sim.StopAZ(4)
		require.ErrorContains(t, err, "simnode")
	})
}

func TestCommitDuringStorageOutageIsOfUnknownOutcome(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		conn := connect(t, sim, 1)
		exec(t, conn, "begin; update t set n = 7 where id = 1")
		var ups []simnode.Undo
		for az := 1; az <= 2; az++ {
			up, err := sim.StopAZ(az)
			require.NoError(t, err)
			ups = append(ups, up)
		}
		_, err := attempt(conn, "commit", 10*time.Second)
		e := serverError(t, err, "40003")
		require.Contains(t, e.Message, "unknown")
		for _, up := range ups {
			up()
		}
		ready(t, sim)
		<-time.After(time.Second) // until then its keys are reserved, and a writer gets 40001
		require.Contains(t, []string{"0", "7"}, value(t, connect(t, sim, 2), "select n from t"))
		exec(t, connect(t, sim, 3), "update t set n = 8 where id = 1")
	})
}

func TestResetAndMaxConnections(t *testing.T) {
	virtual(t, simnode.Config{MaxConnections: 2}, func(t *testing.T, sim *simnode.Sim) {
		one, two := connect(t, sim, 2), connect(t, sim, 2)
		cfg, err := pgx.ParseConfig("postgres://postgres@" + sim.Node(2).Addr() + "/postgres?sslmode=disable")
		require.NoError(t, err)
		cfg.DialFunc = sim.Dial
		_, err = pgx.ConnectConfig(context.Background(), cfg)
		serverError(t, err, "53300")
		synctest.Wait() // the refused one is gone
		require.Equal(t, 2, sim.Node(2).Status().Connections)
		sim.Node(2).Reset()
		for _, conn := range []*pgx.Conn{one, two} {
			_, err := attempt(conn, "select 1", time.Second)
			require.Error(t, err)
		}
		synctest.Wait()
		connect(t, sim, 2)
		undo, err := sim.Node(2).SetMaxConnections(1)
		require.NoError(t, err)
		_, err = pgx.ConnectConfig(context.Background(), cfg)
		serverError(t, err, "53300")
		undo()
		connect(t, sim, 2)
	})
}

func TestDrain(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		conn := connect(t, sim, 2)
		exec(t, conn, "begin; update t set n = 9")
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		undo, err := sim.Node(2).Drain(ctx)
		require.NoError(t, err)
		_, err = attempt(conn, "commit", time.Second)
		serverError(t, err, "57P01")
		cfg, err := pgx.ParseConfig("postgres://postgres@" + sim.Node(2).Addr() + "/postgres?sslmode=disable")
		require.NoError(t, err)
		cfg.DialFunc = sim.Dial
		_, err = pgx.ConnectConfig(context.Background(), cfg)
		serverError(t, err, "57P03")
		undo()
		require.Equal(t, "0", value(t, connect(t, sim, 2), "select n from t"))
	})
}

func TestLagCostsWritersOneLeaseAtMost(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		require.NoError(t, sim.Node(3).SetLag(5*time.Second))
		require.Error(t, sim.Node(3).SetLag(-1))
		took, err := attempt(connect(t, sim, 1), "update t set n = 4", 2*time.Second)
		require.NoError(t, err)
		require.Less(t, took, 300*time.Millisecond)
		_, err = attempt(connect(t, sim, 3), "select n from t", 2*time.Second)
		serverError(t, err, "57P03") // strict: rather no answer than an old one
		require.NoError(t, sim.Node(3).SetLag(0))
		<-time.After(6 * time.Second)
		ready(t, sim)
		require.Equal(t, "4", value(t, connect(t, sim, 3), "select n from t"))
	})
}

func TestEventualModeLetsALaggingNodeAnswerLate(t *testing.T) {
	virtual(t, simnode.Config{Mode: simnode.Eventual}, func(t *testing.T, sim *simnode.Sim) {
		equalCaches(t, sim)
		require.NoError(t, sim.Node(3).SetLag(300*time.Millisecond))
		exec(t, connect(t, sim, 1), "update t set n = 4")
		require.Equal(t, "0", value(t, connect(t, sim, 3), "select n from t"))
		<-time.After(400 * time.Millisecond)
		require.Equal(t, "4", value(t, connect(t, sim, 3), "select n from t"))
	})
}

func TestAClientThatVanishesReleasesItsLocks(t *testing.T) {
	for _, cfg := range []simnode.Config{{}, {InMemory: true}} {
		sim := start(t, cfg)
		gone, waiter := connect(t, sim, 1), connect(t, sim, 1)
		exec(t, gone, "create table l(id int primary key, n int); insert into l values (1, 0)")
		exec(t, gone, "begin; update l set n = 1")
		require.NoError(t, gone.PgConn().Conn().Close())
		_, err := attempt(waiter, "update l set n = 2", 20*time.Second)
		require.NoError(t, err)
		// The same while a statement of its is running.
		gone = connect(t, sim, 1)
		exec(t, gone, "begin; update l set n = 1")
		gone.PgConn().Frontend().SendQuery(&pgproto3.Query{String: "select pg_sleep(600)"})
		require.NoError(t, gone.PgConn().Frontend().Flush())
		<-time.After(20 * time.Millisecond)
		require.NoError(t, gone.PgConn().Conn().Close())
		_, err = attempt(waiter, "update l set n = 2", 20*time.Second)
		require.NoError(t, err)
	}
}

func TestWatchAndEvents(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		events, stop := sim.Watch()
		sim.Node(2).Freeze()()
		var kinds []string
		for len(kinds) < 2 {
			e := <-events
			if e.Source == "node/2" && (e.Kind == "freeze" || e.Kind == "thaw") {
				kinds = append(kinds, e.Kind)
			}
		}
		require.Equal(t, []string{"freeze", "thaw"}, kinds)
		stop()
		stop()
		_, open := <-events
		require.False(t, open)
		all := sim.Events()
		for i, e := range all[1:] {
			require.Equal(t, all[i].Seq+1, e.Seq)
		}
	})
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}
