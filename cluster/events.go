package cluster

import (
	"context"
	"fmt"
	"log/slog"
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

// events tells the listener and the logger.
type events struct {
	to  EventListener
	log *slog.Logger
}

func newEvents(to EventListener, log *slog.Logger) events {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return events{to: to, log: log}
}

func (e *events) state(n *Node, r health.Report) {
	e.log.Info("anywriter: node state", "node", n.addr, "state", r.State.String(), "reason", r.Reason.String())
	if e.to.StateChanged != nil {
		e.to.StateChanged(n.addr, r.State, r.Reason)
	}
}

func (e *events) role(n *Node, v role.Verdict) {
	why, level := n.whyReadOnly(), slog.LevelInfo
	if v.Role == role.Superseded {
		level = slog.LevelWarn
	}
	e.log.Log(context.Background(), level, "anywriter: node role", "node", n.addr, "role", v.Role.String(), "why", why)
	if e.to.RoleChanged != nil {
		e.to.RoleChanged(n.addr, v.Role, why)
	}
}

func (e *events) twins(a, b *Node) {
	e.warn(fmt.Sprintf("nodes %s and %s both take writes and are on the same timeline of the same system: "+
		"one is a copy of the other, and what is written to one is never seen on the other", a.addr, b.addr))
}

func (e *events) picked(n *Node) {
	if e.to.Picked != nil {
		e.to.Picked(n.addr)
	}
}

func (e *events) retry(n *Node, v sqlstate.Verdict) {
	if e.to.Retried != nil {
		e.to.Retried(n.addr, v.Kind.String())
	}
}

func (e *events) resolved(n *Node, out Outcome, took time.Duration) {
	e.log.Info("anywriter: lost commit resolved", "node", n.addr, "outcome", out.String(), "took", took)
	if e.to.Resolved != nil {
		e.to.Resolved(n.addr, out, took)
	}
}

func (e *events) warn(message string) {
	e.log.Warn("anywriter: " + message)
	if e.to.Warned != nil {
		e.to.Warned(message)
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
