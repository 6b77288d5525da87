package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster/internal/hook"
	"github.com/anywriter/anywriter/internal/outcome"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// Outcome is what is known about a statement or transaction: NotSent,
// DefinitelyAborted, CommitSent or Committed; the zero value is Unknown,
// nobody's verdict.
type Outcome = outcome.Outcome

// The outcomes; see package documentation.
const (
	Unknown           = outcome.Unknown
	NotSent           = outcome.NotSent
	DefinitelyAborted = outcome.DefinitelyAborted
	CommitSent        = outcome.CommitSent
	Committed         = outcome.Committed
)

var (
	// ErrClosed is returned by everything after Close.
	ErrClosed = errors.New("anywriter: the cluster is closed")

	// ErrNoNode is what errors.Is finds in a *NoNodeError.
	ErrNoNode = errors.New("anywriter: no node available")

	// ErrSessionLost is returned by statements of a session (a sql.Conn) that
	// had already run something when its server connection broke. Nothing is
	// sent: what the session had set up is gone, so the statement can't simply
	// move to another node.
	ErrSessionLost = errors.New("anywriter: the session's server connection is lost")

	// ErrTxAborted is reported when COMMIT was answered with ROLLBACK: an
	// earlier statement of the transaction had failed.
	ErrTxAborted = errors.New("anywriter: the transaction was rolled back because a statement in it had failed")

	// errCopyIn: the server would wait for data that nobody can send here.
	errCopyIn = errors.New("anywriter: COPY … FROM STDIN needs a stream of data: use CopyFrom of the *pgx.Conn " +
		"that sql.Conn.Raw gives (Session.Conn in package cluster)")

	errTxOver = errors.New("anywriter: the transaction has ended: its COMMIT was sent with the statement marked by WithCommit")

	errCommitted = errors.New("the transaction can't be rolled back: it was committed together with the statement marked by WithCommit")

	errTxOpen   = errors.New("anywriter: a transaction is already open in this session")
	errTxByHand = errors.New("a transaction is already open on this connection, by a BEGIN sent as text or through Raw: end that first")
	errNoTx     = errors.New("anywriter: no transaction is open in this session")
	errBusy     = errors.New("anywriter: rows of an earlier statement are still open in this session; close them first")
)

// OpError is an error of one statement, BEGIN, COMMIT or ROLLBACK. It unwraps
// to the server's *pgconn.PgError, the network's error or the context's.
type OpError struct {
	// Node is the address of the node that the last attempt was sent to; empty
	// if none was.
	Node string
	// SQLState is the server's code; empty if the server didn't answer.
	SQLState string
	// Outcome is what is known about the statement's, or the transaction's,
	// effect. It is never CommitSent: that is an *OutcomeUnknownError.
	Outcome Outcome
	// Attempts is how often the statement was tried, at least 1.
	Attempts int
	// Earlier describes the attempts before the last, the oldest first; where
	// they were many, only the first and the last of them. Neither errors.Is nor
	// errors.As looks at them.
	Earlier []Attempt
	// Err is the cause.
	Err error

	verdict   sqlstate.Verdict
	row       string // that a conflict was about, if conflict_affinity is on
	explained *Explanation
}

// Error names the node, the number of attempts if more than one, and the
// cause.
func (e *OpError) Error() string { return describeOp(e.Node, e.Attempts, "", e.Err) }

// Unwrap returns the cause.
func (e *OpError) Unwrap() error { return e.Err }

// Ambiguous is always false: what happened is known. See
// OutcomeUnknownError.Ambiguous.
func (e *OpError) Ambiguous() bool { return false }

// SQLStateCode returns the server's code or "".
func (e *OpError) SQLStateCode() string { return e.SQLState }

