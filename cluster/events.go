package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
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
// in the middle of an operation or of the watch over the nodes: they must return
// quickly, must not use the cluster and must not panic. As long as one doesn't
// return, the operation, or everything that is found out of the nodes, waits for it,
// and so does Close. A panic ends nothing: it is logged, the first one of each
// function that is, and the event counts as told.
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
	log      atomic.Pointer[slog.Logger]
	panicked sync.Map // the names of functions of which a panic was logged

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

// tell calls one function of each listener, whose name is for the log.
func (e *events) tell(name string, call func(*EventListener)) {
	for _, l := range *e.listeners.Load() {
		e.guard(name, l, call)
	}
}

// guard keeps a listener's panic from whoever was about something else: an operation
// with a connection in its hands, or the only goroutine that watches the nodes.
func (e *events) guard(name string, l *EventListener, call func(*EventListener)) {
	defer func() {
		r := recover()
		if r == nil {
			return
		}
		if _, known := e.panicked.LoadOrStore(name, true); !known {
			e.log.Load().Warn("anywriter: EventListener."+name+" has panicked; it won't be logged again",
				"panic", r, "stack", string(debug.Stack()))
		}
	}()
	call(l)
}

func (e *events) state(n *Node, r health.Report) {
	e.log.Load().Info("anywriter: node state", "node", n.addr, "state", r.State.String(), "reason", r.Reason.String())
	e.tell("StateChanged", func(l *EventListener) {
		if l.StateChanged != nil {
			l.StateChanged(n.addr, r.State, r.Reason)
		}
	})
}

func (e *events) role(n *Node, v role.Verdict) {
	why, level := n.whyReadOnly(), slog.LevelInfo
	if v.Role == role.Superseded {
		level = slog.LevelWarn
	}
	e.log.Load().Log(context.Background(), level, "anywriter: node role", "node", n.addr, "role", v.Role.String(), "why", why)
	e.tell("RoleChanged", func(l *EventListener) {
		if l.RoleChanged != nil {
			l.RoleChanged(n.addr, v.Role, why)
		}
	})
}

func (e *events) nodes(added, removed []*Node) {
	in, out := addrs(added), addrs(removed)
	e.log.Load().Info("anywriter: nodes changed", "added", in, "removed", out)
	e.tell("NodesChanged", func(l *EventListener) {
		if l.NodesChanged != nil {
			l.NodesChanged(slices.Clone(in), slices.Clone(out))
		}
	})
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

func (e *events) picked(n *Node) (told bool) {
	for _, l := range *e.listeners.Load() {
		if l.Picked != nil { // for each operation: nothing is prepared in vain
			told = true
			e.guard("Picked", l, func(l *EventListener) { l.Picked(n.addr) })
		}
	}
	return told
}

func (e *events) retry(n *Node, v sqlstate.Verdict) {
	e.tell("Retried", func(l *EventListener) {
		if l.Retried != nil {
			l.Retried(n.addr, v.Kind.String())
		}
	})
}

func (e *events) resolved(n *Node, out Outcome, took time.Duration) {
	e.log.Load().Info("anywriter: lost commit resolved", "node", n.addr, "outcome", out.String(), "took", took)
	e.tell("Resolved", func(l *EventListener) {
		if l.Resolved != nil {
			l.Resolved(n.addr, out, took)
		}
	})
}

func (e *events) warn(message string) {
	e.log.Load().Warn("anywriter: " + message)
	e.tell("Warned", func(l *EventListener) {
		if l.Warned != nil {
			l.Warned(message)
		}
	})
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
