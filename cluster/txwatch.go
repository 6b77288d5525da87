package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/anywriter/anywriter/internal/stmtclass"
)

// TxWatch follows the transaction that is begun with its context, so that
// whoever runs somebody else's code in it knows what became of it, whatever
// that code says. It is what RunTx, here and in package driver, is built on.
type TxWatch struct {
	loop   *loop // nil outside of Retry
	follow bool  // one transaction is of interest, and not all that are begun
	pinned bool  // another attempt would be made in the same session

	begun bool
	over  chan struct{} // closed when the transaction has ended

	// Written before over is closed, read after.
	node    string
	first   error // the first error of a statement
	ended   txEnding
	commit  error             // COMMIT's error
	lost    error             // why its session can go on no more
	control stmtclass.Control // the command by which a statement ended it
}

// txEnding says how a transaction ended. The zero value is an end that nobody
// has seen.
type txEnding uint8

const (
	endUnseen txEnding = iota
	endCommitted
	endCommitFailed
	endRolledBack
)

type watchKey struct{}

// WatchTx returns a context whose first transaction is followed by the TxWatch.
func WatchTx(ctx context.Context) (context.Context, *TxWatch) {
	w := &TxWatch{follow: true, over: make(chan struct{})}
	if outer, ok := ctx.Value(watchKey{}).(*TxWatch); ok {
		w.loop = outer.loop
	}
	return context.WithValue(ctx, watchKey{}, w), w
}

// Pin says that another attempt would be made in the session of this one: if
// its server connection is lost, Retry ends. It must be called before the
// transaction is begun.
func (w *TxWatch) Pin() { w.pinned = true }

// watched tells the watch of a context, if there is one, that the session has
// begun a transaction.
func (s *Session) watched(ctx context.Context) {
	w, _ := ctx.Value(watchKey{}).(*TxWatch)
	if w == nil {
		return
	}
	if w.loop != nil {
		w.loop.cluster.CompareAndSwap(nil, s.cluster)
	}
	switch {
	case !w.follow:
		w.loop.begun.Add(1)
		s.loop = w.loop
	case !w.begun:
		w.begun, s.watch = true, w
	}
}

// committing tells the Retry whose function has begun the transaction, if that
// is so, that it may be committed from now on.
func (s *Session) committing() {
	if s.loop != nil {
		s.loop.commits.Add(1)
		s.loop = nil
	}
}

// ending tells the watch, if there is one, what is known of the transaction
// before it ends.
func (s *Session) ending() *TxWatch {
	w := s.watch
	if w == nil {
		return nil
	}
	w.node, w.first, w.control = s.Node(), s.TxError(), s.control
	if w.control == stmtclass.ControlNone && s.endedUnseen() {
		w.control = stmtclass.ControlCommit // it may have been
	}
	return w
}

// endedUnseen reports whether the server is in no transaction although the
// session has begun one: somebody has ended it on the connection itself.
func (s *Session) endedUnseen() bool {
	return s.lease.held() && s.begin == "" && s.txErr == nil && s.over == nil && s.open == nil &&
		!s.lease.phys.pc.IsClosed() && s.lease.phys.pc.TxStatus() == 'I'
}

// end says how the transaction ended. It must be deferred by whoever called
// ending; it does nothing while the transaction is still open.
func (s *Session) end(w *TxWatch, how txEnding, err error) {
	if w == nil || s.inTx || s.watch != w {
		return
	}
	if s.lost != nil {
		w.lost = s.lostError()
	}
	w.ended, w.commit, s.watch = how, err, nil
	close(w.over)
}

// Wait returns when the transaction has ended, at once if none was begun.
func (w *TxWatch) Wait() {
	if w.begun {
		<-w.over
	}
}

// ErrTxEnded is found in the error of RunTx if the closure ended the transaction
// itself: by Rollback, or by a statement such as COMMIT.
var ErrTxEnded = errors.New("anywriter: the closure of RunTx ended the transaction itself")

// ClosureError is the error of a RunTx whose closure returned an error of its
// own making after its transaction had failed for a reason that would have
// allowed another attempt.
type ClosureError struct {
	// First is the first error of the transaction.
	First error
	// Err is what the closure returned.
	Err error
}

