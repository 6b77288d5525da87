package member

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// grantsNeeded of the storage nodes make a lease: any three of six meet any four
// that made a record durable, so at least one answer knows of it (hole 21).
const grantsNeeded = 3

// request is one round of lease requests and the grants that it brought.
type request struct {
	id      uint64
	sentAt  time.Duration
	granted []message.StorageID
	tail    message.LSN // highest of the grants
	valid   bool        // enough grants
	readyAt time.Duration
}

// leases are the rounds of the last 180 ms, oldest first.
type leases struct {
	rounds []request
	lastID uint64
	nonces map[message.StorageID]nonce
}

// nonce is what the last grant of a storage node asked to hear again.
type nonce struct {
	reqID uint64
	value uint64
}

// restart forgets the rounds of an earlier life. Requests are numbered from the
// incarnation on, so that a late grant to an earlier life is neither taken for an
// answer to this one's request, which was sent later, nor for its newest nonce.
func (l *leases) restart(inc message.Incarnation, mutants mutant.Set) {
	l.rounds = nil
	if !mutants.Has(mutant.RequestIDsRestart) {
		l.lastID = uint64(inc) << 32
	}
}

// open starts a round.
func (l *leases) open(now time.Duration) uint64 {
	l.lastID++
	l.rounds = append(l.rounds, request{id: l.lastID, sentAt: now})
	return l.lastID
}

// take counts a grant and reports whether it completed a lease. A refusal brings
// only the nonce that the next request must echo.
func (l *leases) take(g message.LeaseGrant, now time.Duration) bool {
	if n, ok := l.nonces[g.Storage]; !ok || g.ReqID > n.reqID {
		l.nonces[g.Storage] = nonce{reqID: g.ReqID, value: g.Nonce}
	}
	if g.Refused {
		return false
	}
	for i := range l.rounds {
		if l.rounds[i].id == g.ReqID {
			return l.rounds[i].take(g, now)
		}
	}
	return false
}

func (r *request) take(g message.LeaseGrant, now time.Duration) bool {
	for _, id := range r.granted {
		if id == g.Storage {
			return false
		}
	}
	if r.valid {
		return false // three grants decide; a later one could only raise the tail
	}
	r.granted = append(r.granted, g.Storage)
	r.tail = max(r.tail, g.Tail)
	r.valid = len(r.granted) >= grantsNeeded
	r.readyAt = now
	return r.valid
}

// until gives the end of the newest lease that may be used with the log applied up
// to applied; 0 if there is none. The caller compares it with the clock.
func (l *leases) until(applied message.LSN, use time.Duration, mutants mutant.Set) time.Duration {
	var end time.Duration
	for i := range l.rounds {
		r := &l.rounds[i]
		if !r.valid || (r.tail > applied && !mutants.Has(mutant.LeaseWithoutTail)) {
			continue
		}
		from := r.sentAt
		if mutants.Has(mutant.LeaseFromReply) {
			from = r.readyAt
		}
		end = max(end, from+use)
	}
	return end
}

// tail gives the highest tail that a lease still waits for.
func (l *leases) tail() message.LSN {
	var tail message.LSN
	for i := range l.rounds {
		if l.rounds[i].valid {
			tail = max(tail, l.rounds[i].tail)
		}
	}
	return tail
}

// expire forgets rounds that can give no lease any more.
func (l *leases) expire(now, use time.Duration) {
	n := 0
	for n < len(l.rounds) && l.rounds[n].sentAt+use <= now && l.rounds[n].readyAt+use <= now {
		n++
	}
	l.rounds = l.rounds[n:]
}
