package lock

import (
	"context"
	"slices"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Mode is how strongly a key is held.
type Mode uint8

// The modes. Shared holders exclude exclusive ones only.
const (
	// Unknown is the zero value: not held.
	Unknown Mode = iota
	// Shared allows other shared holders.
	Shared
	// Exclusive allows no other holder.
	Exclusive
)

// Manager is the lock table. The zero value is not ready; use NewManager. It is
// safe for concurrent use.
type Manager struct {
	mu     sync.Mutex
	tables map[string]*entry
}

// NewManager makes an empty lock table.
func NewManager() *Manager { return &Manager{tables: make(map[string]*entry)} }

// entry is one key that is held. An entry without holders and waiters is removed.
type entry struct {
	key     string
	holders []holder
	queue   []*waiter
}

type holder struct {
	owner *Owner
	mode  Mode
}

type waiter struct {
	owner *Owner
	entry *entry
	mode  Mode
	// granted is closed, under the manager's mutex, when the lock is given.
	granted chan struct{}
}

// NewOwner makes a transaction that can hold locks.
func (m *Manager) NewOwner() *Owner { return &Owner{manager: m} }

// Acquire gives o the key in the mode, waiting until it is free. A weaker mode than
// the one held is a no-op, a stronger one an upgrade that goes before the queue.
// When ctx ends first, nothing has changed and the error is context.Cause(ctx); when
// waiting would close a cycle it is 40P01 at once.
func (m *Manager) Acquire(ctx context.Context, o *Owner, key string, mode Mode) error {
	w, err := m.request(o, key, mode)
	if w == nil || err != nil {
		return err
	}
	select {
	case <-w.granted:
		return nil
	case <-ctx.Done():
		m.withdraw(w)
		return context.Cause(ctx)
	}
}

// TryAcquire is Acquire without waiting; false means that it is held by another.
func (m *Manager) TryAcquire(o *Owner, key string, mode Mode) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.take(o, m.entryOf(key), mode)
}

// request takes the lock or queues for it; a nil waiter means that it is held.
func (m *Manager) request(o *Owner, key string, mode Mode) (*waiter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.entryOf(key)
	if m.take(o, e, mode) {
		return nil, nil
	}
	w := &waiter{owner: o, entry: e, mode: mode, granted: make(chan struct{})}
	if e.held(o) != Unknown {
		e.queue = slices.Insert(e.queue, 0, w)
	} else {
		e.queue = append(e.queue, w)
	}
	o.waiting = w
	if n := cycleLength(w); n > 0 {
		m.remove(w)
		return nil, sqlerr.New("40P01", "deadlock detected").
			WithDetail("Waiting for this key would close a cycle of %d transactions on this node.", n)
	}
	return w, nil
}

func (m *Manager) entryOf(key string) *entry {
	e := m.tables[key]
	if e == nil {
		e = &entry{key: key}
		m.tables[key] = e
	}
	return e
}

// take gives the lock if nobody stands against it.
func (m *Manager) take(o *Owner, e *entry, mode Mode) bool {
	held := e.held(o)
	if held >= mode {
		return true
	}
	// A newcomer does not pass those who wait; an upgrade does, for they wait for
	// its own shared lock anyway.
	if held == Unknown && len(e.queue) > 0 || !e.compatible(o, mode) {
		return false
	}
	m.grant(o, e, mode)
	return true
}

func (m *Manager) grant(o *Owner, e *entry, mode Mode) {
	before := Unknown
	for i := range e.holders {
		if e.holders[i].owner == o {
			before = e.holders[i].mode
			e.holders[i].mode = mode
		}
	}
	if before == Unknown {
		e.holders = append(e.holders, holder{o, mode})
	}
	o.taken = append(o.taken, acquisition{e, before})
}

func (e *entry) held(o *Owner) Mode {
	for _, h := range e.holders {
		if h.owner == o {
			return h.mode
		}
	}
	return Unknown
}

// compatible reports whether the other holders allow o the mode.
func (e *entry) compatible(o *Owner, mode Mode) bool {
	for _, h := range e.holders {
		if h.owner != o && (mode == Exclusive || h.mode == Exclusive) {
			return false
		}
	}
	return true
}

// withdraw takes back a wait that its caller gave up. If the lock was granted in
// the meantime it is released again.
func (m *Manager) withdraw(w *waiter) {
	m.mu.Lock()
	defer m.mu.Unlock()
	select {
	case <-w.granted:
		w.owner.undoLast(m)
	default:
		m.remove(w)
	}
}

func (m *Manager) remove(w *waiter) {
	w.owner.waiting = nil
	w.entry.queue = slices.DeleteFunc(w.entry.queue, func(q *waiter) bool { return q == w })
	m.wake(w.entry)
}

// wake grants the lock to as many of the queue's head as it allows.
func (m *Manager) wake(e *entry) {
	for len(e.queue) > 0 {
		w := e.queue[0]
		if !e.compatible(w.owner, w.mode) {
			return
		}
		e.queue = e.queue[1:]
		w.owner.waiting = nil
		m.grant(w.owner, e, w.mode)
		close(w.granted)
	}
	if len(e.holders) == 0 {
		delete(m.tables, e.key)
	}
}

// Len gives the number of keys that are held or waited for; 0 once every owner has
// released.
func (m *Manager) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.tables)
}
