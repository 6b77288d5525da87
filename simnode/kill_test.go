package simnode_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

// acks are the times at which commits were acknowledged, from the start of a run.
type acks struct {
	mu sync.Mutex
	at []time.Duration
}

func (a *acks) add(at time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = append(a.at, at)
}

// longestGap is the longest time without an acknowledgement, the ends of the run
// included.
func (a *acks) longestGap(end time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var longest, last time.Duration
	for _, at := range append(a.at, end) {
		longest, last = max(longest, at-last), at
	}
	return longest
}

// load commits one row after the other on a node, until stop is closed or the node
// is gone. Rows of different callers are different, so nobody conflicts.
func load(conn *pgx.Conn, id int, start time.Time, a *acks, stop chan struct{}) {
	ctx := context.Background()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := conn.Exec(ctx, "update t set n = $1 where id = $2", i, id); err == nil {
			a.add(time.Since(start))
		} else if conn.IsClosed() {
			return
		}
	}
}

// Under load, killing one of three nodes leaves no gap of 50 ms between the strict
// commits that the others acknowledge, each of them taken alone.
func TestKillGap(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { killGap(t, seed) })
		})
	}
}

func killGap(t *testing.T, seed uint64) {
	sim := start(t, simnode.Config{InMemory: true, Seed: seed, Latency: time.Millisecond, Jitter: 500 * time.Microsecond})
	_, err := connect(t, sim, 1).Exec(t.Context(),
		"create table t (id int primary key, n int); insert into t select i, 0 from generate_series(1, 12) i")
	require.NoError(t, err)
	const perNode = 4
	var commits [3]acks
	stop, begun := make(chan struct{}), time.Now()
	var running sync.WaitGroup
	for node := range commits {
		for i := range perNode {
			conn := connect(t, sim, node+1)
			running.Go(func() { load(conn, 1+node*perNode+i, begun, &commits[node], stop) })
		}
	}
	time.Sleep(time.Second + time.Duration(seed)*7*time.Millisecond)
	sim.Node(3).Kill()
	time.Sleep(time.Second)
	close(stop)
	running.Wait()
	end := time.Since(begun)
	for node := range 2 {
		gap := commits[node].longestGap(end)
		t.Logf("node %d: %d commits, longest gap %v", node+1, len(commits[node].at), gap)
		require.Less(t, gap, 50*time.Millisecond)
	}
}

// Killing a frozen node works at once: its release ends the waits for its lease.
func TestKillFrozenNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := start(t, simnode.Config{InMemory: true, Latency: time.Millisecond})
		conn, other := connect(t, sim, 1), connect(t, sim, 3)
		_, err := conn.Exec(t.Context(), "create table t (id int primary key)")
		require.NoError(t, err)
		asking := make(chan error, 1)
		sim.Node(3).Freeze()
		go func() { // ends when the connection is reset
			_, err := other.Exec(context.Background(), "insert into t values (0)")
			asking <- err
		}()
		time.Sleep(5 * time.Millisecond)
		sim.Node(3).Kill()
		began := time.Now()
		_, err = conn.Exec(t.Context(), "insert into t values (1)")
		require.NoError(t, err)
		require.Less(t, time.Since(began), 50*time.Millisecond)
		require.Error(t, <-asking)
		require.Less(t, time.Since(began), 50*time.Millisecond)

		require.NoError(t, sim.Node(3).Start())
		require.NoError(t, sim.WaitReady(t.Context()))
		var n int
		require.NoError(t, connect(t, sim, 3).QueryRow(t.Context(), "select count(*) from t").Scan(&n))
		require.Equal(t, 1, n)
	})
}
