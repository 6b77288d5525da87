package mvcc

import (
	"context"
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/index"
	"github.com/anywriter/anywriter/simnode/internal/lock"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Insert adds a row, whose values fit the table's columns, and gives its key. For
// each unique key it waits for a local transaction that holds it, then looks at its
// own writes and at the newest applied state: a holder is *UniqueViolation, with
// everything that the call locked released again. Indexes named as arbiters (OIDs)
// are looked at first, for ON CONFLICT. Other errors: 40001 (REPEATABLE READ, and the
// key was freed after the snapshot), 40P01, 25006, context.Cause(ctx).
func (t *Txn) Insert(ctx context.Context, table *catalog.Table, row types.Row, arbiters ...uint32) (message.Key, error) {
	if err := t.writable(); err != nil {
		return "", err
	}
	mark := t.Savepoint()
	key, err := t.insert(ctx, table, row, ownState{row: row}, arbiters)
	if err != nil {
		t.RollbackTo(mark)
		return "", err
	}
	return key, nil
}

func (t *Txn) insert(
	ctx context.Context, table *catalog.Table, row types.Row, state ownState, arbiters []uint32,
) (message.Key, error) {
	key, ok := index.RowKey(table, row)
	if !ok {
		key = index.HiddenKey(table.OID, t.store.newRowID())
		t.touch(key, message.ModeWritten, t.snapshot)
	}
	for _, u := range uniqueKeys(table, row, arbiters) {
		if err := t.claim(ctx, table, u, ""); err != nil {
			return "", err
		}
	}
	t.put(table, key, state)
	return key, nil
}

// claim makes a unique key the transaction's own, or says who holds it.
func (t *Txn) claim(ctx context.Context, table *catalog.Table, u uniqueKey, except message.Key) error {
	if err := t.acquire(ctx, u.key, lock.Exclusive); err != nil {
		return err
	}
	// After the lock: what a local predecessor committed is in.
	at := t.appliedNow()
	if v := t.holder(table, u, at, except); v != nil {
		return v
	}
	base := at
	if t.iso == RepeatableRead {
		base = t.snapshot
		// Nobody holds it now; if somebody did at the snapshot, the row was
		// deleted since, and certification would refuse the key.
		if at > t.snapshot && t.holder(table, u, t.snapshot, except) != nil {
			return t.errSerialize(u.key, 0)
		}
	}
	t.touch(u.key, message.ModeWritten, base)
	return nil
}

// Update replaces a row that LockRow has locked and gives its key, which is a new
// one if the primary key changed. Errors are as of Insert; after an error nothing of
// the call remains.
func (t *Txn) Update(ctx context.Context, table *catalog.Table, key message.Key, row types.Row) (message.Key, error) {
	if err := t.writable(); err != nil {
		return "", err
	}
	return t.update(ctx, table, key, ownState{row: row})
}

func (t *Txn) update(ctx context.Context, table *catalog.Table, key message.Key, state ownState) (message.Key, error) {
	old, err := t.lockedRow(table, key)
	if err != nil {
		return "", err
	}
	mark := t.Savepoint()
	t.touch(key, message.ModeWritten, t.snapshot)
	newKey, err := t.moveKeys(ctx, table, key, old, state.row)
	if err != nil {
		t.RollbackTo(mark)
		return "", err
	}
	if newKey != key {
		t.put(table, key, ownState{})
	}
	t.put(table, newKey, state)
	return newKey, nil
}

// moveKeys gives up the unique keys that a row loses and claims those that it gains.
func (t *Txn) moveKeys(ctx context.Context, table *catalog.Table, key message.Key, old, row types.Row) (message.Key, error) {
	newKey, ok := index.RowKey(table, row)
	if !ok {
		newKey = key
	}
	before := uniqueKeys(table, old, nil)
	after := uniqueKeys(table, row, nil)
	for _, u := range before {
		if !hasKey(after, u.key) {
			if err := t.giveUp(ctx, u.key); err != nil {
				return "", err
			}
		}
	}
	for _, u := range after {
		if hasKey(before, u.key) {
			continue
		}
		if err := t.claim(ctx, table, u, key); err != nil {
			return "", err
		}
	}
	return newKey, nil
}

func hasKey(keys []uniqueKey, key message.Key) bool {
	for i := range keys {
		if keys[i].key == key {
			return true
		}
	}
	return false
}

// giveUp notes that a unique key becomes free: who wants it waits for the outcome.
func (t *Txn) giveUp(ctx context.Context, key message.Key) error {
	if err := t.acquire(ctx, key, lock.Exclusive); err != nil {
		return err
	}
	base := t.snapshot
	if t.iso == ReadCommitted {
		base = t.appliedNow()
	}
	t.touch(key, message.ModeWritten, base)
	return nil
}

// Delete removes a row that LockRow has locked. Errors: 40P01, 25006,
// context.Cause(ctx).
func (t *Txn) Delete(ctx context.Context, table *catalog.Table, key message.Key) error {
	if err := t.writable(); err != nil {
		return err
	}
	old, err := t.lockedRow(table, key)
	if err != nil {
		return err
	}
	mark := t.Savepoint()
	t.touch(key, message.ModeWritten, t.snapshot)
	for _, u := range uniqueKeys(table, old, nil) {
		if err := t.giveUp(ctx, u.key); err != nil {
			t.RollbackTo(mark)
			return err
		}
	}
	t.put(table, key, ownState{})
	return nil
}

// lockedRow gives the state of a row that the transaction has locked: its own newest
// one, or the committed one at the base of the lock.
func (t *Txn) lockedRow(table *catalog.Table, key message.Key) (types.Row, error) {
	if r := t.ownRowOf(table.OID, key); r != nil {
		if row := r.latest().row; row != nil {
			return row, nil
		}
		return nil, fmt.Errorf("mvcc: row %x of %q is deleted in this transaction", string(key), table.Name)
	}
	if use, ok := t.touched[key]; ok && strength(use.mode) >= strength(message.ModeLocked) {
		if entry := t.find(table, key); entry != nil {
			if v := entry.at(use.base); v != nil {
				return v.row, nil
			}
		}
	}
	return nil, fmt.Errorf("mvcc: row %x of %q is not locked", string(key), table.Name)
}