// OutcomeUnknownError says that a commit, or an autocommit write, was sent and
// no final answer came: it may or may not have taken effect. The driver never
// runs such work again by itself. It unwraps to the cause, so errors.As finds
// a *pgconn.PgError and errors.Is a context error.
type OutcomeUnknownError struct {
	// Node is the address of the node that the work was sent to.
	Node string
	// SQLState is the server's code, if it said anything.
	SQLState string
	// Attempts is how often the work was tried, at least 1. Earlier attempts
	// were certainly without effect, unless the work was marked as idempotent.
	Attempts int
	// Earlier describes the attempts before the last; see OpError.
	Earlier []Attempt
	// Err is the cause.
	Err error

	verdict   sqlstate.Verdict
	explained *Explanation
}

// Error names the node and the cause.
func (e *OutcomeUnknownError) Error() string {
	return describeOp(e.Node, e.Attempts, "outcome unknown (it may have been committed): ", e.Err)
}

// Unwrap returns the cause.
func (e *OutcomeUnknownError) Unwrap() error { return e.Err }

// Ambiguous is always true. It lets code that doesn't import this package
// recognise the case.
func (e *OutcomeUnknownError) Ambiguous() bool { return true }

func describeOp(node string, attempts int, note string, err error) string {
	var b strings.Builder
	b.WriteString("anywriter: ")
	if node != "" {
		fmt.Fprintf(&b, "node %s: ", node)
	}
	if attempts > 1 {
		fmt.Fprintf(&b, "attempt %d: ", attempts)
	}
	b.WriteString(note)
	b.WriteString(strings.TrimPrefix(err.Error(), "anywriter: "))
	return b.String()
}

// NodeReason is one node's part of a NoNodeError.
type NodeReason struct {
	Addr   string
	Reason string
}

// NoNodeError says that no node could take an operation in time. Nothing was
// sent in this attempt. It matches ErrNoNode and the context's error, if that ended the wait,
// and unwraps to what the nodes answered.
type NoNodeError struct {
	// Nodes has one entry per node, in the order of the DSN.
	Nodes []NodeReason
	// Waited is how long the operation had waited.
	Waited time.Duration
	// Cause is the context's error, or nil if acquire_timeout ended the wait.
	Cause error
	// Writes is true if the operation needed a node that takes writes, while there
	// were nodes that take reads only.
	Writes bool
	// Queue is not zero if the operation was turned away at once, because so many
	// others were waiting for a connection already that it had no hope; Expected is
	// how long it would have waited.
	Queue    int
	Expected time.Duration
	// Attempts is how often a statement was tried, this search for a node
	// included, and Earlier describes the attempts before it; see OpError. 0 if
	// the search was the first attempt.
	Attempts int
	Earlier  []Attempt

	causes    []error
	explained *Explanation
}

// Error has one line per node.
func (e *NoNodeError) Error() string {
	var b strings.Builder
	b.WriteString("anywriter: ")
	if e.Attempts > 1 {
		fmt.Fprintf(&b, "attempt %d: ", e.Attempts)
	}
	what := "no node available"
	if e.Writes {
		what = "no node that takes writes"
	}
	fmt.Fprintf(&b, "%s after %v", what, e.Waited.Round(time.Millisecond))
	if e.Cause != nil {
		fmt.Fprintf(&b, " (%v)", e.Cause)
	}
	if e.Queue > 0 {
		fmt.Fprintf(&b, ": %d operations wait for a connection already, which takes about %v", e.Queue, e.Expected.Round(time.Millisecond))
	}
	for _, n := range e.Nodes {
		fmt.Fprintf(&b, "\n  %s: %s", n.Addr, n.Reason)
	}
	return b.String()
}

// Ambiguous is always false: nothing was sent, and earlier attempts were
// certainly without effect, unless the work was marked as idempotent.
func (e *NoNodeError) Ambiguous() bool { return false }

// Is matches ErrNoNode.
func (e *NoNodeError) Is(target error) bool { return target == ErrNoNode }

// Unwrap returns the context's error and the errors of the nodes.
func (e *NoNodeError) Unwrap() []error {
	if e.Cause == nil {
		return e.causes
	}
	return append([]error{e.Cause}, e.causes...)
}

