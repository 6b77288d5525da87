package fabric

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Link describes one direction between two addresses. The zero value is a
// perfect link: no delay, no loss.
type Link struct {
	// Latency delays everything by at least this much.
	Latency time.Duration
	// Jitter adds a delay drawn uniformly from [0, Jitter). Messages may
	// overtake each other under it; bytes of one connection never do.
	Jitter time.Duration
	// Loss is the share of messages that vanish, 0 to 1. On a connection a lost
	// segment is sent again, so there it costs time and no bytes.
	Loss float64
	// Duplicate is the share of messages that arrive twice, 0 to 1. It does
	// nothing to connections.
	Duplicate float64
	// BlackHole swallows every message without a word. Bytes of connections
	// stay with the sender, as in TCP, and arrive when the hole is closed.
	BlackHole bool
}

// Validate reports a negative duration or a share outside 0 to 1.
func (l Link) Validate() error {
	if l.Latency < 0 || l.Jitter < 0 {
		return fmt.Errorf("link latency %v and jitter %v must not be negative", l.Latency, l.Jitter)
	}
	if l.Loss < 0 || l.Loss > 1 || l.Duplicate < 0 || l.Duplicate > 1 {
		return fmt.Errorf("link loss %v and duplicate %v must lie between 0 and 1", l.Loss, l.Duplicate)
	}
	return nil
}

// retransmit is what a lost segment of a connection costs the first time; each
// further loss of it doubles that. 200 ms is Linux's smallest retransmission
// timeout (TCP_RTO_MIN), and doubling is RFC 6298, 5.5.
const retransmit = 200 * time.Millisecond

// link is the state of one direction. Every link that was ever used stays in
// Fabric.links, so pointers to it remain good.
type link struct {
	from, to Addr

	// plain: no delay, loss or duplicates, the case that must cost nothing.
	plain atomic.Bool
	// cut: messages vanish. stalled: bytes of connections wait (cut, or an end
	// is frozen).
	cut, stalled atomic.Bool

	mu  sync.Mutex
	cfg Link
	rng *rand.Rand
}

func newLink(from, to Addr, seed uint64) *link {
	return &link{from: from, to: to, rng: rand.New(rand.NewPCG(seed, uint64(keyOf(from, to))))}
}

func (l *link) set(cfg Link, cut, stalled bool) {
	l.mu.Lock()
	l.cfg = cfg
	l.mu.Unlock()
	l.plain.Store(cfg.Latency == 0 && cfg.Jitter == 0 && cfg.Loss == 0 && cfg.Duplicate == 0)
	l.cut.Store(cut)
	l.stalled.Store(stalled)
}

// message draws the fate of one message: how often it arrives (0 to 2) and with
// what delays.
func (l *link) message() (copies int, delays [2]time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cfg.Loss > 0 && l.rng.Float64() < l.cfg.Loss {
		return 0, delays
	}
	copies = 1
	if l.cfg.Duplicate > 0 && l.rng.Float64() < l.cfg.Duplicate {
		copies = 2
	}
	for i := range copies {
		delays[i] = l.delayLocked()
	}
	return copies, delays
}

// segment draws the delay of one write to a connection.
func (l *link) segment() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.delayLocked()
	again := retransmit
	// Ten losses in a row are 204 s; past that a loss of 1 would never end.
	for range 10 {
		if l.cfg.Loss == 0 || l.rng.Float64() >= l.cfg.Loss {
			break
		}
		d += again
		again *= 2
	}
	return d
}

func (l *link) delayLocked() time.Duration {
	d := l.cfg.Latency
	if l.cfg.Jitter > 0 {
		d += time.Duration(l.rng.Int64N(int64(l.cfg.Jitter)))
	}
	return d
}
