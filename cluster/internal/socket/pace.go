package socket

import (
	"context"
	"sync"
	"time"
)

// pace spaces out dials: the generic cell rate algorithm (ITU-T I.371, annex A), a
// token bucket that needs no clockwork. The zero value lets everything through. It
// is safe for concurrent use.
type pace struct {
	mu       sync.Mutex
	interval time.Duration // between two dials; zero: no bound
	burst    int           // dials that needn't be spaced out
	next     time.Time     // when the next dial would be due without a burst
}

// set bounds the dials from now on; zero dials per second are no bound. The burst
// is granted anew, unless the bound is the one that is in force.
func (p *pace) set(perSecond, burst int) {
	var interval time.Duration
	if perSecond > 0 {
		interval = time.Second / time.Duration(perSecond)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interval != interval || p.burst != burst {
		p.interval, p.burst, p.next = interval, burst, time.Time{}
	}
}

// reserve returns how long the next dial has to wait.
func (p *pace) reserve(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.interval == 0 {
		return 0
	}
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(p.interval)
	return max(p.next.Sub(now)-time.Duration(p.burst)*p.interval, 0)
}

// wait waits for the next dial's turn. A turn that nobody waits for any more is
// lost.
func (p *pace) wait(ctx context.Context) error {
	d := p.reserve(time.Now())
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
