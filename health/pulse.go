package health

import (
	"sync/atomic"
	"time"
)

// Pulse notes when a node last sent anything, on any socket. The zero value
// isn't usable; create it with NewPulse. It is safe for concurrent use.
type Pulse struct {
	base time.Time
	last atomic.Int64 // nanoseconds since base, plus one; zero for never
	_    [64]byte     // it changes with every read: nothing else shall share its cache line
}

// NewPulse returns a Pulse without a beat.
func NewPulse() *Pulse { return &Pulse{base: time.Now()} }

// pulseStep is how exactly a Pulse knows the time. A node is judged by silences of
// hundreds of milliseconds; if each read of each socket were noted, the processors would
// fetch the note from each other all the time.
const pulseStep = 100 * time.Microsecond

// Touch notes a byte from the node, unless one was noted within the last 100 µs. Call
// it after every read of a socket that returned data; it costs one reading of the clock,
// whose result it returns: the time since Base.
func (p *Pulse) Touch() time.Duration {
	now := time.Since(p.base)
	if last := p.last.Load(); last == 0 || int64(now)+1-last >= int64(pulseStep) {
		p.last.Store(int64(now) + 1)
	}
	return now
}

// Base returns when the Pulse was created.
func (p *Pulse) Base() time.Time { return p.base }

// Last returns when the node last sent anything, up to 100 µs too early; the zero time
// for never.
func (p *Pulse) Last() time.Time {
	n := p.last.Load()
	if n == 0 {
		return time.Time{}
	}
	return p.base.Add(time.Duration(n - 1))
}
