package check

import "github.com/anywriter/anywriter/sqltest/history"

// Counter holds a history of increments and reads of one counter against its
// final value: every acknowledged increment exactly once, every unknown one at
// most once, no other.
func Counter(ops []history.Op, final int64) *Verdict {
	v := &Verdict{}
	v.count(ops)
	var least, most int64
	for _, op := range ofKind(ops, history.Increment, -1) {
		if op.Outcome == history.OK {
			least++
		}
		if op.Outcome.MayHaveHappened() {
			most++
		}
	}
	switch {
	case final < least:
		v.broken(Lost, "the counter is %d, but %d increments were acknowledged", final, least)
	case final > most:
		v.broken(Double, "the counter is %d, but only %d increments can have happened", final, most)
	default:
		v.UnknownApplied = int(final - least)
	}
	one := func(bound int64, _ history.Op) int64 { return bound + 1 }
	v.growing(ofKind(ops, history.Read, -1), ofKind(ops, history.Increment, -1), 0, one)
	return v
}

// IDRow is one row of the unique ids workload's table.
type IDRow struct {
	// Number is what the database generated, Op the ID of the operation.
	Number int64
	Op     string
}

// UniqueIDs holds a history of inserts against the table's rows: every
// acknowledged insert is there once with the number that the client got, every
// unknown one at most once, no number twice. An acknowledged insert with Value 0
// was not told its number.
func UniqueIDs(ops []history.Op, final []IDRow) *Verdict {
	v := &Verdict{}
	v.count(ops)
	rows := map[string][]int64{}
	owner := map[int64]string{}
	for _, row := range final {
		rows[row.Op] = append(rows[row.Op], row.Number)
		if other, taken := owner[row.Number]; taken {
			v.broken(Unique, "number %d was given to %s and %s", row.Number, other, row.Op)
		}
		owner[row.Number] = row.Op
	}
	told := map[int64]history.Op{}
	for _, op := range ofKind(ops, history.Insert, -1) {
		v.insert(op, rows[op.ID])
		delete(rows, op.ID)
		if op.Outcome != history.OK || op.Value == 0 {
			continue
		}
		if other, taken := told[op.Value]; taken {
			v.broken(Unique, "%v and %v were told the same number", other, op)
		}
		told[op.Value] = op
	}
	for id := range rows {
		v.broken(Ghost, "row %s was asked for by nobody", id)
	}
	return v
}

// insert compares one insert with the numbers of its rows.
func (v *Verdict) insert(op history.Op, numbers []int64) {
	switch {
	case len(numbers) > 1:
		v.broken(Double, "%v is there %d times", op, len(numbers))
	case len(numbers) == 0 && op.Outcome == history.OK:
		v.broken(Lost, "%v is not there", op)
	case len(numbers) == 1 && !op.Outcome.MayHaveHappened():
		v.broken(Ghost, "%v is there", op)
	case len(numbers) == 1 && op.Outcome == history.OK && op.Value != 0 && numbers[0] != op.Value:
		v.broken(Ghost, "%v has number %d in the table", op, numbers[0])
	case len(numbers) == 1 && op.Outcome != history.OK:
		v.UnknownApplied++
	}
}
