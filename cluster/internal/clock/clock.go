package clock

import "time"

// Clock counts nanoseconds by the monotonic clock alone. time.Now reads the wall
// clock, too, and so takes twice as long; a statement needs the time four times.
// Create it with New, and inside the bubble if there is one (testing/synctest).
// It is safe for concurrent use.
type Clock struct {
	base  time.Time
	nanos int64 // of base
}

// New returns a clock that starts now, at the nanoseconds since 1970. It drifts
// away from them where the wall clock is set.
func New() Clock {
	base := time.Now()
	return Clock{base: base, nanos: base.UnixNano()}
}

// Nanos returns the time now.
func (c *Clock) Nanos() int64 { return c.nanos + int64(time.Since(c.base)) }

// Since returns the time that has passed since then.
func (c *Clock) Since(then int64) time.Duration { return time.Duration(c.Nanos() - then) }

// At returns a time that package time gave as one of this clock's.
func (c *Clock) At(then time.Time) int64 { return c.nanos + int64(then.Sub(c.base)) }

// Time returns a time of this clock's as package time has it, for comparisons.
func (c *Clock) Time(then int64) time.Time { return c.base.Add(time.Duration(then - c.nanos)) }
