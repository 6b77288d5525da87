package history

import (
	"fmt"
	"time"
)

// Outcome is what a client knows of an operation after it.
type Outcome uint8

// The outcomes. The zero value is Unknown, so that what nobody judged counts
// neither as done nor as not done.
const (
	// Unknown: it may have been applied or not, and it may yet be.
	Unknown Outcome = iota
	// OK: it was applied, and the client was told so.
	OK
	// Aborted: it was not applied and never will be, for a reason that lies in the
	// work itself or its caller: a conflict, a violated constraint, a run that was
	// ended.
	Aborted
	// SafeFailure: it was not applied and never will be, because of a fault that a
	// good driver hides by going elsewhere.
	SafeFailure
	// Pending: it has not returned. Checks take it for Unknown.
	Pending
)

var outcomeNames = [...]string{"unknown", "ok", "aborted", "safe failure", "pending"}

// String returns the outcome in words.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome %d", o)
}

// MayHaveHappened tells whether the operation's effect may be in the database.
func (o Outcome) MayHaveHappened() bool { return o == OK || o == Unknown || o == Pending }

// Kind is what an operation does.
type Kind uint8

// The kinds.
const (
	UnknownKind Kind = iota
	Transfer         // bank: Amount from account Key to account To, under ID
	Total            // bank: Value is the sum of all balances
	Count            // bank: Value is the number of ledger rows
	Increment        // counter: adds one to Key
	Insert           // unique ids: inserts ID and gets the number Value
	Read             // register, counter: Value is what Key holds
	Write            // register: sets Key to Value
)

var kindNames = [...]string{"unknown", "transfer", "total", "count", "increment", "insert", "read", "write"}

// String returns the kind in words.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", k)
}

// IsRead tells whether an operation of this kind changes nothing.
func (k Kind) IsRead() bool { return k == Total || k == Count || k == Read }

// Op is one operation of one client.
type Op struct {
	// Client numbers the clients from 0; each does one operation at a time.
	Client int
	Kind   Kind
	// ID is unique among all operations that write.
	ID string
	// Key is the account, counter or register it is about; To is the account that
	// a transfer goes to, Amount what it moves.
	Key, To int
	Amount  int64
	// Value is what was written, or what a read that is OK has seen.
	Value int64
	// Invoked and Returned are measured from the start of the recording. Returned
	// of a pending operation is 0.
	Invoked, Returned time.Duration
	Outcome           Outcome
	// Attempts is how often it was tried.
	Attempts int
	// Err is the error that the client got, or nil.
	Err error
}

// Took is how long the operation took, 0 while it is pending.
func (o Op) Took() time.Duration {
	if o.Outcome == Pending {
		return 0
	}
	return o.Returned - o.Invoked
}

// String describes the operation in one line.
func (o Op) String() string {
	text := fmt.Sprintf("client %d %s", o.Client, o.Kind)
	switch o.Kind {
	case Transfer:
		text += fmt.Sprintf(" %s: %d from %d to %d", o.ID, o.Amount, o.Key, o.To)
	case Insert:
		text += fmt.Sprintf(" %s = %d", o.ID, o.Value)
	case Total, Count:
		text += fmt.Sprintf(" = %d", o.Value)
	default:
		text += fmt.Sprintf(" %d = %d", o.Key, o.Value)
	}
	text += fmt.Sprintf(" (asked at %v, %v at %v)", o.Invoked.Round(time.Microsecond), o.Outcome, o.Returned.Round(time.Microsecond))
	if o.Err != nil {
		text += ": " + o.Err.Error()
	}
	return text
}
