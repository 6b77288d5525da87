package node

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/certify"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/member"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
	"github.com/anywriter/anywriter/simnode/internal/origin"
	"github.com/anywriter/anywriter/simnode/internal/replica"
)

// phase is how far a node's start has come (rule 16).
type phase uint8

const (
	fencing   phase = iota + 1 // asking for an incarnation
	following                  // fetching the log up to the own fence
	serving                    // votes, takes leases, commits
)

func (p phase) String() string {
	switch p {
	case fencing:
		return "asking for its incarnation"
	case following:
		return "following the log"
	case serving:
		return "serving"
	default:
		return "unknown"
	}
}

// store is the node's cache, as far as the core needs it. Apply is called once
// for every LSN, in order.
type store interface {
	Apply(lsn message.LSN, record *message.Record) error
}

// coreConfig is what a core is made of.
type coreConfig struct {
	self     message.NodeID
	members  []message.NodeID
	epoch    message.Epoch // config epoch
	storage  []message.StorageID
	bootID   uint64
	eventual bool
	store    store
	// patience is how long a session waits for its commit before it is told that
	// the outcome is in doubt; 0 means 1 s.
	patience time.Duration

	certify certify.Config
	origin  origin.Config
	member  member.Config
	replica replica.Config
	mutants mutant.Set // for tests only
}

// defaultPatience is many times what the storage needs, and short enough for a
// client to ask elsewhere what became of its transaction.
const defaultPatience = time.Second

// fenceRetry is how often an unanswered request for an incarnation is repeated.
const fenceRetry = 50 * time.Millisecond

// core is everything a node decides: the pure machines wired together. It is a
// function of the messages and times that it is given, so the search runs it
// unchanged. It does no I/O; what it wants done gathers in out and events until
// the shell takes it. Not safe for concurrent use.
type core struct {
	cfg     coreConfig
	certify *certify.Certifier
	origin  *origin.Machine
	member  *member.Tracker
	replica *replica.Replica

	phase   phase
	inc     message.Incarnation // while fencing: the newest one that the storage told of
	life    message.Incarnation // the last one that was this process's own; 0: none yet
	bootID  uint64
	fence   message.LSN   // of the own FenceRecord
	fenceAt time.Duration // next request, while fencing

	pending  map[message.TxID]*pending
	awaiting []*pending // decided in our favour, client not told; in LSN order
	told     message.LSN
	failed   error // the cache refused a record: the node can serve no more

	peers  []fabric.Addr
	out    []envelope
	events []event
}

// envelope is a message and where it goes.
type envelope struct {
	to  []fabric.Addr
	msg message.Message
}

func nodeAddr(id message.NodeID) fabric.Addr {
	return fabric.Addr{Kind: fabric.KindNode, ID: uint16(id)}
}

func storageAddr(id message.StorageID) fabric.Addr {
	return fabric.Addr{Kind: fabric.KindStorage, ID: uint16(id)}
}

func headAddr() fabric.Addr { return fabric.Addr{Kind: fabric.KindHead} }

// newCore gives a core at the empty database that begins to start at now.
func newCore(cfg coreConfig, now time.Duration) *core {
	if cfg.patience == 0 {
		cfg.patience = defaultPatience
	}
	cfg.origin.Patience = cfg.patience
	cfg.origin.Self, cfg.origin.Members = cfg.self, cfg.members
	cfg.member.Self, cfg.member.Members = cfg.self, cfg.members
	cfg.member.Storage, cfg.member.Epoch = cfg.storage, cfg.epoch
	cfg.certify.Mutants, cfg.origin.Mutants, cfg.member.Mutants = cfg.mutants, cfg.mutants, cfg.mutants
	members := member.New(cfg.member)
	cfg.origin.Answers = members.Answers
	// Leases end when the storage has not answered for a while.
	cfg.origin.CutOff = func(now time.Duration) bool { return now >= members.LeaseUntil() }
	c := &core{
		cfg:     cfg,
		certify: certify.New(cfg.certify),
		origin:  origin.New(cfg.origin),
		member:  members,
		replica: replica.New(cfg.replica),
		phase:   fencing,
		bootID:  cfg.bootID,
		fenceAt: now,
		pending: make(map[message.TxID]*pending),
	}
	for _, id := range cfg.members {
		if id != cfg.self {
			c.peers = append(c.peers, nodeAddr(id))
		}
	}
	return c
}

