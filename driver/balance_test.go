package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

// picksOf returns how often each node is picked while f runs.
func picksOf(t *testing.T, db *sql.DB, f func()) []int {
	t.Helper()
	before := clusterOf(t, db).Stats()
	f()
	after := clusterOf(t, db).Stats()
	out := make([]int, len(after.Nodes))
	for i := range out {
		out[i] = int(after.Nodes[i].Picks - before.Nodes[i].Picks)
	}
	return out
}

// ask runs n statements one after the other and returns each node's picks.
func (l *ledger) ask(n int, ctx func(i int) context.Context) []int {
	l.t.Helper()
	return picksOf(l.t, l.db, func() {
		for i := range n {
			c := l.t.Context()
			if ctx != nil {
				c = ctx(i)
			}
			_, err := l.db.ExecContext(c, "select 1")
			require.NoError(l.t, err)
		}
	})
}

// hold keeps n server connections of a node in use until the returned function
// is called, once or more.
func (l *ledger) hold(node, n int) (release func()) {
	l.t.Helper()
	held := make([]*sql.Conn, n)
	for i := range held {
		conn, err := l.db.Conn(l.t.Context())
		require.NoError(l.t, err)
		_, err = conn.ExecContext(l.at(l.t.Context(), node), "select 1")
		require.NoError(l.t, err)
		held[i] = conn
	}
	return func() {
		for _, conn := range held {
			require.NoError(l.t, conn.Close())
		}
		held = nil
	}
}

// choice returns why the node of a statement was taken.
func (l *ledger) choice(ctx context.Context) driver.Explanation {
	l.t.Helper()
	conn, err := l.db.Conn(l.t.Context())
	require.NoError(l.t, err)
	defer func() { require.NoError(l.t, conn.Close()) }()
	_, err = conn.ExecContext(ctx, "select 1")
	require.NoError(l.t, err)
	return explain(l.t, conn)
}

func TestBalancerP2C(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		<-time.After(5 * time.Second) // what CREATE TABLE took is forgotten
		for i, n := range l.ask(300, nil) {
			require.InDelta(t, 100, n, 5*math.Sqrt(300*2/9.), "node %d", i+1)
		}
		defer l.hold(1, 5)()
		require.Zero(t, l.ask(300, nil)[0], "the busiest of three loses to both")
		require.Equal(t, "the one of two alike with less in flight", l.choiceAmong(1))
	})
}

// choiceAmong returns the reason of the first statement for which a node was
// drawn and not taken.
func (l *ledger) choiceAmong(node int) string {
	for range 100 {
		if x := l.choice(l.t.Context()); x.Candidates[node-1].Note == "drawn as well" {
			return x.Choice
		}
	}
	return ""
}

func TestBalancerLeastInFlight(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		for i, n := range l.ask(300, nil) {
			require.InDelta(t, 100, n, 5*math.Sqrt(300*2/9.), "node %d", i+1)
		}
		release, release3 := l.hold(1, 1), l.hold(3, 2)
		defer release()
		defer release3()
		require.Equal(t, []int{0, 100, 0}, l.ask(100, nil), "one in flight is more than none")
		x := l.choice(t.Context())
		require.Equal(t, "the one with the fewest in flight", x.Choice)
		require.Equal(t, "not fewer in flight, or failing, slow or starting slowly", x.Candidates[0].Note)
		require.EqualValues(t, []any{true, int64(1)}, []any{x.Candidates[0].Compared, x.Candidates[0].InFlight})
		release()
		require.Zero(t, l.ask(100, nil)[2])
	}, "balancer=least_inflight")
}

func TestBalancerRoundRobin(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		defer l.hold(1, 5)()
		require.Equal(t, []int{100, 100, 100}, l.ask(300, nil), "whatever is in flight")
	}, "balancer=round_robin")
}

func TestBalancerWeighted(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		for i, n := range l.ask(500, nil) {
			require.InDelta(t, []int{300, 100, 100}[i], n, 3, "node %d", i+1)
		}
		l.sim.Node(2).Kill()
		<-time.After(time.Second)
		for i, n := range l.ask(400, nil) {
			require.InDelta(t, []int{300, 0, 100}[i], n, 3, "node %d", i+1)
		}
		require.Equal(t, "its turn by weight", l.choice(t.Context()).Choice)
	}, "balancer=weighted", "weights=3,1,1")
}

func TestBalancerRandom(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		defer l.hold(1, 5)()
		again := 0
		for i, n := range picksOf(t, l.db, func() {
			last := ""
			for range 300 {
				node := l.choice(t.Context()).Node
				if node == last {
					again++
				}
				last = node
			}
		}) {
			require.InDelta(t, 100, n, 5*math.Sqrt(300*2/9.), "node %d", i+1)
		}
		require.InDelta(t, 100, again, 5*math.Sqrt(300*2/9.), "each third one goes where the last one went")
		require.Equal(t, "drawn at random", l.choice(t.Context()).Choice)
	}, "balancer=random")
}

