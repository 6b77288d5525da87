package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/sqlstate"
	"github.com/anywriter/anywriter/internal/stmtclass"
)

func watchOver(set func(*TxWatch)) *TxWatch {
	_, w := WatchTx(context.Background())
	w.begun, w.node = true, "n:1"
	set(w)
	close(w.over)
	return w
}

// What RunTx says, by what became of the transaction and what the closure made
// of it.
func TestVerdict(t *testing.T) {
	boom := errors.New("business rule")
	conflict := &OpError{
		Node: "n:1", SQLState: "40001", Outcome: DefinitelyAborted, Attempts: 1, Err: &pgconn.PgError{Code: "40001"},
		verdict: sqlstate.Verdict{Kind: sqlstate.Conflict, Retry: sqlstate.RetryAnyNode},
	}
	duplicate := &OpError{Node: "n:1", SQLState: "23505", Outcome: DefinitelyAborted, Attempts: 1, Err: &pgconn.PgError{Code: "23505"}}
	late := &OpError{Node: "n:1", Outcome: DefinitelyAborted, Attempts: 1, Err: context.DeadlineExceeded}
	unknown := &OutcomeUnknownError{Node: "n:1", Attempts: 1, Err: context.DeadlineExceeded}
	over, cancel := context.WithTimeout(context.Background(), -1)
	defer cancel()

	committed := func(w *TxWatch) { w.ended = endCommitted }
	failed := func(err error) func(*TxWatch) {
		return func(w *TxWatch) { w.ended, w.commit = endCommitFailed, err }
	}
	rolledBack := func(first error) func(*TxWatch) {
		return func(w *TxWatch) { w.ended, w.first = endRolledBack, first }
	}
	byText := func(c stmtclass.Control, ended txEnding) func(*TxWatch) {
		return func(w *TxWatch) { w.control, w.ended = c, ended }
	}
	for name, c := range map[string]struct {
		set     func(*TxWatch)
		over    bool
		closure error
		end     error
		outcome Outcome
		again   bool    // the loop would try again
		is      []error // found in the error
		same    error   // the error itself
	}{
		"committed": {set: committed, outcome: Committed},
		"committed by the closure, which then fails":                      {set: committed, closure: boom, outcome: Committed, is: []error{boom}},
		"committed by the closure, which then meets a conflict elsewhere": {set: committed, closure: conflict, outcome: Committed, is: []error{conflict}},
		"commit conflicts":                         {set: failed(conflict), outcome: DefinitelyAborted, again: true, same: conflict},
		"commit conflicts, closure passes it on":   {set: failed(conflict), closure: fmt.Errorf("x: %w", conflict), outcome: DefinitelyAborted, again: true, is: []error{conflict}},
		"commit conflicts, closure hides it":       {set: failed(conflict), closure: boom, outcome: DefinitelyAborted, again: true, is: []error{boom, conflict}},
		"commit fails for good, closure hides it":  {set: failed(duplicate), closure: boom, outcome: Unknown, same: boom},
		"commit unknown":                           {set: failed(unknown), outcome: CommitSent, same: unknown},
		"commit unknown, closure hides it":         {set: failed(unknown), closure: boom, outcome: CommitSent, is: []error{boom, unknown}},
		"rolled back for the closure's error":      {set: rolledBack(nil), closure: boom, outcome: Unknown, same: boom},
		"conflict returned":                        {set: rolledBack(conflict), closure: conflict, outcome: DefinitelyAborted, again: true, same: conflict},
		"conflict hidden":                          {set: rolledBack(conflict), closure: boom, outcome: DefinitelyAborted, again: true, is: []error{boom, conflict}},
		"conflict swallowed, then rolled back":     {set: rolledBack(conflict), outcome: DefinitelyAborted, again: true, is: []error{conflict, ErrTxAborted}},
		"duplicate hidden":                         {set: rolledBack(duplicate), closure: boom, outcome: Unknown, same: boom},
		"duplicate swallowed":                      {set: rolledBack(duplicate), outcome: DefinitelyAborted, is: []error{duplicate, ErrTxAborted}},
		"conflict, and unknown work elsewhere":     {set: rolledBack(conflict), closure: unknown, outcome: CommitSent, same: unknown},
		"closure rolls back and says nothing":      {set: rolledBack(nil), outcome: DefinitelyAborted, is: []error{ErrTxEnded}},
		"time over, closure says so":               {set: rolledBack(nil), over: true, closure: context.DeadlineExceeded, outcome: DefinitelyAborted, again: true, is: []error{context.DeadlineExceeded}},
		"time over, closure says nothing":          {set: rolledBack(nil), over: true, outcome: DefinitelyAborted, again: true, is: []error{context.DeadlineExceeded}},
		"time over in a statement, hidden":         {set: rolledBack(late), over: true, closure: boom, outcome: DefinitelyAborted, again: true, is: []error{context.DeadlineExceeded, boom}},
		"time over, closure fails otherwise":       {set: rolledBack(nil), over: true, closure: boom, outcome: Unknown, same: boom},
		"COMMIT as text got no answer, hidden":     {set: rolledBack(unknown), over: true, closure: context.DeadlineExceeded, outcome: CommitSent, is: []error{unknown}},
		"COMMIT as text got no answer, swallowed":  {set: rolledBack(unknown), over: true, outcome: CommitSent, is: []error{unknown}},
		"ended by COMMIT as text":                  {set: byText(stmtclass.ControlCommit, endCommitted), outcome: CommitSent, is: []error{ErrTxEnded}},
		"ended by COMMIT as text, then a conflict": {set: byText(stmtclass.ControlCommit, endRolledBack), closure: conflict, outcome: CommitSent, is: []error{ErrTxEnded, conflict}},
		"ended by ROLLBACK as text":                {set: byText(stmtclass.ControlRollback, endCommitted), outcome: DefinitelyAborted, is: []error{ErrTxEnded}},
		"nobody saw the end":                       {set: func(*TxWatch) {}, end: boom, outcome: Unknown, same: boom},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			if c.over {
				ctx = over
			}
			err := watchOver(c.set).Verdict(ctx, c.closure, c.end)
			require.Equal(t, c.outcome, OutcomeOf(err), "%v", err)
			require.Equal(t, c.again, mayRepeat(reasonOf(err), c.over), "%v", err)
			for _, target := range c.is {
				require.ErrorIs(t, err, target)
			}
			if c.same != nil {
				require.Same(t, c.same, err)
			}
		})
	}
	_, none := WatchTx(context.Background())
	require.Same(t, boom, none.Verdict(context.Background(), boom, nil), "no transaction was seen")
	require.Same(t, boom, none.Verdict(context.Background(), nil, boom))
}

