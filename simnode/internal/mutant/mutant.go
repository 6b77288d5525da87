package mutant

import (
	"math/bits"
	"strings"
)

// Set is a set of mutants. The zero value is the correct protocol.
type Set uint32

// The mutants, by the rule that each one breaks.
const (
	// NoReservation: a voter accepts without reserving (rule 4).
	NoReservation Set = 1 << iota
	// SharedCompatible: KS does not conflict with W and L between reservations
	// (rule 5).
	SharedCompatible
	// SharedNotIndexed: the index keeps no LSN of shared commits (rule 9).
	SharedNotIndexed
	// ForUpdateNotIndexed: the index keeps no LSN of locking commits (rule 9).
	ForUpdateNotIndexed
	// PruneNoReject: a base below the index's floor is not refused (rule 4).
	PruneNoReject
	// OrphanLocalDrop: an old reservation is dropped without asking the storage
	// (rule 11).
	OrphanLocalDrop
	// ResolvedDropBeforeApply: a reservation goes when the storage says that the
	// transaction committed, before it is applied here (rule 11).
	ResolvedDropBeforeApply
	// VoteBeforeRebuilt: a restarted node votes before it has followed the log to
	// its own fence (rules 4 and 16).
	VoteBeforeRebuilt
	// MinorityQuorum: one vote fewer than a majority suffices (rule 6).
	MinorityQuorum
	// AppendTimeoutAborts: the client hears "aborted" when the storage does not
	// answer the append (rules 7 and 22).
	AppendTimeoutAborts
	// LastBase: a proposal carries the newest snapshot instead of that of the
	// first touch (rule 2).
	LastBase
	// LeaseFromReply: the lease counts from the answer, not from the request
	// (rule 12).
	LeaseFromReply
	// NoDriftMargin: the node uses its lease for longer than the others wait
	// (rule 12).
	NoDriftMargin
	// LeaseWithoutTail: a lease is used although the tail it names is not applied
	// (rules 1 and 12).
	LeaseWithoutTail
	// StrictNoWait: a commit is acknowledged when the origin has applied it
	// (rule 15).
	StrictNoWait
	// SnapshotThenLease: the snapshot is taken first, the lease checked later
	// (rule 1).
	SnapshotThenLease
	// ReadUnstable: a statement is answered before its snapshot is stable
	// (rule 15).
	ReadUnstable
	// ResetIsDeath: a peer that was not heard for a while counts as having no
	// lease (rule 14).
	ResetIsDeath
	// RequestIDsRestart: each life of a node numbers its lease requests from 1, so
	// that a late grant to an earlier life counts for this one (rule 12).
	RequestIDsRestart
	// ReleaseOutlives: the release of a life of a peer is taken for that of its later
	// lives too (rule 14).
	ReleaseOutlives
	// ReleaseFromAnybody: the release of a node is believed whoever sends it (hole 8).
	ReleaseFromAnybody
)

// Has reports whether every mutant of m is in s.
func (s Set) Has(m Set) bool { return s&m == m }

// names stands in the order of the constants.
func names() []string {
	return []string{
		"NoReservation", "SharedCompatible", "SharedNotIndexed", "ForUpdateNotIndexed",
		"PruneNoReject", "OrphanLocalDrop", "ResolvedDropBeforeApply", "VoteBeforeRebuilt",
		"MinorityQuorum", "AppendTimeoutAborts", "LastBase", "LeaseFromReply", "NoDriftMargin",
		"LeaseWithoutTail", "StrictNoWait", "SnapshotThenLease", "ReadUnstable", "ResetIsDeath",
		"RequestIDsRestart", "ReleaseOutlives", "ReleaseFromAnybody",
	}
}

// All lists every mutant, one per Set.
func All() []Set {
	all := make([]Set, len(names()))
	for i := range all {
		all[i] = 1 << i
	}
	return all
}

// Parse gives the mutant of that name, and whether there is one.
func Parse(name string) (Set, bool) {
	for i, n := range names() {
		if n == name {
			return 1 << i, true
		}
	}
	return 0, false
}

// String names the members of s, or says "none".
func (s Set) String() string {
	if s == 0 {
		return "none"
	}
	var list []string
	all := names()
	for rest := uint32(s); rest != 0; rest &= rest - 1 {
		if i := bits.TrailingZeros32(rest); i < len(all) {
			list = append(list, all[i])
		}
	}
	return strings.Join(list, "+")
}
