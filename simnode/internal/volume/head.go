package volume

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// HeadConfig of a Head. Members is required.
type HeadConfig struct {
	// Members vote; their config epoch is FirstConfigEpoch.
	Members []message.NodeID
	// Retry is how long an Accept may stay unanswered. 0 means 60 ms, the
	// protocol's append retry: several round trips even across AZs.
	Retry time.Duration
	// FetchLimit bounds the records of one FetchReply; 0 means 256, some 100 KiB
	// of small transactions.
	FetchLimit uint32
	// Mutants break rules on purpose, in tests.
	Mutants Mutant
}

// fetchBytes of rows end a FetchReply, so that one answer is never much larger
// than the largest transaction.
const fetchBytes = 1 << 20

func (c HeadConfig) withDefaults() HeadConfig {
	if c.Retry == 0 {
		c.Retry = 60 * time.Millisecond
	}
	if c.FetchLimit == 0 {
		c.FetchLimit = 256
	}
	return c
}

// Head is the sequencer of the log: it decides in which order records stand and
// which transactions are refused (rule 8), has them stored (rule 18) and answers
// when everything an answer rests on is durable (rule 19). It is pure and not
// safe for concurrent use.
type Head struct {
	cfg   HeadConfig
	epoch message.Epoch
	state *State
	log   []message.Record // log[i] is LSN i+1

	quorum  quorum
	answers fifo[answer] // in the order of their LSNs
	asked   map[question]bool
	out     []Output
}

// answer waits for the log to be durable up to lsn.
type answer struct {
	lsn message.LSN
	to  Party
	ask question
	// holdersOf is the LSN whose holders the answer tells; 0: all nodes.
	holdersOf message.LSN
	decided   message.Decided
	fence     message.FenceReply
}

// question is what an answer is for; a repetition needs no second one while the
// first is waiting.
type question struct {
	from   Party
	tx     message.TxID
	bootID uint64
	expect message.Incarnation
}

// NewHead makes the head of an empty log, in epoch 1.
func NewHead(cfg HeadConfig) *Head {
	cfg = cfg.withDefaults()
	return &Head{
		cfg:    cfg,
		epoch:  1,
		state:  NewState(cfg.Members),
		quorum: newQuorum(cfg),
		asked:  map[question]bool{},
	}
}

// State is the fold of the whole log, also of what is not durable yet. It is the
// head's own: read it only.
func (h *Head) State() *State { return h.state }

// Log is every record so far; the first VDL of them are durable. Read it only.
func (h *Head) Log() []message.Record { return h.log }

// VDL is the volume's durable LSN: everything up to it is on four storage nodes.
func (h *Head) VDL() message.LSN { return h.quorum.vdl }

// Idle reports whether Tick has nothing to do until the next Step.
func (h *Head) Idle() bool { return h.quorum.complete(h.state.Length()) }

// Step takes a message in and gives those to send. The slice is valid until the
// next call. Messages that a head has no use for are ignored.
func (h *Head) Step(now time.Duration, from Party, m message.Message) []Output {
	h.out = h.out[:0]
	switch m := m.(type) {
	case message.Append:
		h.append(now, from, m.Record)
	case message.Resolve:
		h.resolve(now, from, m.TxID)
	case message.FenceRequest:
		h.fence(now, from, m)
	case message.Fetch:
		h.fetch(from, m)
	case message.Accepted:
		h.accepted(now, m)
	}
	return h.out
}

// Tick sends again what storage nodes have not answered. Call it every Retry or
// more often, unless Idle. The slice is valid until the next call.
func (h *Head) Tick(now time.Duration) []Output {
	h.out = h.out[:0]
	for i := range h.quorum.replicas {
		for _, lsn := range h.quorum.overdue(i, now) {
			h.send(h.accept(lsn), h.quorum.replicas[i].party)
		}
	}
	return h.out
}

