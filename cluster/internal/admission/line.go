package admission

import (
	"container/list"
	"slices"
	"time"
)

// Anywhere is what Join takes if any node will do.
const Anywhere = -1

// key is what all in one line of the queue want: a node that is open for a class, any
// or only one. The lines are one queue: of all that may use a slot it goes to who came
// first.
type key struct {
	class Class
	only  int
}

// line is a part of the queue. The gate's mutex guards it.
type line struct {
	key
	waiters list.List // of *Waiter, in the order in which they came

	// What has been seen since the line was last empty: how many were served since
	// begun, and how many in the period before, which began at earlier; 0: there was
	// none.
	count, before  int
	begun, earlier int64
}

// period is how long those who are served are counted before anybody is told how long
// it will take: a second of a queue that is never empty. It is longer if less than all
// slots have changed hands.
const period = int64(time.Second)

// Waiter is one place in the queue. Its methods are for one goroutine.
type Waiter struct {
	gate    *Gate
	key     key
	arrived int64  // when it came, by the gate's clock
	ticket  uint64 // of those that came at the same time, who queued earlier has a lower one
	barred  []int  // the nodes that it doesn't want at present
	granted chan int
	place   *list.Element // in its line; nil outside the queue
}

// Join queues for a slot, of one node only or Anywhere, but for some that the caller
// doesn't want until Retry. The place is that of who came at arrived, which may be a
// while ago. Leave the queue with Quit.
func (g *Gate) Join(class Class, only int, arrived int64, barred ...int) *Waiter {
	w := &Waiter{gate: g, key: key{class, only}, arrived: arrived, barred: barred, granted: make(chan int, 1)}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tickets++
	w.ticket = g.tickets
	g.insert(w)
	g.serveAll() // slots that became free since the caller looked
	return w
}

// Granted returns the channel on which the node comes whose slot is taken. The
// slot needs one Leave, or Return.
func (w *Waiter) Granted() <-chan int { return w.granted }

// Return gives back a slot that was granted and could not be used. The waiter has its
// old place in the queue again, where it doesn't want that node until Retry.
func (w *Waiter) Return(node int) {
	g := w.gate
	g.nodes[node].free.Add(1)
	g.mu.Lock()
	defer g.mu.Unlock()
	w.barred = append(w.barred, node)
	g.insert(w)
	g.serveAll()
}

// Retry makes the waiter want every node again.
func (w *Waiter) Retry() {
	if len(w.barred) == 0 {
		return
	}
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	w.barred = w.barred[:0]
	w.gate.serveAll()
}

// Move changes what the waiter wants. It is as old as before.
func (w *Waiter) Move(class Class, only int) {
	g, to := w.gate, key{class, only}
	if w.key == to {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.place == nil { // it has been granted a slot; Return goes to the new line
		w.key = to
		return
	}
	g.remove(w)
	w.key = to
	g.insert(w)
	g.serveAll()
}

// Quit leaves the queue. If a slot was granted and not received, it is returned
// with true and needs a Leave.
func (w *Waiter) Quit() (node int, granted bool) {
	w.gate.mu.Lock()
	defer w.gate.mu.Unlock()
	if w.place != nil {
		w.gate.remove(w)
	}
	select {
	case node = <-w.granted:
		return node, true
	default:
		return 0, false
	}
}

// insert puts w in its line, behind those that came earlier. The caller holds the
// mutex.
func (g *Gate) insert(w *Waiter) {
	l := g.lines[w.key]
	if l == nil {
		l = &line{key: w.key}
		g.lines[w.key] = l
	}
	if l.waiters.Len() == 0 {
		l.forget(g.now())
	}
	w.place = l.place(w)
	g.waiting.Add(1)
}

// place puts w in its place. Most come last, and who comes back is among the first:
// it is looked for from both ends.
func (l *line) place(w *Waiter) *list.Element {
	first, last := l.waiters.Front(), l.waiters.Back()
	for first != nil {
		if last.Value.(*Waiter).before(w) {
			return l.waiters.InsertAfter(w, last)
		}
		if w.before(first.Value.(*Waiter)) {
			return l.waiters.InsertBefore(w, first)
		}
		first, last = first.Next(), last.Prev()
	}
	return l.waiters.PushBack(w)
}

// before reports whether w comes before another in the queue.
func (w *Waiter) before(other *Waiter) bool {
	if w.arrived != other.arrived {
		return w.arrived < other.arrived
	}
	return w.ticket < other.ticket
}

// remove takes w out of the queue. The caller holds the mutex.
func (g *Gate) remove(w *Waiter) {
	g.lines[w.key].waiters.Remove(w.place)
	w.place = nil
	g.waiting.Add(-1)
}

// first returns who came first of those that want a slot of a node that is open for
// some classes, or nil. The caller holds the mutex.
func (g *Gate) first(node int, open Class) *Waiter {
	var first *Waiter
	for class := Class(1); class != 0 && class <= open; class <<= 1 {
		if open&class == 0 {
			continue
		}
		for _, only := range [...]int{Anywhere, node} {
			if w := g.lines[key{class, only}].first(node); w != nil && (first == nil || w.before(first)) {
				first = w
			}
		}
	}
	return first
}

// first returns the first in the line that wants a node. nil is an empty line.
func (l *line) first(node int) *Waiter {
	if l == nil {
		return nil
	}
	for e := l.waiters.Front(); e != nil; e = e.Next() {
		if w := e.Value.(*Waiter); !slices.Contains(w.barred, node) {
			return w
		}
	}
	return nil
}

// slots returns how many slots there are for a line. The caller holds the mutex.
func (g *Gate) slots(k key) int {
	n := 0
	for i := range g.used {
		if g.nodes[i].open&k.class != 0 && (k.only == Anywhere || k.only == i) {
			n += int(g.capacity)
		}
	}
	return n
}

// forget begins to count anew.
func (l *line) forget(now int64) { l.count, l.before, l.begun, l.earlier = 0, 0, now, 0 }

// forget is forget for all lines. The caller holds the mutex.
func (g *Gate) forget() {
	now := g.now()
	for _, l := range g.lines {
		l.forget(now)
	}
}

// served counts one more.
func (l *line) served(g *Gate) {
	l.count++
	if now := g.now(); now-l.begun >= period && l.count >= g.slots(l.key) {
		l.before, l.earlier = l.count, l.begun
		l.count, l.begun = 0, now
	}
}

// Estimate returns how many are in the line that one more would join, and how long it
// would wait, from how many of them have been served lately. That is zero as long as
// there is no evidence: the line must have been full for a period.
func (g *Gate) Estimate(class Class, only int) (ahead int, wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lines[key{class, only}]
	if l == nil || l.waiters.Len() == 0 || l.earlier == 0 || g.slots(l.key) == 0 {
		return 0, 0
	}
	// The better of two: a moment in which nothing moves doesn't count, and one in
	// which it moves faster does at once.
	perNano := max(float64(l.before)/float64(l.begun-l.earlier),
		float64(l.before+l.count)/float64(g.now()-l.earlier))
	ahead = l.waiters.Len()
	return ahead, time.Duration(float64(ahead+1) / perNano)
}
