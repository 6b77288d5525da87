package volume

import (
	"fmt"
	"maps"
	"slices"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Outcome is where a transaction, or a request for a sequence block, stands in
// the log.
type Outcome struct {
	LSN   message.LSN
	Kind  message.RecordKind // Commit, Sequence or Tombstone
	First int64              // Sequence: first unit of the block
}

// Life is the present incarnation of a node.
type Life struct {
	Inc    message.Incarnation
	BootID uint64
	LSN    message.LSN // of its FenceRecord
}

// State is what a log means: the fold of its records, one after the other. Two
// states of the same log are equal. It is not safe for concurrent use.
//
// Outcomes are kept as long as the log itself is, that is, in memory for the life
// of the volume. The low-water mark of an (origin, incarnation) is the end of that
// incarnation: once a newer one is fenced, a transaction of the old one that is
// not in the log can never get there.
type State struct {
	length   message.LSN
	epoch    message.Epoch // of the newest record
	config   message.Epoch
	members  map[message.NodeID]bool
	lives    map[message.NodeID]Life
	outcomes map[message.TxID]Outcome
	next     map[uint32]int64 // sequence → first unit not handed out
}

// NewState is the empty log of a cluster with these members.
func NewState(members []message.NodeID) *State {
	s := &State{
		config:   FirstConfigEpoch,
		members:  map[message.NodeID]bool{},
		lives:    map[message.NodeID]Life{},
		outcomes: map[message.TxID]Outcome{},
		next:     map[uint32]int64{},
	}
	for _, m := range members {
		s.members[m] = true
	}
	return s
}

// Apply takes in the next record of the log.
func (s *State) Apply(r *message.Record) {
	s.length++
	s.epoch = r.OrigEpoch
	switch r.Kind {
	case message.RecordCommit, message.RecordTombstone:
		s.outcomes[r.TxID] = Outcome{LSN: s.length, Kind: r.Kind}
	case message.RecordSequence:
		s.outcomes[r.TxID] = Outcome{LSN: s.length, Kind: r.Kind, First: r.First}
		s.next[r.Sequence] = r.First + r.Count
	case message.RecordFence:
		s.lives[r.Node] = Life{Inc: r.Inc, BootID: r.BootID, LSN: s.length}
	case message.RecordConfig:
		s.config = r.ConfigEpoch
		clear(s.members)
		for _, m := range r.Members {
			s.members[m] = true
		}
	case message.RecordBarrier, message.RecordUnknown:
	}
}

// Length is the LSN of the newest record.
func (s *State) Length() message.LSN { return s.length }

// Outcome gives what became of id, if the log knows.
func (s *State) Outcome(id message.TxID) (Outcome, bool) {
	o, ok := s.outcomes[id]
	return o, ok
}

// Life gives the present incarnation of a node; zero if it never started.
func (s *State) Life(node message.NodeID) Life { return s.lives[node] }

// ConfigEpoch is the epoch of the present membership.
func (s *State) ConfigEpoch() message.Epoch { return s.config }

// Members lists the present members in ascending order.
func (s *State) Members() []message.NodeID { return slices.Sorted(maps.Keys(s.members)) }

// belowLowWater reports whether id, unknown to the log, can never get into it.
func (s *State) belowLowWater(id message.TxID) bool { return id.Inc < s.lives[id.Origin].Inc }

// countVotes is rule 8: the voters that are members, voted under the present
// config and have not been fenced since. Each counts once.
func (s *State) countVotes(votes []message.VoteRef, fenced bool) int {
	n := 0
	for i, v := range votes {
		again := slices.ContainsFunc(votes[:i], func(w message.VoteRef) bool { return w.Voter == v.Voter && s.counts(w, fenced) })
		if !again && s.counts(v, fenced) {
			n++
		}
	}
	return n
}

func (s *State) counts(v message.VoteRef, fenced bool) bool {
	return s.members[v.Voter] && v.ConfigEpoch == s.config && (fenced || v.Inc >= s.lives[v.Voter].Inc)
}

// majority is how many votes a commit needs.
func (s *State) majority() int { return len(s.members)/2 + 1 }

// block gives the first unit of the next block of a sequence. An unknown
// sequence begins at start, or at 1 if that is 0.
func (s *State) block(seq uint32, start, count int64) (int64, error) {
	first, known := s.next[seq]
	if !known {
		if first = start; first == 0 {
			first = 1
		}
	}
	if count <= 0 {
		return 0, fmt.Errorf("a block of %d values was asked of sequence %d: it must be at least 1", count, seq)
	}
	if first+count < first {
		return 0, fmt.Errorf("sequence %d has no %d values left", seq, count)
	}
	return first, nil
}
