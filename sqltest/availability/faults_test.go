package availability_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// fault is one row of the matrix.
type fault struct {
	name string
	// sim and postgres hurt a cluster and return what heals it; nil: not there.
	sim      func(t *testing.T, s *simnode.Sim) (heal func())
	postgres func(t *testing.T, g *target) (heal func())
	proxied  bool // postgres needs proxies in front of the servers
	short    bool // it is on the short list of those that always run in real time
	bounds   bounds
}

// bounds are what must hold while a majority of the nodes is well. The zero value
// of a field is the rule of the matrix.
type bounds struct {
	gap      time.Duration // longest time without a success; zero: one second
	wait     time.Duration // longest wait of an operation; zero: one second
	deadline time.Duration // of each operation; zero: two seconds
	// noLatency: the machine is overloaded on purpose, so only what happens
	// counts, not how fast.
	noLatency bool
	// slow: the throughput and the 99th percentile of the whole time during which the
	// node is slow, from its first moment on, are compared with those of the same run
	// before.
	slow bool
	// noCuts: the node is alive and must not be cut off.
	noCuts bool
	// fenced turns the commit fence on: then no outcome is unknown.
	fenced bool
	// bursts is how often the fault strikes, at most; each time may leave the
	// writes in flight unknown. Zero is once.
	bursts int
}

// matrix is every fault that one node of three can have.
func matrix() []fault {
	return []fault{
		{
			name: "kill -9", short: true, bounds: bounds{gap: 50 * time.Millisecond},
			sim:      func(_ *testing.T, s *simnode.Sim) func() { return s.Node(sick + 1).Kill() },
			postgres: serverFault((*target).kill, (*target).restart),
		},
		{
			name: "freeze (SIGSTOP)", short: true,
			sim:      func(_ *testing.T, s *simnode.Sim) func() { return s.Node(sick + 1).Freeze() },
			postgres: serverFault((*target).freeze, (*target).thaw),
		},
		{
			name: "black hole to the node", proxied: true,
			sim: func(_ *testing.T, s *simnode.Sim) func() {
				return s.PartitionOneWay([]simnode.Endpoint{simnode.AtClients()}, []simnode.Endpoint{simnode.AtNode(sick + 1)})
			},
			postgres: func(_ *testing.T, g *target) func() { return g.proxy[sick].BlackHole(faultproxy.ToServer) },
		},
		{
			name: "black hole from the node", proxied: true,
			sim: func(_ *testing.T, s *simnode.Sim) func() {
				return s.PartitionOneWay([]simnode.Endpoint{simnode.AtNode(sick + 1)}, []simnode.Endpoint{simnode.AtClients()})
			},
			postgres: func(_ *testing.T, g *target) func() { return g.proxy[sick].BlackHole(faultproxy.ToClient) },
		},
		{
			name: "RST every 500 ms", proxied: true, bounds: bounds{bursts: 50},
			sim: func(_ *testing.T, s *simnode.Sim) func() {
				return every(500*time.Millisecond, s.Node(sick+1).Reset)
			},
			postgres: func(_ *testing.T, g *target) func() { return every(500*time.Millisecond, g.proxy[sick].ResetAll) },
		},
		{
			name: "+200 ms", proxied: true, bounds: bounds{slow: true, noCuts: true},
			sim: func(t *testing.T, s *simnode.Sim) func() {
				undo, err := s.SetLatency(simnode.AtClients(), simnode.AtNode(sick+1), 100*time.Millisecond, 0)
				require.NoError(t, err)
				return undo
			},
			postgres: func(_ *testing.T, g *target) func() { return g.latency(100 * time.Millisecond) },
		},
		{
			name: "stalls: 300 ms of every second", proxied: true, bounds: bounds{bursts: 20},
			sim: func(_ *testing.T, s *simnode.Sim) func() {
				return stalls(func() func() { return s.Node(sick + 1).Freeze() })
			},
			postgres: func(_ *testing.T, g *target) func() { return stalls(g.proxy[sick].Freeze) },
		},
		{
			name: "flapping: 500 ms gone, 500 ms there", proxied: true, bounds: bounds{bursts: 20},
			sim: func(_ *testing.T, s *simnode.Sim) func() {
				return flapping(func() func() { return s.Node(sick + 1).Kill() })
			},
			postgres: func(_ *testing.T, g *target) func() {
				return flapping(func() func() {
					allow := g.proxy[sick].Refuse()
					g.proxy[sick].ResetAll()
					return allow
				})
			},
		},
		{
			name: "graceful restart",
			sim:  drained, postgres: serverFault((*target).stop, (*target).restart),
		},
		{
			name: "connection limit", bounds: bounds{noLatency: true, noCuts: true},
			sim: func(t *testing.T, s *simnode.Sim) func() {
				undo, err := s.Node(sick + 1).SetMaxConnections(3)
				require.NoError(t, err)
				s.Node(sick + 1).Reset()
				return undo
			},
			postgres: func(t *testing.T, g *target) func() { return g.limit(t) },
		},
		{
			name: "read-only", bounds: bounds{noCuts: true},
			sim: func(_ *testing.T, s *simnode.Sim) func() { return s.Node(sick + 1).SetReadOnly() },
			postgres: func(t *testing.T, g *target) func() {
				set := func(value string) {
					require.NoError(t, g.server[sick].Set("default_transaction_read_only", value))
				}
				set("on")
				return func() { set("off") }
			},
		},
		{
			name: "CPU saturation", bounds: bounds{noLatency: true, noCuts: true},
			postgres: func(t *testing.T, g *target) func() { return g.saturate(t) },
		},
	}
}

