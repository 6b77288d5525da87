package lock

import "slices"

// Owner is a transaction in the lock table. Its methods may be called by one
// goroutine at a time, and not while it waits in Acquire.
type Owner struct {
	manager *Manager
	// The fields below are guarded by the manager's mutex.
	taken   []acquisition
	waiting *waiter
}

// acquisition is one step of taking locks: the entry and how it was held before.
type acquisition struct {
	entry  *entry
	before Mode
}

// Mark is a point in the sequence of an owner's acquisitions. The zero value is
// its beginning.
type Mark int

// Mark gives the present point.
func (o *Owner) Mark() Mark {
	o.manager.mu.Lock()
	defer o.manager.mu.Unlock()
	return Mark(len(o.taken))
}

// ReleaseTo gives back every lock that was taken after the mark, and weakens those
// that were upgraded after it, as ROLLBACK TO SAVEPOINT does.
func (o *Owner) ReleaseTo(mark Mark) {
	o.manager.mu.Lock()
	defer o.manager.mu.Unlock()
	for len(o.taken) > int(mark) {
		o.undoLast(o.manager)
	}
}

// Release gives back all locks.
func (o *Owner) Release() { o.ReleaseTo(0) }

// Holds gives the mode in which a key is held, or Unknown.
func (o *Owner) Holds(key string) Mode {
	o.manager.mu.Lock()
	defer o.manager.mu.Unlock()
	e := o.manager.tables[key]
	if e == nil {
		return Unknown
	}
	return e.held(o)
}

// undoLast takes the newest acquisition back; the manager's mutex is held.
func (o *Owner) undoLast(m *Manager) {
	a := o.taken[len(o.taken)-1]
	o.taken = o.taken[:len(o.taken)-1]
	if a.before == Unknown {
		a.entry.holders = slices.DeleteFunc(a.entry.holders, func(h holder) bool { return h.owner == o })
	} else {
		for i := range a.entry.holders {
			if a.entry.holders[i].owner == o {
				a.entry.holders[i].mode = a.before
			}
		}
	}
	m.wake(a.entry)
}
