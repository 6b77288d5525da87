package certify

import (
	"sort"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// marks are the last LSNs at which a key was written (W), locked (L) and shared
// (KS); 0 if not since the floor.
type marks struct{ written, locked, shared message.LSN }

func (m marks) newest() message.LSN { return max(m.written, m.locked, m.shared) }

// conflict gives the LSN, above base, that forbids touching the key in mode; 0 if
// none does (rule 9). Reads are hurt only by writes, shared touches by writes and
// locks, writes and locks by everything: a shared commit leaves a mark too, or a
// parent could be deleted under a child that was inserted meanwhile.
func (m marks) conflict(mode message.Mode, base message.LSN) message.LSN {
	var newest message.LSN
	switch mode {
	case message.ModeWritten, message.ModeLocked:
		newest = m.newest()
	case message.ModeShared:
		newest = max(m.written, m.locked)
	default:
		newest = m.written
	}
	if newest > base {
		return newest
	}
	return 0
}

// committed is what the index remembers of one commit record, for pruning and for
// naming the winner.
type committed struct {
	lsn  message.LSN
	txid message.TxID
	keys []message.KeyRef
}

// index is what was committed since the floor. Everything at or below the floor
// is forgotten.
type index struct {
	marks   map[message.Key]marks
	history []committed // in LSN order, all above floor
	floor   message.LSN
	mutants mutant.Set
}

func newIndex(mutants mutant.Set) index {
	return index{marks: make(map[message.Key]marks), mutants: mutants}
}

// add enters a commit record. LSNs only rise.
func (x *index) add(lsn message.LSN, record *message.Record) {
	for _, k := range record.Keys {
		m := x.marks[k.Key]
		switch {
		case k.Mode == message.ModeWritten:
			m.written = lsn
		case k.Mode == message.ModeLocked && !x.mutants.Has(mutant.ForUpdateNotIndexed):
			m.locked = lsn
		case k.Mode == message.ModeShared && !x.mutants.Has(mutant.SharedNotIndexed):
			m.shared = lsn
		default:
			continue // reads leave no trace: serial order is LSN order
		}
		x.marks[k.Key] = m
	}
	x.history = append(x.history, committed{lsn: lsn, txid: record.TxID, keys: record.Keys})
}

// prune raises the floor and forgets what is at or below it.
func (x *index) prune(floor message.LSN) {
	if floor <= x.floor {
		return
	}
	x.floor = floor
	n := 0
	for ; n < len(x.history) && x.history[n].lsn <= floor; n++ {
		for _, k := range x.history[n].keys {
			if m, ok := x.marks[k.Key]; ok && m.newest() <= floor {
				delete(x.marks, k.Key)
			}
		}
		x.history[n] = committed{}
	}
	x.history = x.history[n:]
}

// check gives the rejection of a proposal by what is committed, and whether there
// is one.
func (x *index) check(keys []message.KeyRef) (Verdict, bool) {
	for _, k := range keys {
		if k.Base < x.floor && !x.mutants.Has(mutant.PruneNoReject) {
			return Verdict{Reason: message.RejectTooOld, Key: k.Key, WinnerLSN: x.floor}, true
		}
		if lsn := x.marks[k.Key].conflict(k.Mode, k.Base); lsn > 0 {
			return Verdict{Reason: message.RejectCommitted, Key: k.Key, Winner: x.txid(lsn), WinnerLSN: lsn}, true
		}
	}
	return Verdict{}, false
}

// txid names the transaction that committed at lsn, zero if it is forgotten.
func (x *index) txid(lsn message.LSN) message.TxID {
	i := sort.Search(len(x.history), func(i int) bool { return x.history[i].lsn >= lsn })
	if i < len(x.history) && x.history[i].lsn == lsn {
		return x.history[i].txid
	}
	return message.TxID{}
}
