package check

import (
	"errors"
	"fmt"
	"strings"

	"github.com/anywriter/anywriter/sqltest/history"
)

// Invariant is the name of a promise.
type Invariant string

// The promises.
const (
	// Conserved: the sum of all balances is what it was at the start.
	Conserved Invariant = "conserved"
	// Lost: what a client was told is committed is in the database.
	Lost Invariant = "lost"
	// Double: nothing was applied twice.
	Double Invariant = "double"
	// Ghost: what a client was told has not happened is not in the database, nor
	// anything that nobody asked for.
	Ghost Invariant = "ghost"
	// Books: each balance is the initial one changed by the ledger's rows.
	Books Invariant = "books"
	// TornRead: a statement sees one moment, so a sum of all balances is the
	// constant.
	TornRead Invariant = "torn read"
	// StaleRead: a read sees all that was acknowledged before it began, and never
	// less than a read that ended before it began.
	StaleRead Invariant = "stale read"
	// FutureRead: a read sees nothing that was not yet asked for when it ended.
	FutureRead Invariant = "future read"
	// Unique: no generated number was given to two operations.
	Unique Invariant = "unique"
)

// Violation is one broken promise.
type Violation struct {
	Invariant Invariant
	// Detail says what was found and what was expected, in one line.
	Detail string
}

// String returns "invariant: detail".
func (v Violation) String() string { return string(v.Invariant) + ": " + v.Detail }

// Verdict is the result of a check.
type Verdict struct {
	// Writes and Reads are the operations looked at; the other counts are those
	// among them with that outcome. Pending counts as Unknown.
	Writes, Reads, OK, Aborted, SafeFailures, Unknown int
	// UnknownApplied is how many of the unknown writes turned out to be in the
	// database; they are no violation.
	UnknownApplied int
	// Violations are the broken promises, at most maxViolations of each kind.
	Violations []Violation
	// Broken counts the violations of each kind, also those not listed.
	Broken map[Invariant]int
}

// maxViolations bounds how many violations of a kind are listed: one fault
// often breaks thousands of reads in the same way.
const maxViolations = 5

// Holds tells whether no promise was broken.
func (v *Verdict) Holds() bool { return len(v.Broken) == 0 }

// Err is nil if no promise was broken, and otherwise an error that lists the
// violations and ends with the replay command.
func (v *Verdict) Err(replay string) error {
	if v.Holds() {
		return nil
	}
	text := v.String()
	if replay != "" {
		text += "\nreplay: " + replay
	}
	return errors.New(text)
}

// String describes the verdict in a few lines.
func (v *Verdict) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d writes and %d reads: %d ok, %d aborted, %d safe failures, %d unknown (%d of them applied)",
		v.Writes, v.Reads, v.OK, v.Aborted, v.SafeFailures, v.Unknown, v.UnknownApplied)
	for _, violation := range v.Violations {
		fmt.Fprintf(&b, "\n%v", violation)
	}
	for _, invariant := range []Invariant{Conserved, Lost, Double, Ghost, Books, TornRead, StaleRead, FutureRead, Unique} {
		if n := v.Broken[invariant]; n > maxViolations {
			fmt.Fprintf(&b, "\n%s: %d more", invariant, n-maxViolations)
		}
	}
	return b.String()
}

func (v *Verdict) broken(invariant Invariant, format string, args ...any) {
	if v.Broken == nil {
		v.Broken = map[Invariant]int{}
	}
	v.Broken[invariant]++
	if v.Broken[invariant] <= maxViolations {
		v.Violations = append(v.Violations, Violation{Invariant: invariant, Detail: fmt.Sprintf(format, args...)})
	}
}

// count adds the operations to the verdict's numbers.
func (v *Verdict) count(ops []history.Op) {
	for _, op := range ops {
		if op.Kind.IsRead() {
			v.Reads++
		} else {
			v.Writes++
		}
		switch op.Outcome {
		case history.OK:
			v.OK++
		case history.Aborted:
			v.Aborted++
		case history.SafeFailure:
			v.SafeFailures++
		default:
			v.Unknown++
		}
	}
}
