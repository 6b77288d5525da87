package check_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/check"
	"github.com/anywriter/anywriter/sqltest/history"
)

const ms = time.Millisecond

// goodBank is a history without fault: two accounts of 100, three transfers.
func goodBank() (check.BankRules, []history.Op, check.BankFinal) {
	ops := []history.Op{
		{Kind: history.Transfer, ID: "a", Key: 1, To: 2, Amount: 10, Invoked: 1 * ms, Returned: 2 * ms, Outcome: history.OK},
		{Kind: history.Transfer, ID: "b", Key: 2, To: 1, Amount: 3, Invoked: 3 * ms, Returned: 4 * ms, Outcome: history.Unknown},
		{Kind: history.Transfer, ID: "c", Key: 2, To: 1, Amount: 7, Invoked: 5 * ms, Returned: 6 * ms, Outcome: history.Aborted},
		{Kind: history.Total, Value: 200, Invoked: 3 * ms, Returned: 7 * ms, Outcome: history.OK},
		{Kind: history.Count, Value: 1, Invoked: 3 * ms, Returned: 4 * ms, Outcome: history.OK},
		{Kind: history.Count, Value: 2, Invoked: 7 * ms, Returned: 8 * ms, Outcome: history.OK},
		{Kind: history.Count, Value: 0, Invoked: 1 * ms, Returned: 2 * ms, Outcome: history.OK},
		{Kind: history.Count, Value: 77, Invoked: 9 * ms, Returned: 10 * ms, Outcome: history.SafeFailure},
	}
	final := check.BankFinal{
		Balances: map[int]int64{1: 93, 2: 107},
		Ledger:   []check.Entry{{ID: "a", From: 1, To: 2, Amount: 10}, {ID: "b", From: 2, To: 1, Amount: 3}},
	}
	return check.BankRules{Accounts: 2, Initial: 100}, ops, final
}

func TestBankHolds(t *testing.T) {
	rules, ops, final := goodBank()
	v := check.Bank(rules, ops, final)
	require.True(t, v.Holds(), v)
	require.NoError(t, v.Err("replay"))
	require.Equal(t, check.Verdict{Writes: 3, Reads: 5, OK: 5, Aborted: 1, SafeFailures: 1, Unknown: 1, UnknownApplied: 1}, *v)
}

// TestBankFindsPlantedViolations shows that each invariant can fail, and that
// the fault is named by its own invariant only.
func TestBankFindsPlantedViolations(t *testing.T) {
	for name, c := range map[string]struct {
		plant func(rules *check.BankRules, ops []history.Op, final *check.BankFinal)
		want  []check.Invariant
	}{
		"acknowledged transfer is gone": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Ledger = f.Ledger[1:]
			f.Balances = map[int]int64{1: 103, 2: 97}
		}, []check.Invariant{check.Lost}},
		"ledger row without its money": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Balances = map[int]int64{1: 103, 2: 97}
		}, []check.Invariant{check.Lost}},
		"transfer applied twice to the balances": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Balances = map[int]int64{1: 83, 2: 117}
		}, []check.Invariant{check.Double}},
		"unknown transfer applied twice": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Balances = map[int]int64{1: 96, 2: 104}
		}, []check.Invariant{check.Double}},
		"ledger row twice": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Ledger = append(f.Ledger, f.Ledger[0])
			f.Balances = map[int]int64{1: 83, 2: 117}
		}, []check.Invariant{check.Double}},
		"aborted transfer was applied": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Ledger = append(f.Ledger, check.Entry{ID: "c", From: 2, To: 1, Amount: 7})
			f.Balances = map[int]int64{1: 100, 2: 100}
		}, []check.Invariant{check.Ghost}},
		"transfer that nobody asked for": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Ledger = append(f.Ledger, check.Entry{ID: "x"})
		}, []check.Invariant{check.Ghost}},
		"transfer of another amount": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Ledger[0].Amount = 11
			f.Balances = map[int]int64{1: 92, 2: 108}
		}, []check.Invariant{check.Ghost}},
		"money appears": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Balances[1]++
		}, []check.Invariant{check.Conserved, check.Books}},
		"balances moved without a transfer": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			f.Balances = map[int]int64{1: 92, 2: 108}
		}, []check.Invariant{check.Books}},
		"account is missing": {func(_ *check.BankRules, _ []history.Op, f *check.BankFinal) {
			delete(f.Balances, 2)
		}, []check.Invariant{check.Conserved, check.Books}},
		"total of two moments": {func(_ *check.BankRules, ops []history.Op, _ *check.BankFinal) {
			ops[3].Value = 190
		}, []check.Invariant{check.TornRead}},
		"count behind an acknowledged transfer": {func(_ *check.BankRules, ops []history.Op, _ *check.BankFinal) {
			ops[4].Value = 0
		}, []check.Invariant{check.StaleRead}},
		"count behind an earlier count": {func(_ *check.BankRules, ops []history.Op, _ *check.BankFinal) {
			ops[4].Value, ops[5].Value = 2, 1
		}, []check.Invariant{check.StaleRead}},
		"count of what nobody asked for": {func(_ *check.BankRules, ops []history.Op, _ *check.BankFinal) {
			ops[5].Value = 3
		}, []check.Invariant{check.FutureRead}},
		"stale count of an eventual database": {func(r *check.BankRules, ops []history.Op, _ *check.BankFinal) {
			r.Eventual = true
			ops[4].Value = 0
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			rules, ops, final := goodBank()
			c.plant(&rules, ops, &final)
			v := check.Bank(rules, ops, final)
			var got []check.Invariant
			for invariant := range v.Broken {
				got = append(got, invariant)
			}
			require.ElementsMatch(t, c.want, got, v)
			if c.want != nil {
				require.ErrorContains(t, v.Err("go test -run X"), "replay: go test -run X")
				require.ErrorContains(t, v.Err(""), string(c.want[0]))
			}
		})
	}
}

