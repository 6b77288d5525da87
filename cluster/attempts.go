package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/anywriter/anywriter/internal/sqlstate"
)

// Attempt is what is kept of an attempt that failed and was followed by another
// one. It is data about the past: no error unwraps to it, so errors.Is and
// errors.As never take it for the error that an operation ended with.
type Attempt struct {
	// Number counts from 1. Where many attempts were made, only the first two and
	// the last six are kept, and the numbers show the gap.
	Number int
	// Node is the address of the node that it was sent to; empty if none was.
	Node string
	// SQLState is the server's code; empty if the server didn't answer.
	SQLState string
	// Kind names the sort of failure as EventListener.Retried does, for example
	// Conflict or Connection; empty if it has no name.
	Kind string
	// Outcome is what is known about the attempt's effect.
	Outcome Outcome
	// Err is the error that it ended with.
	Err error
	// Began is when it was started and Took how long it lasted; Wait is the time
	// between its end and the next attempt.
	Began      time.Time
	Took, Wait time.Duration
}

// String describes the attempt in one line, without the text of the error,
// which may show values of the application's.
func (a Attempt) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "attempt %d", a.Number)
	if a.Node != "" {
		b.WriteString(" on " + a.Node)
	}
	fmt.Fprintf(&b, ": %s; %v after %v, then a wait of %v", a.failure(), a.Outcome, short(a.Took), short(a.Wait))
	return b.String()
}

// failure names what went wrong by what is safe to show.
func (a Attempt) failure() string {
	var parts []string
	if a.Kind != "" {
		parts = append(parts, a.Kind)
	}
	if a.SQLState != "" {
		parts = append(parts, "SQLSTATE "+a.SQLState)
	} else if cause := plainCause(a.Err); cause != "" {
		parts = append(parts, cause)
	}
	if len(parts) == 0 {
		return "failed"
	}
	return strings.Join(parts, ", ")
}

// short rounds a duration for a reader.
func short(d time.Duration) time.Duration {
	if d >= 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(time.Microsecond)
}

// plainCause names the cause of an error that isn't a server's, if it is one
// whose text can't show anything of the application's.
func plainCause(err error) string {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrNoNode):
		return "no node available"
	case errors.Is(err, ErrKeyQueueFull):
		return "the key's queue is full"
	case errors.Is(err, ErrKeyQueueLate):
		return "the key's turn would come too late"
	case errors.Is(err, context.Canceled):
		return "context canceled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline exceeded"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended"
	case errors.Is(err, net.ErrClosed):
		return "the connection was closed"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	default:
		return ""
	}
}

// firstAttempts and lastAttempts bound the chain of earlier attempts: the first
// show how the trouble began, the last where it stood in the end. Thirty
// attempts, the default limit, would fill a screen.
const (
	firstAttempts = 2
	lastAttempts  = 6
)

// remember returns the chain with one more attempt, and without the oldest of
// the last if it is full. The chain must have no other owner.
func remember(chain []Attempt, a Attempt) []Attempt {
	if len(chain) == firstAttempts+lastAttempts {
		chain = slices.Delete(chain, firstAttempts, firstAttempts+1)
	}
	return append(chain, a)
}

// Stop says why work that had failed wasn't tried again. The zero value is
// StopUnknown.
type Stop uint8

const (
	// StopUnknown: nobody has decided yet.
	StopUnknown Stop = iota
	// StopFinal: the error doesn't allow another attempt.
	StopFinal
	// StopAttempts: the attempts are used up.
	StopAttempts
	// StopElapsed: MaxElapsed leaves no time for the next wait.
	StopElapsed
	// StopDeadline: the context's deadline leaves no time for the next wait.
	StopDeadline
	// StopBudget: the cluster's retry budget is empty.
	StopBudget
	// StopContext: the context was over.
	StopContext
	// StopScope: a statement of a transaction or of a session that had been used
	// isn't tried again by itself.
	StopScope
	// StopSession: all attempts are bound to one session (a sql.Conn), and its
	// server connection is lost.
	StopSession
)

