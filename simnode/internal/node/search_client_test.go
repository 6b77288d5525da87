package node

import (
	"fmt"
	"strconv"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
	"github.com/anywriter/anywriter/simnode/internal/origin"
)

// modelTx is a transaction of a model client: what it touched when (the truth that
// the oracle certifies by, whatever the proposal says) and what it writes.
type modelTx struct {
	w      *world
	node   *modelNode
	life   int
	kind   int
	touch  []message.KeyRef // first touches
	writes []message.Write
	newest message.LSN // newest snapshot, for the mutant LastBase
	retry  func()
}

// client gives the loop of one model client: a transaction, a pause, another.
func (w *world) client(id int) func() {
	var next func()
	next = func() {
		if id > w.clients {
			return
		}
		again := func() { w.after(w.upTo(12*time.Millisecond), next) }
		n := w.nodes[w.rng.IntN(len(w.nodes))]
		if n.core == nil {
			again()
			return
		}
		tx := &modelTx{w: w, node: n, life: n.life, kind: w.rng.IntN(7), retry: again}
		tx.run()
	}
	return next
}

func (tx *modelTx) alive() bool { return tx.node.core != nil && tx.node.life == tx.life }

func (tx *modelTx) key(prefix string, n int) message.Key {
	return message.Key(fmt.Sprintf("%s/%d", prefix, tx.w.rng.IntN(n)))
}

// run plays the transaction's statements, then COMMIT.
func (tx *modelTx) run() {
	tx.statement(func(s message.LSN) {
		switch tx.kind {
		case 0: // read, add one, write
			tx.increment(tx.key("k", 3), s)
			tx.commit()
		case 1: // READ COMMITTED: the second statement has a newer snapshot
			first := tx.key("k", 3)
			tx.increment(first, s)
			tx.pause(func() {
				tx.statement(func(s2 message.LSN) {
					if second := tx.key("k", 3); second != first {
						tx.increment(second, s2)
					}
					tx.commit()
				})
			})
		case 2: // a child under a parent
			tx.ref(tx.key("parent", 2), message.ModeShared, s)
			tx.write(tx.key("child", 1000000), s, "c")
			tx.commit()
		case 3: // the parent changes
			tx.increment(tx.key("parent", 2), s)
			tx.commit()
		case 4: // FOR UPDATE of one row guards a write of another
			tx.ref(tx.key("lock", 2), message.ModeLocked, s)
			tx.write(tx.key("guarded", 1000000), s, "g")
			tx.pause(tx.commit)
		case 5: // a transfer, or a lone write, to one of many rows
			from, to := tx.key("k", 3), tx.key("cold", 8)
			if tx.w.rng.IntN(2) == 0 {
				tx.increment(from, s)
			}
			tx.increment(to, s)
			tx.pause(tx.commit)
		default: // read only
			tx.retry()
		}
	})
}

func (tx *modelTx) pause(then func()) {
	tx.w.after(tx.w.upTo(20*time.Millisecond), func() {
		if !tx.alive() {
			tx.retry()
			return
		}
		then()
	})
}

// statement takes a snapshot, runs, and goes on when the answer may be given.
func (tx *modelTx) statement(run func(s message.LSN)) {
	floor := tx.w.oracle.answered
	tx.snapshot(tx.w.now+250*time.Millisecond, func(s message.LSN) {
		tx.w.oracle.snapshot(tx.node.id, s, floor)
		tx.newest = s
		tx.node.waiters = append(tx.node.waiters, stableWaiter{lsn: s, done: func(ok bool) {
			if !ok || !tx.alive() {
				tx.retry()
				return
			}
			tx.w.oracle.answer(s)
			run(s)
		}})
		tx.node.step()
	})
}

func (tx *modelTx) snapshot(deadline time.Duration, then func(s message.LSN)) {
	if !tx.alive() || tx.w.now > deadline {
		tx.retry()
		return
	}
	if tx.node.frozenUntil > tx.w.now {
		tx.w.after(tx.node.frozenUntil-tx.w.now, func() { tx.snapshot(deadline, then) })
		return
	}
	early := tx.node.core.member.Applied()
	if tx.w.mutants.Has(mutant.SnapshotThenLease) && tx.w.rng.IntN(3) == 0 {
		tx.w.after(tx.w.upTo(40*time.Millisecond), func() {
			if tx.alive() && tx.node.clock() < tx.node.core.leaseUntil() {
				then(early)
				return
			}
			tx.retry()
		})
		return
	}
	s, ok := tx.node.core.snapshot(tx.node.clock())
	if !ok {
		tx.w.after(5*time.Millisecond, func() { tx.snapshot(deadline, then) })
		return
	}
	then(s)
}

// ref notes a touch of a key; only the first counts.
func (tx *modelTx) ref(key message.Key, mode message.Mode, s message.LSN) {
	tx.touch = append(tx.touch, message.KeyRef{Key: key, Mode: mode, Base: s})
}

func (tx *modelTx) write(key message.Key, s message.LSN, value string) {
	tx.ref(key, message.ModeWritten, s)
	tx.writes = append(tx.writes, message.Write{Table: 1, Key: key, Row: []byte(value)})
}

// increment writes one more than what the snapshot shows.
func (tx *modelTx) increment(key message.Key, s message.LSN) {
	n, _ := strconv.Atoi(tx.node.store.read(key, s))
	tx.write(key, s, strconv.Itoa(n+1))
}

func (tx *modelTx) commit() {
	if tx.node.frozenUntil > tx.w.now {
		tx.w.after(tx.node.frozenUntil-tx.w.now, func() {
			if !tx.alive() {
				tx.retry()
				return
			}
			tx.commit()
		})
		return
	}
	keys := append([]message.KeyRef(nil), tx.touch...)
	if tx.w.mutants.Has(mutant.LastBase) {
		for i := range keys {
			keys[i].Base = tx.newest
		}
	}
	if tx.w.rng.IntN(20) == 0 {
		tx.allocate()
	}
	id := tx.node.core.commit(keys, tx.writes, time.Time{}, tx.node.clock())
	tx.w.oracle.began(id, tx)
	tx.node.commits[id] = func(e event) {
		tx.w.oracle.told(id, e.result)
		tx.w.after(0, tx.retry)
	}
	tx.node.step()
}

// allocate takes a sequence block beside the transaction.
func (tx *modelTx) allocate() {
	id := tx.node.core.allocate(77, 100, 8, tx.node.clock())
	tx.node.commits[id] = func(e event) {
		if e.result.Outcome == origin.Allocated {
			tx.w.oracle.block(e.result.First, 8)
		}
	}
}
