package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/engine"
	"github.com/anywriter/anywriter/cluster/internal/dials"
	"github.com/anywriter/anywriter/cluster/internal/hook"
	"github.com/anywriter/anywriter/cluster/internal/pool"
	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/cluster/internal/socket"
	"github.com/anywriter/anywriter/cluster/internal/trace"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/dsn"
)

// Node is one address of the cluster: its pool of server connections, its
// breaker, and what is counted about it. It is safe for concurrent use.
type Node struct {
	cluster *Cluster
	index   int
	addr    string
	origin  dsn.Node // as it was given
	config  *pgx.ConnConfig
	hooks   hook.Dialer
	pool    *pool.Pool[*physical]
	traffic *socket.Set // the pool's sockets and cancel requests
	dials   dials.Watch // the pool's
	prober  prober
	pulse   *health.Pulse
	load    *balancer.Load
	breaker *health.Breaker
	wary    atomic.Int32 // answers still owed to the breaker after a failure; see consent
	reset   SessionReset

	implicitTx        atomic.Bool // several statements before one Sync were seen to be one transaction
	tracer            trace.Tracer
	statementCapacity int
	reported          health.State // last told to the listener; the monitor's goroutine's
	counters          counters
	broke             atomic.Int64 // when a connection in use, the prober's included, last broke, by the cluster's clock

	profile     atomic.Pointer[engine.Profile] // what kind of server it is; never nil
	lastError   atomic.Pointer[error]          // the last failure to connect
	denied      atomic.Pointer[error]          // why the server turns this client away, if it does
	duplicateOf atomic.Pointer[Node]           // the node that this one turned out to be
	role        atomic.Pointer[role.Verdict]   // what may be given to it; never nil

	place   atomic.Uint32 // a standing
	share   int           // of the operations, by weight; guarded by the cluster's publishing
	local   bool          // whether it is in the client's zone; the same
	unwatch sync.Once     // when its probes have ended

	known   identity   // guarded by the cluster's identities
	claim   role.Claim // what it said of its role last; guarded by the cluster's roles
	refused time.Time  // when it last refused a write; the same
}

// maxDials bounds the connections to one node that are being opened at the
// same time: enough to fill a pool in two rounds, too few to knock over a node
// that has just come back.
const maxDials = 8

// recoveringDials bounds the connections opened per second to a node that has just
// come back: its slow start keeps operations away, and this keeps those that come
// from each bringing a connection along. The pool of 16 is full in a fraction of a
// second, one of hundreds within the slow start.
const recoveringDials = 50

// maxConnLifetime is the age at which a connection is closed once it is idle, plus
// up to a fifth of it by chance, so that those opened together aren't closed
// together.
const maxConnLifetime = time.Hour

// maxConnIdle is how long a connection is kept that nobody uses: a server holds a
// process for it.
const maxConnIdle = 30 * time.Minute

// newNode makes a node and starts its pool, which opens the first min_idle
// connections.
func newNode(c *Cluster, index int, from dsn.Node) *Node {
	n := &Node{cluster: c, index: index, addr: from.Name, origin: from, reset: c.settings.SessionReset}
	unknown := engine.Unknown()
	n.profile.Store(&unknown)
	n.role.Store(&role.Verdict{})
	n.hooks.Hooks = c.hooks
	n.pulse = health.NewPulse()
	n.load = c.gate.Load(index)
	n.load.Reset() // a node that has left may have had the index
	n.breaker = health.NewBreaker(from.Name)
	n.origin.Conn = from.Conn.Copy()
	n.config = from.Conn.Copy()
	n.config.OnPgError = heard(n.config.OnPgError)
	n.tracer = trace.New(n.config.Tracer)
	n.statementCapacity = n.config.StatementCacheCapacity
	dial := DialFunc(n.config.DialFunc)
	if c.config.DialFunc != nil {
		dial = DialFunc(hook.Dial(c.config.DialFunc).Guarded())
		n.config.LookupFunc = literalLookup
	} else {
		n.config.LookupFunc = oneServer(n.config.LookupFunc)
	}
	n.traffic = socket.New(dial, maxDials, n.pulse)
	n.prober.init(n, dial)
	n.config.DialFunc = n.traffic.Dial
	n.pool = pool.New(pool.Config[*physical]{
		Open: n.connect, Close: (*physical).close, Crowded: isCrowded, Now: c.clock.Nanos,
		Max: c.settings.MaxConnsPerNode, MinIdle: min(c.settings.MinIdle, c.settings.MaxConnsPerNode),
		MaxAge: maxConnLifetime, AgeJitter: maxConnLifetime / 5, MaxIdle: maxConnIdle,
	})
	n.pool.Start()
	return n
}

// connect opens a server connection for the pool. The pool doesn't ask a server
// whether an idle connection is alive, which would cost a round trip and tell
// nothing that the prober doesn't know; see Node.acquire for what is looked at.
func (n *Node) connect(ctx context.Context) (*physical, error) {
	config := n.config.Copy()
	if config.ConnectTimeout <= 0 {
		config.ConnectTimeout = n.cluster.settings.DialTimeout
	}
	if n.hooks.Before != nil {
		if err := n.hooks.BeforeConnect(ctx, config); err != nil {
			return nil, err
		}
	}
	conn, err := n.dial(ctx, config)
	if err != nil {
		return nil, err
	}
	ready := false
	defer func() { // also if AfterConnect ends the goroutine
		if !ready {
			_ = conn.Close(ctx) // the hook's error counts
		}
	}()
	p := newPhysical(n, conn)
	if err := n.hooks.AfterConnect(ctx, conn); err != nil {
		return nil, err
	}
	ready = true
	return p, nil
}