// append is rule 8: every way out of it leaves the transaction decided in the log.
func (h *Head) append(now time.Duration, from Party, r message.Record) {
	if r.Kind != message.RecordCommit && r.Kind != message.RecordSequence || r.TxID.IsZero() {
		return
	}
	q := question{from: from, tx: r.TxID}
	if h.asked[q] {
		return
	}
	if o, known := h.outcome(r.TxID); known {
		h.answerOutcome(q, r.TxID, o)
		return
	}
	if why := h.refusal(&r); why != "" {
		h.write(now, message.Record{Kind: message.RecordTombstone, TxID: r.TxID})
		h.answer(answer{ask: q, to: from, decided: message.Decided{
			TxID: r.TxID, LSN: h.state.Length(), Kind: message.RecordTombstone, AllHolders: true, Why: why,
		}})
		return
	}
	if r.Kind == message.RecordSequence {
		r.First, _ = h.state.block(r.Sequence, r.First, r.Count)
	}
	lsn := h.write(now, r)
	h.answer(answer{ask: q, to: from, holdersOf: lsn, decided: message.Decided{
		TxID: r.TxID, LSN: lsn, Kind: r.Kind, First: r.First,
	}})
}

// outcome is State.Outcome, with the bugs of the mutants.
func (h *Head) outcome(id message.TxID) (Outcome, bool) {
	o, known := h.state.Outcome(id)
	if known && o.Kind == message.RecordTombstone && h.cfg.Mutants.has(MutantNoTombstoneCheck) ||
		o.Kind != message.RecordTombstone && h.cfg.Mutants.has(MutantDupAppend) {
		return o, false
	}
	return o, known
}

// refusal says why a new record may not enter the log; empty if it may.
func (h *Head) refusal(r *message.Record) string {
	if h.state.belowLowWater(r.TxID) && !h.cfg.Mutants.has(MutantNoLowWater) {
		return whyEnded(r.TxID)
	}
	if r.Kind == message.RecordSequence {
		if _, err := h.state.block(r.Sequence, r.First, r.Count); err != nil {
			return err.Error()
		}
		return ""
	}
	votes := h.state.countVotes(r.Votes, h.cfg.Mutants.has(MutantFencedVotes))
	if votes < h.state.majority() {
		return whyVotes(votes, len(r.Votes), h.state)
	}
	return ""
}

// resolve is rule 11: whatever is not in the log yet never will be.
func (h *Head) resolve(now time.Duration, from Party, id message.TxID) {
	q := question{from: from, tx: id}
	if id.IsZero() || h.asked[q] {
		return
	}
	o, known := h.state.Outcome(id)
	if !known {
		lsn := h.write(now, message.Record{Kind: message.RecordTombstone, TxID: id})
		o = Outcome{LSN: lsn, Kind: message.RecordTombstone}
	}
	h.answerOutcome(q, id, o)
}

func (h *Head) answerOutcome(q question, id message.TxID, o Outcome) {
	d := message.Decided{TxID: id, LSN: o.LSN, Kind: o.Kind, First: o.First, AllHolders: true}
	if o.Kind == message.RecordTombstone {
		d.Why = whyResolved
	}
	h.answer(answer{ask: q, to: q.from, decided: d})
}

// fence is rules 15 and 16: compare and set. The same boot asking again gets the
// same answer; a late request of an earlier boot changes nothing.
func (h *Head) fence(now time.Duration, from Party, m message.FenceRequest) {
	q := question{from: from, bootID: m.BootID, expect: m.Expect}
	if m.Node == 0 || h.asked[q] {
		return
	}
	life := h.state.Life(m.Node)
	ours := life.Inc == m.Expect+1 && life.BootID == m.BootID
	if !ours && life.Inc == m.Expect {
		life = Life{Inc: m.Expect + 1, BootID: m.BootID}
		life.LSN = h.write(now, message.Record{
			Kind: message.RecordFence, Node: m.Node, Inc: life.Inc, BootID: life.BootID,
		})
		ours = true
	}
	h.answer(answer{ask: q, to: from, fence: message.FenceReply{
		Node: m.Node, Inc: life.Inc, BootID: life.BootID, LSN: life.LSN, OK: ours,
	}})
}

