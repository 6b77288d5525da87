package node

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/message"
)

// What the simulator and its demo look at, and the faults that need the core.

// ID gives the node's number.
func (n *Node) ID() message.NodeID { return n.cfg.ID }

// Applied gives the last LSN in the cache.
func (n *Node) Applied() message.LSN { return n.store.Applied() }

// Stable gives the LSN below which no node serves anything any more, as far as this
// node knows. In eventual mode it is kept too, and nobody waits for it.
func (n *Node) Stable() message.LSN { return message.LSN(n.facts.stable.Load()) }

// LeaseUntil gives the time at which the right to take snapshots ends unless it is
// renewed; it lies in the past if there is none.
func (n *Node) LeaseUntil() time.Time {
	return n.base.Add(time.Duration(n.facts.leaseUntil.Load()))
}

// Reservations counts the open transactions that this node has accepted.
func (n *Node) Reservations() int { return int(n.facts.reservations.Load()) }

// Incarnation gives which life of the node this is, 0 until the storage has said.
// After Close it is the one to release: the last that was this process's own, never
// one that somebody else took in the node's name.
func (n *Node) Incarnation() message.Incarnation {
	return message.Incarnation(n.facts.incarnation.Load())
}

// Hash gives a digest of all live rows, and the LSN that it is of: equal on all
// nodes that have applied as far.
func (n *Node) Hash() ([32]byte, message.LSN) { return n.store.HashAt() }

// SetLag makes the node's cache take every record that much later than it arrives
// (the fault "slow cache"); 0 ends it.
func (n *Node) SetLag(lag time.Duration) {
	n.inbox.put(item{run: func(time.Duration) { n.core.replica.SetLag(lag) }})
}

// record notes changes of phase and lease in the event log.
func (n *Node) record(leased bool) {
	if p := n.core.phase; p != n.phase {
		n.phase = p
		n.cfg.Log.Add(n.addr.String(), "phase", "the node is "+p.String(),
			evlog.F("incarnation", n.core.inc), evlog.F("applied", n.core.member.Applied()))
	}
	if leased != n.leased {
		n.leased = leased
		kind := "lease-lost"
		if leased {
			kind = "lease"
		}
		n.cfg.Log.Add(n.addr.String(), kind, "", evlog.F("applied", n.core.member.Applied()))
	}
}
