package volume

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Flow control towards one storage node. 1,024 records are more than a head
// writes in a round trip, so a healthy storage node never waits; 8 are what a
// silent one is tried with every retry, little enough to be down for hours.
const (
	wideWindow  = 1024
	probeWindow = 8
)

// replica is how far one storage node is.
type replica struct {
	party   Party
	acked   message.LSN // it has everything up to here
	sent    message.LSN // and was sent everything up to here
	have    map[message.LSN]struct{}
	window  message.LSN
	movedAt time.Duration // when acked last moved, or was waited for
}

// slot counts the answers for one LSN that is not durable, or was until now.
type slot struct {
	answers int
	holders []message.NodeID // ascending
	all     bool
}

// quorum counts which records are where (rules 13 and 19).
type quorum struct {
	need     int
	retry    time.Duration
	replicas []replica
	vdl      message.LSN
	base     message.LSN // the first slot is base+1
	slots    fifo[slot]
}

func newQuorum(cfg HeadConfig) quorum {
	q := quorum{need: WriteQuorum, retry: cfg.Retry}
	if cfg.Mutants.has(MutantWriteQuorum3) {
		q.need = 3
	}
	for i := range StorageNodes {
		q.replicas = append(q.replicas, replica{
			party: StorageParty(message.StorageID(i + 1)), have: map[message.LSN]struct{}{}, window: wideWindow,
		})
	}
	return q
}

// complete reports whether every storage node has everything.
func (q *quorum) complete(length message.LSN) bool {
	return !slices.ContainsFunc(q.replicas, func(r replica) bool { return r.acked < length })
}

// written opens the slot of a new record and gives the storage nodes to send it
// to: those that are not behind.
func (q *quorum) written(lsn message.LSN, now time.Duration) []Party {
	q.slots.push(slot{})
	to := make([]Party, 0, len(q.replicas))
	for i := range q.replicas {
		r := &q.replicas[i]
		if r.acked == lsn-1 {
			r.movedAt = now // from now on an answer is due
		}
		if r.sent == lsn-1 && lsn-r.acked <= r.window {
			r.sent = lsn
			to = append(to, r.party)
		}
	}
	return to
}

// accepted takes an answer of storage node i and gives the LSNs to send to it
// next, if it is behind.
func (q *quorum) accepted(i int, now time.Duration, length message.LSN, m *message.Accepted) []message.LSN {
	if i < 0 || i >= len(q.replicas) || m.LSN == 0 || m.LSN > length {
		return nil
	}
	r := &q.replicas[i]
	if !r.take(m.LSN, now) {
		return nil
	}
	if m.LSN > q.base {
		q.slot(m.LSN).add(m, q.need)
	}
	for q.vdl < length && q.stored(q.vdl+1) {
		q.vdl++
	}
	return r.more(length)
}

// take notes that the storage node has lsn; false if that was known.
func (r *replica) take(lsn message.LSN, now time.Duration) bool {
	if _, known := r.have[lsn]; known || lsn <= r.acked {
		return false
	}
	r.have[lsn] = struct{}{}
	for {
		if _, ok := r.have[r.acked+1]; !ok {
			return true
		}
		r.acked++
		delete(r.have, r.acked)
		r.movedAt = now
		r.window = min(r.window+1, wideWindow)
	}
}

// more gives what a storage node that is behind may be sent now.
func (r *replica) more(length message.LSN) []message.LSN {
	var out []message.LSN
	r.sent = max(r.sent, r.acked)
	for r.sent < length && r.sent-r.acked < r.window {
		r.sent++
		if _, known := r.have[r.sent]; !known {
			out = append(out, r.sent)
		}
	}
	return out
}

// overdue gives what to send again to storage node i, which has not moved for a
// while: only a little, until it answers.
func (q *quorum) overdue(i int, now time.Duration) []message.LSN {
	r := &q.replicas[i]
	length := q.base + message.LSN(q.slots.len())
	if r.acked >= length || now-r.movedAt < q.retry {
		return nil
	}
	r.sent, r.window, r.movedAt = r.acked, probeWindow, now
	return r.more(length)
}

// add counts an answer. The holders are those of the deciding answers: any three
// grants of a lease meet any four of these.
func (s *slot) add(m *message.Accepted, need int) {
	if s.answers++; s.answers > need {
		return
	}
	s.all = s.all || m.AllHolders
	for _, n := range m.Holders {
		if at, found := slices.BinarySearch(s.holders, n); !found {
			s.holders = slices.Insert(s.holders, at, n)
		}
	}
}

// stored reports whether lsn itself is on enough storage nodes.
func (q *quorum) stored(lsn message.LSN) bool {
	return lsn <= q.base || q.slot(lsn).answers >= q.need
}

// holders gives the nodes that may still read below lsn.
func (q *quorum) holders(lsn message.LSN) (nodes []message.NodeID, all bool) {
	if lsn <= q.base {
		return nil, true
	}
	s := q.slot(lsn)
	if s.all {
		return nil, true
	}
	return s.holders, false
}

// slot gives the slot of lsn, which must lie above base.
func (q *quorum) slot(lsn message.LSN) *slot { return q.slots.at(int(lsn - q.base - 1)) }

// trim forgets the slots of records that are durable and answered.
func (q *quorum) trim() {
	q.slots.drop(int(q.vdl - q.base))
	q.base = q.vdl
}
