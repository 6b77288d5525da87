package check

import (
	"cmp"
	"slices"
	"time"

	"github.com/anywriter/anywriter/sqltest/history"
)

// event is one moment of a history that bounds what reads may see.
type event struct {
	at    time.Duration
	order int // at one moment: what frees comes before what binds
	apply func()
}

// orders of events at the same moment. Two operations of which one ends at the
// very moment at which the other begins count as overlapping, so bounds are
// taken before they are raised.
const (
	beginRead  = iota // takes the lower bound
	endWrite          // raises the lower bound
	beginWrite        // raises the upper bound
	endRead           // is held against both, then raises the lower bound
)

// growing checks reads of a value that only grows: each read must be at least
// what the acknowledged writes before it (and the reads before it) make it, and
// at most what all writes begun before its end could make it. level gives what
// a write brings the value to, given the bound so far.
func (v *Verdict) growing(reads, writes []history.Op, initial int64, level func(bound int64, write history.Op) int64) {
	acked, seen, high := initial, initial, initial
	var events []event
	for _, w := range writes {
		if !w.Outcome.MayHaveHappened() {
			continue
		}
		events = append(events, event{w.Invoked, beginWrite, func() { high = level(high, w) }})
		if w.Outcome == history.OK {
			events = append(events, event{w.Returned, endWrite, func() { acked = level(acked, w) }})
		}
	}
	for _, r := range reads {
		if r.Outcome != history.OK {
			continue
		}
		var least int64
		events = append(events,
			event{r.Invoked, beginRead, func() { least = max(acked, seen) }},
			event{r.Returned, endRead, func() {
				if r.Value < least {
					v.broken(StaleRead, "%v, but %d was acknowledged or seen before it began", r, least)
				}
				if r.Value > high {
					v.broken(FutureRead, "%v, but no more than %d had been asked for", r, high)
				}
				seen = max(seen, r.Value)
			}})
	}
	slices.SortStableFunc(events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.order, b.order))
	})
	for _, e := range events {
		e.apply()
	}
}

// ofKind returns the operations of one kind about one key; key -1 is all.
func ofKind(ops []history.Op, kind history.Kind, key int) []history.Op {
	var found []history.Op
	for _, op := range ops {
		if op.Kind == kind && (key < 0 || op.Key == key) {
			found = append(found, op)
		}
	}
	return found
}
