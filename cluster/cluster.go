package cluster

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/engine"
	"github.com/anywriter/anywriter/cluster/internal/admission"
	"github.com/anywriter/anywriter/cluster/internal/clock"
	"github.com/anywriter/anywriter/cluster/internal/hook"
	"github.com/anywriter/anywriter/cluster/internal/hotrow"
	"github.com/anywriter/anywriter/cluster/internal/keyqueue"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/retry"
)

// Cluster is the client's side of a set of nodes: pools, health, choice. Open
// one per program and cluster; it is safe for concurrent use.
type Cluster struct {
	config   Config
	settings Settings
	execMode pgx.QueryExecMode
	mixed    bool            // nodes may belong to different clusters
	named    *engine.Profile // the one that the configuration names; nil to find it
	fence    commitFence
	picker   balancer.Picker
	seed     uint64
	clock    clock.Clock
	monitor  *health.Monitor
	gate     *admission.Gate // the slots of the nodes, and the queue for them
	retrier  retrier
	keys     *keyqueue.Queues
	rows     *hotrow.Memory // nil without conflict_affinity
	events   events
	hooks    hook.Hooks

	view     atomic.Pointer[view]
	unserved atomic.Int64 // operations for which no node was found
	fatal    atomic.Pointer[error]

	settled    atomic.Bool // the first round of probes is over
	firstRound chan struct{}
	firstTimer *time.Timer

	closing    chan struct{}
	closeOnce  sync.Once
	background tasks // resets, warm-ups
	context    context.Context
	cancel     context.CancelFunc

	changing   chan struct{} // has one element while the set of nodes is being changed
	publishing sync.Mutex    // guards nodes, and serialises building and publishing of views
	nodes      []*Node       // those of the DSN in its order, then those that come and go

	identities sync.Mutex // guards what servers said about themselves
	roles      roles

	_        [64]byte      // every operation changes what follows, and none what precedes
	sequence atomic.Uint64 // numbers the operations
	_        [64]byte
}

// firstRoundLimit bounds how long the very first operations wait for all nodes
// to have answered a probe once: a node that needs longer is in trouble, and
// the others can go on.
const firstRoundLimit = 250 * time.Millisecond

// Open starts watching the nodes and connecting to them. It returns at once:
// what is wrong with the nodes is reported by operations. The context isn't
// kept. Close must be called in the end.
func Open(_ context.Context, config Config) (*Cluster, error) {
	config, warnings, err := config.resolve()
	if err != nil {
		return nil, err
	}
	picker, err := balancer.Parse(config.Settings.Balancer)
	if err != nil {
		return nil, err
	}
	seed := config.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	c := &Cluster{
		config: config, settings: config.Settings, execMode: config.execMode(), mixed: config.mixed(),
		picker: picker, seed: seed, clock: clock.New(), firstRound: make(chan struct{}), closing: make(chan struct{}),
		changing: make(chan struct{}, 1),
	}
	if profile, ok := engine.ByName(config.Settings.Engine); ok {
		c.named = &profile
	}
	if c.fence, err = newCommitFence(config.Settings); err != nil {
		return nil, err
	}
	c.fence.on = c.fence.on && !config.readsOnly() // there is nothing to commit
	c.hooks = hook.Hooks{Before: config.BeforeConnect, After: config.AfterConnect}
	c.events.init(config.Events, config.Logger)
	c.context, c.cancel = context.WithCancel(context.Background())
	s := config.Settings
	c.keys = keyqueue.New(s.KeyQueue, c.closing)
	if s.LearnsConflicts() {
		c.rows = hotrow.New()
	}
	c.retrier = retrier{
		policy: retry.Policy{Base: s.RetryBase, Cap: s.RetryCap, MaxAttempts: s.RetryMaxAttempts},
		budget: retry.NewBudget(retry.DefaultBudgetRatio, retry.DefaultBudgetPerSecond, time.Now()),
		seed:   func() uint64 { return seed + c.sequence.Load() },
	}
	if err := c.start(); err != nil {
		return nil, err
	}
	for _, w := range warnings {
		c.events.warn(w)
	}
	return c, nil
}

