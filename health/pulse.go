package health

import (
	"sync/atomic"
	"time"
)

// Pulse notes when a node last sent anything, on any socket. The zero value
// isn't usable; create it with NewPulse. It is safe for concurrent use.
type Pulse struct {
	beats [8]Beat
	next  atomic.Uint32
}

// Beat is a part of a Pulse, for some of the node's sockets: the Pulse is the newest of
// its beats. If all sockets wrote to one word, the processors would fetch it from each
// other with every answer. It is safe for concurrent use.
type Beat struct {
	base time.Time
	last atomic.Int64 // nanoseconds since base, plus one; zero for never
	_    [96]byte     // it changes with every read: nothing else shall share its cache line
}

// NewPulse returns a Pulse without a beat.
func NewPulse() *Pulse {
	p, base := new(Pulse), time.Now()
	for i := range p.beats {
		p.beats[i].base = base
	}
	return p
}

// Beat returns the part of the Pulse for the next socket.
func (p *Pulse) Beat() *Beat { return &p.beats[p.next.Add(1)%uint32(len(p.beats))] }

// Touch notes a byte from the node that came on no socket in particular.
func (p *Pulse) Touch() { p.beats[0].Touch() }

// Touch notes a byte from the node. Call it after every read of a socket that
// returned data; it costs one reading of the clock, whose result it returns: the time
// since Base.
func (b *Beat) Touch() time.Duration {
	now := time.Since(b.base)
	b.last.Store(int64(now) + 1)
	return now
}

// Base returns when the Pulse was created.
func (p *Pulse) Base() time.Time { return p.beats[0].base }

// Last returns when the node last sent anything; the zero time for never.
func (p *Pulse) Last() time.Time {
	var last int64
	for i := range p.beats {
		last = max(last, p.beats[i].last.Load())
	}
	if last == 0 {
		return time.Time{}
	}
	return p.Base().Add(time.Duration(last - 1))
}
