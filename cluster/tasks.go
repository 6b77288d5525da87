package cluster

import "sync"

// tasks are the goroutines that work in the background for a cluster. The zero
// value is ready.
type tasks struct {
	running sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// start runs f in a goroutine, unless the tasks are closed; it reports whether
// it did.
func (t *tasks) start(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.running.Go(f) // ends with f, whose caller says what ends that
	return true
}

// close refuses new tasks and waits for those that run.
func (t *tasks) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
}
