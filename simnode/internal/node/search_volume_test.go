package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// atomicVolume is the storage as rules 8, 12 and 13 describe it, with the log made
// durable in one step: what remains uncertain is which four storage nodes answered
// (the others hear of the record later) and every message on the way.
type atomicVolume struct {
	w       *world
	members []message.NodeID
	log     []message.Record
	known   map[message.TxID]message.Decided
	lives   map[message.NodeID]message.FenceReply
	next    map[uint32]int64 // sequences
	storage []*modelStorage
}

type modelStorage struct {
	id        message.StorageID
	tail      message.LSN
	leases    map[message.NodeID]modelLease
	restarted time.Duration // when it lost its leases
	down      bool
	nonce     uint64
}

type modelLease struct {
	until time.Duration
	tail  message.LSN
	nonce uint64
	inc   message.Incarnation
}

func newAtomicVolume(w *world, members []message.NodeID) *atomicVolume {
	v := &atomicVolume{
		w: w, members: members,
		known: map[message.TxID]message.Decided{}, lives: map[message.NodeID]message.FenceReply{},
		next: map[uint32]int64{},
	}
	for id := message.StorageID(1); id <= 6; id++ {
		v.storage = append(v.storage, &modelStorage{id: id, leases: map[message.NodeID]modelLease{}, restarted: -time.Hour})
	}
	return v
}

func (v *atomicVolume) receive(to, from fabric.Addr, m message.Message) {
	if to.Kind == fabric.KindStorage {
		s := v.storage[to.ID-1]
		if reply := s.receive(m, v.w.now); reply != nil && !s.down {
			v.w.send(to, from, reply)
		}
		return
	}
	if reply := v.decide(m); reply != nil {
		v.w.send(to, from, reply)
	}
}

func (s *modelStorage) receive(m message.Message, now time.Duration) message.Message {
	switch m := m.(type) {
	case message.LeaseRequest:
		old, ok := s.leases[m.Node]
		if ok && old.nonce != m.Nonce && old.inc == m.Inc {
			return message.LeaseGrant{Storage: s.id, ReqID: m.ReqID, Nonce: old.nonce, Refused: true}
		}
		if s.down {
			return nil
		}
		s.nonce++
		s.leases[m.Node] = modelLease{until: now + 220*time.Millisecond, tail: s.tail, nonce: s.nonce, inc: m.Inc}
		return message.LeaseGrant{Storage: s.id, ReqID: m.ReqID, Tail: s.tail, Nonce: s.nonce}
	case message.Release:
		if s.leases[m.Node].inc == m.Inc {
			delete(s.leases, m.Node)
		}
	}
	return nil
}

func (v *atomicVolume) decide(m message.Message) message.Message {
	switch m := m.(type) {
	case message.Append:
		return v.append(m.Record)
	case message.Resolve:
		if d, ok := v.known[m.TxID]; ok {
			return d
		}
		return v.write(message.Record{Kind: message.RecordTombstone, TxID: m.TxID}, "resolved")
	case message.FenceRequest:
		return v.fence(m)
	case message.Fetch:
		from := min(int(m.From), len(v.log))
		to := min(from+v.w.fetchLimit, len(v.log))
		return message.FetchReply{From: message.LSN(from), Records: v.log[from:to], VDL: message.LSN(len(v.log))}
	default:
		return nil
	}
}

func (v *atomicVolume) append(r message.Record) message.Message {
	if d, ok := v.known[r.TxID]; ok {
		return d
	}
	if r.Kind == message.RecordSequence {
		first := max(v.next[r.Sequence], r.First, 1)
		r.First, v.next[r.Sequence] = first, first+r.Count
		return v.write(r, "")
	}
	votes := 0
	for _, vote := range r.Votes {
		if slices.Contains(v.members, vote.Voter) && vote.ConfigEpoch == 1 && vote.Inc >= v.lives[vote.Voter].Inc {
			votes++
		}
	}
	need := len(v.members)/2 + 1
	if v.w.mutants.Has(mutant.MinorityQuorum) {
		need = 1
	}
	if votes < need {
		why := fmt.Sprintf("%d valid votes of %d needed", votes, need)
		return v.write(message.Record{Kind: message.RecordTombstone, TxID: r.TxID}, why)
	}
	return v.write(r, "")
}

func (v *atomicVolume) fence(m message.FenceRequest) message.Message {
	cur := v.lives[m.Node]
	switch {
	case cur.Inc > 0 && cur.BootID == m.BootID:
	case cur.Inc == m.Expect:
		r := message.Record{Kind: message.RecordFence, Node: m.Node, Inc: m.Expect + 1, BootID: m.BootID}
		v.log = append(v.log, r)
		cur = message.FenceReply{Node: m.Node, Inc: r.Inc, BootID: r.BootID, LSN: message.LSN(len(v.log)), OK: true}
		v.lives[m.Node] = cur
		v.replicate()
	default:
		cur.Node, cur.OK = m.Node, false
	}
	return cur
}

// write makes a record durable and remembers what to answer about it.
func (v *atomicVolume) write(r message.Record, why string) message.Message {
	v.log = append(v.log, r)
	lsn := message.LSN(len(v.log))
	holders, all := v.replicate()
	d := message.Decided{TxID: r.TxID, LSN: lsn, Kind: r.Kind, First: r.First, Why: why, AllHolders: true}
	v.known[r.TxID] = d
	v.w.oracle.logged(lsn, &r)
	d.Holders, d.AllHolders = holders, all
	return d
}

// replicate tells four storage nodes of the new tail, collecting the holders, and
// the others later.
func (v *atomicVolume) replicate() (holders []message.NodeID, all bool) {
	lsn := message.LSN(len(v.log))
	order := v.w.rng.Perm(len(v.storage))
	slices.SortStableFunc(order, func(a, b int) int {
		return btoi(v.storage[a].down) - btoi(v.storage[b].down)
	})
	for n, i := range order {
		s := v.storage[i]
		if n >= 4 {
			v.w.after(v.w.upTo(30*time.Millisecond), func() { s.tail = max(s.tail, lsn) })
			continue
		}
		s.tail = max(s.tail, lsn)
		all = all || v.w.now < s.restarted+220*time.Millisecond
		for node, l := range s.leases {
			if l.until > v.w.now && l.tail < lsn && !slices.Contains(holders, node) {
				holders = append(holders, node)
			}
		}
	}
	slices.Sort(holders)
	return holders, all
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