func TestManyViolationsAreCounted(t *testing.T) {
	rules, ops, final := goodBank()
	for range 20 {
		ops = append(ops, history.Op{Kind: history.Total, Value: 1, Outcome: history.OK})
	}
	v := check.Bank(rules, ops, final)
	require.Equal(t, 20, v.Broken[check.TornRead])
	require.Len(t, v.Violations, 5)
	require.ErrorContains(t, v.Err(""), "torn read: 15 more")
}

func TestCounter(t *testing.T) {
	ops := []history.Op{
		{Kind: history.Increment, Invoked: 1 * ms, Returned: 2 * ms, Outcome: history.OK},
		{Kind: history.Increment, Invoked: 3 * ms, Returned: 4 * ms, Outcome: history.Unknown},
		{Kind: history.Increment, Invoked: 5 * ms, Outcome: history.Pending},
		{Kind: history.Increment, Invoked: 5 * ms, Returned: 6 * ms, Outcome: history.SafeFailure},
		{Kind: history.Read, Value: 1, Invoked: 3 * ms, Returned: 4 * ms, Outcome: history.OK},
	}
	for final, want := range map[int64]check.Invariant{0: check.Lost, 1: "", 2: "", 3: "", 4: check.Double} {
		v := check.Counter(ops, final)
		require.Equal(t, want == "", v.Holds(), "%d: %v", final, v)
		if want != "" {
			require.Equal(t, 1, v.Broken[want], "%d: %v", final, v)
		} else {
			require.EqualValues(t, final-1, v.UnknownApplied)
		}
	}
	seenBeforeItsAnswer := []history.Op{
		{Kind: history.Increment, Invoked: 1 * ms, Returned: 4 * ms, Outcome: history.OK},
		{Kind: history.Read, Value: 1, Invoked: 2 * ms, Returned: 3 * ms, Outcome: history.OK},
		{Kind: history.Read, Value: 1, Invoked: 5 * ms, Returned: 6 * ms, Outcome: history.OK},
	}
	require.True(t, check.Counter(seenBeforeItsAnswer, 1).Holds())
	ops[4].Value = 0
	require.Equal(t, map[check.Invariant]int{check.StaleRead: 1}, check.Counter(ops, 1).Broken)
	ops[4].Value = 3
	require.Equal(t, map[check.Invariant]int{check.FutureRead: 1}, check.Counter(ops, 1).Broken)
}