// noNode builds the error with one line per node.
func (c *Cluster) noNode(waited time.Duration, cause error, causes []error) *NoNodeError {
	e := &NoNodeError{Waited: waited, Cause: cause, causes: append([]error(nil), causes...)}
	for _, n := range c.members() {
		e.Nodes = append(e.Nodes, NodeReason{Addr: n.addr, Reason: n.describe()})
		if denied := n.denied.Load(); denied != nil {
			e.causes = append(e.causes, *denied)
		}
	}
	return e
}

// HookError says that BeforeConnect or AfterConnect of the configuration has
// failed. It unwraps to the hook's own error.
type HookError = hook.Error

// RefusedCredential returns, inside BeforeConnect, the server's error if the
// hook is asked again because the server has refused what it set before, and
// otherwise nil. A hook that keeps a password or token for several connections
// must get a new one then.
func RefusedCredential(ctx context.Context) error { return hook.RefusedCredential(ctx) }

// IdentityError says that two addresses of one DSN belong to different
// clusters, so that writes to one would never be seen on the other.
type IdentityError struct {
	// NodeA and NodeB are the addresses; ClusterA and ClusterB what their
	// servers say about themselves.
	NodeA, ClusterA, NodeB, ClusterB string
}

// Error names both nodes and the way out.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("anywriter: node %s belongs to cluster %s, but node %s to cluster %s; "+
		"if they are meant to be used together, say engine=independent or engine=mesh",
		e.NodeA, e.ClusterA, e.NodeB, e.ClusterB)
}

// PanicError is a panic of the application's code (a driver.Valuer, a query
// rewriter) that was caught so that its connection isn't lost.
type PanicError struct {
	While string // what was being done
	Value any    // what was passed to panic
}

// Error says what panicked and with what.
func (e *PanicError) Error() string {
	return fmt.Sprintf("anywriter: panic while %s: %v", e.While, e.Value)
}

// Unwrap returns the panic's value if it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// OutcomeOf returns what an error says about the statement or transaction that
// it came from: Committed for nil, Unknown for an error that isn't ours.
func OutcomeOf(err error) Outcome {
	var unknown *OutcomeUnknownError
	var op *OpError
	switch {
	case err == nil:
		return Committed
	case errors.As(err, &unknown):
		return CommitSent
	case errors.As(err, &op):
		return op.Outcome
	case errors.Is(err, ErrNoNode), errors.Is(err, ErrClosed), errors.Is(err, ErrSessionLost):
		return NotSent
	default:
		return Unknown
	}
}

// IsRetryable reports whether running the whole transaction (or the autocommit
// statement) again is safe and may help: the outcome is NotSent or
// DefinitelyAborted, and the reason was a conflict or a node rather than the
// statement itself or the caller's context.
func IsRetryable(err error) bool {
	var unknown *OutcomeUnknownError
	var op *OpError
	var none *NoNodeError
	var gaveUp *RetryError
	over := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if errors.As(err, &none) {
		over = none.Cause != nil // the nodes' own time may have been over
	}
	switch {
	case err == nil, errors.As(err, &unknown), errors.As(err, &gaveUp) && gaveUp.Stop == StopContext:
		return false
	case errors.As(err, &op):
		return !over && op.Outcome.SafeToRepeat() && op.verdict.Retry != sqlstate.RetryNever
	case none != nil:
		return !over
	default:
		return !over && errors.Is(err, ErrSessionLost)
	}
}

// factsOf extracts from an error what the policy looks at.
func factsOf(err error) (sqlstate.Facts, *pgconn.PgError) {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return sqlstate.Facts{}, nil
	}
	severity := pgErr.SeverityUnlocalized
	if severity == "" {
		severity = pgErr.Severity
	}
	return sqlstate.Facts{Code: pgErr.Code, Severity: severity, Message: pgErr.Message}, pgErr
}
