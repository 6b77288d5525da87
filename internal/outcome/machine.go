package outcome

// Scope says what the recorded work is. The zero value, ScopeUnknown, is
// treated like Autocommit: that is the cautious reading, because there every
// flush may commit.
type Scope uint8

const (
	// ScopeUnknown is the zero value; it is judged like Autocommit.
	ScopeUnknown Scope = iota
	// Autocommit is a statement (or several sent as one implicit transaction)
	// outside an explicit transaction: flushing it flushes the commit.
	Autocommit
	// Transaction is an explicit transaction: it commits only by a COMMIT.
	Transaction
)

// String returns the name of s.
func (s Scope) String() string {
	switch s {
	case Autocommit:
		return "Autocommit"
	case Transaction:
		return "Transaction"
	default:
		return "ScopeUnknown"
	}
}

// Answer is the strongest thing that the server said about the work. The zero
// value is NoAnswer.
type Answer uint8

const (
	// NoAnswer means that nothing final came: EOF, reset, time-out, or a
	// session-ending error that says nothing about the transaction's fate.
	NoAnswer Answer = iota
	// Refused means that the server turned the session away before it took any
	// work from it (57P03, 53300 … while connecting).
	Refused
	// Incomplete means that CommandComplete came but ReadyForQuery didn't. In
	// the extended protocol an implicit transaction commits at Sync, so this
	// proves nothing for an autocommit statement.
	Incomplete
	// Aborted means that the server said that the transaction is rolled back:
	// an ERROR answer to the statement or to COMMIT, or COMMIT answered with the
	// tag ROLLBACK.
	Aborted
	// InDoubt means that the server itself said that it doesn't know (40003,
	// 08007).
	InDoubt
	// Confirmed means CommandComplete with the tag COMMIT for an explicit
	// transaction, or ReadyForQuery without an error for an autocommit one.
	Confirmed
)

// String returns the name of a.
func (a Answer) String() string {
	switch a {
	case Refused:
		return "Refused"
	case Incomplete:
		return "Incomplete"
	case Aborted:
		return "Aborted"
	case InDoubt:
		return "InDoubt"
	case Confirmed:
		return "Confirmed"
	default:
		return "NoAnswer"
	}
}

// Record is what happened on the wire for one unit of work. The zero value
// says that nothing was sent. It is a plain value: copy it freely; it isn't
// safe for concurrent writing.
type Record struct {
	// Scope says whether the work commits by itself or by COMMIT.
	Scope Scope
	// Flushed is set before the first byte of the work is handed to a socket.
	Flushed bool
	// CommitFlushed is set before the first byte of COMMIT is handed to a
	// socket. For autocommit work it is implied by Flushed.
	CommitFlushed bool
	// Answer is the strongest answer so far.
	Answer Answer
}

// Event is one thing that happens to a Record. The zero value changes nothing.
type Event uint8

const (
	// EventNone changes nothing.
	EventNone Event = iota
	// EventFlush: bytes of a statement (BEGIN counts) are about to be written.
	EventFlush
	// EventFlushCommit: bytes that contain COMMIT are about to be written.
	EventFlushCommit
	// EventRefused: the server turned the session away while connecting.
	EventRefused
	// EventCommandComplete: CommandComplete of the last autocommit command.
	EventCommandComplete
	// EventAborted: the server said that the transaction is rolled back.
	EventAborted
	// EventInDoubt: the server said that the transaction's fate is unknown.
	EventInDoubt
	// EventConfirmed: tag COMMIT, or ReadyForQuery without an error.
	EventConfirmed
)

// String returns the name of e.
func (e Event) String() string {
	switch e {
	case EventFlush:
		return "Flush"
	case EventFlushCommit:
		return "FlushCommit"
	case EventRefused:
		return "Refused"
	case EventCommandComplete:
		return "CommandComplete"
	case EventAborted:
		return "Aborted"
	case EventInDoubt:
		return "InDoubt"
	case EventConfirmed:
		return "Confirmed"
	default:
		return "None"
	}
}

// Step returns the record after ev. Answers only ever get stronger, in the
// order of the Answer constants, with one exception that order expresses too:
// once the server has confirmed the commit nothing takes that back. A refusal
// counts only while nothing had been flushed.
func (r Record) Step(ev Event) Record {
	switch ev {
	case EventFlush:
		r.Flushed = true
	case EventFlushCommit:
		r.Flushed, r.CommitFlushed = true, true
	case EventRefused:
		if !r.Flushed {
			r.Answer = max(r.Answer, Refused)
		}
	case EventCommandComplete:
		r.Answer = max(r.Answer, Incomplete)
	case EventAborted:
		r.Answer = max(r.Answer, Aborted)
	case EventInDoubt:
		r.Answer = max(r.Answer, InDoubt)
	case EventConfirmed:
		r.Answer = max(r.Answer, Confirmed)
	case EventNone:
	}
	return r
}

// Outcome judges the record as if the connection ended now.
func (r Record) Outcome() Outcome {
	if !r.Flushed && !r.CommitFlushed {
		return NotSent
	}
	if !r.commitReached() {
		// The server rolls back a transaction whose session ends before COMMIT
		// was sent, whatever it had answered until then.
		return DefinitelyAborted
	}
	switch r.Answer {
	case Confirmed:
		return Committed
	case Aborted:
		return DefinitelyAborted
	default:
		return CommitSent
	}
}

// commitReached reports whether the server may have been asked to commit.
func (r Record) commitReached() bool {
	return r.CommitFlushed || r.Scope != Transaction
}
