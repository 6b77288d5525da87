package origin

import "github.com/anywriter/anywriter/simnode/internal/message"

// Outcome says what became of a transaction, as far as its origin knows.
type Outcome uint8

// The outcomes. Rejected, NoMajority, Refused and Cancelled are definite aborts.
const (
	OutcomeUnknown Outcome = iota // zero value, never in a Result
	Committed                     // in the log at Result.LSN
	Rejected                      // conflict with another transaction
	NoMajority                    // too few members answered in time
	Refused                       // the storage wrote a tombstone
	Cancelled                     // the caller gave it up before the first append
	InDoubt                       // appended, not answered in time: still being resolved
	Allocated                     // a sequence block, from Result.First
	NoAnswer                      // a sequence block that the storage did not give in time
)

// String names the outcome as the tests' scripts do.
func (o Outcome) String() string {
	switch o {
	case Committed:
		return "committed"
	case Rejected:
		return "rejected"
	case NoMajority:
		return "no-majority"
	case Refused:
		return "refused"
	case Cancelled:
		return "cancelled"
	case InDoubt:
		return "in-doubt"
	case Allocated:
		return "allocated"
	case NoAnswer:
		return "no-answer"
	default:
		return "unknown"
	}
}

// Final reports whether nothing more will be said about the transaction. Only
// InDoubt is followed by another Result.
func (o Outcome) Final() bool { return o != InDoubt && o != OutcomeUnknown }

// Result tells the session, and the node around it, about one transaction.
type Result struct {
	TxID    message.TxID
	Outcome Outcome

	// Committed, Refused and Allocated: where the record stands (0 for a Refused
	// whose tombstone the storage no longer names), what it says, and which nodes
	// may still read below it.
	LSN        message.LSN
	Record     message.Record
	Holders    []message.NodeID
	AllHolders bool

	// Rejected: why, by which key, and who has it.
	Reason    message.RejectReason
	Key       message.Key
	Winner    message.TxID
	WinnerLSN message.LSN

	// Refused: the storage's reason.
	Why string
	// Allocated: first value of the block.
	First int64
}

// Output is what a step of the machine wants done. The zero value wants nothing.
type Output struct {
	Peers   []message.Message // to every other member
	Head    []message.Message // to the volume's head
	Results []Result
}

func (o *Output) add(more Output) {
	o.Peers = append(o.Peers, more.Peers...)
	o.Head = append(o.Head, more.Head...)
	o.Results = append(o.Results, more.Results...)
}
