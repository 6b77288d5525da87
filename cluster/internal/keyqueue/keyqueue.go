package keyqueue

import (
	"container/list"
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// shards is how many locks the keys are spread over: enough that operations on
// different keys of a busy client hardly ever meet, few enough to cost nothing.
const shards = 64

// Queues holds a queue for every key in use. It is safe for concurrent use.
type Queues struct {
	limit   int
	closing <-chan struct{}
	seed    maphash.Seed
	shards  [shards]shard
	counts  counts
}

type counts struct {
	keys, waiting                           atomic.Int64
	entered, waited, full, late, gaveUp     atomic.Int64
	waitedNanos, longestNanos, longestQueue atomic.Int64
}

type shard struct {
	mu    sync.Mutex
	lines map[string]*line // of the keys that somebody works on
}

// line is the queue of one key. The shard's lock guards it.
type line struct {
	queue  list.List                 // of *Turn: who waits, the oldest first
	since  time.Time                 // when the one that works now began
	worked [remembered]time.Duration // how long each of the last worked; a ring
	count  int                       // how many have worked
}

// New returns an empty set of queues. In each at most limit operations wait,
// besides the one that works. When closing is closed all who wait are turned
// away; nil is never.
func New(limit int, closing <-chan struct{}) *Queues {
	q := &Queues{limit: limit, closing: closing, seed: maphash.MakeSeed()}
	for i := range q.shards {
		q.shards[i].lines = make(map[string]*line)
	}
	return q
}

// state is where a Turn stands. The zero value is working.
type state uint8

const (
	working state = iota
	waiting
	left
)

// Turn is one operation's place: it works on its key until Leave. A nil Turn
// holds no place.
type Turn struct {
	queues *Queues
	shard  *shard
	line   *line
	key    string
	state  state         // guarded by shard.mu
	place  *list.Element // among those that wait; guarded by shard.mu
	ready  chan struct{}
	waited time.Duration
}

// Enter waits until nobody who came earlier works on the key, and gives the
// caller its turn, which must be left. The error is an *Error: the queue is
// full, the context's deadline would pass before the turn came, the context has
// ended, or the queues are closed.
func (q *Queues) Enter(ctx context.Context, key string) (*Turn, error) {
	if err := ctx.Err(); err != nil {
		q.counts.gaveUp.Add(1)
		return nil, &Error{Err: err}
	}
	s := &q.shards[maphash.String(q.seed, key)%shards]
	t := &Turn{queues: q, shard: s, key: key}
	now := time.Now()
	deadline, _ := ctx.Deadline()
	s.mu.Lock()
	if t.line = s.lines[key]; t.line == nil {
		t.line = &line{since: now}
		s.lines[key] = t.line
		s.mu.Unlock()
		q.counts.keys.Add(1)
		q.counts.entered.Add(1)
		return t, nil
	}
	refused := t.line.refuse(now, deadline, q.limit)
	if refused == nil {
		t.state, t.ready = waiting, make(chan struct{})
		t.place = t.line.queue.PushBack(t)
		raise(&q.counts.longestQueue, int64(t.line.queue.Len()))
	}
	s.mu.Unlock()
	if refused != nil {
		q.refused(refused)
		return nil, refused
	}
	q.counts.waiting.Add(1)
	defer q.counts.waiting.Add(-1)
	if err := t.wait(ctx); err != nil {
		q.counts.gaveUp.Add(1)
		return nil, &Error{Waited: time.Since(now), Err: err}
	}
	t.waited = time.Since(now)
	q.counts.entered.Add(1)
	q.counts.waited.Add(1)
	q.counts.waitedNanos.Add(int64(t.waited))
	raise(&q.counts.longestNanos, int64(t.waited))
	return t, nil
}

// wait returns nil when it is the turn's time. After an error the turn is left,
// also if it was granted at the same moment.
func (t *Turn) wait(ctx context.Context) error {
	var err error
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-t.queues.closing:
		err = ErrClosed
	}
	t.leave(false)
	return err
}

// Waited returns how long the turn was waited for; 0 if the key was free.
func (t *Turn) Waited() time.Duration {
	if t == nil {
		return 0
	}
	return t.waited
}

// Leave ends the turn, or the wait for it, and gives the key to whoever has
// waited longest. Further calls, and those on nil, do nothing. It reports
// whether somebody was waiting.
func (t *Turn) Leave() bool { return t != nil && t.leave(true) }

// leave is Leave; worked says that the turn was used, if it was granted.
func (t *Turn) leave(worked bool) bool {
	now := time.Now()
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	was := t.state
	t.state = left
	switch was {
	case waiting:
		t.line.queue.Remove(t.place)
		return false
	case left:
		return false
	}
	l := t.line
	if worked {
		l.observe(now.Sub(l.since))
	}
	first := l.queue.Front()
	if first == nil {
		delete(t.shard.lines, t.key)
		t.queues.counts.keys.Add(-1)
		return false
	}
	next := l.queue.Remove(first).(*Turn)
	next.state, l.since = working, now
	close(next.ready)
	return true
}

// remembered is how many of the last that worked are looked at: a few turns after
// a key has become faster the estimate says so.
const remembered = 7

// enough is how many must have worked before anything is estimated. One may have met
// a sick node or been the first on a cold one, which says nothing of the next.
const enough = 3

func (l *line) observe(took time.Duration) {
	l.worked[l.count%remembered] = took
	l.count++
}

// hold returns how long one works: the median of the last, the lower one of two, so
// that a few slow ones among them delay nobody but those behind them. It is 0 as
// long as too few have worked.
func (l *line) hold() time.Duration {
	if l.count < enough {
		return 0
	}
	last := l.worked // a copy
	seen := last[:min(l.count, remembered)]
	slices.Sort(seen)
	return seen[(len(seen)-1)/2]
}

// estimate returns how long a newcomer will wait: for the rest of the one that
// works, and for each of those that wait. It is 0 as long as too few have worked.
func (l *line) estimate(now time.Time) time.Duration {
	hold := l.hold()
	return max(hold-now.Sub(l.since), 0) + time.Duration(l.queue.Len())*hold
}

// refuse returns why a newcomer needn't begin to wait, or nil.
func (l *line) refuse(now, deadline time.Time, limit int) *Error {
	if l.queue.Len() >= limit {
		return &Error{Ahead: l.queue.Len(), Err: ErrFull}
	}
	if deadline.IsZero() {
		return nil
	}
	if d, rest := l.estimate(now), deadline.Sub(now); d > rest {
		return &Error{Ahead: l.queue.Len(), Estimate: d, Left: rest, Err: ErrLate}
	}
	return nil
}

func (q *Queues) refused(e *Error) {
	if e.Err == ErrFull {
		q.counts.full.Add(1)
	} else {
		q.counts.late.Add(1)
	}
}

// raise makes a maximum at least v.
func raise(m *atomic.Int64, v int64) {
	for old := m.Load(); v > old && !m.CompareAndSwap(old, v); old = m.Load() {
	}
}
