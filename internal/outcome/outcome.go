package outcome

// Outcome is what is known about one unit of work: an autocommit statement or
// an explicit transaction. The zero value is Unknown.
type Outcome uint8

const (
	// Unknown is the zero value: nobody has judged this work yet. It is not
	// the verdict "may have been committed"; that one is CommitSent.
	Unknown Outcome = iota
	// NotSent means that no byte of the work reached a server. It is always
	// safe to run it on another node.
	NotSent
	// DefinitelyAborted means that the server said so, or that the commit was
	// never flushed. Running the work again can't apply it twice.
	DefinitelyAborted
	// CommitSent means that the commit (or an autocommit statement) was flushed
	// and no final answer came. The work must never be run again blindly.
	CommitSent
	// Committed means that the server confirmed the commit, even if the
	// connection died afterwards.
	Committed
)

// String returns the name of o as it is written in the documentation.
func (o Outcome) String() string {
	switch o {
	case NotSent:
		return "NotSent"
	case DefinitelyAborted:
		return "DefinitelyAborted"
	case CommitSent:
		return "CommitSent"
	case Committed:
		return "Committed"
	default:
		return "Unknown"
	}
}

// SafeToRepeat reports whether running the same work again can't apply it
// twice, whatever the work is.
func (o Outcome) SafeToRepeat() bool { return o == NotSent || o == DefinitelyAborted }

// Ambiguous reports whether the work may or may not have been committed.
func (o Outcome) Ambiguous() bool { return o == CommitSent }
