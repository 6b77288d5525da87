package dials

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// limit operations that wait in vain, with no dial that is answered in between, mean
	// that dials hang: as many failures as open a node's breaker. From a node that is
	// only far away, five connections are under way then.
	limit = 5
	// While dials hang one operation after the other tries another one: after
	// firstPause, which doubles each time up to maxPause. So a short trouble is soon
	// over, and a long one is over for us within seconds after its end. Where no other
	// node will do, it stays at firstPause.
	firstPause = 250 * time.Millisecond
	maxPause   = 2500 * time.Millisecond
	// patience is how long a dial may hang before it makes room for another try. TLS
	// and a password take as long at 250 ms a round trip, farther than any place on
	// earth. It is less than maxPause, so that each try finds the one before it old
	// enough.
	patience = 2 * time.Second
	// spared is how many of the oldest dials go on nevertheless, until their own time
	// is up: they get through to a node that only takes long. Where they leave no room
	// for a try, one does.
	spared = 5
)

// Watch is what is known of the dials to one node. The zero value has seen none. It
// is safe for concurrent use. All times are nanoseconds since any fixed point.
type Watch struct {
	vain atomic.Int64 // operations that have waited for a dial in vain since one was answered

	mu      sync.Mutex // guards the rest
	running []*dial    // the oldest first
	failed  error      // of the last dial that ended, and not by our giving it up; nil if it was answered
	since   int64      // when the first of those operations gave up
	tried   int64      // when they began to hang, or the last try was made
	pause   time.Duration
}

// dial is one that is under way.
type dial struct {
	began   int64
	cancel  context.CancelFunc
	givenUp bool
}

// Begin notes that a dial begins. It has to be made with the context that is returned,
// and end must be called once: with the dial's error, nil if the server has answered,
// be it by a refusal.
func (w *Watch) Begin(ctx context.Context, now int64) (dialing context.Context, end func(error)) {
	dialing, cancel := context.WithCancel(ctx)
	d := &dial{began: now, cancel: cancel}
	w.mu.Lock()
	w.running = append(w.running, d)
	w.mu.Unlock()
	return dialing, func(err error) {
		cancel()
		w.end(d, err)
	}
}

func (w *Watch) end(d *dial, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = slices.DeleteFunc(w.running, func(x *dial) bool { return x == d })
	switch {
	case err == nil:
		w.failed = nil
		w.vain.Store(0)
	case !d.givenUp:
		w.failed = err
	}
}

// InVain notes that an operation has waited for a connection as long as it may. If no
// dial is under way, and the last one was answered, that isn't for want of an answer.
func (w *Watch) InVain(now int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.running) == 0 && w.failed == nil {
		return
	}
	switch w.vain.Add(1) {
	case 1:
		w.since = now
	case limit:
		w.tried, w.pause = now, firstPause
	}
}

// Hang returns an error that says so if dials hang, and nil if they don't: then
// everybody may wait for one.
func (w *Watch) Hang(now int64) error {
	if w.vain.Load() < limit {
		return nil
	}
	return w.Unanswered(now)
}

// Unanswered returns an error that says what has been waited for in vain since the last
// dial that was answered; nil if nothing has.
func (w *Watch) Unanswered(now int64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	vain := w.vain.Load()
	if vain == 0 {
		return nil
	}
	return &unanswered{vain: vain, since: time.Duration(now - w.since), failed: w.failed}
}

// Try reports whether another dial is due although they hang, which one of those who
// ask is told; sooner if they are in need, having no other node. Dials that have hung
// for long are given up then, most of all if the pool is full of them.
func (w *Watch) Try(now int64, need, full bool) bool {
	w.mu.Lock()
	pause := w.pause
	if need {
		pause = firstPause
	}
	due := now-w.tried >= int64(pause)
	var given []*dial
	if due {
		w.tried, w.pause = now, min(2*w.pause, maxPause)
		given = w.giveUp(now, full)
	}
	w.mu.Unlock()
	for _, d := range given {
		d.cancel()
	}
	return due
}

// giveUp returns the dials that are to make room. The caller holds the mutex.
func (w *Watch) giveUp(now int64, full bool) []*dial {
	keep := spared
	if full {
		keep = 1
	}
	var given []*dial
	for _, d := range w.running[min(keep, len(w.running)):] {
		if now-d.began >= int64(patience) {
			d.givenUp = true
			given = append(given, d)
		}
	}
	return given
}

// unanswered is the error of dials that hang.
type unanswered struct {
	vain   int64
	since  time.Duration
	failed error
}

// Error says what has been waited for, how often, and since when.
func (u *unanswered) Error() string {
	s := fmt.Sprintf("its dials hang; waits in vain for one: %d, the first %v ago",
		u.vain, u.since.Round(time.Millisecond))
	if u.failed != nil {
		s += fmt.Sprintf("; the last dial that ended: %v", u.failed)
	}
	return s
}
