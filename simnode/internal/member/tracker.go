package member

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// Config sets a tracker up. Self, Members and Storage are required.
type Config struct {
	Self    message.NodeID
	Members []message.NodeID    // of the config epoch, Self among them
	Epoch   message.Epoch       // config epoch that heartbeats carry; 0 means 1
	Storage []message.StorageID // the storage nodes to ask for leases

	// LeaseUse is how long a lease is used, counted from sending the request.
	// 0 means 180 ms.
	LeaseUse time.Duration
	// LeaseWait is how long the others wait for a silent node's lease to end.
	// 0 means 220 ms: with LeaseUse it tolerates clocks that run 9 % apart.
	LeaseWait time.Duration
	// Heartbeat is how often leases are asked for and peers are told of the
	// applied LSN. 0 means 50 ms: three rounds may be lost before a lease runs out.
	Heartbeat time.Duration
	// HeardWithin is how long a peer counts as reachable after its last word.
	// 0 means 250 ms.
	HeardWithin time.Duration
	// Mutants are deliberate bugs, for tests only.
	Mutants mutant.Set
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	c.Epoch = max(c.Epoch, 1)
	def(&c.LeaseUse, 180*time.Millisecond)
	def(&c.LeaseWait, 220*time.Millisecond)
	def(&c.Heartbeat, 50*time.Millisecond)
	def(&c.HeardWithin, 250*time.Millisecond)
	if c.Mutants.Has(mutant.NoDriftMargin) {
		c.LeaseUse = c.LeaseWait + c.LeaseWait/8
	}
	return c
}

// peer is another member as this node sees it.
type peer struct {
	id       message.NodeID
	applied  message.LSN
	heardAt  time.Duration
	life     message.Incarnation // newest one that it spoke in
	released message.Incarnation // this life and all before have ended; 0: none
	fences   []fence             // of the lives after it, as applied here
}

// never is a time before any other.
const never = time.Duration(-1 << 62)

// Tracker is one node's view of its peers, its leases and what is stable. Make it
// with New; Start begins asking for leases. Not safe for concurrent use.
type Tracker struct {
	cfg       Config
	inc       message.Incarnation
	started   bool
	beatAt    time.Duration
	applied   message.LSN
	peers     []peer
	leases    leases
	stability stability
}

// New gives a tracker that has heard nobody.
func New(cfg Config) *Tracker {
	t := &Tracker{cfg: cfg.withDefaults(), leases: leases{nonces: make(map[message.StorageID]nonce)}}
	for _, id := range cfg.Members {
		if id != cfg.Self {
			t.peers = append(t.peers, peer{id: id, heardAt: never})
		}
	}
	return t
}

// Start begins a life of the node: leases are asked for in the name of inc, and
// those of an earlier life are forgotten. The first heartbeat is due at once.
func (t *Tracker) Start(inc message.Incarnation, now time.Duration) {
	t.inc, t.started, t.beatAt = inc, true, now
	t.leases.restart(inc, t.cfg.Mutants)
}

// Stop ends a life of the node that was fenced: its leases are void at once.
func (t *Tracker) Stop() {
	t.started = false
	t.leases.rounds = nil
}

// LeaseRequest is a request and the storage node that it goes to.
type LeaseRequest struct {
	To      message.StorageID
	Request message.LeaseRequest
}

// Output is what Tick wants sent. The zero value wants nothing.
type Output struct {
	Leases []LeaseRequest
	Peers  []message.Message // to every other member
}

// Tick sends what is due: every heartbeat a round of lease requests, and the
// applied LSN to the peers.
func (t *Tracker) Tick(now time.Duration) Output {
	var out Output
	if !t.started || now < t.beatAt {
		return out
	}
	t.beatAt = now + t.cfg.Heartbeat
	t.leases.expire(now, t.cfg.LeaseUse)
	id := t.leases.open(now)
	for _, s := range t.cfg.Storage {
		out.Leases = append(out.Leases, LeaseRequest{To: s, Request: message.LeaseRequest{
			Node: t.cfg.Self, Inc: t.inc, ReqID: id, Nonce: t.leases.nonces[s].value,
		}})
	}
	out.Peers = []message.Message{t.Heartbeat()}
	return out
}

// Heartbeat is what the peers are told: on every heartbeat, and on apply.
func (t *Tracker) Heartbeat() message.Applied {
	return message.Applied{Node: t.cfg.Self, Inc: t.inc, LSN: t.applied, ConfigEpoch: t.cfg.Epoch}
}

// Grant takes a storage node's answer in and reports whether it completed a lease.
func (t *Tracker) Grant(g message.LeaseGrant, now time.Duration) bool {
	return t.leases.take(g, now)
}

