package mvcc

import (
	"context"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/lock"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// LockMode is the strength of a row lock.
type LockMode uint8

// The modes of SELECT … FOR. The first two exclude everybody, the others exclude
// the first two.
const (
	LockUnknown LockMode = iota
	ForUpdate
	ForNoKeyUpdate
	ForShare
	ForKeyShare
)

// LockWait says what to do about a row that another local transaction has locked.
type LockWait uint8

// The ways: wait (the zero value), fail with 55P03, or pass over the row.
const (
	Block LockWait = iota
	NoWait
	SkipLocked
)

// LockOptions are the options of LockRow. The zero value is not legal: Mode must be
// set.
type LockOptions struct {
	Mode LockMode
	Wait LockWait
}

// State says what LockRow found.
type State uint8

// The states of a locked row.
const (
	StateUnknown State = iota
	// Unchanged: the row is as the statement sees it.
	Unchanged
	// Changed: a newer version was committed after the statement's snapshot; Row is
	// that version, and the statement's condition must be evaluated on it again.
	Changed
	// Gone: the row was deleted, or its primary key changed, after the snapshot.
	// Nothing is locked.
	Gone
	// SelfModified: the running statement itself wrote the row; it is left alone.
	SelfModified
	// Skipped: another transaction holds it and SkipLocked was asked for.
	Skipped
)

// Locked is the answer of LockRow. Row is nil in the states Gone and Skipped.
type Locked struct {
	Row   types.Row
	State State
}

// errSerialize is what a transaction gets when something that it wants has changed
// behind the snapshot that it may use. Like a conflict at COMMIT it names table,
// key and winner, which is known here by its place in the log; 0 if it is not.
func (t *Txn) errSerialize(key message.Key, winner message.LSN) error {
	err := sqlerr.Conflict()
	what := index.Describe(key, t, time.UTC)
	if winner == 0 {
		return err.WithDetail("Conflict on %s: it was committed after LSN %d, which this transaction reads at.", what, t.snapshot)
	}
	return err.WithDetail("Conflict on %s: the transaction at LSN %d committed it, and this one reads at LSN %d.", what, winner, t.snapshot)
}

// Conflict is the error of a statement that cannot go on in REPEATABLE READ because
// of what now holds a key.
func (t *Txn) Conflict(key message.Key) error { return t.errSerialize(key, 0) }

// lsnOf is where a version stands in the log, 0 for none.
func lsnOf(v *version) message.LSN {
	if v == nil {
		return 0
	}
	return v.lsn
}

// LockRow locks a row that the statement sees, waiting for a local transaction that
// holds it. In READ COMMITTED the row is then read again at the newest applied LSN,
// which becomes the base of the key (docs/protocol.md, hole 4); in REPEATABLE READ a change
// is 40001. Other errors: 40P01 (deadlock), 55P03 (NoWait), context.Cause(ctx).
func (t *Txn) LockRow(ctx context.Context, table *catalog.Table, key message.Key, o LockOptions) (Locked, error) {
	if r := t.ownRowOf(table.OID, key); r != nil {
		return t.lockOwn(r), nil
	}
	mark := t.Savepoint()
	mode, local := message.ModeLocked, lock.Exclusive
	if o.Mode == ForShare || o.Mode == ForKeyShare {
		mode, local = message.ModeShared, lock.Shared
	}
	got, err := t.lockKey(ctx, table, key, local, o.Wait)
	if err != nil {
		return Locked{}, err
	}
	if !got {
		return Locked{State: Skipped}, nil
	}
	// Applied is read after the lock: a local predecessor's commit is in by now.
	// Everything below speaks of the row at that one LSN.
	at := t.appliedNow()
	entry := t.find(table, key)
	if entry == nil {
		t.RollbackTo(mark)
		return Locked{State: Gone}, nil
	}
	v := entry.at(at)
	base, changed := at, v == nil || v.lsn > t.snapshot
	if t.iso == RepeatableRead {
		base = t.snapshot
		if changed {
			return Locked{}, t.errSerialize(key, lsnOf(v))
		}
	}
	if v == nil {
		t.RollbackTo(mark)
		return Locked{State: Gone}, nil
	}
	// Certification would refuse it in the end: say so at once.
	if use, ok := t.touched[key]; ok && v.lsn > use.base {
		return Locked{}, t.errSerialize(key, v.lsn)
	}
	t.touch(key, mode, base)
	if changed {
		return Locked{v.row, Changed}, nil
	}
	return Locked{v.row, Unchanged}, nil
}

// lockOwn answers for a row that the transaction has written, and so has locked.
func (t *Txn) lockOwn(r *ownRow) Locked {
	state := r.latest()
	switch {
	case state.command == t.command:
		return Locked{state.row, SelfModified}
	case state.row == nil:
		return Locked{State: Gone}
	}
	return Locked{state.row, Unchanged}
}

func (t *Txn) find(table *catalog.Table, key message.Key) *rowEntry {
	td := t.store.table(table.OID)
	if td == nil {
		return nil
	}
	return td.find(key)
}

// lockKey takes the local lock of a row; false means skipped.
func (t *Txn) lockKey(ctx context.Context, table *catalog.Table, key message.Key, mode lock.Mode, wait LockWait) (bool, error) {
	if wait == Block {
		return true, t.acquire(ctx, key, mode)
	}
	if t.store.locks.TryAcquire(t.locks, string(key), mode) {
		return true, nil
	}
	if wait == SkipLocked {
		return false, nil
	}
	return false, sqlerr.New("55P03", "could not obtain lock on row in relation \"%s\"", table.Name)
}

// acquire waits for the local lock of a key, at most as long as the lock timeout.
func (t *Txn) acquire(ctx context.Context, key message.Key, mode lock.Mode) error {
	if t.lockTimeout <= 0 {
		return t.store.locks.Acquire(ctx, t.locks, string(key), mode)
	}
	if t.store.locks.TryAcquire(t.locks, string(key), mode) {
		return nil // the usual case pays for no timer
	}
	ctx, cancel := context.WithTimeoutCause(ctx, t.lockTimeout,
		sqlerr.New("55P03", "canceling statement due to lock timeout"))
	defer cancel()
	return t.store.locks.Acquire(ctx, t.locks, string(key), mode)
}
