package node

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/origin"
	"github.com/anywriter/anywriter/simnode/internal/sequence"
)

// Node is a running node. Start makes it, Close ends it. All methods are safe for
// concurrent use.
type Node struct {
	cfg       Config
	addr      fabric.Addr
	store     *mvcc.Store
	sequences *sequence.Allocator
	base      time.Time // the core's clock counts from here

	inbox   inbox
	done    chan struct{} // closed by Close
	joined  chan struct{} // closed when the core loop has ended
	closing sync.Once
	detach  func()
	frozen  freezer
	facts   facts
	lease   leaseWait

	// loop's own, touched by no other goroutine:
	core    *core
	tickets map[message.TxID]*ticket
	stables []stableWait
	timer   *time.Timer
	armed   time.Duration // when timer fires; never if it doesn't
	phase   phase         // as last logged
	leased  bool          // as last logged
}

// never is a time that no node lives to see.
const never = time.Duration(1<<63 - 1)

// facts are what the loop publishes for readers that don't wait for it.
type facts struct {
	stable        atomic.Uint64
	leaseUntil    atomic.Int64 // on the core's clock
	majorityUntil atomic.Int64
	phase         atomic.Uint32
	incarnation   atomic.Uint32
	reservations  atomic.Int64
	failure       atomic.Pointer[string]
}

// Start begins a life of a node: it returns at once, and the node serves when it
// has its incarnation and has followed the log (see Ready). The cache starts empty.
func Start(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	n := &Node{
		cfg:     cfg,
		addr:    nodeAddr(cfg.ID),
		store:   mvcc.NewStore(),
		base:    time.Now(),
		done:    make(chan struct{}),
		joined:  make(chan struct{}),
		tickets: make(map[message.TxID]*ticket),
		armed:   never,
		timer:   time.NewTimer(time.Hour),
	}
	n.timer.Stop()
	n.inbox.wake = make(chan struct{}, 1)
	n.lease.renew()
	n.sequences = sequence.NewAllocator(n.fetchBlock)
	n.core = newCore(cfg.core(cache{n.store, cfg.Tamper}), n.now())
	n.detach = cfg.Fabric.Attach(n.addr, n.receive)
	go n.loop() // ends when Close closes done
	return n, nil
}

// Close ends the node as a kill does: nothing is said to anybody, its memory is
// gone, sessions that wait get an error. It returns when the loop has ended, and is
// idempotent. It must not be called from a fabric's recv function.
func (n *Node) Close() {
	n.closing.Do(func() {
		close(n.done)
		n.detach()
	})
	<-n.joined
}

// now is the core's clock: monotonic time since the start.
func (n *Node) now() time.Duration { return time.Since(n.base) }

// receive takes a message from the fabric. It runs on the fabric's goroutine, so
// decoding doesn't hold up the loop.
func (n *Node) receive(from fabric.Addr, payload []byte) {
	m, err := message.Decode(payload)
	if err != nil {
		n.cfg.Log.Add(n.addr.String(), "garbage", err.Error())
		return
	}
	n.inbox.put(item{from: from, msg: m})
}

// loop is the one goroutine that touches the core.
func (n *Node) loop() {
	defer close(n.joined)
	defer n.release()
	for {
		n.turn(n.inbox.take())
		select {
		case <-n.inbox.wake:
		case <-n.timer.C:
			n.armed = never
		case <-n.done:
			return
		}
	}
}

// turn handles a batch of messages and commands, then what is due.
func (n *Node) turn(batch []item) {
	for i := range batch {
		if !n.frozen.pass(n.done) {
			return
		}
		if batch[i].run != nil {
			batch[i].run(n.now())
			continue
		}
		n.core.receive(batch[i].from, batch[i].msg, n.now())
	}
	if !n.frozen.pass(n.done) {
		return
	}
	now := n.now()
	n.core.tick(now)
	n.core.settle(now)
	n.publish(now)
	n.deliver()
	n.wakeWaiters(now)
	n.arm(now)
}

// deliver sends what the core wants sent and answers sessions.
func (n *Node) deliver() {
	for i := range n.core.out {
		e := &n.core.out[i]
		payload := message.Encode(e.msg)
		for _, to := range e.to {
			n.cfg.Fabric.Send(n.addr, to, payload)
		}
		*e = envelope{}
	}
	n.core.out = n.core.out[:0]
	for i := range n.core.events {
		n.tell(&n.core.events[i])
		n.core.events[i] = event{}
	}
	n.core.events = n.core.events[:0]
}

// tell passes an event on to the session whose transaction it is about.
func (n *Node) tell(e *event) {
	t := n.tickets[e.txid]
	if t == nil {
		return
	}
	a := answer{Result: e.result}
	if e.done && t.tx != nil && e.result.Outcome == origin.Rejected {
		// As the transaction saw it: the winner may have dropped the table, and
		// once the transaction is finished nobody knows its name.
		a.key = index.Describe(e.result.Key, t.tx, time.UTC)
	}
	if e.released {
		t.released = true
		if t.tx != nil {
			t.tx.Finish()
		}
	}
	if e.done {
		t.answered = true
		t.reply <- a
	}
	if t.released && t.answered {
		delete(n.tickets, e.txid)
	}
}

// publish lets readers see how things stand.
func (n *Node) publish(now time.Duration) {
	c := n.core
	n.facts.stable.Store(uint64(c.member.Stable()))
	lease := c.leaseUntil()
	n.facts.leaseUntil.Store(int64(lease))
	n.facts.majorityUntil.Store(int64(c.member.MajorityUntil()))
	n.facts.reservations.Store(int64(c.certify.Reservations()))
	if c.phase == serving && n.phase != serving {
		n.store.SetIdentity(n.cfg.ID, c.inc)
	}
	n.facts.incarnation.Store(uint32(c.life))
	n.facts.phase.Store(uint32(c.phase))
	if c.failed != nil && n.facts.failure.Load() == nil {
		text := c.failed.Error()
		n.facts.failure.Store(&text)
		n.cfg.Log.Add(n.addr.String(), "failed", text)
	}
	n.record(now < lease)
}

// arm sets the timer if the core wants to be called before it fires.
func (n *Node) arm(now time.Duration) {
	next := n.core.next()
	if next >= n.armed {
		return
	}
	n.armed = next
	n.timer.Reset(max(next-now, 0))
}

// release ends the loop's life: local locks go to those who wait for them, and
// nobody waits for the timer. No session takes a snapshot from here on, so that the
// supervisor may say so once Close has returned.
func (n *Node) release() {
	n.facts.leaseUntil.Store(0)
	n.timer.Stop()
	for _, t := range n.tickets {
		if t.tx != nil && !t.released {
			t.tx.Finish()
		}
	}
}

// cache is the store as the core sees it.
type cache struct {
	store  *mvcc.Store
	tamper func(message.LSN, []message.Write) []message.Write
}

// Apply takes a record in; only commits have writes.
func (c cache) Apply(lsn message.LSN, r *message.Record) error {
	writes := r.Writes
	if c.tamper != nil {
		writes = c.tamper(lsn, writes)
	}
	return c.store.Apply(lsn, writes)
}