// Tail is the log tail that the leases in hand name: the node may not read under
// them before it has applied that far.
func (t *Tracker) Tail() message.LSN { return t.leases.tail() }

// LeaseUntil gives the time at which the right to take snapshots ends, given what
// is applied; a time that has passed (or 0) means there is none.
func (t *Tracker) LeaseUntil() time.Duration {
	return t.leases.until(t.applied, t.cfg.LeaseUse, t.cfg.Mutants)
}

// Learn takes in that lsn has been applied here. holders are the nodes that may
// still read below it, as the storage said; all means that any may.
func (t *Tracker) Learn(lsn message.LSN, holders []message.NodeID, all bool, now time.Duration) {
	t.applied = lsn
	t.stability.learn(applied{lsn: lsn, learnedAt: now, holders: holders, all: all})
}

// Narrow takes in the holders of an LSN that was applied without knowing them.
func (t *Tracker) Narrow(lsn message.LSN, holders []message.NodeID) {
	t.stability.narrow(lsn, holders)
}

// Heard takes in that a peer said anything.
func (t *Tracker) Heard(id message.NodeID, now time.Duration) {
	if p := t.peer(id); p != nil {
		p.heardAt = max(p.heardAt, now)
	}
}

// PeerApplied takes in how far a peer has applied the log. It never goes back, also
// not over the peer's restart: its new life reads nothing before its fence, which
// stands above everything that it applied.
func (t *Tracker) PeerApplied(a message.Applied) {
	if p := t.peer(a.Node); p != nil {
		p.applied = max(p.applied, a.LSN)
		p.life = max(p.life, a.Inc)
	}
}

// Answers guesses whether a peer would answer now: it was heard within three
// heartbeats, and its supervisor has not said that its life is over. This node
// itself does. Nothing that must be right may rest on it.
func (t *Tracker) Answers(id message.NodeID, now time.Duration) bool {
	p := t.peer(id)
	return p == nil || p.life > p.released && now <= p.heardAt+3*t.cfg.Heartbeat
}

// Fenced takes in that a FenceRecord of a peer stands in the log applied here. It
// must be told of every one, from the first record of the log on.
func (t *Tracker) Fenced(id message.NodeID, inc message.Incarnation, lsn message.LSN) {
	if p := t.peer(id); p != nil && inc > p.released {
		p.fences = append(p.fences, fence{lsn: lsn, inc: inc})
	}
}

// Released takes in that life inc of a peer, and every life before it, has ended
// and reads no more. The caller believes it from the peer's supervisor only. It may
// come late, twice, in any order or not at all: see peer.gone.
func (t *Tracker) Released(id message.NodeID, inc message.Incarnation) {
	if p := t.peer(id); p != nil && inc > p.released {
		p.released = inc
		p.fences = slices.DeleteFunc(p.fences, func(f fence) bool { return f.inc <= inc })
	}
}

func (t *Tracker) peer(id message.NodeID) *peer {
	for i := range t.peers {
		if t.peers[i].id == id {
			return &t.peers[i]
		}
	}
	return nil
}

// Advance moves the stable LSN and gives it.
func (t *Tracker) Advance(now time.Duration) message.LSN {
	t.stability.advance(t, now)
	return t.stability.stable
}

// Stable gives the LSN up to which no node serves an older state any more, as of
// the last Advance.
func (t *Tracker) Stable() message.LSN { return t.stability.stable }

// Applied gives the last LSN that Learn was told.
func (t *Tracker) Applied() message.LSN { return t.applied }

// MajorityUntil gives the time until which a majority of the members, this node
// among them, counts as heard. A cluster of one hears itself for ever.
func (t *Tracker) MajorityUntil() time.Duration {
	needed := len(t.cfg.Members) / 2 // others, beside this node
	if needed == 0 {
		return time.Duration(1<<63 - 1)
	}
	heard := make([]time.Duration, 0, 8)
	for i := range t.peers {
		heard = append(heard, t.peers[i].heardAt)
	}
	slices.Sort(heard)
	return heard[len(heard)-needed] + t.cfg.HeardWithin
}

// Next gives the time at which Tick or Advance has something to do, if it ever
// will: the next heartbeat, or the end of the wait for the oldest unstable LSN.
func (t *Tracker) Next() (time.Duration, bool) {
	if len(t.stability.queue) > 0 {
		wait := t.stability.queue[0].learnedAt + t.cfg.LeaseWait
		if !t.started {
			return wait, true
		}
		return min(wait, t.beatAt), true
	}
	return t.beatAt, t.started
}