// String gives the reason in a few words, fit for a message.
func (s Stop) String() string {
	names := [...]string{
		"undecided", "the last error allows no other attempt", "no attempts are left", "MaxElapsed leaves no time",
		"the deadline leaves no time", "the retry budget is empty", "the context is over",
		"what came before it in the session can't be done again", "the session's server connection is lost",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return names[StopUnknown]
}

// RetryError is the error of a RunTx or Retry that made several attempts, or
// would have made another one but for its limits. It unwraps to the error of the
// last attempt and, if there is one, Cause. errors.As finds an
// *OpError, *OutcomeUnknownError or *NoNodeError of the last attempt as a copy
// that counts and lists the attempts of the whole.
type RetryError struct {
	// Attempts is how often the work was tried, at least 1.
	Attempts int
	// Earlier describes the attempts before the last; see OpError.
	Earlier []Attempt
	// Stop says why there was no further attempt.
	Stop Stop
	// Err is the error of the last attempt.
	Err error
	// Cause is the context's error if Stop is StopContext, and has ErrSessionLost
	// if it is StopSession.
	Cause error
}

// Error gives the number of attempts, why they ended, and the last error.
func (e *RetryError) Error() string {
	plural := "s"
	if e.Attempts == 1 {
		plural = ""
	}
	return fmt.Sprintf("anywriter: gave up after %d attempt%s (%v): %s",
		e.Attempts, plural, e.Stop, strings.TrimPrefix(e.Err.Error(), "anywriter: "))
}

// Unwrap returns the last attempt's error and the cause.
func (e *RetryError) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Cause}
}

// As implements errors.As for the errors that list attempts.
func (e *RetryError) As(target any) bool {
	if e.Attempts < 2 {
		return false
	}
	switch target := target.(type) {
	case **OpError:
		if errors.As(e.Err, target) {
			last := **target
			last.Attempts, last.Earlier = e.Attempts, e.Earlier
			*target = &last
			return true
		}
	case **OutcomeUnknownError:
		if errors.As(e.Err, target) {
			last := **target
			last.Attempts, last.Earlier = e.Attempts, e.Earlier
			*target = &last
			return true
		}
	case **NoNodeError:
		if errors.As(e.Err, target) {
			last := **target
			last.Attempts, last.Earlier = e.Attempts, e.Earlier
			*target = &last
			return true
		}
	}
	return false
}

// failedAttempt describes an attempt by its error.
func failedAttempt(number int, err error, began, ended time.Time, wait time.Duration) Attempt {
	a := Attempt{Number: number, Outcome: OutcomeOf(err), Err: err, Began: began, Took: ended.Sub(began), Wait: wait}
	var op *OpError
	var unknown *OutcomeUnknownError
	switch {
	case errors.As(err, &unknown):
		a.Node, a.SQLState = unknown.Node, unknown.SQLState
	case errors.As(err, &op):
		a.Node, a.SQLState = op.Node, op.SQLState
	}
	if kind := verdictOf(err).Kind; kind != sqlstate.Unclassified {
		a.Kind = kind.String()
	}
	return a
}

// followed books a failed attempt that is followed by another one. Its own
// chain goes on to the next error.
func (c *call) followed(err error, began, ended time.Time, wait time.Duration) {
	switch e := err.(type) {
	case *OpError:
		e.Earlier = nil
	case *OutcomeUnknownError:
		e.Earlier = nil
	}
	c.earlier = remember(c.earlier, failedAttempt(c.attempts, err, began, ended, wait))
}

// withEarlier tells an error that came without an exchange of its own (no node
// was found) what had been tried before.
func (c *call) withEarlier(err error) error {
	if len(c.earlier) == 0 {
		return err
	}
	switch e := err.(type) {
	case *NoNodeError:
		e.Attempts, e.Earlier = c.attempts, c.earlier
	case *OpError:
		e.Attempts, e.Earlier = c.attempts, c.earlier
	}
	return err
}

// Explain explains the statement that ended in the error.
func (e *OpError) Explain() Explanation { return explained(e.explained, e, e.Attempts, e.Earlier) }

// Explain explains the statement that ended in the error.
func (e *OutcomeUnknownError) Explain() Explanation {
	return explained(e.explained, e, e.Attempts, e.Earlier)
}

// Explain explains the statement for which no node was found.
func (e *NoNodeError) Explain() Explanation {
	return explained(e.explained, e, max(e.Attempts, 1), e.Earlier)
}

// Explain explains the last statement of the last attempt, with the attempts of
// the whole.
func (e *RetryError) Explain() Explanation {
	x, _ := ExplainError(e.Err)
	x.Attempts, x.Earlier, x.Stop = e.Attempts, e.Earlier, e.Stop
	return x
}

// explained completes what was kept with an error.
func explained(kept *Explanation, err error, attempts int, earlier []Attempt) Explanation {
	var x Explanation
	if kept != nil {
		x = *kept
	} else {
		t := trail{scope: scopeUnknown, err: err}
		x.Result, x.Outcome, x.Reason = t.verdict()
		x.Node = failedAttempt(attempts, err, time.Time{}, time.Time{}, 0).Node
	}
	x.Attempts, x.Earlier = attempts, earlier
	return x
}

// ExplainError explains the statement that ended in an error of the driver's,
// wrapped or not. It reports false for any other error.
func ExplainError(err error) (Explanation, bool) {
	var e interface{ Explain() Explanation }
	if !errors.As(err, &e) {
		return Explanation{}, false
	}
	return e.Explain(), true
}
