package keyqueue

import "time"

// Stats is a snapshot of all queues.
type Stats struct {
	// Keys is the number of keys that somebody works on, and Waiting how many
	// operations wait for one.
	Keys, Waiting int
	// Entered counts the turns that were taken, of which Waited had to be waited
	// for, WaitTime in all.
	Entered, Waited int64
	WaitTime        time.Duration
	// LongestWait and LongestQueue are the largest so far, of waits that led to a
	// turn.
	LongestWait  time.Duration
	LongestQueue int
	// RefusedFull and RefusedLate count the operations that were refused at once,
	// because of a full queue and because of their deadline; GaveUp those whose
	// context ended before their turn came.
	RefusedFull, RefusedLate, GaveUp int64
}

// Stats returns a snapshot. It may be called at any time.
func (q *Queues) Stats() Stats {
	c := &q.counts
	return Stats{
		Keys: int(c.keys.Load()), Waiting: int(c.waiting.Load()),
		Entered: c.entered.Load(), Waited: c.waited.Load(), WaitTime: time.Duration(c.waitedNanos.Load()),
		LongestWait: time.Duration(c.longestNanos.Load()), LongestQueue: int(c.longestQueue.Load()),
		RefusedFull: c.full.Load(), RefusedLate: c.late.Load(), GaveUp: c.gaveUp.Load(),
	}
}
