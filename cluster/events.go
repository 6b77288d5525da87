package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// EventListener is a set of functions to be told what happens; those that are
// nil aren't called. They may be called from several goroutines at once, also
// in the middle of an operation: they must return quickly and must not use the
// cluster.
type EventListener struct {
	// StateChanged: a node's state has changed.
	StateChanged func(node string, to health.State, reason health.Reason)
	// RoleChanged: from now on a node may be given something else than before, and
	// why it takes no writes, if it doesn't.
	RoleChanged func(node string, to Role, why string)
	// NodesChanged: SetNodes has added nodes and taken out others. One that is
	// reached in another way than before is in both lists.
	NodesChanged func(added, removed []string)
	// Picked: an operation was given a server connection of node.
	Picked func(node string)
	// Retried: a statement that was sent to node will be tried again because of
	// the given kind of failure (for example "Conflict", "Connection").
	Retried func(node, kind string)
	// Resolved: the commit fence was asked about work whose answer from node was
	// lost. The outcome is Committed, DefinitelyAborted, or CommitSent if nobody
	// answered in time.
	Resolved func(node string, outcome Outcome, took time.Duration)
	// Warned: something is odd with the configuration or the servers.
	Warned func(message string)
}

// events tells the listeners and the logger. It is ready after init.
type events struct {
	log atomic.Pointer[slog.Logger]

	mu        sync.Mutex                       // serialises changes of the list
	listeners atomic.Pointer[[]*EventListener] // never nil; what it points to doesn't change
}

func (e *events) init(to EventListener, log *slog.Logger) {
	e.listeners.Store(&[]*EventListener{&to})
	e.setLogger(log)
}

func (e *events) setLogger(log *slog.Logger) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	e.log.Store(log)
}

// change publishes another list.
func (e *events) change(edit func(old []*EventListener) []*EventListener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	next := edit(slices.Clone(*e.listeners.Load()))
	e.listeners.Store(&next)
}

// Listen tells l, too, what happens from now on, until the returned function is
// called; one event more may come while that returns.
func (c *Cluster) Listen(l EventListener) (stop func()) {
	c.events.change(func(old []*EventListener) []*EventListener { return append(old, &l) })
	return func() {
		c.events.change(func(old []*EventListener) []*EventListener {
			return slices.DeleteFunc(old, func(x *EventListener) bool { return x == &l })
		})
	}
}

// SetLogger logs to log from now on, instead of the logger of the configuration;
// nil is silence.
func (c *Cluster) SetLogger(log *slog.Logger) { c.events.setLogger(log) }

func (e *events) state(n *Node, r health.Report) {
	e.log.Load().Info("anywriter: node state", "node", n.addr, "state", r.State.String(), "reason", r.Reason.String())
	for _, l := range *e.listeners.Load() {
		if l.StateChanged != nil {
			l.StateChanged(n.addr, r.State, r.Reason)
		}
	}
}

func (e *events) role(n *Node, v role.Verdict) {
	why, level := n.whyReadOnly(), slog.LevelInfo
	if v.Role == role.Superseded {
		level = slog.LevelWarn
	}
	e.log.Load().Log(context.Background(), level, "anywriter: node role", "node", n.addr, "role", v.Role.String(), "why", why)
	for _, l := range *e.listeners.Load() {
		if l.RoleChanged != nil {
			l.RoleChanged(n.addr, v.Role, why)
		}
	}
}

func (e *events) nodes(added, removed []*Node) {
	in, out := addrs(added), addrs(removed)
	e.log.Load().Info("anywriter: nodes changed", "added", in, "removed", out)
	for _, l := range *e.listeners.Load() {
		if l.NodesChanged != nil {
			l.NodesChanged(slices.Clone(in), slices.Clone(out))
		}
	}
}

func addrs(nodes []*Node) []string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.addr
	}
	return out
}

func (e *events) twins(a, b *Node) {
	e.warn(fmt.Sprintf("nodes %s and %s both take writes and are on the same timeline of the same system: "+
		"one is a copy of the other, and what is written to one is never seen on the other", a.addr, b.addr))
}

func (e *events) picked(n *Node) {
	for _, l := range *e.listeners.Load() {
		if l.Picked != nil {
			l.Picked(n.addr)
		}
	}
}

func (e *events) retry(n *Node, v sqlstate.Verdict) {
	for _, l := range *e.listeners.Load() {
		if l.Retried != nil {
			l.Retried(n.addr, v.Kind.String())
		}
	}
}

func (e *events) resolved(n *Node, out Outcome, took time.Duration) {
	e.log.Load().Info("anywriter: lost commit resolved", "node", n.addr, "outcome", out.String(), "took", took)
	for _, l := range *e.listeners.Load() {
		if l.Resolved != nil {
			l.Resolved(n.addr, out, took)
		}
	}
}

func (e *events) warn(message string) {
	e.log.Load().Warn("anywriter: " + message)
	for _, l := range *e.listeners.Load() {
		if l.Warned != nil {
			l.Warned(message)
		}
	}
}

func (e *events) duplicate(n, of *Node) {
	if of != nil {
		e.warn(fmt.Sprintf("nodes %s and %s are the same server; they are used as one node", n.addr, of.addr))
	}
}

func (e *events) denied(n *Node, err error) {
	if err != nil {
		e.warn(fmt.Sprintf("node %s refuses this client: %v", n.addr, err))
	}
}

func (e *events) stranger(_ *Node, err *IdentityError) { e.warn(err.Error()) }