// A RetryError shows the last error with the attempts of the whole, and leaves
// the error itself alone.
func TestRetryError(t *testing.T) {
	earlier := []Attempt{{Number: 1, Err: errors.New("first")}, {Number: 2}}
	last := &OpError{Node: "n:1", Outcome: DefinitelyAborted, Attempts: 1, Err: &pgconn.PgError{Code: "40001", Message: "m"}}
	e := &RetryError{Attempts: 3, Earlier: earlier, Stop: StopAttempts, Err: fmt.Errorf("closure: %w", last)}
	var op *OpError
	require.ErrorAs(t, e, &op)
	require.Equal(t, []any{3, earlier, "n:1"}, []any{op.Attempts, op.Earlier, op.Node})
	require.Equal(t, 1, last.Attempts)
	require.ErrorIs(t, e, last)
	require.NotErrorIs(t, e, earlier[0].Err)
	require.Equal(t, "anywriter: gave up after 3 attempts (no attempts are left): closure: anywriter: node n:1: : m (SQLSTATE 40001)", e.Error())
	var unknown *OutcomeUnknownError
	require.False(t, errors.As(e, &unknown))
	var none *NoNodeError
	require.False(t, errors.As(e, &none))

	e = &RetryError{Attempts: 2, Earlier: earlier[:1], Stop: StopContext, Err: &OutcomeUnknownError{Err: context.DeadlineExceeded}, Cause: context.Canceled}
	require.ErrorAs(t, e, &unknown)
	require.Equal(t, 2, unknown.Attempts)
	require.ErrorIs(t, e, context.Canceled)
	e = &RetryError{Attempts: 2, Earlier: earlier[:1], Stop: StopFinal, Err: &NoNodeError{}}
	require.ErrorAs(t, e, &none)
	require.Equal(t, 2, none.Attempts)
	e = &RetryError{Attempts: 1, Stop: StopBudget, Err: last}
	require.ErrorAs(t, e, &op)
	require.Same(t, last, op)
	require.Contains(t, e.Error(), "after 1 attempt (the retry budget is empty)")
	for s := StopUnknown; s <= StopContext; s++ {
		require.NotEmpty(t, s.String())
	}
	require.Equal(t, StopUnknown.String(), Stop(99).String())
}
