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

// Touch notes a byte from the node. Call it after every read of a socket that
// returned data; it costs one reading of the clock.
func (p *Pulse) Touch() { p.last.Store(int64(time.Since(p.base)) + 1) }

// Last returns when the node last sent anything; the zero time for never.
func (p *Pulse) Last() time.Time {
	n := p.last.Load()
	if n == 0 {
		return time.Time{}
	}
	return p.base.Add(time.Duration(n - 1))
}