func TestUniqueIDs(t *testing.T) {
	insert := func(id string, value int64, outcome history.Outcome) history.Op {
		return history.Op{Kind: history.Insert, ID: id, Value: value, Outcome: outcome}
	}
	ops := []history.Op{insert("a", 1, history.OK), insert("b", 0, history.Unknown), insert("c", 0, history.Aborted)}
	for name, c := range map[string]struct {
		ops  []history.Op
		rows []check.IDRow
		want map[check.Invariant]int
	}{
		"holds":                {ops, []check.IDRow{{1, "a"}}, nil},
		"unknown applied":      {ops, []check.IDRow{{1, "a"}, {2, "b"}}, nil},
		"lost":                 {ops, nil, map[check.Invariant]int{check.Lost: 1}},
		"acknowledged twice":   {ops, []check.IDRow{{1, "a"}, {2, "a"}}, map[check.Invariant]int{check.Double: 1}},
		"unknown twice":        {ops, []check.IDRow{{1, "a"}, {2, "b"}, {3, "b"}}, map[check.Invariant]int{check.Double: 1}},
		"aborted applied":      {ops, []check.IDRow{{1, "a"}, {2, "c"}}, map[check.Invariant]int{check.Ghost: 1}},
		"other number":         {ops, []check.IDRow{{9, "a"}}, map[check.Invariant]int{check.Ghost: 1}},
		"nobody's row":         {ops, []check.IDRow{{1, "a"}, {2, "x"}}, map[check.Invariant]int{check.Ghost: 1}},
		"number twice":         {ops, []check.IDRow{{1, "a"}, {1, "b"}}, map[check.Invariant]int{check.Unique: 1}},
		"number told twice":    {append(ops[:2:2], insert("d", 1, history.OK)), []check.IDRow{{1, "a"}, {1, "d"}}, map[check.Invariant]int{check.Unique: 2}},
		"number told but lost": {append(ops[:2:2], insert("d", 1, history.OK)), []check.IDRow{{1, "a"}}, map[check.Invariant]int{check.Unique: 1, check.Lost: 1}},
	} {
		require.Equal(t, c.want, check.UniqueIDs(c.ops, c.rows).Broken, name)
	}
}

func TestRegisters(t *testing.T) {
	good := func() []history.Op {
		return []history.Op{
			{Kind: history.Write, Key: 1, Value: 1, Invoked: 0, Returned: 1 * ms, Outcome: history.OK},
			{Kind: history.Write, Key: 1, Value: 2, Invoked: 2 * ms, Returned: 6 * ms, Outcome: history.OK},
			{Kind: history.Write, Key: 1, Value: 3, Invoked: 7 * ms, Returned: 8 * ms, Outcome: history.Aborted},
			{Kind: history.Write, Key: 1, Value: 4, Invoked: 9 * ms, Returned: 10 * ms, Outcome: history.Unknown},
			{Kind: history.Read, Key: 1, Value: 2, Invoked: 3 * ms, Returned: 4 * ms, Outcome: history.OK},
			{Kind: history.Read, Key: 1, Value: 2, Invoked: 5 * ms, Returned: 6 * ms, Outcome: history.OK},
			{Kind: history.Read, Key: 2, Value: 0, Invoked: 5 * ms, Returned: 6 * ms, Outcome: history.OK},
		}
	}
	for name, c := range map[string]struct {
		plant func(ops []history.Op)
		final int64
		want  map[check.Invariant]int
	}{
		"holds":             {func([]history.Op) {}, 2, nil},
		"unknown applied":   {func([]history.Op) {}, 4, nil},
		"acknowledged lost": {func([]history.Op) {}, 1, map[check.Invariant]int{check.Lost: 1}},
		"aborted applied":   {func([]history.Op) {}, 3, map[check.Invariant]int{check.Ghost: 1}},
		"invented":          {func([]history.Op) {}, 9, map[check.Invariant]int{check.Ghost: 1}},
		"reads go back":     {func(ops []history.Op) { ops[5].Value = 1 }, 2, map[check.Invariant]int{check.StaleRead: 1}},
		"not read own write": {
			func(ops []history.Op) { ops[4].Value, ops[5].Value = 0, 1 }, 2,
			map[check.Invariant]int{check.StaleRead: 1},
		},
		"read of the future": {
			func(ops []history.Op) { ops[4].Value = 4 }, 4,
			map[check.Invariant]int{check.FutureRead: 1, check.StaleRead: 1},
		},
	} {
		ops := good()
		c.plant(ops)
		require.Equal(t, c.want, check.Registers(ops, map[int]int64{1: c.final}).Broken, name)
	}
}

func TestGap(t *testing.T) {
	require.Equal(t, check.GapReport{}, check.Gap(nil))
	report := check.Gap([]history.Op{
		{Invoked: 1 * ms, Returned: 2 * ms, Outcome: history.OK},
		{Invoked: 3 * ms, Returned: 33 * ms, Outcome: history.SafeFailure, Err: errors.New("no node")},
		{Invoked: 4 * ms, Returned: 20 * ms, Outcome: history.OK},
		{Invoked: 5 * ms, Returned: 50 * ms, Outcome: history.Unknown},
		{Invoked: 1 * ms, Outcome: history.Pending},
	})
	require.Equal(t, check.GapReport{
		LongestGap: 30 * ms, GapAt: 20 * ms, LongestWait: 45 * ms,
		SafeFailures: 1, Unknown: 1, FirstFailure: 33 * ms, LastFailure: 50 * ms,
	}, report)
	require.Equal(t, "longest gap 30ms, longest wait 45ms, 1 safe failures, 1 unknown", report.String())
}
