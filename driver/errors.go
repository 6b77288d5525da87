package driver

import (
	"errors"

	"github.com/anywriter/anywriter/cluster"
)

// OutcomeUnknownError says that a commit or an autocommit write was sent and no
// final answer came; see cluster.OutcomeUnknownError.
type OutcomeUnknownError = cluster.OutcomeUnknownError

// OpError is any other error of a statement; see cluster.OpError.
type OpError = cluster.OpError

// NoNodeError has one line per node; see cluster.NoNodeError.
type NoNodeError = cluster.NoNodeError

// RetryError is the error of a RunTx or Retry with more than one attempt; see
// cluster.RetryError.
type RetryError = cluster.RetryError

// ClosureError is the error of a RunTx whose closure hid its transaction's; see
// cluster.ClosureError.
type ClosureError = cluster.ClosureError

// Attempt describes an earlier attempt; see cluster.Attempt.
type Attempt = cluster.Attempt

// Outcome is what is known about a statement's or a transaction's effect.
type Outcome = cluster.Outcome

// The outcomes.
const (
	Unknown           = cluster.Unknown
	NotSent           = cluster.NotSent
	DefinitelyAborted = cluster.DefinitelyAborted
	CommitSent        = cluster.CommitSent
	Committed         = cluster.Committed
)

var (
	// ErrNoNode is what errors.Is finds when no node could take an operation.
	ErrNoNode = cluster.ErrNoNode
	// ErrClosed is returned by everything after Close.
	ErrClosed = cluster.ErrClosed
	// ErrSessionLost is returned by a sql.Conn whose server connection broke
	// after it had been used.
	ErrSessionLost = cluster.ErrSessionLost
	// ErrTxAborted is reported by Commit if a statement of the transaction had
	// failed, so that it was rolled back.
	ErrTxAborted = cluster.ErrTxAborted
	// ErrTxEnded is found in the error of RunTx if the closure ended the
	// transaction itself.
	ErrTxEnded = cluster.ErrTxEnded
)

// KeyQueueError says why an operation didn't get its turn on its key; see
// cluster.KeyQueueError.
type KeyQueueError = cluster.KeyQueueError

var (
	// ErrKeyQueueFull: as many operations wait for the key as key_queue allows.
	ErrKeyQueueFull = cluster.ErrKeyQueueFull
	// ErrKeyQueueLate: the deadline would have passed before the turn came.
	ErrKeyQueueLate = cluster.ErrKeyQueueLate
)

// FenceError says why a node can't be used with commit_fence=table; see
// cluster.FenceError.
type FenceError = cluster.FenceError

// HookError says that BeforeConnect or AfterConnect has failed; see
// cluster.HookError.
type HookError = cluster.HookError

// ErrRowsUnknown is returned by RowsAffected of a statement that was committed
// while its answer was lost: the commit fence knows that, but not the number.
var ErrRowsUnknown = errors.New("anywriter: the statement was committed, but the number of its rows is lost with the connection")

// OutcomeOf returns what an error says about the work that it came from.
func OutcomeOf(err error) Outcome { return cluster.OutcomeOf(err) }

// IsRetryable reports whether running the whole transaction again is safe and
// may help.
func IsRetryable(err error) bool { return cluster.IsRetryable(err) }
