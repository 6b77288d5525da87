package availability

import (
	"cmp"
	"slices"
	"time"
)

// Op is one finished operation.
type Op struct {
	// Worker and Number identify it; a write stores both.
	Worker, Number int
	// Write is true for an INSERT, false for a point SELECT.
	Write bool
	// Began and Ended are the times at which it was called and returned.
	Began, Ended time.Time
	// Stalled is how much of the time between passed before the client's own
	// process was last found to have stood still (see Config.Stalled).
	Stalled time.Duration
	// Outcome is how it ended, Err the error if it failed.
	Outcome Outcome
	Err     error
	// Begun is true for a read that failed after its row had come: it can't be asked
	// for again then, since the caller has the row.
	Begun bool
}

// Wait is how long the operation took, without what the client itself is to
// blame for.
func (o Op) Wait() time.Duration { return o.Ended.Sub(o.Began) - o.Stalled }

// Record is what a load saw, in the order in which operations ended. It is a
// value that no longer changes and may be read by several goroutines.
type Record []Op

// sorted puts operations into a Record's order.
func sorted(ops []Op) Record {
	slices.SortFunc(ops, func(a, b Op) int { return a.Ended.Compare(b.Ended) })
	return ops
}

// Between returns the operations that ended in [from, to).
func (r Record) Between(from, to time.Time) Record {
	find := func(t time.Time) int {
		i, _ := slices.BinarySearchFunc(r, t, func(o Op, t time.Time) int { return o.Ended.Compare(t) })
		return i
	}
	return r[find(from):max(find(from), find(to))]
}

// Since returns the operations that ended at t or later.
func (r Record) Since(t time.Time) Record {
	if len(r) == 0 {
		return nil
	}
	return r.Between(t, r[len(r)-1].Ended.Add(1))
}

// Count returns how many operations ended in that way.
func (r Record) Count(o Outcome) int { return len(r.Filter(o)) }

// Filter returns the operations that ended in that way.
func (r Record) Filter(o Outcome) Record {
	var out Record
	for _, op := range r {
		if op.Outcome == o {
			out = append(out, op)
		}
	}
	return out
}

// Longest returns the operation that took longest; the zero Op of an empty
// record.
func (r Record) Longest() Op {
	if len(r) == 0 {
		return Op{}
	}
	return slices.MaxFunc(r, func(a, b Op) int { return cmp.Compare(a.Wait(), b.Wait()) })
}

// LongestGap returns the longest time without a success between from and to; what
// passes before the first success and after the last one counts.
func (r Record) LongestGap(from, to time.Time) time.Duration {
	var longest time.Duration
	last := from
	for _, op := range r.Between(from, to) {
		if op.Outcome == OK {
			longest = max(longest, op.Ended.Sub(last))
			last = op.Ended
		}
	}
	return max(longest, to.Sub(last))
}

// Quantile returns the wait that the share q of the operations didn't exceed, by
// the nearest-rank method; zero of an empty record.
func (r Record) Quantile(q float64) time.Duration {
	if len(r) == 0 {
		return 0
	}
	waits := make([]time.Duration, len(r))
	for i := range r {
		waits[i] = r[i].Wait()
	}
	slices.Sort(waits)
	rank := int(q * float64(len(waits)))
	return waits[min(max(rank, 0), len(waits)-1)]
}

// Rate returns the successes per second from from to to.
func (r Record) Rate(from, to time.Time) float64 {
	if d := to.Sub(from).Seconds(); d > 0 {
		return float64(r.Between(from, to).Count(OK)) / d
	}
	return 0
}

// WritesAt returns how many writes were in flight at t.
func (r Record) WritesAt(t time.Time) int {
	n := 0
	for i := range r {
		if r[i].Write && !r[i].Began.After(t) && r[i].Ended.After(t) {
			n++
		}
	}
	return n
}
