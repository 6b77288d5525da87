package node

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// The node's start (rule 16): it raises its own incarnation by compare-and-set,
// follows the log to the record of that, and only then votes and reads. Until the
// storage has answered, it doesn't even know which life it is in.

// askForFence sends the request that is due.
func (c *core) askForFence(now time.Duration) {
	if c.phase != fencing || now < c.fenceAt {
		return
	}
	c.fenceAt = now + fenceRetry
	c.send(message.FenceRequest{Node: c.cfg.self, Expect: c.inc, BootID: c.bootID}, headAddr())
}

// fenced takes the storage's answer in. A refusal tells the present incarnation,
// which the next request expects; the boot id tells whose raise it was, so that a
// request that was carried out with its reply lost is not taken for another's.
func (c *core) fenced(r message.FenceReply, now time.Duration) {
	if c.phase != fencing || r.Node != c.cfg.self {
		return
	}
	if !r.OK || r.BootID != c.bootID {
		if r.Inc > c.inc {
			c.inc, c.fenceAt = r.Inc, now
			c.askForFence(now)
		}
		return
	}
	c.phase, c.inc, c.life, c.fence = following, r.Inc, r.Inc, r.LSN
	c.carryOut(c.origin.Restart(c.inc), now)
	record := message.Record{Kind: message.RecordFence, Node: c.cfg.self, Inc: r.Inc, BootID: r.BootID}
	c.offer(r.LSN, record, nil, true, now)
	c.replica.Follow(r.LSN, now)
	// The peers' logs would have a gap here until their next lease tells them.
	c.send(message.Committed{LSN: r.LSN, Record: record, AllHolders: true}, c.peers...)
	// The log may have brought the fence before the storage's answer arrived.
	c.followed(c.replica.Taken(), now)
}

// followed is called with the applied LSN whenever that may decide: at its own fence the node has
// seen all that was decided before this life, and begins to serve.
func (c *core) followed(lsn message.LSN, now time.Duration) {
	if c.phase == following && lsn >= c.fence {
		c.phase = serving
		c.member.Start(c.inc, now)
	}
}

// deposed takes in a fence of this node in the log. One above the own incarnation
// means that somebody else started in this node's name, so that its votes and its
// leases are void: it starts anew (hole 15).
func (c *core) deposed(r *message.Record, now time.Duration) {
	if r.Node != c.cfg.self || c.phase == fencing || r.Inc <= c.inc {
		return
	}
	c.phase, c.inc = fencing, r.Inc
	c.bootID = c.bootID*0x9E3779B97F4A7C15 + 1 // another life needs another boot id
	c.fenceAt = now
	c.member.Stop()
	c.carryOut(c.origin.Restart(c.inc), now)
}