func TestBalancerZone(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		<-time.After(5 * time.Second) // what CREATE TABLE took is forgotten
		got := l.ask(200, nil)
		require.Zero(t, got[1])
		require.InDelta(t, 100, got[0], 5*math.Sqrt(200/4.))
		require.Contains(t, l.choice(t.Context()).Choice, ", in the own zone")

		release, release3 := l.hold(1, 6), l.hold(3, 6) // three quarters of eight
		defer release()
		defer release3()
		require.Equal(t, []int{0, 100, 0}, l.ask(100, nil), "both are overloaded")
		x := l.choice(t.Context())
		require.Contains(t, x.Choice, ", of all zones because the own one has none to spare")
		release()
		release3()
		require.Zero(t, l.ask(100, nil)[1])

		undo := l.sim.Partition([]simnode.Endpoint{simnode.AtClients()}, []simnode.Endpoint{simnode.AtNode(1), simnode.AtNode(3)})
		<-time.After(4 * time.Second)
		require.Equal(t, []int{0, 100, 0}, l.ask(100, nil), "both are down")
		undo()
		<-time.After(10 * time.Second)
		require.Zero(t, l.ask(100, nil)[1], "they are well again")
	}, "balancer=zone", "zone=eu-1a", "zones=eu-1a,eu-1b,eu-1a", "max_conns_per_node=8")
}

// Any picker honours a key; affinity is p2c for everything else.
func TestBalancerAffinity(t *testing.T) {
	for _, picker := range []string{"affinity", "round_robin"} {
		t.Run(picker, func(t *testing.T) {
			inVirtualTime(t, affinity, "balancer="+picker)
		})
	}
}

func affinity(t *testing.T, l *ledger) {
	key := func(k int) context.Context { return driver.WithKey(t.Context(), fmt.Sprint("account ", k)) }
	home := func(k int) int {
		for i, n := range l.ask(10, func(int) context.Context { return key(k) }) {
			if n != 0 {
				require.Equal(t, 10, n, "key %d stays", k)
				return i
			}
		}
		return -1
	}
	const keys = 60
	before, spread := make([]int, keys), make([]int, 3)
	for k := range keys {
		before[k] = home(k)
		spread[before[k]]++
	}
	for i, n := range spread {
		require.InDelta(t, keys/3, n, 5*math.Sqrt(keys*2/9.), "node %d", i+1)
	}
	require.NotContains(t, l.ask(60, nil), 60, "without a key all nodes serve")
	x := l.choice(key(0))
	require.Equal(t, []any{"the first for its key", before[0]}, []any{x.Choice, chosen(x)})

	tx, err := l.db.BeginTx(key(1), nil)
	require.NoError(t, err)
	require.Equal(t, 1, picksOf(t, l.db, func() {
		_, err = tx.ExecContext(t.Context(), "select 1")
		require.NoError(t, err)
	})[before[1]], "the key of BeginTx counts for the first statement")
	require.NoError(t, tx.Rollback())

	undo := l.sim.Node(before[0] + 1).Kill()
	<-time.After(time.Second)
	for k := range keys {
		if at := home(k); before[k] == before[0] {
			require.NotEqual(t, before[0], at)
		} else {
			require.Equal(t, before[k], at, "key %d belongs to another node", k)
		}
	}
	undo()
	<-time.After(10 * time.Second)
	for k := range keys {
		require.Equal(t, before[k], home(k), "key %d is back", k)
	}
	defer l.hold(before[0]+1, 5)()
	require.Equal(t, "the next for its key, since the first is overloaded, failing, slow or starting slowly", l.choice(key(0)).Choice)
}

// chosen returns the place of the candidate that was taken.
func chosen(x driver.Explanation) int {
	for i, c := range x.Candidates {
		if c.Chosen {
			return i
		}
	}
	return -1
}

// Bad combinations are refused before anything is dialed, by the DSN and by
// fields alike, and what is set without effect is warned of.
func TestBalancerConfig(t *testing.T) {
	const hosts = "postgres://u@n1,n2,n3/db?"
	for params, want := range map[string]string{
		"balancer=weighted":                           "balancer=weighted needs weights",
		"balancer=weighted&weights=3,1":               "the number of values of weights (2) isn't that of the nodes (3)",
		"balancer=weighted&weights=3,1,0":             "value 3 of weights isn't a whole number from 1 to 1000",
		"balancer=zone&zones=a,b,c":                   "balancer=zone needs zone:",
		"balancer=zone&zone=a":                        "balancer=zone needs zones",
		"balancer=zone&zone=d&zones=a,b,c":            "zone must be one of zones",
		"balancer=fastest":                            "allowed are p2c, least_inflight",
		"balancer=weighted&weights=3,1,1&weights=1,1": "weights is given twice with different values",
		"balancer=weighted&weights=3,1,1&zone=,":      "zone must be one name",
	} {
		db, err := sql.Open(driver.Name, hosts+params)
		require.ErrorContains(t, err, want, params)
		require.Nil(t, db)
	}
	cfg, err := driver.ParseConfig(hosts)
	require.NoError(t, err)
	cfg.Settings.Balancer, cfg.Settings.Weights = "weighted", []int{1}
	db := sql.OpenDB(driver.NewConnector(cfg))
	require.ErrorContains(t, db.PingContext(t.Context()), "weights (1)")
	require.NoError(t, db.Close())
}

// Typed fields do what the keys do.
func TestBalancerSettings(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		warned := ""
		cfg := driver.Config{DSNs: []string{l.sim.DSN()}, DialFunc: l.sim.Dial, Events: cluster.EventListener{
			Warned: func(text string) { warned = text },
		}}
		cfg.Settings.Balancer, cfg.Settings.Weights = "weighted", []int{1, 1, 998}
		cfg.Settings.Zone = "unused"
		db := sql.OpenDB(driver.NewConnector(cfg))
		defer func() { require.NoError(t, db.Close()) }()
		other := &ledger{t: t, sim: l.sim, db: db}
		require.GreaterOrEqual(t, other.ask(300, nil)[2], 296)
		require.Equal(t, "zone and zones have no effect without balancer=zone", warned)
	})
}
