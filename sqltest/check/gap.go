package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/anywriter/anywriter/sqltest/history"
)

// GapReport says what a fault cost the clients.
type GapReport struct {
	// LongestGap is the longest time between two successes of any clients, from
	// the first operation's start to the last one's end; GapAt is when it began.
	LongestGap, GapAt time.Duration
	// LongestWait is the longest time that one operation took.
	LongestWait time.Duration
	// SafeFailures and Unknown count operations; FirstFailure and LastFailure are
	// when the first and last of these returned, 0 if there were none.
	SafeFailures, Unknown     int
	FirstFailure, LastFailure time.Duration
}

// String describes the report in one line.
func (r GapReport) String() string {
	return fmt.Sprintf("longest gap %v, longest wait %v, %d safe failures, %d unknown",
		r.LongestGap.Round(time.Microsecond), r.LongestWait.Round(time.Microsecond), r.SafeFailures, r.Unknown)
}

// Gap measures a history. Pending operations are left out.
func Gap(ops []history.Op) GapReport {
	var report GapReport
	if len(ops) == 0 {
		return report
	}
	var successes []time.Duration
	first, last := ops[0].Invoked, ops[0].Invoked
	for _, op := range ops {
		if op.Outcome == history.Pending {
			continue
		}
		first, last = min(first, op.Invoked), max(last, op.Returned)
		report.LongestWait = max(report.LongestWait, op.Took())
		switch op.Outcome {
		case history.OK:
			successes = append(successes, op.Returned)
		case history.SafeFailure:
			report.SafeFailures++
			report.failure(op.Returned)
		case history.Unknown:
			report.Unknown++
			report.failure(op.Returned)
		}
	}
	slices.Sort(successes)
	previous := first
	for _, at := range append(successes, last) {
		if gap := at - previous; gap > report.LongestGap {
			report.LongestGap, report.GapAt = gap, previous
		}
		previous = at
	}
	return report
}

func (r *GapReport) failure(at time.Duration) {
	if r.FirstFailure == 0 || at < r.FirstFailure {
		r.FirstFailure = at
	}
	r.LastFailure = max(r.LastFailure, at)
}
