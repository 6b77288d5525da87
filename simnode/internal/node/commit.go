package node

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
	"github.com/anywriter/anywriter/simnode/internal/origin"
)

// pending is a transaction of this node, or its request for a sequence block, from
// COMMIT until nothing more is to be said about it.
type pending struct {
	txid     message.TxID
	deadline time.Duration // when the client hears "in doubt"
	told     bool          // the client has its answer
	result   origin.Result // the final one, once decided
	decided  bool
	applied  bool
}

// event tells the shell about a pending transaction. done comes once, released once
// or, after doubt, twice.
type event struct {
	txid     message.TxID
	released bool          // its outcome is applied here, or in doubt: local locks may go
	done     bool          // result is the answer to the client
	result   origin.Result // with done
}

// commit takes a transaction from its session (rule 3). Its events follow, maybe
// before commit returns.
func (c *core) commit(keys []message.KeyRef, writes []message.Write, wall time.Time, now time.Duration) message.TxID {
	id := c.origin.NextTxID()
	c.pending[id] = &pending{txid: id, deadline: now + c.cfg.patience}
	if c.phase != serving || c.failed != nil {
		c.result(origin.Result{TxID: id, Outcome: origin.NoMajority}, now)
		return id
	}
	request := origin.Request{TxID: id, Keys: keys, Writes: writes, Committed: wall}
	own := c.vote(message.Propose{TxID: id, Keys: keys}, now)
	c.carryOut(c.origin.Begin(request, own, now), now)
	c.drain(now)
	return id
}

// cancel gives a transaction up if nothing was appended yet.
func (c *core) cancel(txid message.TxID, now time.Duration) {
	c.carryOut(c.origin.Cancel(txid), now)
}

// allocate asks for a block of sequence units. A node that doesn't know its
// incarnation yet has no names to ask under: an earlier life may have used them.
func (c *core) allocate(sequence uint32, start, count int64, now time.Duration) message.TxID {
	if c.phase != serving {
		id := c.origin.NextTxID()
		c.pending[id] = &pending{txid: id}
		c.result(origin.Result{TxID: id, Outcome: origin.NoAnswer}, now)
		return id
	}
	id, out := c.origin.Allocate(sequence, start, count, now)
	c.pending[id] = &pending{txid: id, deadline: now + c.cfg.patience}
	c.carryOut(out, now)
	return id
}

// carryOut does what the origin machine wants.
func (c *core) carryOut(out origin.Output, now time.Duration) {
	for _, m := range out.Peers {
		if abort, ok := m.(message.Abort); ok {
			c.certify.Abort(abort.TxID)
		}
		c.send(m, c.peers...)
	}
	for _, m := range out.Head {
		c.send(m, headAddr())
	}
	for _, r := range out.Results {
		c.result(r, now)
	}
}

// result takes in what became of a pending transaction.
func (c *core) result(r origin.Result, now time.Duration) {
	p := c.pending[r.TxID]
	if p == nil {
		return
	}
	if r.LSN > 0 {
		c.offer(r.LSN, r.Record, r.Holders, r.AllHolders, now)
	}
	switch r.Outcome {
	case origin.InDoubt:
		c.tell(p, r)
	case origin.Committed:
		p.result, p.decided = r, true
		c.awaiting = append(c.awaiting, p)
	default:
		if r.Outcome == origin.Refused {
			c.certify.Abort(r.TxID)
		}
		delete(c.pending, r.TxID)
		c.events = append(c.events, event{txid: r.TxID, released: true, done: !p.told, result: r})
		p.told = true
	}
}

// tell answers the client. A transaction in doubt gives up its local locks with
// that: they only spare its successors a conflict, and its outcome may be long in
// coming. Whoever writes over it unseen loses at certification.
func (c *core) tell(p *pending, r origin.Result) {
	if !p.told {
		p.told = true
		doubt := r.Outcome == origin.InDoubt
		c.events = append(c.events, event{txid: p.txid, released: doubt, done: true, result: r})
	}
}

// ownApplied takes in that a commit of this node stands in its cache.
func (c *core) ownApplied(txid message.TxID) {
	if p := c.pending[txid]; p != nil && p.decided {
		p.applied = true
		delete(c.pending, txid)
		c.events = append(c.events, event{txid: txid, released: true})
	}
}

// answerable reports whether the client may hear of the commit (rule 15).
func (c *core) answerable(p *pending, stable message.LSN) bool {
	if c.cfg.eventual || c.cfg.mutants.Has(mutant.StrictNoWait) {
		return p.applied
	}
	return p.applied && stable >= p.result.LSN
}

// reply tells the clients whose commit became stable, and those that waited too
// long for it.
func (c *core) reply(now time.Duration) {
	stable := c.member.Advance(now)
	rest := c.awaiting[:0]
	for _, p := range c.awaiting {
		switch {
		case c.answerable(p, stable):
			c.tell(p, p.result)
		case now >= p.deadline:
			c.tell(p, origin.Result{TxID: p.txid, Outcome: origin.InDoubt})
			if !p.applied {
				rest = append(rest, p)
			}
		default:
			rest = append(rest, p)
		}
	}
	clear(c.awaiting[len(rest):])
	c.awaiting = rest
}
