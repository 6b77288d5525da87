package replica

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Config sets a replica up. The zero value is usable.
type Config struct {
	// GapPatience is how long a gap may stand before it is fetched. 0 means 10 ms:
	// records of several origins overtake each other by less than a round trip, and
	// a lost one should not hold later commits up for long.
	GapPatience time.Duration
	// FetchRetry is how long a fetch may stay unanswered. 0 means 40 ms.
	FetchRetry time.Duration
	// Window is how far above the applied LSN records are kept. 0 means 65,536;
	// what is farther is fetched again in its turn.
	Window uint64
}

func (c Config) withDefaults() Config {
	if c.GapPatience == 0 {
		c.GapPatience = 10 * time.Millisecond
	}
	if c.FetchRetry == 0 {
		c.FetchRetry = 40 * time.Millisecond
	}
	if c.Window == 0 {
		c.Window = 1 << 16
	}
	return c
}

// Entry is a durable record of the log and what the storage said about who may
// still read below it.
type Entry struct {
	LSN     message.LSN
	Record  message.Record
	Holders []message.NodeID
	All     bool // any node may
	// At is when the entry came in.
	At time.Duration
}

// Replica is the queue in front of a node's cache. Make it with New. Not safe for
// concurrent use.
type Replica struct {
	cfg     Config
	taken   message.LSN // last LSN handed out by Pop
	target  message.LSN // the log is known to reach this far
	waiting map[message.LSN]Entry
	lag     time.Duration
	fetchAt time.Duration // when to fetch, if anything is missing
	behind  bool          // something is missing: fetchAt means something
	eager   bool          // the last answer to a Fetch was not the end of the log
}

// New gives a replica of the empty database.
func New(cfg Config) *Replica {
	return &Replica{cfg: cfg.withDefaults(), waiting: make(map[message.LSN]Entry)}
}

// Offer takes in a durable record. One that was taken already is ignored; one that
// waits already only learns its holders, if they were unknown.
func (r *Replica) Offer(e Entry, now time.Duration) {
	r.Reach(e.LSN, now)
	if e.LSN <= r.taken || uint64(e.LSN-r.taken) > r.cfg.Window {
		return
	}
	e.At = now
	if old, ok := r.waiting[e.LSN]; ok {
		if !old.All {
			return
		}
		e.At = old.At
	}
	r.waiting[e.LSN] = e
}

// Reach takes in that the log is durable up to lsn.
func (r *Replica) Reach(lsn message.LSN, now time.Duration) {
	r.target = max(r.target, lsn)
	if r.behind || !r.missing() {
		return
	}
	r.behind, r.fetchAt = true, now
	if !r.eager {
		r.fetchAt += r.cfg.GapPatience
	}
}

// missing reports whether the next record is known to exist and isn't here.
func (r *Replica) missing() bool {
	if r.target <= r.taken {
		return false
	}
	_, here := r.waiting[r.taken+1]
	return !here
}

// Pop gives the next record in LSN order, if it is here and its lag has passed.
func (r *Replica) Pop(now time.Duration) (Entry, bool) {
	e, ok := r.waiting[r.taken+1]
	if !ok || now < e.At+r.lag {
		return Entry{}, false
	}
	delete(r.waiting, e.LSN)
	r.taken = e.LSN
	// Progress: whatever is missing now is another gap with patience of its own.
	r.behind = false
	r.Reach(r.target, now)
	return e, true
}

// Fetched takes in an answer to a Fetch. If the log goes on behind it, the next
// Fetch is due at once.
func (r *Replica) Fetched(f message.FetchReply, now time.Duration) {
	r.eager = f.From+message.LSN(len(f.Records)) < f.VDL
	for i := range f.Records {
		r.Offer(Entry{LSN: f.From + message.LSN(i) + 1, Record: f.Records[i], All: true}, now)
	}
	r.Reach(f.VDL, now)
}

// Follow makes the next Fetch due at once instead of after the patience, and asks
// for the log up to lsn: a starting node knows that it lacks it.
func (r *Replica) Follow(lsn message.LSN, now time.Duration) {
	r.eager, r.behind = true, false
	r.Reach(lsn, now)
}

// Poll gives a Fetch of whatever may follow, though nothing is known to be missing:
// for a node that nobody tells anything.
func (r *Replica) Poll() message.Fetch { return message.Fetch{From: r.contiguous()} }

// Tick gives the Fetch that is due, if one is.
func (r *Replica) Tick(now time.Duration) (message.Fetch, bool) {
	if r.behind && !r.gap() {
		r.behind = false
	}
	if !r.behind || now < r.fetchAt {
		return message.Fetch{}, false
	}
	r.fetchAt, r.eager = now+r.cfg.FetchRetry, false
	return message.Fetch{From: r.contiguous()}, true
}

// gap reports whether anything up to the target is missing.
func (r *Replica) gap() bool { return r.contiguous() < r.target }

// contiguous is the last LSN before the first missing one.
func (r *Replica) contiguous() message.LSN {
	lsn := r.taken
	for {
		if _, ok := r.waiting[lsn+1]; !ok {
			return lsn
		}
		lsn++
	}
}

// Next gives the time at which Tick or Pop has something to do, if it ever will.
func (r *Replica) Next() (time.Duration, bool) {
	if e, ok := r.waiting[r.taken+1]; ok {
		return e.At + r.lag, true
	}
	return r.fetchAt, r.behind
}

// SetLag makes every record wait that long before Pop gives it: the fault "slow
// cache". 0 is no lag.
func (r *Replica) SetLag(lag time.Duration) { r.lag = lag }

// Taken gives the last LSN that Pop gave.
func (r *Replica) Taken() message.LSN { return r.taken }

// Target gives how far the log is known to reach.
func (r *Replica) Target() message.LSN { return r.target }
