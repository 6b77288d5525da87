package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/origin"
	"github.com/anywriter/anywriter/simnode/internal/sequence"
)

// What sessions ask of their node.

// ticket is a session's wait for the outcome of its transaction or block.
type ticket struct {
	tx    *mvcc.Txn // nil for a sequence block
	txid  message.TxID
	reply chan answer // has room for the one answer

	// loop's own:
	released, answered bool
}

// answer is the outcome that a session hears of.
type answer struct {
	origin.Result
	key string // what it lost, in words, if it lost against another transaction
}

// stableWait is a statement that waits for its snapshot to become stable.
type stableWait struct {
	lsn  message.LSN
	done chan struct{}
}

// leaseWait is where statements wait for a lease, however many and for however long
// there is none.
type leaseWait struct {
	waiting atomic.Int64
	ch      atomic.Pointer[chan struct{}] // closed by the loop when there is a lease
}

// gained gives a channel that is closed when a lease comes after the call.
func (w *leaseWait) gained() <-chan struct{} { return *w.ch.Load() }

// renew puts a new channel in and gives the old one, for the loop to close.
func (w *leaseWait) renew() (old chan struct{}) {
	ch := make(chan struct{})
	if before := w.ch.Swap(&ch); before != nil {
		old = *before
	}
	return old
}

// Begin starts a transaction. It must go to Commit or be finished.
func (n *Node) Begin(iso mvcc.Isolation, readOnly bool) *mvcc.Txn {
	return n.store.Begin(iso, readOnly)
}

// Identity names the cluster and the node.
func (n *Node) Identity() (clusterID string, node message.NodeID) {
	return n.cfg.ClusterID, n.cfg.ID
}

// Sequences gives the node's stock of sequence values.
func (n *Node) Sequences() *sequence.Allocator { return n.sequences }

// Ready is nil when the node can serve all that there is: it can answer reads, and
// has heard a majority of the members within 250 ms. Otherwise it is 57P03 with the
// reason in the detail.
func (n *Node) Ready() error {
	err := n.Reads()
	if err == nil && !n.HearsMajority() {
		err = errNotReady("the node has not heard from a majority of the members for 250 ms")
	}
	return err
}

// HearsMajority reports whether a majority of the members, this node among them, was
// heard within 250 ms. Without one no commit gets its votes, while reads, which rest
// on the storage's lease, are as current as any.
func (n *Node) HearsMajority() bool { return int64(n.now()) < n.facts.majorityUntil.Load() }

// Reads is nil when the node can answer reads: it has followed the log and holds a
// lease. Otherwise it is 57P03 with the reason in the detail.
func (n *Node) Reads() error {
	if err := n.ended(); err != nil {
		return err
	}
	now := int64(n.now())
	switch {
	case n.facts.failure.Load() != nil:
		return errNotReady("the cache refused a record: " + *n.facts.failure.Load())
	case phase(n.facts.phase.Load()) != serving:
		return errNotReady("the node is " + phase(n.facts.phase.Load()).String())
	case now >= n.facts.leaseUntil.Load():
		return errNotReady("the node holds no read lease")
	}
	return nil
}

// Snapshot gives the LSN that a statement arriving now may read at (rule 1). In
// strict mode it needs a lease and waits for one up to 250 ms; then, or when ctx
// ends, it fails: 57P03, or context.Cause(ctx).
func (n *Node) Snapshot(ctx context.Context) (message.LSN, error) {
	if err := n.gate(ctx); err != nil {
		return 0, err
	}
	// First the lease against the clock, then the applied LSN: in the other order a
	// pause in between makes the snapshot stale (hole 9).
	if n.mayRead() {
		return n.store.Applied(), nil
	}
	pause := n.cfg.Timers.LeasePause
	if pause == 0 {
		pause = 250 * time.Millisecond
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	n.lease.waiting.Add(1)
	defer n.lease.waiting.Add(-1)
	for {
		// The channel before the look at the lease: one that comes in between closes it.
		gained := n.lease.gained()
		if n.mayRead() {
			return n.store.Applied(), nil
		}
		select {
		case <-gained:
		case <-timer.C:
			if err := n.Reads(); err != nil {
				return 0, err
			}
			return 0, errNotReady("the node holds no read lease")
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-n.done:
			return 0, errEnded()
		}
	}
}

// mayRead reports whether a snapshot may be taken now.
func (n *Node) mayRead() bool {
	if n.cfg.Mode == Eventual {
		return phase(n.facts.phase.Load()) == serving && n.facts.failure.Load() == nil
	}
	return int64(n.now()) < n.facts.leaseUntil.Load()
}

// WaitStable returns when no node can serve anything older than lsn (rule 15); at
// once in eventual mode. It takes at most 220 ms from when this node applied lsn.
// Errors: context.Cause(ctx), and 57P01 when the node ends.
func (n *Node) WaitStable(ctx context.Context, lsn message.LSN) error {
	if err := n.gate(ctx); err != nil {
		return err
	}
	if n.cfg.Mode == Eventual || uint64(lsn) <= n.facts.stable.Load() {
		return nil
	}
	w := stableWait{lsn: lsn, done: make(chan struct{})}
	n.inbox.put(item{run: func(time.Duration) { n.stables = append(n.stables, w) }})
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-n.done:
		return errEnded()
	}
}