// Error gives both texts.
func (e *ClosureError) Error() string {
	return fmt.Sprintf("%v (the transaction had failed: %v)", e.Err, e.First)
}

// Unwrap returns the transaction's error, then the closure's.
func (e *ClosureError) Unwrap() []error { return []error{e.First, e.Err} }

// Verdict waits for the transaction's end and returns the error of the whole:
// nil only if it was committed. ctx is the context of the attempt,
// closure what the code in the transaction returned, and end the error of the
// Commit or Rollback that followed.
func (w *TxWatch) Verdict(ctx context.Context, closure, end error) error {
	w.Wait()
	if w.pinned && w.begun && w.loop != nil {
		w.loop.lost = w.lost
	}
	switch {
	case !w.begun: // a driver in between kept the context to itself
		return either(closure, end)
	case w.control == stmtclass.ControlRollback:
		return w.rolledBack(ctx, closure)
	case w.control != stmtclass.ControlNone:
		return &OutcomeUnknownError{Node: w.node, Attempts: 1, Err: withReason(ErrTxEnded, either(closure, end))}
	case w.ended == endCommitted && closure == nil:
		return nil
	case w.ended == endCommitted:
		return &OpError{
			Node: w.node, Outcome: Committed, Attempts: 1,
			Err: fmt.Errorf("the closure failed after its transaction had been committed: %w", closure),
		}
	case w.ended == endCommitFailed:
		return w.commitFailed(closure)
	case w.ended == endRolledBack:
		return w.rolledBack(ctx, closure)
	default:
		return either(closure, end)
	}
}

// commitFailed is the error of a transaction whose COMMIT failed. That the
// closure asked for it itself, and what it made of the error, changes nothing.
func (w *TxWatch) commitFailed(closure error) error {
	switch {
	case w.commit == nil:
		return closure
	case closure == nil || errors.Is(closure, w.commit):
		return either(closure, w.commit)
	case OutcomeOf(w.commit) == CommitSent || hides(closure, w.commit):
		return &ClosureError{First: w.commit, Err: closure}
	default:
		return closure
	}
}

// rolledBack is the error of a transaction that was rolled back, by RunTx, by
// the closure, or because its context was over.
func (w *TxWatch) rolledBack(ctx context.Context, closure error) error {
	first := w.first
	switch {
	case closure == nil && first != nil:
		return abortedError(first, nil)
	case closure == nil && ctx.Err() != nil:
		return &OpError{Node: w.node, Outcome: DefinitelyAborted, Attempts: 1, Err: ctx.Err()}
	case closure == nil:
		return &OpError{Node: w.node, Outcome: DefinitelyAborted, Attempts: 1, Err: withReason(ErrTxEnded, errRolledBack)}
	case OutcomeOf(first) == CommitSent && OutcomeOf(closure) != CommitSent: // a COMMIT as text
		return &ClosureError{First: first, Err: closure}
	case hides(closure, first):
		return &ClosureError{First: first, Err: closure}
	case OutcomeOf(closure) == Unknown && ctx.Err() != nil && errors.Is(closure, ctx.Err()):
		return &OpError{Node: w.node, Outcome: DefinitelyAborted, Attempts: 1, Err: closure}
	default:
		return closure
	}
}

// hides reports whether the closure's error keeps quiet about the transaction's,
// for which another attempt may be made. An error of work outside of the
// transaction that may have been committed is never overruled.
func hides(closure, first error) bool {
	out := OutcomeOf(closure)
	if first == nil || IsRetryable(closure) || out == CommitSent || out == Committed {
		return false
	}
	// 25P02 has the first error in its chain, but isn't retryable itself.
	return IsRetryable(first) || outOfTime(first) && !outOfTime(closure)
}

var errRolledBack = errors.New("it rolled back without returning an error, so nothing was committed")

// either returns the first of two errors that isn't nil.
func either(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// withReason adds a reason, if there is one, to a sentinel.
func withReason(sentinel, reason error) error {
	if reason == nil {
		return sentinel
	}
	return fmt.Errorf("%w: %w", sentinel, reason)
}