// fetch answers at once: up to the VDL nothing can change any more.
func (h *Head) fetch(from Party, m message.Fetch) {
	limit := h.cfg.FetchLimit
	if m.Limit > 0 {
		limit = min(limit, m.Limit)
	}
	vdl := h.quorum.vdl
	lo := min(m.From, vdl)
	hi := lo
	for size := 0; hi < vdl && hi < lo+message.LSN(limit) && size < fetchBytes; hi++ {
		size += rowBytes(&h.log[hi])
	}
	h.send(message.FetchReply{From: m.From, Records: slices.Clip(h.log[lo:hi]), VDL: vdl}, from)
}

// rowBytes is the part of a record's size that users decide.
func rowBytes(r *message.Record) int {
	n := 0
	for i := range r.Writes {
		n += len(r.Writes[i].Key) + len(r.Writes[i].Row)
	}
	return n
}

func (h *Head) accepted(now time.Duration, m message.Accepted) {
	if m.Epoch != h.epoch {
		return
	}
	i := int(m.Storage) - 1
	for _, lsn := range h.quorum.accepted(i, now, h.state.Length(), &m) {
		h.send(h.accept(lsn), h.quorum.replicas[i].party)
	}
	h.release()
	h.quorum.trim()
}

// write puts r at the end of the log and on its way to the storage nodes.
func (h *Head) write(now time.Duration, r message.Record) message.LSN {
	r.OrigEpoch, r.PrevOrigEpoch = h.epoch, h.state.epoch
	h.log = append(h.log, r)
	h.state.Apply(&r)
	lsn := h.state.Length()
	if to := h.quorum.written(lsn, now); len(to) > 0 {
		h.out = append(h.out, Output{To: to, Msg: h.accept(lsn)})
	}
	return lsn
}

// accept carries the present tail, not that of the record's time: a grant that
// follows must name every record that may be durable by then.
func (h *Head) accept(lsn message.LSN) message.Accept {
	return message.Accept{Epoch: h.epoch, LSN: lsn, Record: h.log[lsn-1], Tail: h.state.Length()}
}

// answer queues a for when the log is durable as it stands now: also an answer
// about an old record may rest on newer ones (hole 20).
func (h *Head) answer(a answer) {
	a.lsn = h.state.Length()
	refused := a.decided.Kind == message.RecordTombstone
	if refused && h.cfg.Mutants.has(MutantRefuseBeforeDurable) {
		h.deliver(&a)
		return
	}
	h.asked[a.ask] = true
	h.answers.push(a)
	h.release()
}

// release gives the answers that the VDL has reached.
func (h *Head) release() {
	if h.cfg.Mutants.has(MutantAckWithoutVDL) {
		h.releaseStored()
		return
	}
	n := 0
	for n < h.answers.len() && h.answers.at(n).lsn <= h.quorum.vdl {
		delete(h.asked, h.answers.at(n).ask)
		h.deliver(h.answers.at(n))
		n++
	}
	h.answers.drop(n)
}

// releaseStored is release of MutantAckWithoutVDL.
func (h *Head) releaseStored() {
	var rest fifo[answer]
	for i := range h.answers.len() {
		a := h.answers.at(i)
		if !h.quorum.stored(a.lsn) {
			rest.push(*a)
			continue
		}
		delete(h.asked, a.ask)
		h.deliver(a)
	}
	h.answers = rest
}

func (h *Head) deliver(a *answer) {
	if a.decided.Kind == message.RecordUnknown {
		h.send(a.fence, a.to)
		return
	}
	if a.holdersOf != 0 {
		a.decided.Holders, a.decided.AllHolders = h.quorum.holders(a.holdersOf)
	}
	h.send(a.decided, a.to)
}

func (h *Head) send(m message.Message, to Party) {
	h.out = append(h.out, Output{To: []Party{to}, Msg: m})
}
