package node

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/member"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/replica"
)

// offer hands a durable record to the replica; one that was applied before its
// holders were known still learns them.
func (c *core) offer(lsn message.LSN, r message.Record, holders []message.NodeID, all bool, now time.Duration) {
	if lsn <= c.replica.Taken() {
		if !all {
			c.member.Narrow(lsn, holders)
		}
		return
	}
	c.replica.Offer(replica.Entry{LSN: lsn, Record: r, Holders: holders, All: all}, now)
}

// drain applies every record whose turn it is (rule 9).
func (c *core) drain(now time.Duration) {
	for c.failed == nil {
		e, ok := c.replica.Pop(now)
		if !ok {
			return
		}
		if c.failed = c.cfg.store.Apply(e.LSN, &e.Record); c.failed != nil {
			return
		}
		c.certify.Apply(e.LSN, &e.Record)
		c.member.Learn(e.LSN, e.Holders, e.All, now)
		// The record may be the first news of a transaction whose answer was lost.
		c.carryOut(c.origin.Logged(e.LSN, &e.Record), now)
		switch e.Record.Kind {
		case message.RecordCommit:
			c.ownApplied(e.Record.TxID)
		case message.RecordFence:
			c.member.Fenced(e.Record.Node, e.Record.Inc, e.LSN)
			c.deposed(&e.Record, now)
		default: // concerns nobody's transaction
		}
		c.followed(e.LSN, now)
	}
}

// tick does what is due by the clock. Calling it early is harmless.
func (c *core) tick(now time.Duration) {
	c.askForFence(now)
	out := c.origin.Tick(now)
	c.carryOut(out, now)
	for _, m := range out.Peers {
		// A repeated proposal is repeated to the own certifier too: the key that it
		// lacked may be free by now.
		if p, ok := m.(message.Propose); ok && c.phase == serving {
			c.carryOut(c.origin.Vote(c.vote(p, now), now), now)
		}
	}
	for _, txid := range c.certify.Orphans(now) {
		if !c.origin.Pending(txid) { // else the origin is asking already
			c.send(message.Resolve{TxID: txid}, headAddr())
		}
	}
	c.beat(c.member.Tick(now), now)
	if f, due := c.replica.Tick(now); due {
		c.send(f, headAddr())
	}
	c.drain(now)
}

// beat sends a heartbeat, if one is due. A node without a lease also asks for the
// log, for one reason to have none is that somebody took a life in its name: the
// storage nodes refuse it then, and if no peer is there to tell, only the log does.
func (c *core) beat(out member.Output, now time.Duration) {
	for _, l := range out.Leases {
		c.send(l.Request, storageAddr(l.To))
	}
	for _, m := range out.Peers {
		c.told = c.member.Applied()
		c.send(m, c.peers...)
	}
	if len(out.Leases) > 0 && now >= c.leaseUntil() {
		c.send(c.replica.Poll(), headAddr())
	}
}

// settle ends a batch of messages: peers hear how far the cache is, clients hear
// what became stable. A node that doesn't serve keeps silent: nobody waits for it to
// apply what stands above its fence, and were it a deposed one, what it has applied
// would say nothing of the process that took its place.
func (c *core) settle(now time.Duration) {
	if applied := c.member.Applied(); applied > c.told && c.phase == serving {
		c.told = applied
		c.send(c.member.Heartbeat(), c.peers...)
	}
	c.reply(now)
}

// next gives the time of the next tick or settle that has something to do.
func (c *core) next() time.Duration {
	wake := time.Duration(1<<63 - 1)
	at := func(t time.Duration, ok bool) {
		if ok {
			wake = min(wake, t)
		}
	}
	at(c.fenceAt, c.phase == fencing)
	at(c.origin.Next())
	at(c.certify.Next())
	at(c.member.Next())
	if c.failed == nil {
		at(c.replica.Next())
	}
	for _, p := range c.awaiting {
		at(p.deadline, !p.told)
	}
	return wake
}
