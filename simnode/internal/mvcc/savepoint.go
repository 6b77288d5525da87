package mvcc

import (
	"github.com/anywriter/anywriter/simnode/internal/lock"
	"github.com/anywriter/anywriter/simnode/internal/message"
)

// undoStep takes back one thing: a state of a row (own is set) or a touch of a key.
type undoStep struct {
	own    *ownTable
	row    *ownRow
	key    message.Key
	before touch // zero: the key was not touched
}

// Mark is a point in a transaction to which it can be rolled back. It belongs to
// one Txn; marks taken after one that was rolled back to are void.
type Mark struct {
	undo  int
	locks lock.Mark
}

// Savepoint marks the present state. It costs nothing to keep.
func (t *Txn) Savepoint() Mark { return Mark{len(t.undo), t.locks.Mark()} }

// RollbackTo undoes everything since the mark: writes, touched keys, and, as
// PostgreSQL does, the locks that were taken after it.
func (t *Txn) RollbackTo(m Mark) {
	for len(t.undo) > m.undo {
		step := t.undo[len(t.undo)-1]
		t.undo = t.undo[:len(t.undo)-1]
		switch {
		case step.own != nil:
			step.own.pop(step.row)
		case step.before.mode == message.ModeUnknown:
			delete(t.touched, step.key)
		default:
			t.touched[step.key] = step.before
		}
	}
	t.locks.ReleaseTo(m.locks)
}
