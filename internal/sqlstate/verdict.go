package sqlstate

import "github.com/anywriter/anywriter/internal/outcome"

// Phase says what the session was doing when the error came. The zero value,
// PhaseUnknown, is judged like PhaseStatement.
type Phase uint8

const (
	// PhaseUnknown is the zero value; it is judged like PhaseStatement.
	PhaseUnknown Phase = iota
	// PhaseConnect covers dialing, TLS, authentication and start-up.
	PhaseConnect
	// PhaseStatement covers any statement except COMMIT.
	PhaseStatement
	// PhaseCommit covers COMMIT of an explicit transaction.
	PhaseCommit
)

// String returns the name of p.
func (p Phase) String() string {
	switch p {
	case PhaseConnect:
		return "connect"
	case PhaseStatement:
		return "statement"
	case PhaseCommit:
		return "commit"
	default:
		return "unknown"
	}
}

// Facts is what Classify needs to know about an error.
type Facts struct {
	// Code is the five-character SQLSTATE; empty for an error that came from
	// the network and not from a server (EOF, reset, time-out).
	Code string
	// Severity is the non-localized severity: ERROR, FATAL or PANIC. Empty
	// counts as ERROR if there is a code.
	Severity string
	// Message is the primary message. Only codes that mean several things are
	// told apart by it (0A000 'cached plan …', codes of a Dialect).
	Message string
	// Dialect is the engine's own reading of its errors; nil is PostgreSQL's.
	Dialect *Dialect
	// Phase says what the session was doing.
	Phase Phase
	// InTx is true inside an explicit transaction.
	InTx bool
	// FirstInTx is true for the first statement of an explicit transaction:
	// nothing is lost by starting it again.
	FirstInTx bool
	// Open is true if the session was ready for the next statement after the error.
	Open bool
	// Block is true if the session was left inside a transaction block, which has
	// failed: then it wasn't its end that met the error.
	Block bool
	// Raised is true if the error bears the marks of a database server's own code:
	// the source file and routine that raised it, which poolers leave out.
	Raised bool
	// OwnCancel is true if our own cancel request (a cancelled context) may
	// have caused the error.
	OwnCancel bool
}

// Kind names the row of the policy table. The zero value, Unclassified, is an
// error of the user's statement: reported as it is.
type Kind uint8

const (
	// Unclassified is the user's own SQL error (syntax, constraint, …).
	Unclassified Kind = iota
	// Conflict is 40001 and 40P01: the server undid the transaction in favour
	// of another one.
	Conflict
	// InDoubt is 40003 and 08007: the server doesn't know what happened.
	InDoubt
	// Draining is 57P01 and 57P02: the node is going away.
	Draining
	// NotReady is 57P03, 08001 and 08004 while connecting, and 57P03 from a
	// probe: the node takes no work now.
	NotReady
	// Connection is a broken connection: other 08xxx, XXUUU, no SQLSTATE.
	Connection
	// NodeFull is 53300 while connecting.
	NodeFull
	// Resource is 53100, 53200, 53400: the statement's own error.
	Resource
	// SessionEnded is 57P05, 25P03, 25P04: the server closed this session only.
	SessionEnded
	// NotWritable is 25006: the node refuses writes.
	NotWritable
	// StalePlan is 26000, or 0A000 'cached plan must not change result type'.
	StalePlan
	// AbortedTx is 25P02: an earlier error is the one to report.
	AbortedTx
	// ServerFault is 58xxx and XX000.
	ServerFault
	// Canceled is 57014 caused by our own cancel request.
	Canceled
	// Auth is 28xxx.
	Auth
	// Fatal is any other FATAL or PANIC: the session is gone, the cause isn't
	// known to say anything about the node.
	Fatal
	// CommitRolledBack is COMMIT answered with the tag ROLLBACK.
	CommitRolledBack
	// Foreign is an 08xxx that the server has raised itself at a commit: undone
	// here, but a foreign server may have committed its part.
	Foreign
)

