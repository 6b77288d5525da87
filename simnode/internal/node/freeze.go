package node

import (
	"context"
	"sync/atomic"
)

// freezer stops a node where it stands, as SIGSTOP does: the loop and the sessions
// wait at their next step. The zero value is thawed.
type freezer struct {
	thaw atomic.Pointer[chan struct{}] // nil while not frozen
}

// pass waits for the thaw, and reports whether the node still lives.
func (f *freezer) pass(done <-chan struct{}) bool {
	for {
		ch := f.thaw.Load()
		if ch == nil {
			return true
		}
		select {
		case <-*ch:
		case <-done:
			return false
		}
	}
}

// gate is pass for a session, which may be cancelled or find the node ended.
func (n *Node) gate(ctx context.Context) error {
	for {
		ch := n.frozen.thaw.Load()
		if ch == nil {
			return n.ended()
		}
		select {
		case <-*ch:
		case <-n.done:
			return errEnded()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (n *Node) ended() error {
	select {
	case <-n.done:
		return errEnded()
	default:
		return nil
	}
}

// Freeze stops the node: its loop, its timers and its sessions' next steps. The
// fabric must hold its messages at the same time (fabric.Freeze), or they pile up
// and are handled at Thaw. Freezing a frozen node does nothing.
func (n *Node) Freeze() {
	ch := make(chan struct{})
	n.frozen.thaw.CompareAndSwap(nil, &ch)
}

// Thaw lets a frozen node go on, with whatever the clock says by then.
func (n *Node) Thaw() {
	if ch := n.frozen.thaw.Swap(nil); ch != nil {
		close(*ch)
	}
}
