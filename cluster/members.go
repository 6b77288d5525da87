package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/pool"
	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/internal/dsn"
)

// standing is where a node is on its way into the set of nodes and out of it. The
// zero value is member.
type standing uint32

const (
	// member: in the set.
	member standing = iota
	// joining: in the next set, and being made ready. Given nothing yet.
	joining
	// retiring: in the set, but not in the next.
	retiring
	// leaving: in no set. Keeps what it has and is given nothing more.
	leaving
)

// present reports whether the node is in the set.
func (s standing) present() bool { return s == member || s == retiring }

// meets reports whether a node may turn out to be another name of another one: if
// both are in one set, and the other wasn't brought in later.
func (s standing) meets(other standing) bool {
	switch s {
	case joining:
		return other == member || other == joining
	case leaving:
		return false
	default:
		return other.present()
	}
}

// heeds reports whether the role of a node is judged by what another one says, too. A
// node that is leaving may still be superseded by one of the set: what runs on it is
// lost then.
func (s standing) heeds(other standing) bool {
	return s.meets(other) || s == leaving && other.present()
}

// note says what is special about a node; empty if nothing is.
func (s standing) note() string {
	return [...]string{"", "is being added", "", "has been taken out; what runs there goes on"}[s]
}

func (n *Node) standing() standing { return standing(n.place.Load()) }

// errLeft is why a node gives no connection that was picked just before it left.
var errLeft = errors.New("the node has been taken out of the cluster")

// SetNodes replaces the nodes by those of another configuration, make before break:
// a node that is new, or that is reached in another way than before (another user,
// password, certificate, database or run-time parameter), is connected to, found
// well and given min_idle connections while everything goes on as before. Then the
// nodes are exchanged at once. What runs on those that aren't in the set any more
// goes on until it ends by itself, while they are watched as before; their idle
// connections are closed. Nodes that are the same in both sets keep everything.
//
// If a new node can't be made ready before ctx ends, or refuses the client, nothing
// has changed, and the error says which and why. Nodes, weights and zones may
// differ from the configuration that is in force; other settings may not, nor may the
// cluster that the nodes belong to, nor the database with a commit fence, which tells
// of one database only. The functions of the new one (DialFunc, the hooks, Events, Logger) are ignored.
// Calls are made one after the other. It is safe for concurrent use.
func (c *Cluster) SetNodes(ctx context.Context, config Config) error {
	config, warnings, err := config.resolve()
	if err != nil {
		return err
	}
	if err := c.sameButNodes(config); err != nil {
		return err
	}
	select {
	case c.changing <- struct{}{}:
		defer func() { <-c.changing }()
	case <-ctx.Done():
		return fmt.Errorf("anywriter: SetNodes: another change of the nodes is under way: %w", ctx.Err())
	case <-c.closing:
		return ErrClosed
	}
	for _, w := range warnings {
		c.events.warn(w)
	}
	next, err := c.enlist(config)
	if err == nil {
		err = c.ready(ctx, next)
	}
	if c.closed() {
		err = ErrClosed
	}
	if err != nil {
		c.abandon()
		return err
	}
	c.exchange(next, config.Settings)
	return nil
}

// enlist returns the nodes of a configuration. Those that are there already stay;
// of the others each begins to be watched.
func (c *Cluster) enlist(config Config) ([]*Node, error) {
	next, present := make([]*Node, len(config.Nodes)), c.members()
	for i, from := range config.Nodes {
		for _, n := range present {
			if n.origin.Equal(from) && !slices.Contains(next, n) {
				next[i] = n
				break
			}
		}
	}
	for _, n := range present {
		if !slices.Contains(next, n) {
			n.place.Store(uint32(retiring))
		}
	}
	for i, from := range config.Nodes {
		if next[i] != nil {
			continue
		}
		n, err := c.recruit(from)
		if err != nil {
			return nil, err
		}
		next[i] = n
	}
	return next, nil
}

// recruit adds a node that is joining.
func (c *Cluster) recruit(from dsn.Node) (*Node, error) {
	index := c.freeIndex()
	if index == balancer.MaxCandidates {
		return nil, fmt.Errorf("anywriter: SetNodes: at most %d nodes are possible, with those that have been taken out and are still in use", index)
	}
	n := newNode(c, index, from)
	n.place.Store(uint32(joining))
	if !c.enrol(n) {
		n.pool.Close()
		return nil, ErrClosed
	}
	if err := c.monitor.Add(index, n.watch()); err != nil {
		return nil, ErrClosed // which closes the node
	}
	return n, nil
}

// freeIndex returns an index that nobody uses, MaxCandidates if there is none. Only
// one goroutine may look for one at a time.
func (c *Cluster) freeIndex() int {
	var used balancer.Set
	for _, n := range c.all() {
		used = used.With(n.index)
	}
	for i := range balancer.MaxCandidates {
		if !used.Has(i) && c.gate.InUse(i) == 0 {
			return i
		}
	}
	return balancer.MaxCandidates
}

// enrol lists a node. It reports whether it did: not after Close has begun.
func (c *Cluster) enrol(n *Node) bool {
	c.publishing.Lock()
	if c.closed() {
		c.publishing.Unlock()
		return false
	}
	c.nodes = append(slices.Clone(c.nodes), n)
	c.publishing.Unlock()
	c.publish()
	return true
}

