package certify

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// compatible reports whether two open transactions may hold one key in these
// modes (rule 5): a write goes with nothing, a lock neither with a lock nor with
// a share.
func compatible(a, b message.Mode, mutants mutant.Set) bool {
	if a > b {
		a, b = b, a // the modes stand in the order W, L, KS, R, PR
	}
	if b == message.ModeShared && mutants.Has(mutant.SharedCompatible) {
		return true
	}
	switch a {
	case message.ModeWritten:
		return false
	case message.ModeLocked:
		return b != message.ModeLocked && b != message.ModeShared
	default:
		return true
	}
}

// holder is one transaction's claim on a key.
type holder struct {
	txid message.TxID
	mode message.Mode
}

// question is the next time at which a reservation counts as an orphan.
type question struct {
	txid message.TxID
	due  time.Duration
}

// reservations are the keys of accepted transactions whose outcome is open.
type reservations struct {
	keys    map[message.TxID][]message.KeyRef
	holders map[message.Key][]holder
	// questions stands in order of due, since every entry is due the same time
	// after it was put in. Entries of transactions that are gone are skipped.
	questions []question
	mutants   mutant.Set
}

func newReservations(mutants mutant.Set) reservations {
	return reservations{
		keys:    make(map[message.TxID][]message.KeyRef),
		holders: make(map[message.Key][]holder),
		mutants: mutants,
	}
}

func (r *reservations) has(txid message.TxID) bool {
	_, ok := r.keys[txid]
	return ok
}

// check gives the rejection of a proposal by what others hold, and whether there
// is one.
func (r *reservations) check(keys []message.KeyRef) (Verdict, bool) {
	for _, k := range keys {
		for _, h := range r.holders[k.Key] {
			if !compatible(k.Mode, h.mode, r.mutants) {
				return Verdict{Reason: message.RejectReserved, Key: k.Key, Winner: h.txid}, true
			}
		}
	}
	return Verdict{}, false
}

// add claims the keys for txid, which becomes an orphan at due.
func (r *reservations) add(txid message.TxID, keys []message.KeyRef, due time.Duration) {
	r.keys[txid] = keys
	r.questions = append(r.questions, question{txid: txid, due: due})
	for _, k := range keys {
		r.holders[k.Key] = append(r.holders[k.Key], holder{txid: txid, mode: k.Mode})
	}
}

// drop gives the keys of txid back; unknown transactions are ignored.
func (r *reservations) drop(txid message.TxID) {
	for _, k := range r.keys[txid] {
		rest := r.holders[k.Key][:0]
		for _, h := range r.holders[k.Key] {
			if h.txid != txid {
				rest = append(rest, h)
			}
		}
		if len(rest) == 0 {
			delete(r.holders, k.Key)
			continue
		}
		r.holders[k.Key] = rest
	}
	delete(r.keys, txid)
}

// next gives the time of the oldest question that is still open.
func (r *reservations) next() (time.Duration, bool) {
	for len(r.questions) > 0 {
		if q := r.questions[0]; r.has(q.txid) {
			return q.due, true
		}
		r.questions = r.questions[1:]
	}
	return 0, false
}

// orphans gives the transactions whose question is due, and asks again later.
func (r *reservations) orphans(now, again time.Duration) []message.TxID {
	var list []message.TxID
	for {
		due, ok := r.next()
		if !ok || due > now {
			return list
		}
		txid := r.questions[0].txid
		r.questions = append(r.questions[1:], question{txid: txid, due: now + again})
		list = append(list, txid)
	}
}
