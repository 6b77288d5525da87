package origin

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// Config sets a machine up. Self and Members are required, the rest has defaults.
type Config struct {
	Self    message.NodeID
	Members []message.NodeID // of the present config epoch, Self among them

	// VoteTimeout is how long a proposal waits for a majority. 0 means 120 ms:
	// many round trips inside a region, and less than half of the orphan age.
	VoteTimeout time.Duration
	// ProposeRetry is how often a proposal is repeated to members, which answer
	// the same. 0 means 45 ms: two repetitions within the vote timeout make one
	// lost message no conflict.
	ProposeRetry time.Duration
	// AppendRetry is how often an append is repeated until it is answered. 0 means
	// 60 ms.
	AppendRetry time.Duration
	// Patience is how long after COMMIT the client waits for the storage's answer
	// before it is told that the outcome is in doubt. 0 means 1 s.
	Patience time.Duration
	// Answers tells whether a vote of that member can be expected. It is a guess: it
	// only decides how long a transaction that somebody rejected goes on waiting. nil
	// means that every member answers.
	Answers func(voter message.NodeID, now time.Duration) bool
	// CutOff tells whether the storage seems out of reach. Then the client waits for
	// half its patience only: it can ask another node what became of its transaction.
	// It is a guess too. nil means that the storage is always within reach.
	CutOff func(now time.Duration) bool
	// Mutants are deliberate bugs, for tests only.
	Mutants mutant.Set
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.VoteTimeout, 120*time.Millisecond)
	def(&c.ProposeRetry, 45*time.Millisecond)
	def(&c.AppendRetry, 60*time.Millisecond)
	def(&c.Patience, time.Second)
	return c
}

// never is a time that no node lives to see.
const never = time.Duration(1<<63 - 1)

// Machine holds the transactions of one node whose outcome is open. Make it with
// New, tell it the node's incarnation with Restart. Not safe for concurrent use.
type Machine struct {
	cfg   Config
	inc   message.Incarnation
	seq   uint64
	open  map[message.TxID]*commit
	order []*commit     // the same, by age; done ones are swept in Tick
	wake  time.Duration // no tick is needed before
}

// New gives a machine without transactions.
func New(cfg Config) *Machine {
	return &Machine{cfg: cfg.withDefaults(), open: make(map[message.TxID]*commit), wake: never}
}

// Restart begins a life of the node: transactions take their names from inc from
// now on. Those that were not appended yet are given up, since votes of an older
// life don't count; those that were go on under their old name.
func (m *Machine) Restart(inc message.Incarnation) Output {
	m.inc = inc
	var out Output
	for _, c := range m.order {
		if m.open[c.txid] == c && c.phase == voting {
			out.add(m.giveUp(c, Result{TxID: c.txid, Outcome: NoMajority}))
		}
	}
	return out
}

// NextTxID names a new attempt. Names are never used twice.
func (m *Machine) NextTxID() message.TxID {
	m.seq++
	return message.TxID{Origin: m.cfg.Self, Inc: m.inc, Seq: m.seq}
}

// Request is what a transaction wants to commit. The slices are kept.
type Request struct {
	TxID      message.TxID // from NextTxID
	Keys      []message.KeyRef
	Writes    []message.Write
	Committed time.Time // wall clock, for display
}

// Begin proposes a transaction to the other members (rule 3). own is the vote of
// the node's own certifier on the same keys: a conflict found there is final before
// anybody else hears of it.
func (m *Machine) Begin(r Request, own message.Vote, now time.Duration) Output {
	c := &commit{
		txid: r.TxID, phase: voting,
		propose: message.Propose{TxID: r.TxID, Keys: r.Keys},
		record: message.Record{
			Kind: message.RecordCommit, TxID: r.TxID, Keys: r.Keys, Writes: r.Writes, Committed: r.Committed,
		},
		repeat:   now + m.cfg.ProposeRetry,
		deadline: now + m.cfg.VoteTimeout,
		began:    now,
	}
	if final(own) {
		return Output{Results: []Result{c.rejection(own)}}
	}
	m.track(c)
	out := Output{Peers: []message.Message{c.propose}}
	out.add(m.Vote(own, now))
	return out
}

// final reports whether a rejection ends the transaction whatever the others say:
// what is committed stays committed (rule 6).
func final(v message.Vote) bool {
	return !v.Accept && (v.Reason == message.RejectCommitted || v.Reason == message.RejectTooOld)
}

func (m *Machine) track(c *commit) {
	m.open[c.txid] = c
	m.order = append(m.order, c)
	m.wake = min(m.wake, c.next(m.cfg.Patience))
}

