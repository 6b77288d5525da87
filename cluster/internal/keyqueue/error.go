package keyqueue

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrFull is found in the error of an operation that would have been one too
	// many to wait for its key.
	ErrFull = errors.New("the queue of the key is full")
	// ErrLate is found in the error of an operation whose deadline would have
	// passed before its turn came; so is context.DeadlineExceeded.
	ErrLate = errors.New("the turn on the key would come after the deadline")
	// ErrClosed ends the wait when the queues are closed.
	ErrClosed = errors.New("the queues are closed")
)

// Error says why an operation didn't get its turn on a key. Nothing of it was
// sent. The key isn't shown: it may be data of the application's.
type Error struct {
	// Ahead is how many were waiting already, if the operation was refused
	// without a wait.
	Ahead int
	// Estimate is how long the wait would have been and Left the time to the
	// deadline, if that was the reason.
	Estimate, Left time.Duration
	// Waited is how long the operation had waited when its context ended.
	Waited time.Duration
	// Err is ErrFull, ErrLate, ErrClosed or the context's error.
	Err error
}

// Error says what was waited for, and how long.
func (e *Error) Error() string {
	switch e.Err {
	case ErrFull:
		return fmt.Sprintf("anywriter: %v: %d operations are waiting, and key_queue allows no more", e.Err, e.Ahead)
	case ErrLate:
		return fmt.Sprintf("anywriter: %v: about %v to wait behind %d others, %v left",
			e.Err, round(e.Estimate), e.Ahead+1, round(e.Left))
	default:
		return fmt.Sprintf("anywriter: the turn on the key had not come after %v: %v", round(e.Waited), e.Err)
	}
}

// round rounds a duration for a reader.
func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is makes ErrLate a deadline that has passed, as far as the caller can do
// anything about it.
func (e *Error) Is(target error) bool {
	return e.Err == ErrLate && target == context.DeadlineExceeded
}