// dial opens a server connection, and notes whether the server has answered.
func (n *Node) dial(ctx context.Context, config *pgx.ConnConfig) (conn *pgx.Conn, err error) {
	ctx, end := n.dials.Begin(ctx, n.cluster.clock.Nanos())
	err = errDialLost
	defer func() {
		if _, refusal := factsOf(err); refusal != nil {
			end(nil)
			return
		}
		end(err)
	}()
	conn, err = pgx.ConnectConfig(ctx, config)
	return conn, err
}

// errDialLost stands for the result of a dial whose DialFunc has ended its goroutine.
var errDialLost = errors.New("the dial has ended its goroutine (runtime.Goexit)")

// watch is the node as the monitor is told of it.
func (n *Node) watch() health.Node {
	return health.Node{
		Name: n.addr, Probe: n.prober.probe, Cut: n.cut, Allow: n.allow, Forget: n.load.Reset,
		OnProbe: n.probed, OnLate: n.probed, Held: n.prober.held.Until, Outside: n.outside, Pulse: n.pulse, Breaker: n.breaker,
	}
}

// outside reports whether the node isn't one of the cluster's (yet, or any more), or
// is another one under a second name.
func (n *Node) outside() bool { return !n.standing().present() || n.duplicateOf.Load() != nil }

// unprobe closes the prober's connection, once no probe is under way any more.
func (n *Node) unprobe() { n.unwatch.Do(n.prober.drop) }

// sever refuses further dials and resets whatever is still open.
func (n *Node) sever() {
	n.traffic.Refuse(ErrClosed)
	n.traffic.Cut()
}

// drain waits until the node's sockets are closed, but no longer than for ctx: the
// transport is the application's where DialFunc is, and its Close may not return.
func (n *Node) drain(ctx context.Context) {
	if left := n.traffic.Wait(ctx) + n.prober.sockets.Wait(ctx); left > 0 {
		n.cluster.events.warn(fmt.Sprintf("node %s: the Close of %d connections hasn't returned", n.addr, left))
	}
}

// probed is called by the monitor for each answered probe with its round trip,
// and for each that is late with the silence so far.
func (n *Node) probed(roundTrip time.Duration) {
	n.load.ObserveProbe(n.cluster.clock.Nanos(), roundTrip)
}

// Addr returns the node's address as the DSN names it.
func (n *Node) Addr() string { return n.addr }

// errNodeDown is the answer to a dial while the node is declared down.
var errNodeDown = errors.New("node is declared down")

// cut refuses dials to the node and resets all its sockets, so that nobody
// waits for it any longer. It is called by the health monitor.
func (n *Node) cut(reason health.Reason) {
	n.traffic.Refuse(fmt.Errorf("%w (%v)", errNodeDown, reason))
	n.counters.cuts.Add(int64(n.traffic.Cut()))
	n.prober.cut()
}

// allow ends a cut.
func (n *Node) allow() {
	n.traffic.Allow()
	n.cluster.warm(n)
}

// pace bounds the dials to a node that has just come back, until it is well: also while
// it is in doubt, or drains or is down again without a cut, when whoever has its slot still
// dials.
func (n *Node) pace(state health.State) {
	switch state {
	case health.Recovering:
		n.traffic.Pace(recoveringDials, maxDials)
	case health.Suspect, health.Down, health.Draining:
	default:
		n.traffic.Pace(0, 0)
	}
}

// describe says in a few words why the node isn't picked, for error messages.
func (n *Node) describe() string {
	if d := n.duplicateOf.Load(); d != nil {
		return "is the same server as " + d.addr
	}
	if err := n.denied.Load(); err != nil {
		return (*err).Error()
	}
	report := reportOf(n.cluster.view.Load().health, n)
	s := report.State.String()
	if report.Reason != health.ReasonNone {
		s += ": " + report.Reason.String()
	}
	if !report.Since.IsZero() {
		s += fmt.Sprintf(" for %v", time.Since(report.Since).Round(time.Millisecond))
	}
	if report.Breaker != health.BreakerClosed && report.Reason != health.ReasonBreaker {
		s += "; its breaker is " + report.Breaker.String()
	}
	if why := n.whyReadOnly(); why != "" {
		s += "; takes no writes: " + why
	}
	if err := n.lastError.Load(); err != nil && !report.State.Serving() {
		s += "; last error: " + (*err).Error()
	} else if report.State == health.Unknown {
		s += "; " + n.prober.silence()
	}
	if err := n.dials.Unanswered(n.cluster.clock.Nanos()); err != nil {
		s += "; " + err.Error()
	}
	if most := n.cluster.settings.MaxConnsPerNode; n.pool.Stat().Lent >= most {
		s += fmt.Sprintf("; all %d connections are in use", most)
	}
	return s
}

// literalLookup leaves names to the dial function.
func literalLookup(_ context.Context, host string) ([]string, error) { return []string{host}, nil }

// oneServer wraps a name lookup so that a name which stands for several
// servers is an error: health and balance are kept per server. The two
// addresses, one of each family, of one server are fine.
func oneServer(lookup func(context.Context, string) ([]string, error)) func(context.Context, string) ([]string, error) {
	return func(ctx context.Context, host string) ([]string, error) {
		addrs, err := lookup(ctx, host)
		if err != nil {
			return nil, err
		}
		v4, v6 := 0, 0
		for _, a := range addrs {
			ip := net.ParseIP(a)
			switch {
			case ip == nil || ip.IsLoopback():
			case ip.To4() != nil:
				v4++
			default:
				v6++
			}
		}
		if v4 > 1 || v6 > 1 {
			return nil, fmt.Errorf("host name %s stands for %d addresses; name each node by its own address", host, len(addrs))
		}
		return addrs, nil
	}
}
