package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// TestCutOracle gives the matrix's oracle verdicts beside truths that fit them
// and truths that don't.
func TestCutOracle(t *testing.T) {
	aborted := &driver.OpError{Outcome: driver.DefinitelyAborted, Err: errors.New("x")}
	unsent := &driver.OpError{Outcome: driver.NotSent, Err: errors.New("x")}
	unheard := &driver.OpError{Outcome: driver.Committed, Err: errors.New("x")}
	unknown := &driver.OutcomeUnknownError{Err: errors.New("x")}
	none, all, half, twice := []int{0, 0}, []int{1, 1}, []int{1, 0}, []int{2, 1}
	for _, c := range []struct {
		kind  cutKind
		fence bool
		took  time.Duration
		err   error
		rows  []int // of both parts
		want  string
	}{
		{kind: cutTx, rows: all},
		{kind: cutTx, rows: none, want: "acknowledged and not written"},
		{kind: cutTx, rows: twice, want: "written twice"},
		{kind: cutTx, rows: half, want: "1 of 2 rows of one commit written"},
		{kind: cutTx, err: aborted, rows: none},
		{kind: cutTx, err: aborted, rows: all, want: "denied and written"},
		{kind: cutTx, err: unsent, rows: all, want: "denied and written"},
		{kind: cutTx, err: unheard, rows: none, want: "acknowledged and not written"},
		{kind: cutTx, err: unknown, rows: all},
		{kind: cutTx, err: unknown, rows: none},
		{kind: cutTx, err: unknown, rows: twice, want: "written twice"},
		{kind: cutTx, err: errBeforeCommit{unknown}, rows: none, want: "in doubt before COMMIT"},
		{kind: cutTx, err: unknown, fence: true, rows: none, want: "in doubt in spite of the fence"},
		{kind: cutSeveral, err: unknown, fence: true, rows: none},
		{kind: cutTx, err: errors.New("x"), rows: none, want: "no outcome"},
		{kind: cutTx, err: context.Canceled, rows: none},
		{kind: cutTx, err: sql.ErrTxDone, rows: all, want: "denied and written"},
		{kind: cutRideAlong, err: sql.ErrTxDone, rows: all},
		{kind: cutRideAlong, err: errBeforeCommit{sql.ErrTxDone}, rows: all, want: "denied and written"},
		{kind: cutTx, took: 2 * longestCut, rows: all, want: "stuck"},
		{kind: cutCopy, err: errors.New("x"), rows: all},
		{kind: cutCopy, err: &pgconn.PgError{Severity: "ERROR"}, rows: all, want: "denied and written"},
		{kind: cutCopy, err: errors.New("x"), rows: half, want: "1 of 2 rows of one commit written"},
		{kind: cutFailing, rows: none, want: "success of what must fail"},
		{kind: cutRolledBack, err: errRolledBack, rows: all, want: "denied and written"},
	} {
		r := &cutResult{work: cutWork{cutPlan: &cutPlan{kind: c.kind, writes: "ii", cutConfig: cutConfig{fence: c.fence}}, id: 7}, err: c.err, took: c.took}
		r.judge()
		truth := &cutTruth{rows: map[int]map[int]int{7: {0: c.rows[0], 1: c.rows[1]}}}
		require.Equal(t, c.want, truth.check(r), "%v told %v, rows %v", c.kind, c.err, c.rows)
	}
}

// TestCutCounters does the same for counters.
func TestCutCounters(t *testing.T) {
	result := func(id int, writes string, fate cutFate) *cutResult {
		return &cutResult{work: cutWork{cutPlan: &cutPlan{writes: writes}, id: id, slot: 3}, fate: fate}
	}
	results := []*cutResult{
		result(1, "u", fateOnce), result(2, "uu", fateMaybe), result(3, "u", fateNever),
		result(4, "iu", fateMaybe), result(5, "uiu", fateMaybe), // the rows tell: 4 is there, 5 isn't
	}
	for n, right := range []bool{1: false, 2: true, 3: true, 4: true, 5: false} {
		truth := &cutTruth{rows: map[int]map[int]int{4: {0: 1}}, counters: map[int]int{3: n}}
		require.Equal(t, right, len(truth.checkCounters(results)) == 0, n)
	}
}

// TestCutPlansFollowFromTheSeed holds what a replay relies on.
func TestCutPlansFollowFromTheSeed(t *testing.T) {
	same, other, all := 0, 0, cutTraits{copies: true, fence: true, drops: true}
	for id := range 1_000 {
		one := drawCut(1, id, all).String()
		require.Equal(t, one, drawCut(1, id, all).String())
		if one == drawCut(2, id, all).String() {
			same++
		} else {
			other++
		}
	}
	require.Greater(t, other, 50*same)
}
