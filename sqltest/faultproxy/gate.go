package faultproxy

import "sync"

// gate holds back whoever waits at it while it is shut. It may be shut several
// times at once; it opens when all of these have been undone. The zero value is
// open.
type gate struct {
	mu    sync.Mutex
	shuts int
	open  chan struct{} // closed when the gate opens; nil while it is open
}

// shut closes the gate and returns what undoes that, once.
func (g *gate) shut() (undo func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shuts == 0 {
		g.open = make(chan struct{})
	}
	g.shuts++
	return sync.OnceFunc(g.release)
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shuts--
	if g.shuts == 0 {
		close(g.open)
		g.open = nil
	}
}

// wait returns true when the gate is open, false when done is closed first.
func (g *gate) wait(done <-chan struct{}) bool {
	for {
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		if open == nil {
			return true
		}
		select {
		case <-open:
		case <-done:
			return false
		}
	}
}