// start makes the nodes and begins to watch them.
func (c *Cluster) start() error {
	c.gate = admission.New(balancer.MaxCandidates, c.settings.MaxConnsPerNode, c.clock.Nanos)
	watched := make([]health.Node, 0, len(c.config.Nodes))
	for i, from := range c.config.Nodes {
		n := newNode(c, i, from)
		n.position(c.settings, i)
		c.nodes = append(c.nodes, n)
		watched = append(watched, n.watch())
	}
	c.monitor = health.NewMonitor(health.Config{
		Nodes: watched, ProbeInterval: c.settings.ProbeInterval, OnChange: c.changed, Seed: c.seed,
	})
	c.publish()
	c.firstTimer = time.AfterFunc(firstRoundLimit, c.settle)
	c.monitor.Start()
	return nil
}

// changed is called by the monitor when the report on node i has changed.
func (c *Cluster) changed(v *health.View, i int) {
	c.publish()
	if n, r := c.nodeAt(i), v.Reports[i]; n != nil && n.reported != r.State {
		n.reported = r.State
		n.pace(r.State)
		c.events.state(n, r)
	}
}

// warm opens idle connections to a node that may be dialed again, so that its
// first operations needn't wait for them. Those that have ended with the node no longer
// count.
func (c *Cluster) warm(n *Node) {
	// Ends when it has looked at the idle connections, without waiting for the node.
	c.background.start(func() {
		n.weed()
		for range c.settings.MinIdle {
			// Ends when the dial does, at the latest when Close cancels the context.
			c.background.start(func() {
				if err := n.pool.Grow(c.context); n.hooks.MayRefresh(err) {
					_ = n.pool.Grow(c.context) // the prober meets whatever is wrong, too
				}
			})
		}
	})
}

// closeGrace is how long Close lets operations that are under way go on before
// it cuts their connections.
const closeGrace = 5 * time.Second

// unreadyGrace is how long Close waits for connections on which no session is
// open yet: the cancel requests among them need a round trip, while a dial that
// nobody answers would last for the whole of closeGrace.
const unreadyGrace = 250 * time.Millisecond

// drainLimit is how long Close waits in the end for connections of DialFunc whose own
// Close takes its time. Those of the system close at once.
const drainLimit = time.Second

// Close refuses new operations, waits for those under way, and closes all
// connections. Operations that take longer than five seconds are cut. It
// returns when every goroutine of the cluster has ended and every lease has
// been given back; calling it again waits for the same. Only a connection of DialFunc
// whose Close doesn't return is left behind, after a second and with a warning.
func (c *Cluster) Close() { c.closeOnce.Do(c.shutDown) }

// shutDown does the work of Close; a second Close waits for it.
func (c *Cluster) shutDown() {
	err := ErrClosed
	c.fatal.Store(&err)
	c.settle()
	c.firstTimer.Stop()
	close(c.closing)
	overdue := time.AfterFunc(closeGrace, func() {
		for _, n := range c.roster() {
			n.sever()
		}
	})
	defer overdue.Stop()
	unready := time.AfterFunc(unreadyGrace, func() {
		for _, n := range c.roster() {
			n.traffic.CutUnready()
		}
	})
	defer unready.Stop()
	c.cancel()
	c.monitor.Close()
	nodes := c.roster()
	for _, n := range nodes {
		n.unprobe()
	}
	c.background.close()
	closePools(nodes)
	for _, n := range nodes { // cancel requests of dials that failed
		n.sever()
	}
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	for _, n := range nodes {
		n.drain(ctx)
	}
}

func closePools(nodes []*Node) {
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(n.pool.Close) // ends when the node's last lease is given back
	}
	all.Wait()
}

// String names the nodes, without anything that may be secret.
func (c *Cluster) String() string {
	return describe(addrs(c.members()))
}

// GoString is String: no form of printing shows a password.
func (c *Cluster) GoString() string { return c.String() }

// Leases returns how many server connections are in use.
func (c *Cluster) Leases() int {
	leases := 0
	for _, n := range c.all() {
		leases += n.pool.Stat().Lent
	}
	return leases
}

// tasks are the goroutines that work in the background for a cluster. The zero
// value is ready.
type tasks struct {
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// start runs f in a goroutine, unless the tasks are closed; it reports whether
// it did.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.running.Go(f) // ends with f, whose caller says what ends that
	return true
}

// close refuses new tasks and waits for those that run.
func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
}