// String returns the name of k.
func (k Kind) String() string {
	names := [...]string{
		"Unclassified", "Conflict", "InDoubt", "Draining", "NotReady", "Connection",
		"NodeFull", "Resource", "SessionEnded", "NotWritable", "StalePlan", "AbortedTx",
		"ServerFault", "Canceled", "Auth", "Fatal", "CommitRolledBack", "Foreign",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "Unclassified"
}

// Effect says what the error proves about the transaction. The zero value,
// ByFlush, proves nothing: what had been flushed decides.
type Effect uint8

const (
	// ByFlush proves nothing; package outcome decides by what was flushed.
	ByFlush Effect = iota
	// NothingSent: the server took no work from this session.
	NothingSent
	// Undone: the statement, and with it an autocommit transaction, or the
	// whole transaction at COMMIT, was rolled back.
	Undone
	// Doubtful: the server itself doesn't know, or not of all that it did.
	Doubtful
)

// String returns the name of e.
func (e Effect) String() string {
	switch e {
	case NothingSent:
		return "NothingSent"
	case Undone:
		return "Undone"
	case Doubtful:
		return "Doubtful"
	default:
		return "ByFlush"
	}
}

// NodeEffect says what the error means for the node. The zero value, NodeFine,
// counts as a success for the node's breaker.
type NodeEffect uint8

const (
	// NodeFine: the node did its work; the error isn't its fault.
	NodeFine NodeEffect = iota
	// NodeGoing: the node announced its end; drain it.
	NodeGoing
	// NodeNotReady: the node takes no sessions now.
	NodeNotReady
	// NodeCrowded: the node is full; throttle dials, not down.
	NodeCrowded
	// NodeReadOnly: take the node out of the write set and probe it.
	NodeReadOnly
	// NodeSuspect: counts as a failure for the breaker; ask the prober.
	NodeSuspect
)

// String returns the name of n.
func (n NodeEffect) String() string {
	switch n {
	case NodeGoing:
		return "NodeGoing"
	case NodeNotReady:
		return "NodeNotReady"
	case NodeCrowded:
		return "NodeCrowded"
	case NodeReadOnly:
		return "NodeReadOnly"
	case NodeSuspect:
		return "NodeSuspect"
	default:
		return "NodeFine"
	}
}

// Retry says where another attempt would make sense, provided that the outcome
// and the scope allow one at all. The zero value is RetryNever.
type Retry uint8

const (
	// RetryNever: report the error.
	RetryNever Retry = iota
	// RetryAnyNode: after a backoff, on any node (conflicts).
	RetryAnyNode
	// RetryOtherNode: on another node, at once.
	RetryOtherNode
	// RetryFreshSession: once, on a fresh connection to the same node.
	RetryFreshSession
	// RetrySameSession: once, on the same session, after dropping the cached
	// statement.
	RetrySameSession
	// RetryFreshCredential: once, after asking for the credential again.
	RetryFreshCredential
)

// String returns the name of r.
func (r Retry) String() string {
	switch r {
	case RetryAnyNode:
		return "RetryAnyNode"
	case RetryOtherNode:
		return "RetryOtherNode"
	case RetryFreshSession:
		return "RetryFreshSession"
	case RetrySameSession:
		return "RetrySameSession"
	case RetryFreshCredential:
		return "RetryFreshCredential"
	default:
		return "RetryNever"
	}
}

// Verdict is the policy for one error. The zero value is the user's own SQL
// error whose effect isn't known; Classify never returns it for an ERROR.
type Verdict struct {
	// Kind names the row of the table.
	Kind Kind
	// Effect says what is proven about the transaction.
	Effect Effect
	// Node says what it means for the node.
	Node NodeEffect
	// Retry says where another attempt makes sense.
	Retry Retry
	// DiscardSession is true if the server connection is of no more use.
	DiscardSession bool
	// DropStatement is true if the prepared statement must be forgotten.
	DropStatement bool
}

// NodeFault reports whether the error counts as a failure for the node's
// breaker.
func (v Verdict) NodeFault() bool {
	return v.Node == NodeSuspect || v.Node == NodeNotReady
}

// Event returns what the error tells the outcome machine.
func (v Verdict) Event() outcome.Event {
	switch v.Effect {
	case NothingSent:
		return outcome.EventRefused
	case Undone:
		return outcome.EventAborted
	case Doubtful:
		return outcome.EventInDoubt
	default:
		return outcome.EventNone
	}
}
