package history_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/history"
)

func TestRecorderKeepsTimesAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := history.NewRecorder()
		first := r.Invoke(history.Op{Client: 1, Kind: history.Transfer, ID: "a", Key: 1, To: 2, Amount: 5})
		time.Sleep(time.Second) // the bubble's clock is what is tested
		second := r.Invoke(history.Op{Client: 2, Kind: history.Total})
		done := r.Return(second, history.Op{Client: 2, Kind: history.Total, Value: 9, Outcome: history.OK})
		require.Equal(t, time.Second, done.Invoked)
		require.Zero(t, done.Took())
		ops := r.Ops()
		require.Equal(t, history.Pending, ops[first].Outcome)
		require.Zero(t, ops[first].Took())
		time.Sleep(time.Second)
		r.Return(first, history.Op{Client: 1, Kind: history.Transfer, ID: "a", Outcome: history.Unknown, Err: errors.New("cut")})
		require.Equal(t, history.Pending, ops[first].Outcome, "Ops is a copy")
		ops = r.Ops()
		require.Equal(t, 2*time.Second, ops[first].Took())
		require.Equal(t, "client 1 transfer a: 0 from 0 to 0 (asked at 0s, unknown at 2s): cut", ops[first].String())
		require.Equal(t, "client 2 total = 9 (asked at 1s, ok at 1s)", ops[second].String())
	})
}

func TestOutcomes(t *testing.T) {
	var zero history.Outcome
	require.Equal(t, history.Unknown, zero)
	for outcome, may := range map[history.Outcome]bool{
		history.Unknown: true, history.OK: true, history.Pending: true, history.Aborted: false, history.SafeFailure: false,
	} {
		require.Equal(t, may, outcome.MayHaveHappened(), outcome)
	}
	require.Equal(t, "outcome 99", history.Outcome(99).String())
	require.True(t, history.Count.IsRead())
	require.False(t, history.Insert.IsRead())
}