// every runs strike now and then, until the returned function is called.
func every(pause time.Duration, strike func()) (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	strike()
	go func() { // ends when stop is closed
		defer close(ended)
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				strike()
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
	}
}

// alternate hurts for bad, heals for good, and so on; the end is healed.
func alternate(bad, good time.Duration, hurt func() (heal func())) (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	heal := hurt()
	go func() { // ends when stop is closed
		defer close(ended)
		for {
			if !pause(stop, bad) {
				heal()
				return
			}
			heal()
			if !pause(stop, good) {
				return
			}
			heal = hurt()
		}
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-ended
	})
}

// pause waits for d, unless stop is closed.
func pause(stop <-chan struct{}, d time.Duration) bool {
	select {
	case <-stop:
		return false
	case <-time.After(d):
		return true
	}
}

func stalls(hurt func() func()) func() {
	return alternate(300*time.Millisecond, 700*time.Millisecond, hurt)
}

func flapping(hurt func() func()) func() {
	return alternate(500*time.Millisecond, 500*time.Millisecond, hurt)
}

// drained restarts a node of the simulator in good order: it takes no new
// sessions, ends those that it has, and is gone until it is healed.
func drained(t *testing.T, s *simnode.Sim) func() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	n := s.Node(sick + 1)
	_, err := n.Drain(ctx)
	require.NoError(t, err)
	return n.Kill()
}

// serverFault is a fault that a server has by itself.
func serverFault(hurt, heal func(g *target, node int) error) func(t *testing.T, g *target) func() {
	return func(t *testing.T, g *target) func() {
		require.NoError(t, hurt(g, sick))
		return func() { require.NoError(t, heal(g, sick)) }
	}
}

func (g *target) kill(node int) error    { return g.server[node].Kill() }
func (g *target) restart(node int) error { return g.server[node].Restart() }
func (g *target) freeze(node int) error  { return g.server[node].Freeze() }
func (g *target) thaw(node int) error    { return g.server[node].Thaw() }
func (g *target) stop(node int) error    { return g.server[node].Stop() }

// latency adds d to each direction of the sick node's link.
func (g *target) latency(d time.Duration) func() {
	set := func(d time.Duration) {
		g.proxy[sick].SetLatency(faultproxy.ToServer, d)
		g.proxy[sick].SetLatency(faultproxy.ToClient, d)
	}
	set(d)
	return func() { set(0) }
}

// limit lets the role open three sessions on the sick node, and ends those that
// it has.
func (g *target) limit(t *testing.T) func() {
	t.Helper()
	admin(t, g.server[sick], "alter role "+user+" connection limit 3; "+
		"select pg_terminate_backend(pid) from pg_stat_activity where usename = '"+user+"'")
	return func() { admin(t, g.server[sick], "alter role "+user+" connection limit -1") }
}

// saturate keeps twice as many of the sick node's processes busy as the machine
// has cores.
func (g *target) saturate(t *testing.T) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var burning sync.WaitGroup
	for range 4 {
		conn, err := pgx.Connect(ctx, g.server[sick].DSN())
		require.NoError(t, err)
		burning.Go(func() { // ends when heal cancels ctx
			for ctx.Err() == nil {
				_, _ = conn.Exec(ctx, "select sum(sqrt(i)) from generate_series(1, 200000) i")
			}
			closing, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_ = conn.Close(closing)
		})
	}
	return func() {
		cancel()
		burning.Wait()
	}
}
