package pool

import (
	"context"
	"slices"
	"time"
)

const (
	// tendEvery is how often old connections are looked for. They may live for so
	// much longer than they should, which is little beside their half hour.
	tendEvery = time.Minute
	// refillDelay is how long after the end of a connection MinIdle is seen to.
	// Those that end together, as when a node is cut off, are replaced together,
	// and a server that throws everybody out isn't dialed in a loop.
	refillDelay = 500 * time.Millisecond
	// fillTimeout bounds one attempt to open connections that nobody waits for.
	fillTimeout = time.Minute
)

// Start opens the first MinIdle connections and begins to look after the idle
// ones. It returns at once, and is called once, before anything else.
func (p *Pool[T]) Start() {
	p.running.Go(p.tend) // ends with Close
}

func (p *Pool[T]) tend() {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	p.fill()
	for {
		select {
		case <-p.context.Done():
			return
		case <-p.nudge:
			select {
			case <-p.context.Done():
				return
			case <-time.After(refillDelay):
			}
		case <-ticker.C:
			p.sweep()
		}
		p.fill()
	}
}

// sweep closes the idle connections that are too old or haven't been used for too
// long.
func (p *Pool[T]) sweep() {
	now := p.config.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range slices.Clone(p.conns) {
		since := c.idle.Load()
		over := now >= c.expires || now-since > int64(p.config.MaxIdle)
		if since != 0 && over && c.idle.CompareAndSwap(since, 0) {
			p.retire(c)
		}
	}
}

// fill begins to open what is missing to MinIdle. It doesn't wait: an Open may ignore
// its context, and the other connections are to be looked after. A failure is left to
// the next round: the node's health is watched by others.
func (p *Pool[T]) fill() {
	for range p.missing() {
		p.running.Go(func() { // ends with the dial, which Close and the timeout cut short
			ctx, cancel := context.WithTimeout(p.context, fillTimeout)
			defer cancel()
			_ = p.Grow(ctx)
		})
	}
}

// missing returns how many idle connections there are too few.
func (p *Pool[T]) missing() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.config.MinIdle - p.idle()
}
