package fabric

import (
	"sync"
	"time"
)

// deadline is a point in time that can be waited for and moved. The zero value
// is never reached. Safe for concurrent use.
type deadline struct {
	mu      sync.Mutex
	timer   *time.Timer
	reached chan struct{} // closed once the deadline has passed
}

// set moves the deadline; the zero time takes it away. Whoever waits on an
// earlier channel is woken when the new time comes.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		// It fired or is about to: its channel is spent either way.
		d.reached = nil
	}
	d.timer = nil
	if d.reached == nil || isClosed(d.reached) {
		d.reached = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	reached := d.reached
	wait := time.Until(t)
	if wait <= 0 {
		close(reached)
		return
	}
	d.timer = time.AfterFunc(wait, func() { close(reached) })
}

// wait gives a channel that is closed when the deadline passes.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.reached == nil {
		d.reached = make(chan struct{})
	}
	return d.reached
}

func (d *deadline) passed() bool { return isClosed(d.wait()) }

// stop frees the timer.
func (d *deadline) stop() { d.set(time.Time{}) }

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