func (c *core) send(m message.Message, to ...fabric.Addr) {
	if len(to) > 0 {
		c.out = append(c.out, envelope{to: to, msg: m})
	}
}

// receive takes a message in. The caller calls settle before it waits for more.
func (c *core) receive(from fabric.Addr, m message.Message, now time.Duration) {
	switch from.Kind {
	case fabric.KindNode:
		c.fromPeer(message.NodeID(from.ID), m, now)
	case fabric.KindHead:
		c.fromHead(m, now)
	case fabric.KindStorage:
		if g, ok := m.(message.LeaseGrant); ok && uint16(g.Storage) == from.ID {
			c.member.Grant(g, now)
			c.replica.Reach(c.member.Tail(), now)
		}
	default: // clients have nothing to say to a core, supervisors only what follows
	}
	if r, ok := m.(message.Release); ok {
		c.released(from, r)
	}
	c.drain(now)
}

// released takes in that a life of a peer has ended. That is a fact only from the
// one who saw the process end: a node that merely does not answer may live, and
// read, whatever others think of it (hole 8).
func (c *core) released(from fabric.Addr, r message.Release) {
	supervisor := fabric.Addr{Kind: fabric.KindSupervisor, ID: uint16(r.Node)}
	if from == supervisor || c.cfg.mutants.Has(mutant.ReleaseFromAnybody) {
		c.member.Released(r.Node, r.Inc)
	}
}

func (c *core) fromPeer(from message.NodeID, m message.Message, now time.Duration) {
	c.member.Heard(from, now)
	switch m := m.(type) {
	case message.Propose:
		if m.TxID.Origin == from {
			c.answer(m, now)
		}
	case message.Vote:
		if m.Voter == from {
			c.carryOut(c.origin.Vote(m, now), now)
		}
	case message.Abort:
		if m.TxID.Origin == from { // only the origin's own word frees keys
			c.certify.Abort(m.TxID)
		}
	case message.Committed:
		c.offer(m.LSN, m.Record, m.Holders, m.AllHolders, now)
	case message.Applied:
		if m.Node == from {
			c.member.PeerApplied(m)
			c.replica.Reach(m.LSN, now)
		}
	default: // not for a node to hear from another
	}
}

func (c *core) fromHead(m message.Message, now time.Duration) {
	switch m := m.(type) {
	case message.Decided:
		c.certify.Decided(m)
		c.carryOut(c.origin.Decided(m), now)
		c.replica.Reach(m.LSN, now)
	case message.FenceReply:
		c.fenced(m, now)
	case message.FetchReply:
		c.replica.Fetched(m, now)
	default: // not for a node to hear from the head
	}
}

// answer votes on a peer's proposal. A node that has not followed the log to its
// own fence knows too little to vote, and keeps silent (rule 4). So does one whose
// cache has failed: it would keep every reservation for ever.
func (c *core) answer(p message.Propose, now time.Duration) {
	if c.failed != nil {
		return
	}
	if c.phase != serving && !c.cfg.mutants.Has(mutant.VoteBeforeRebuilt) {
		return
	}
	c.send(c.vote(p, now), nodeAddr(p.TxID.Origin))
}

func (c *core) vote(p message.Propose, now time.Duration) message.Vote {
	v := c.certify.Propose(p, now)
	return message.Vote{
		TxID: p.TxID, Voter: c.cfg.self, Inc: c.inc, ConfigEpoch: c.cfg.epoch,
		Accept: v.Accept, Reason: v.Reason, Key: v.Key, Winner: v.Winner, WinnerLSN: v.WinnerLSN,
	}
}

// snapshot gives the LSN that a statement arriving at now may read at (rule 1):
// first the lease is checked against the clock, then the applied LSN is read.
func (c *core) snapshot(now time.Duration) (message.LSN, bool) {
	if !c.cfg.eventual && now >= c.leaseUntil() {
		return 0, false
	}
	return c.member.Applied(), c.phase == serving && c.failed == nil
}

// leaseUntil is when the right to take snapshots ends.
func (c *core) leaseUntil() time.Duration {
	if c.phase != serving || c.failed != nil {
		return 0
	}
	return c.member.LeaseUntil()
}
