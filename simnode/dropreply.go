package simnode

import (
	"fmt"
	"slices"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/session"
)

// CommitPoint says on which side of its commit point a commit loses its reply:
// after that point the commit record is durable, before it the transaction can
// still be given up.
type CommitPoint uint8

// The two sides.
const (
	CommitPointUnknown CommitPoint = iota
	// BeforeCommit: COMMIT has arrived, and the transaction is rolled back.
	BeforeCommit
	// AfterCommit: the transaction is durable and in the caches, as for any commit
	// that is answered.
	AfterCommit
)

// String gives "before" or "after".
func (p CommitPoint) String() string {
	switch p {
	case BeforeCommit:
		return "before"
	case AfterCommit:
		return "after"
	default:
		return "unknown"
	}
}

// DropCommitReply makes the next commits on the node end without a word: their
// clients' connections are reset instead of answered, and only another connection
// can tell on which side of the commit point that was.
//
// A commit is a COMMIT, or the end of the simple query or the Sync that ends an
// implicit transaction, if the transaction wrote or locked something. AfterCommit
// counts only those that succeed. commits is how many, 1 and more; calls add up,
// and a restart of the node changes nothing. Undo lets off those that are left.
func (n *Node) DropCommitReply(point CommitPoint, commits int) (Undo, error) {
	switch {
	case point != BeforeCommit && point != AfterCommit:
		return nil, fmt.Errorf("simnode: commit point %d, allowed are BeforeCommit and AfterCommit", point)
	case commits < 1:
		return nil, fmt.Errorf("simnode: the replies to %d commits, allowed are 1 and more", commits)
	}
	undo := n.drops.add(point, commits)
	n.sim.record(n.String(), "drop", "replies to COMMIT", evlog.F("point", point), evlog.F("commits", commits))
	return sync.OnceFunc(func() {
		undo()
		n.sim.record(n.String(), "drop", "no more replies to COMMIT", evlog.F("point", point))
	}), nil
}

// hooks let the sessions of the node's lives ask for the fault.
func (n *Node) hooks() session.Hooks {
	cut := func(point CommitPoint, client session.Startup) bool {
		if !n.drops.take(point) {
			return false
		}
		n.sim.record(n.String(), "cut", "no reply to COMMIT", evlog.F("point", point), evlog.F("pid", client.PID))
		return true
	}
	return session.Hooks{
		BeforeCommitPoint: func(s session.Startup) bool { return cut(BeforeCommit, s) },
		AfterCommitPoint:  func(s session.Startup, err error) bool { return err == nil && cut(AfterCommit, s) },
	}
}

// drops are the commits of a node that are yet to lose their replies. It is safe
// for concurrent use; the zero value drops nothing.
type drops struct {
	mu    sync.Mutex
	calls []*drop // guarded by mu
}

// drop is what is left of one call.
type drop struct {
	point CommitPoint
	left  int
}

func (d *drops) add(point CommitPoint, commits int) (undo func()) {
	call := &drop{point, commits}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls = append(d.calls, call)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.calls = slices.DeleteFunc(d.calls, func(c *drop) bool { return c == call })
	}
}

// take counts a commit that has come to a point, and reports whether it loses its
// reply there.
func (d *drops) take(point CommitPoint) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.calls, func(c *drop) bool { return c.point == point })
	if i < 0 {
		return false
	}
	if d.calls[i].left--; d.calls[i].left == 0 {
		d.calls = slices.Delete(d.calls, i, i+1)
	}
	return true
}
