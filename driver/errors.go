package driver

import "github.com/anywriter/anywriter/cluster"

// OutcomeUnknownError says that a commit or an autocommit write was sent and no
// final answer came; see cluster.OutcomeUnknownError.
type OutcomeUnknownError = cluster.OutcomeUnknownError

// OpError is any other error of a statement; see cluster.OpError.
type OpError = cluster.OpError

// NoNodeError has one line per node; see cluster.NoNodeError.
type NoNodeError = cluster.NoNodeError

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
)

// OutcomeOf returns what an error says about the work that it came from.
func OutcomeOf(err error) Outcome { return cluster.OutcomeOf(err) }

// IsRetryable reports whether running the whole transaction again is safe and
// may help.
func IsRetryable(err error) bool { return cluster.IsRetryable(err) }
