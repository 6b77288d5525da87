package role

// Role says what a node may be given. The zero value is Unknown.
type Role uint8

const (
	// Unknown: the node hasn't answered yet.
	Unknown Role = iota
	// Writer: the node takes reads and writes.
	Writer
	// ReadOnly: the node is well but takes no writes.
	ReadOnly
	// Superseded: the node takes writes, but is an old primary: another node has
	// been promoted in its place. It gets nothing.
	Superseded
)

// String returns the name of r.
func (r Role) String() string {
	names := [...]string{"Unknown", "Writer", "ReadOnly", "Superseded"}
	if int(r) < len(names) {
		return names[r]
	}
	return names[Unknown]
}

// Reason says why a node takes no writes. The zero value is ReasonNone.
type Reason uint8

const (
	// ReasonNone: it takes them, or hasn't answered.
	ReasonNone Reason = iota
	// ReasonRecovery: the server is a standby.
	ReasonRecovery
	// ReasonDefault: the server's configuration makes transactions read-only.
	ReasonDefault
	// ReasonRefused: it has refused a write with 25006, and hasn't been asked
	// since.
	ReasonRefused
	// ReasonTimeline: another node with the same system identifier is on a higher
	// timeline.
	ReasonTimeline
	// ReasonMinority: the node reads what is current, but hears no majority of its
	// cluster, without which nothing can be committed.
	ReasonMinority
)

// String gives the reason in a few words, fit for a message.
func (r Reason) String() string {
	names := [...]string{
		"", "it is a standby", "default_transaction_read_only is on in its configuration",
		"it has refused a write (25006)", "another node has been promoted in its place",
		"it hears no majority of its cluster's nodes",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return names[ReasonNone]
}

// Claim is what one node last said of itself. The zero value is a node that has
// said nothing.
type Claim struct {
	// Role is Writer, ReadOnly or Unknown.
	Role Role
	// Reason says why it takes no writes.
	Reason Reason
	// Chosen is true of a writer whose sessions of this client begin as read-only
	// because the client, its role or its database says so.
	Chosen bool
	// System is what servers have in common that descend from one another by
	// physical copies, such as PostgreSQL's system identifier; empty if the node
	// has no such thing.
	System string
	// Timeline is a writer's; 0 if it isn't known. It grows with each promotion.
	Timeline uint32
}

// The answers to the probe of an engine whose servers tell their role.
const (
	AnswerWriter   = "writer"
	AnswerChosen   = "writer, read-only by choice"
	AnswerReadOnly = "read-only"
	AnswerStandby  = "standby"
	AnswerMinority = "no majority"
)

// Answered returns the claim that an answer to such a probe makes, and whether
// it is one.
func Answered(answer string) (Claim, bool) {
	switch answer {
	case AnswerWriter:
		return Claim{Role: Writer}, true
	case AnswerChosen:
		return Claim{Role: Writer, Chosen: true}, true
	case AnswerReadOnly:
		return Claim{Role: ReadOnly, Reason: ReasonDefault}, true
	case AnswerStandby:
		return Claim{Role: ReadOnly, Reason: ReasonRecovery}, true
	case AnswerMinority:
		return Claim{Role: ReadOnly, Reason: ReasonMinority}, true
	default:
		return Claim{}, false
	}
}