// Vote counts a member's vote (rule 6): a conflict with something committed or too
// old aborts, conflicts with reservations abort when a majority is not to be had any
// more, a majority of accepts appends (rule 7).
func (m *Machine) Vote(v message.Vote, now time.Duration) Output {
	c := m.open[v.TxID]
	if c == nil || c.phase != voting || !slices.Contains(m.cfg.Members, v.Voter) {
		return Output{}
	}
	if final(v) {
		return m.giveUp(c, c.rejection(v))
	}
	c.take(v)
	switch {
	case len(c.accepts) >= m.majority():
		return m.append(c, now)
	case m.hopeless(c, now):
		return m.giveUp(c, c.rejection(c.rejects[0]))
	}
	return Output{}
}

// hopeless reports whether a transaction that was rejected cannot get a majority,
// as far as it seems: members that don't answer won't accept. With one of three
// nodes dead, two transactions that reject each other would wait for its vote until
// they time out, and the next pair after them. To be wrong costs a retry: before
// the append giving up is always allowed.
func (m *Machine) hopeless(c *commit, now time.Duration) bool {
	if len(c.rejects) == 0 {
		return false
	}
	possible := len(c.accepts)
	for _, id := range m.cfg.Members {
		if !c.voted(id) && (m.cfg.Answers == nil || m.cfg.Answers(id, now)) {
			possible++
		}
	}
	return possible < m.majority()
}

func (m *Machine) majority() int {
	n := len(m.cfg.Members)/2 + 1
	if m.cfg.Mutants.Has(mutant.MinorityQuorum) {
		n--
	}
	return max(n, 1)
}

func (m *Machine) append(c *commit, now time.Duration) Output {
	c.phase = appending
	c.record.Votes = c.accepts
	c.repeat = now + m.cfg.AppendRetry
	m.wake = min(m.wake, c.next(m.cfg.Patience))
	return Output{Head: []message.Message{message.Append{Record: c.record}}}
}

// giveUp ends a transaction that was never appended, and tells the members so.
func (m *Machine) giveUp(c *commit, r Result) Output {
	delete(m.open, c.txid)
	return Output{Peers: []message.Message{message.Abort{TxID: c.txid}}, Results: []Result{r}}
}

// Cancel gives a transaction up on its session's behalf. It does nothing once an
// append has gone out: then only the storage decides.
func (m *Machine) Cancel(txid message.TxID) Output {
	c := m.open[txid]
	if c == nil || c.phase != voting {
		return Output{}
	}
	return m.giveUp(c, Result{TxID: txid, Outcome: Cancelled})
}

// Allocate asks the storage for count units of a sequence. start is where a
// sequence that the volume doesn't know yet begins, 0 for 1.
func (m *Machine) Allocate(sequence uint32, start, count int64, now time.Duration) (message.TxID, Output) {
	c := &commit{
		txid: m.NextTxID(), phase: allotting,
		repeat: now + m.cfg.AppendRetry, began: now,
	}
	c.record = message.Record{Kind: message.RecordSequence, TxID: c.txid, Sequence: sequence, First: start, Count: count}
	m.track(c)
	return c.txid, Output{Head: []message.Message{message.Append{Record: c.record}}}
}

// Decided takes the storage's answer in, to an Append or to anybody's Resolve. The
// record goes to the other members with it (rule 10), also a tombstone, so that
// nobody's log has a gap there.
func (m *Machine) Decided(d message.Decided) Output {
	c := m.open[d.TxID]
	if c == nil {
		return Output{}
	}
	r := Result{TxID: c.txid, LSN: d.LSN, Record: c.record, Holders: d.Holders, AllHolders: d.AllHolders}
	var out Output
	switch {
	case d.Kind == message.RecordTombstone:
		r.Outcome, r.Why = Refused, d.Why
		r.Record = message.Record{Kind: message.RecordTombstone, TxID: c.txid}
	case c.phase == allotting:
		r.Outcome, r.First = Allocated, d.First
		r.Record.First = d.First
	default:
		r.Outcome = Committed
	}
	if d.LSN > 0 {
		out.Peers = append(out.Peers, message.Committed{
			LSN: d.LSN, Record: r.Record, Holders: d.Holders, AllHolders: d.AllHolders,
		})
	}
	delete(m.open, c.txid)
	out.Results = append(out.Results, r)
	return out
}

// Logged takes in a record that reached the node's log by another way than the
// storage's answer; if it decides an open transaction, that answer was lost.
func (m *Machine) Logged(lsn message.LSN, record *message.Record) Output {
	switch record.Kind {
	case message.RecordCommit, message.RecordTombstone, message.RecordSequence:
		return m.Decided(message.Decided{
			TxID: record.TxID, LSN: lsn, Kind: record.Kind, First: record.First, AllHolders: true,
			Why: "another node settled the transaction while it was in doubt",
		})
	default:
		return Output{}
	}
}

// Next gives the time at which Tick has something to do, if it ever will.
func (m *Machine) Next() (time.Duration, bool) { return m.wake, m.wake != never }

// Open counts the transactions whose outcome is open.
func (m *Machine) Open() int { return len(m.open) }

// Pending reports whether txid is still the machine's to bring to an outcome.
func (m *Machine) Pending(txid message.TxID) bool { return m.open[txid] != nil }
