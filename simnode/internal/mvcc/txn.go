package mvcc

import (
	"cmp"
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/lock"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Isolation is the isolation level of a transaction.
type Isolation uint8

// The isolation levels. READ UNCOMMITTED is READ COMMITTED, as in PostgreSQL.
const (
	IsolationUnknown Isolation = iota
	ReadCommitted
	RepeatableRead
)

// String gives the level as SHOW transaction_isolation does.
func (i Isolation) String() string {
	switch i {
	case ReadCommitted:
		return "read committed"
	case RepeatableRead:
		return "repeatable read"
	default:
		return "unknown"
	}
}

// Txn is one transaction on this node. It may be used by one goroutine at a time.
// Every Txn must be finished, or its snapshot keeps garbage alive and its locks keep
// others waiting.
type Txn struct {
	store    *Store
	locks    *lock.Owner
	iso      Isolation
	readOnly bool
	finished bool

	lockTimeout time.Duration // 0: none
	snapshot    message.LSN
	seen        message.LSN
	command     int32 // the running command; a statement sees writes of earlier ones
	writes      map[uint32]*ownTable
	touched     map[message.Key]touch
	undo        []undoStep
}

// touch is how a key was used, and since when: the protocol's (mode, base).
type touch struct {
	mode message.Mode
	base message.LSN
}

// Begin starts a transaction with the snapshot Applied. Take the LSN for SetSnapshot
// after it: from here on no version that a later snapshot sees is collected.
func (s *Store) Begin(iso Isolation, readOnly bool) *Txn {
	t := &Txn{store: s, locks: s.locks.NewOwner(), iso: iso, readOnly: readOnly}
	s.snapMu.Lock()
	defer s.snapMu.Unlock()
	t.snapshot = s.Applied()
	s.pins[t] = t.snapshot
	return t
}

// SetLockTimeout limits each wait for a local lock from now on; one that lasts
// longer is 55P03. 0, as at the beginning, is no limit.
func (t *Txn) SetLockTimeout(d time.Duration) { t.lockTimeout = d }

// Seen gives an LSN at or above every version that the transaction's statements
// have looked at: its newest snapshot, and what it read newer than that after
// taking a lock. What a statement returns may go to a client when this is stable
// (docs/protocol.md, rule 15).
func (t *Txn) Seen() message.LSN { return max(t.seen, t.snapshot) }

// appliedNow reads the newest applied LSN and notes that the transaction looks at
// the rows as of it.
func (t *Txn) appliedNow() message.LSN {
	at := t.store.Applied()
	t.seen = max(t.seen, at)
	return at
}

// SetSnapshot makes the transaction read at lsn from now on: before each statement
// in READ COMMITTED, once in REPEATABLE READ. A snapshot never goes back, and never
// lies above Applied.
func (t *Txn) SetSnapshot(lsn message.LSN) {
	if t.finished {
		return
	}
	t.store.snapMu.Lock()
	defer t.store.snapMu.Unlock()
	t.snapshot = min(max(lsn, t.snapshot), t.store.Applied())
	t.store.pins[t] = t.snapshot
}

// Snapshot gives the LSN that the transaction reads at.
func (t *Txn) Snapshot() message.LSN { return t.snapshot }

// Isolation gives the isolation level.
func (t *Txn) Isolation() Isolation { return t.iso }

// ReadOnly reports whether writing is refused.
func (t *Txn) ReadOnly() bool { return t.readOnly }

// NextCommand begins a statement: it sees what earlier statements of the
// transaction wrote, and not what it writes itself.
func (t *Txn) NextCommand() { t.command++ }

// TouchCatalog notes that a statement uses a table: its descriptor must not have
// changed when the transaction commits.
func (t *Txn) TouchCatalog(table *catalog.Table) {
	if td := t.store.table(table.OID); td != nil && td.descriptor != nil {
		t.touch(td.descriptor.key, message.ModeShared, t.snapshot)
	}
}

// touch records the use of a key. The base is that of the first use and never
// rises; of two modes the stronger one counts.
func (t *Txn) touch(key message.Key, mode message.Mode, base message.LSN) {
	before, ok := t.touched[key]
	after := touch{mode, base}
	if ok {
		if strength(before.mode) >= strength(mode) {
			return
		}
		after.base = before.base
	}
	if t.touched == nil {
		t.touched = make(map[message.Key]touch)
	}
	t.touched[key] = after
	t.undo = append(t.undo, undoStep{key: key, before: before})
}

// strength orders the modes: each conflicts with everything that the ones below it
// conflict with (docs/protocol.md, rules 5 and 9).
func strength(m message.Mode) int {
	switch m {
	case message.ModeShared:
		return 1
	case message.ModeLocked:
		return 2
	case message.ModeWritten:
		return 3
	}
	return 0
}

// HasWrites reports whether COMMIT needs a proposal: something was written, or
// locked (a locked row must not have changed elsewhere either).
func (t *Txn) HasWrites() bool {
	for _, own := range t.writes {
		if own.rows.Len() > 0 {
			return true
		}
	}
	for _, use := range t.touched {
		if use.mode != message.ModeShared {
			return true
		}
	}
	return false
}

// Proposal gives the keys that certification must judge and the writes of the commit
// record, both sorted by key, so that equal transactions give equal records. Rows
// that were made and deleted again are not written.
func (t *Txn) Proposal() ([]message.KeyRef, []message.Write) {
	keys := make([]message.KeyRef, 0, len(t.touched))
	for key, use := range t.touched {
		keys = append(keys, message.KeyRef{Key: key, Mode: use.mode, Base: use.base})
	}
	slices.SortFunc(keys, func(a, b message.KeyRef) int { return cmp.Compare(a.Key, b.Key) })
	var writes []message.Write
	for oid, own := range t.writes {
		own.rows.Scan(func(key message.Key, r *ownRow) bool {
			if w, ok := t.finalWrite(oid, own.table, key, r); ok {
				writes = append(writes, w)
			}
			return true
		})
	}
	// The table's OID leads every key, so descriptors come before rows.
	slices.SortFunc(writes, func(a, b message.Write) int { return cmp.Compare(a.Key, b.Key) })
	return keys, writes
}

func (t *Txn) finalWrite(oid uint32, table *catalog.Table, key message.Key, r *ownRow) (message.Write, bool) {
	last := r.latest()
	w := message.Write{Table: oid, Key: key}
	if last.row != nil {
		w.Row = types.EncodeRow(last.row, table.ColumnTypes())
		return w, t.tableSurvives(oid)
	}
	td := t.store.table(oid)
	if td == nil {
		return w, false
	}
	entry := td.find(key)
	return w, entry != nil && entry.at(t.touched[key].base) != nil && t.tableSurvives(oid)
}

// tableSurvives is false for a table that this transaction drops: its rows go with
// it, unwritten.
func (t *Txn) tableSurvives(oid uint32) bool {
	if oid == catalog.RelationsOID {
		return true
	}
	_, ok := t.RelationByOID(oid)
	return ok
}

// Finish ends the transaction, after its record was applied here or it was given up:
// its locks go to those who wait, its snapshot ends. More calls do nothing.
func (t *Txn) Finish() {
	if t.finished {
		return
	}
	t.finished = true
	t.store.snapMu.Lock()
	delete(t.store.pins, t)
	t.store.snapMu.Unlock()
	t.locks.Release()
	t.writes, t.touched, t.undo = nil, nil, nil
}

// writable is 25006 in a read-only transaction.
func (t *Txn) writable() error {
	if t.readOnly {
		return sqlerr.New("25006", "cannot write in a read-only transaction")
	}
	return nil
}
