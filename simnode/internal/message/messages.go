package message

import "time"

// RecordKind says what a log record does.
type RecordKind uint8

// The kinds of the protocol's log. Config and Barrier records are reserved for
// membership changes and takeovers.
const (
	RecordUnknown   RecordKind = iota
	RecordCommit               // a transaction's writes
	RecordTombstone            // TxID can never commit
	RecordFence                // Node starts life Inc
	RecordConfig               // members of config epoch ConfigEpoch
	RecordBarrier              // first record of a head's reign
	RecordSequence             // a block of sequence values for TxID
)

// VoteRef is an accept as the commit record lists it.
type VoteRef struct {
	Voter       NodeID
	Inc         Incarnation
	ConfigEpoch Epoch
}

// Record is one entry of the volume's log. Which fields mean something depends
// on Kind.
type Record struct {
	Kind      RecordKind
	TxID      TxID      // Commit, Tombstone, Sequence
	Keys      []KeyRef  // Commit
	Writes    []Write   // Commit
	Votes     []VoteRef // Commit
	Committed time.Time // Commit: origin's wall clock, for display only

	Node   NodeID      // Fence
	Inc    Incarnation // Fence
	BootID uint64      // Fence

	ConfigEpoch Epoch    // Config
	Members     []NodeID // Config

	Sequence uint32 // Sequence: OID
	First    int64  // Sequence: first value of the block, set by the volume
	Count    int64  // Sequence: length of the block

	OrigEpoch, PrevOrigEpoch Epoch // rule 18
}

// RejectReason says why a voter refused a proposal.
type RejectReason uint8

// The reasons of rule 4.
const (
	RejectUnknown   RejectReason = iota
	RejectTooOld                 // base below the index's floor
	RejectCommitted              // a newer version is committed: final
	RejectReserved               // another transaction holds the key
)

// Message is any of the structs below. Encode and Decode are its byte form.
type Message interface{ message() }

// Node to node.
type (
	// Propose asks every member to certify a transaction (rule 3).
	Propose struct {
		TxID TxID
		Keys []KeyRef
	}
	// Vote answers a Propose (rule 4). Key, Winner, WinnerLSN and Reason speak of
	// a rejection.
	Vote struct {
		TxID        TxID
		Voter       NodeID
		Inc         Incarnation
		ConfigEpoch Epoch
		Accept      bool
		Reason      RejectReason
		Key         Key
		Winner      TxID
		WinnerLSN   LSN
	}
	// Abort tells every member that the origin will never append TxID (rule 6).
	Abort struct{ TxID TxID }
	// Committed carries a durable record to the other nodes (rule 10). Holders
	// are the nodes that may still read below LSN; nil with AllHolders means all.
	Committed struct {
		LSN        LSN
		Record     Record
		Holders    []NodeID
		AllHolders bool
	}
	// Applied says how far a node's cache is; it is also the heartbeat.
	Applied struct {
		Node        NodeID
		Inc         Incarnation
		LSN         LSN
		ConfigEpoch Epoch
	}
)

// Node to the volume's head, and back.
type (
	// Append asks for a record to be logged (rule 7): Kind is Commit, or
	// Sequence. Repeated unchanged until answered.
	Append struct{ Record Record }
	// Resolve asks what became of TxID, and settles it with a tombstone if
	// nothing did (rule 11).
	Resolve struct{ TxID TxID }
	// Decided answers Append and Resolve: the transaction stands at LSN with
	// Kind Commit (or Sequence), or it is refused for ever with Kind Tombstone.
	// A refused Append names the reason for the client in Why.
	Decided struct {
		TxID       TxID
		LSN        LSN
		Kind       RecordKind
		First      int64 // Sequence
		Holders    []NodeID
		AllHolders bool
		Why        string
	}
	// FenceRequest starts life Expect+1 of Node if Expect is its present life
	// (rules 15, 16).
	FenceRequest struct {
		Node   NodeID
		Expect Incarnation
		BootID uint64
	}
	// FenceReply gives the node's incarnation; OK when it is the caller's, with
	// the LSN of its FenceRecord.
	FenceReply struct {
		Node   NodeID
		Inc    Incarnation
		BootID uint64
		LSN    LSN
		OK     bool
	}
	// Fetch asks for the log after From, up to the VDL.
	Fetch struct {
		From  LSN
		Limit uint32 // records; 0 means the head's own limit
	}
	// FetchReply carries Records From+1, From+2, …; VDL is how far the log is
	// durable.
	FetchReply struct {
		From    LSN
		Records []Record
		VDL     LSN
	}
)

// Head to storage nodes, and back.
type (
	// Accept stores a record in a slot (rule 18).
	Accept struct {
		Epoch  Epoch
		LSN    LSN
		Record Record
		Tail   LSN
	}
	// Accepted answers Accept with the nodes that hold a lease below LSN
	// (rule 13).
	Accepted struct {
		Storage    StorageID
		Epoch      Epoch
		LSN        LSN
		Holders    []NodeID
		AllHolders bool
	}
)

// Node to storage nodes, and back.
type (
	// LeaseRequest asks for a read lease (rule 12). Nonces echoes, per storage
	// node, the nonce of its last grant that arrived.
	LeaseRequest struct {
		Node  NodeID
		Inc   Incarnation
		ReqID uint64
		Nonce uint64 // of the receiving storage node's last grant; 0 for the first
	}
	// LeaseGrant answers it with the log tail that must be applied before the
	// lease may be used. Refused is set when the nonce was not echoed.
	LeaseGrant struct {
		Storage StorageID
		ReqID   uint64
		Tail    LSN
		Nonce   uint64
		Refused bool
	}
	// Release ends a node's lease; only its host's supervisor sends it, after
	// the process has exited.
	Release struct {
		Node NodeID
		Inc  Incarnation
	}
)

func (Propose) message()      {}
func (Vote) message()         {}
func (Abort) message()        {}
func (Committed) message()    {}
func (Applied) message()      {}
func (Append) message()       {}
func (Resolve) message()      {}
func (Decided) message()      {}
func (FenceRequest) message() {}
func (FenceReply) message()   {}
func (Fetch) message()        {}
func (FetchReply) message()   {}
func (Accept) message()       {}
func (Accepted) message()     {}
func (LeaseRequest) message() {}
func (LeaseGrant) message()   {}
func (Release) message()      {}