// closed reports whether Close has begun.
func (c *Cluster) closed() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// roster returns all nodes that there will ever be, once Close has begun.
func (c *Cluster) roster() []*Node {
	c.publishing.Lock()
	defer c.publishing.Unlock()
	return c.nodes
}

// ready waits until the nodes that are joining can be given work, and have their
// idle connections.
func (c *Cluster) ready(ctx context.Context, next []*Node) error {
	var joined []*Node
	for _, n := range next {
		if n.standing() == joining {
			joined = append(joined, n)
		}
	}
	for {
		v := c.view.Load()
		missing, err := v.missing(joined)
		if err != nil {
			return err
		}
		if missing == nil {
			break
		}
		select {
		case <-v.superseded:
		case <-ctx.Done():
			return fmt.Errorf("anywriter: SetNodes: nothing has changed, since node %s isn't ready: it %s: %w",
				missing.addr, missing.describe(), ctx.Err())
		case <-c.closing:
			return ErrClosed
		}
	}
	var all sync.WaitGroup
	errs := make([]error, len(joined))
	for i, n := range joined {
		if n.duplicateOf.Load() == nil {
			all.Go(func() { errs[i] = n.fill(ctx) }) // ends when its dials do, at the latest with ctx or by Close
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// missing returns a node of some that can't be given work yet, nil if there is none;
// an error if one turns this client away or belongs to another cluster.
func (v *view) missing(nodes []*Node) (*Node, error) {
	var missing *Node
	for _, n := range nodes {
		if denied := n.denied.Load(); denied != nil {
			return nil, fmt.Errorf("anywriter: SetNodes: nothing has changed, since node %s refuses this client: %w", n.addr, *denied)
		}
		var stranger *IdentityError
		if last := n.lastError.Load(); last != nil && errors.As(*last, &stranger) {
			return nil, fmt.Errorf("anywriter: SetNodes: nothing has changed: %w", stranger)
		}
		r := reportOf(v.health, n)
		well := r.Serving() && n.role.Load().Role != role.Unknown
		if !well && n.duplicateOf.Load() == nil {
			missing = n
		}
	}
	return missing, nil
}

// fill opens the idle connections that the node should have.
func (n *Node) fill(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.cluster.context, cancel)()
	conns := make([]*pool.Conn[*physical], min(n.cluster.settings.MinIdle, n.cluster.settings.MaxConnsPerNode))
	errs := make([]error, len(conns))
	var all sync.WaitGroup
	for i := range conns {
		// Ends when its dial does. Nobody else uses the node, so each gets its own.
		all.Go(func() { conns[i], errs[i] = n.obtain(ctx, n.cluster.clock.Nanos(), false) })
	}
	all.Wait()
	for _, conn := range conns {
		if conn != nil {
			n.pool.Release(conn, n.cluster.clock.Nanos())
		}
	}
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("anywriter: SetNodes: nothing has changed, since node %s gives no connection: %w", n.addr, err)
		}
	}
	return nil
}

// exchange makes the next set the present one.
func (c *Cluster) exchange(next []*Node, settings Settings) {
	c.publishing.Lock()
	var joined, left []*Node
	for i, n := range next {
		if n.standing() == joining {
			joined = append(joined, n)
		}
		n.place.Store(uint32(member))
		n.position(settings, i)
	}
	for _, n := range c.nodes {
		if n.standing() == retiring {
			n.place.Store(uint32(leaving))
			left = append(left, n)
		}
	}
	rest := slices.DeleteFunc(slices.Clone(c.nodes), func(n *Node) bool { return slices.Contains(next, n) })
	c.nodes = slices.Concat(next, rest)
	c.publishing.Unlock()
	c.publish()
	c.review()
	c.events.nodes(joined, left)
	for _, n := range left {
		c.discharge(n)
	}
}

// abandon undoes enlist.
func (c *Cluster) abandon() {
	for _, n := range c.all() {
		switch n.standing() {
		case joining:
			n.place.Store(uint32(leaving))
			c.discharge(n)
		case retiring:
			n.place.Store(uint32(member))
		default:
		}
	}
	c.publish()
	c.review()
}

// review judges the nodes anew after some have left: a node may have been another
// name of one of them, or have been superseded by it.
func (c *Cluster) review() {
	c.identities.Lock()
	for _, n := range c.all() {
		if of := n.duplicateOf.Load(); of != nil && !n.standing().meets(of.standing()) {
			duplicate, _ := c.compare(n, n.known)
			n.duplicateOf.Store(duplicate)
		}
	}
	c.identities.Unlock()
	c.roles.mu.Lock()
	changes := c.rejudge()
	c.roles.mu.Unlock()
	c.roleChanged(changes)
	c.publish()
}

// discharge lets a node go once nothing of it is in use. If Close has begun, that
// closes it.
func (c *Cluster) discharge(n *Node) {
	// Ends when the last connection has been given back, which Close hastens.
	c.background.start(func() {
		n.pool.Close()
		c.monitor.Remove(n.index)
		n.unprobe()
		n.sever()
		c.publishing.Lock()
		c.nodes = slices.DeleteFunc(slices.Clone(c.nodes), func(o *Node) bool { return o == n })
		c.publishing.Unlock()
		c.publish()
	})
}

// position gives a node what the settings say of the host at place i.
func (n *Node) position(settings Settings, i int) {
	n.share, n.local = 1, false
	if len(settings.Weights) != 0 {
		n.share = settings.Weights[i]
	}
	if len(settings.Zones) != 0 {
		n.local = settings.Zones[i] == settings.Zone
	}
}
