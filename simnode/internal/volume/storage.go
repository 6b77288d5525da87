package volume

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Slot is a place in a storage node's copy of the log. The zero value is empty.
type Slot struct {
	Epoch  message.Epoch
	Accept []byte // the encoded Accept that filled it; never changed
}

// Durable is what a storage node keeps when it stops. The zero value is a new,
// empty storage node. It belongs to the StorageNode made with it until that one
// is thrown away.
type Durable struct {
	Boots    uint32
	Promised message.Epoch
	Slots    []Slot // of LSN i+1

	// Tail is the end of the log as the head of TailEpoch told it. Were it lost,
	// three restarted storage nodes could grant a lease below a durable record.
	TailEpoch message.Epoch
	Tail      message.LSN

	// Ended is the newest incarnation of each node that is known to be over.
	Ended map[message.NodeID]message.Incarnation
}

// Record decodes the record in lsn's slot; false if the slot is empty.
func (d *Durable) Record(lsn message.LSN) (message.Record, bool) {
	if lsn == 0 || lsn > message.LSN(len(d.Slots)) || d.Slots[lsn-1].Epoch == 0 {
		return message.Record{}, false
	}
	m, err := message.Decode(d.Slots[lsn-1].Accept)
	a, ok := m.(message.Accept)
	return a.Record, err == nil && ok
}

// StorageNode keeps one of six copies of the log and grants read leases (rules
// 12, 13 and 18). It is pure and not safe for concurrent use. Stopping one means
// throwing it away and making a new one of its Durable.
type StorageNode struct {
	id      message.StorageID
	mutants Mutant
	durable *Durable
	leases  leaseTable
	out     []Output
}

// NewStorageNode starts storage node id at the time now. If it ran before, its
// leases are lost: until the last of them has ended it names every node a holder.
func NewStorageNode(id message.StorageID, d *Durable, now time.Duration, mutants Mutant) *StorageNode {
	d.Boots++
	if d.Ended == nil {
		d.Ended = map[message.NodeID]message.Incarnation{}
	}
	s := &StorageNode{id: id, mutants: mutants, durable: d, leases: newLeaseTable(d.Boots)}
	s.leases.newestOnly = mutants.has(MutantNewestGrant)
	if d.Boots > 1 && !mutants.has(MutantRestartForgets) {
		s.leases.unknownUntil = now + LeaseWait
	}
	return s
}

// Step takes a message in and gives those to send. The slice is valid until the
// next call. Messages that a storage node has no use for are ignored.
func (s *StorageNode) Step(now time.Duration, from Party, m message.Message) []Output {
	return s.StepBytes(now, from, m, nil)
}

// StepBytes is Step for a caller that has the message's bytes too, so that they
// need not be encoded again. The storage node keeps encoded; nobody may change it.
func (s *StorageNode) StepBytes(now time.Duration, from Party, m message.Message, encoded []byte) []Output {
	s.out = s.out[:0]
	switch m := m.(type) {
	case message.Accept:
		s.accept(now, from, &m, encoded)
	case message.LeaseRequest:
		s.lease(now, from, &m)
	case message.Release:
		s.end(m.Node, m.Inc)
	}
	return s.out
}

// accept is rules 13 and 18. A head below the promise gets no answer.
func (s *StorageNode) accept(now time.Duration, from Party, m *message.Accept, encoded []byte) {
	d := s.durable
	if m.Epoch == 0 || m.Epoch < d.Promised || m.LSN == 0 || m.Tail < m.LSN {
		return
	}
	d.Promised = m.Epoch
	if m.Epoch != d.TailEpoch {
		d.TailEpoch, d.Tail = m.Epoch, m.Tail
	}
	d.Tail = max(d.Tail, m.Tail)
	if missing := int(m.LSN) - len(d.Slots); missing > 0 {
		d.Slots = append(d.Slots, make([]Slot, missing)...)
	}
	if slot := &d.Slots[m.LSN-1]; slot.Epoch < m.Epoch {
		if encoded == nil {
			encoded = message.Encode(*m)
		}
		*slot = Slot{Epoch: m.Epoch, Accept: encoded}
	}
	if m.Record.Kind == message.RecordFence && m.Record.Inc > 0 {
		s.fenced(m.Record.Node, m.Record.Inc-1)
	}
	holders, all := s.leases.holders(now, m.LSN)
	s.send(from, message.Accepted{Storage: s.id, Epoch: m.Epoch, LSN: m.LSN, Holders: holders, AllHolders: all})
}

// lease is rule 12. A refusal names the nonce to echo, so a node that was not
// granted because our answers had been lost is granted one heartbeat later.
func (s *StorageNode) lease(now time.Duration, from Party, m *message.LeaseRequest) {
	if m.Node == 0 {
		return
	}
	g := message.LeaseGrant{Storage: s.id, ReqID: m.ReqID, Tail: s.durable.Tail}
	if s.mutants.has(MutantLeaseWithoutTail) {
		g.Tail = 0
	}
	// Incarnation 0 has not been fenced yet, so it may not read either.
	if m.Inc <= s.durable.Ended[m.Node] || m.Inc < s.leases.incarnation(m.Node) {
		g.Refused = true
	} else {
		g.Nonce, g.Refused = s.leases.request(now, m, g.Tail)
	}
	s.send(from, g)
}

// end is Release: the process is gone, so are its leases.
func (s *StorageNode) end(node message.NodeID, inc message.Incarnation) {
	s.fenced(node, inc)
	s.leases.release(node, inc)
}

// fenced notes that no lease goes to inc or an older life of node any more. The
// leases it has stay: a fence does not stop a process.
func (s *StorageNode) fenced(node message.NodeID, inc message.Incarnation) {
	s.durable.Ended[node] = max(s.durable.Ended[node], inc)
}

func (s *StorageNode) send(to Party, m message.Message) {
	s.out = append(s.out, Output{To: []Party{to}, Msg: m})
}

// Tail is the end of the log as the newest head told it.
func (s *StorageNode) Tail() message.LSN { return s.durable.Tail }

// Holders lists the nodes that hold a lease below lsn at the time now, in
// ascending order; all means that it might be any.
func (s *StorageNode) Holders(now time.Duration, lsn message.LSN) (nodes []message.NodeID, all bool) {
	nodes, all = s.leases.holders(now, lsn)
	return slices.Clone(nodes), all
}
