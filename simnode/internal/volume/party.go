package volume

import (
	"fmt"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Party is one end of a message: a database node, a storage node, or, as the zero
// value, the head. A supervisor speaks as its node.
type Party struct {
	Node    message.NodeID
	Storage message.StorageID
}

// NodeParty is the database node id.
func NodeParty(id message.NodeID) Party { return Party{Node: id} }

// StorageParty is the storage node id.
func StorageParty(id message.StorageID) Party { return Party{Storage: id} }

// String gives a short form for logs, such as "n1", "s4" or "head".
func (p Party) String() string {
	switch {
	case p.Node != 0:
		return fmt.Sprintf("n%d", p.Node)
	case p.Storage != 0:
		return fmt.Sprintf("s%d", p.Storage)
	default:
		return "head"
	}
}

// Output is a message to send, the same to each of To. To and Msg are read-only:
// outputs share them.
type Output struct {
	To  []Party
	Msg message.Message
}

// The numbers of the protocol.
const (
	// StorageNodes and the quorums: losing one AZ (two storage nodes) leaves
	// four, enough to write; losing one more leaves three, enough to recover,
	// since any three meet any four.
	StorageNodes = 6
	WriteQuorum  = 4
	ReadQuorum   = 3
	// LeaseWait is how long a storage node takes a lease to last; nodes use it
	// for 180 ms only, which leaves 9 % for clocks that drift apart.
	LeaseWait = 220 * time.Millisecond
	// FirstConfigEpoch is the config epoch of the members that a head is made
	// with; no record says so.
	FirstConfigEpoch message.Epoch = 1
)
