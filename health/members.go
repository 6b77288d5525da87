package health

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// ErrNotRunning is the error of Add on a Monitor that isn't started or is closed.
var ErrNotRunning = errors.New("health: the monitor is not running")

// Add begins to watch another node as node i, which is the index of one that was
// removed or the first that no node has had. When it returns, the node has a place
// in the View. The error is ErrNotRunning, or says which indices are free.
func (m *Monitor) Add(i int, n Node) error {
	n = n.withDefaults()
	var err error
	running := m.ask(func() {
		if i < 0 || i > len(m.nodes) || i < len(m.nodes) && m.nodes[i] != nil {
			err = fmt.Errorf("health: node %d can't be added: %d or the index of a removed node is allowed", i, len(m.nodes))
			return
		}
		if i == len(m.nodes) {
			m.nodes = append(m.nodes, nil)
		}
		m.nodes[i] = newWatched(i, n)
		m.launchProber(m.nodes[i])
	})
	if !running {
		return ErrNotRunning
	}
	return err
}

// Remove stops watching node i, and returns when its probe under way, if there is
// one, has ended: then none of the node's functions is called any more. After that
// Observe must not be told of it, since its index may be another node's soon.
// Removing a node that isn't watched does nothing. It must not be called by the
// node's own functions.
func (m *Monitor) Remove(i int) {
	var w *watched
	m.ask(func() {
		if i < 0 || i >= len(m.nodes) || m.nodes[i] == nil {
			return
		}
		w = m.nodes[i]
		m.nodes[i] = nil
		w.giveUp()
		close(w.removed)
	})
	switch {
	case w != nil:
		<-w.quiet
	case m.started.Load(): // i isn't watched, or Close ends all probes
		select {
		case <-m.stop:
			m.running.Wait()
		default:
		}
	}
}

// ask runs f on the monitor's goroutine and publishes what has changed by it. It
// reports whether f was run.
func (m *Monitor) ask(f func()) bool {
	if !m.started.Load() {
		return false
	}
	done := make(chan struct{})
	asked := func() {
		f()
		m.dirty = true
		m.publish(time.Now())
		close(done)
	}
	select {
	case m.asked <- asked:
		<-done // nothing in it waits
		return true
	case <-m.stop:
		return false
	}
}

// all returns the nodes that are watched.
func (m *Monitor) all() iter.Seq[*watched] {
	return func(yield func(*watched) bool) {
		for _, w := range m.nodes {
			if w != nil && !yield(w) {
				return
			}
		}
	}
}
