package volume

// Mutant is a set of deliberate bugs, one per rule, which the searches of this
// package and of the node's core must catch. Production code leaves it zero.
type Mutant uint16

// The bugs.
const (
	// MutantAckWithoutVDL answers as soon as the record itself is on four storage
	// nodes, whatever became of those before it (rule 19).
	MutantAckWithoutVDL Mutant = 1 << iota
	// MutantWriteQuorum3 takes three storage nodes for a write quorum.
	MutantWriteQuorum3
	// MutantDupAppend does not look whether a transaction stands in the log
	// already (rule 8).
	MutantDupAppend
	// MutantNoTombstoneCheck forgets tombstones (rule 8).
	MutantNoTombstoneCheck
	// MutantRefuseBeforeDurable answers a refusal at once (hole 12).
	MutantRefuseBeforeDurable
	// MutantLeaseWithoutTail grants leases that may be used at any LSN (rule 12).
	MutantLeaseWithoutTail
	// MutantRestartForgets makes a restarted storage node report no holders
	// although it may have granted leases before (rule 12).
	MutantRestartForgets
	// MutantNewestGrant makes a storage node remember only the newest grant of a
	// node, which may be using an older one (rule 13).
	MutantNewestGrant
	// MutantFencedVotes counts votes of incarnations that are over (rule 8).
	MutantFencedVotes
	// MutantNoLowWater lets a life that is over still commit.
	MutantNoLowWater
)

func (m Mutant) has(bug Mutant) bool { return m&bug != 0 }