// wakeWaiters lets those statements go on that may.
func (n *Node) wakeWaiters(now time.Duration) {
	if stable := n.core.member.Stable(); len(n.stables) > 0 {
		rest := n.stables[:0]
		for _, w := range n.stables {
			if w.lsn <= stable {
				close(w.done)
				continue
			}
			rest = append(rest, w)
		}
		clear(n.stables[len(rest):])
		n.stables = rest
	}
	if _, ok := n.core.snapshot(now); ok && n.lease.waiting.Load() > 0 {
		close(n.lease.renew())
	}
}

// Commit carries a transaction through the quorum (rules 3 to 10) and answers when
// it may (rule 15), with its LSN. It takes tx over: whatever it returns, the caller
// doesn't touch tx again; its local locks go when its outcome is applied here, or
// is in doubt.
//
// A transaction that neither wrote nor locked anything commits at once, without a
// message. Errors: 40001 (conflict, no majority, refused by the storage), 57014 when
// ctx ended before anything was appended, 40003 when the outcome is unknown and
// goes on being resolved, 08007 when the node ended meanwhile.
func (n *Node) Commit(ctx context.Context, tx *mvcc.Txn) (message.LSN, error) {
	if err := n.gate(ctx); err != nil {
		tx.Finish()
		return 0, err
	}
	if !tx.HasWrites() {
		lsn := tx.Snapshot()
		tx.Finish()
		return lsn, nil
	}
	keys, writes := tx.Proposal()
	t := &ticket{tx: tx, reply: make(chan answer, 1)}
	n.inbox.put(item{run: func(now time.Duration) {
		t.txid = n.core.commit(keys, writes, time.Now().UTC(), now)
		n.tickets[t.txid] = t
	}})
	r, err := n.await(ctx, t)
	if err != nil {
		return 0, err
	}
	return n.outcome(&r)
}

// await waits for the answer to a ticket. A cancelled context gives the transaction
// up if nothing was appended yet; otherwise only the storage can tell, and the wait
// goes on until it does or patience ends.
func (n *Node) await(ctx context.Context, t *ticket) (answer, error) {
	cancelled := ctx.Done()
	for {
		select {
		case r := <-t.reply:
			return r, nil
		case <-cancelled:
			cancelled = nil
			n.inbox.put(item{run: func(now time.Duration) { n.core.cancel(t.txid, now) }})
		case <-n.done:
			// The loop may have answered before it ended.
			<-n.joined
			select {
			case r := <-t.reply:
				return r, nil
			default:
				return answer{}, errGone()
			}
		}
	}
}

// fetchBlock asks the storage for units of a sequence. Errors: 57P03 when the
// storage doesn't answer.
func (n *Node) fetchBlock(ctx context.Context, seq uint32, count int64) (int64, error) {
	if err := n.gate(ctx); err != nil {
		return 0, err
	}
	t := &ticket{reply: make(chan answer, 1)}
	n.inbox.put(item{run: func(now time.Duration) {
		t.txid = n.core.allocate(seq, 0, count, now)
		n.tickets[t.txid] = t
	}})
	select {
	case r := <-t.reply:
		if r.Outcome != origin.Allocated {
			return 0, errNoBlock(&r.Result)
		}
		return r.First, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-n.done:
		return 0, errEnded()
	}
}
