package member

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// applied is one LSN that is applied here and not yet stable.
type applied struct {
	lsn       message.LSN
	learnedAt time.Duration
	holders   []message.NodeID // nodes that may still read below lsn
	all       bool             // any node may
}

// holds reports whether node may still read below the LSN.
func (a *applied) holds(node message.NodeID) bool {
	return a.all || slices.Contains(a.holders, node)
}

// fence is where a life of a peer begins in the log.
type fence struct {
	lsn message.LSN
	inc message.Incarnation
}

// gone reports whether every life of the peer that could serve a state older than
// lsn has ended. What the storage says of holders names nodes, not their lives, so
// it takes the log to tell: a life reads nothing before it has applied its own
// fence, so only lives whose fence stands below lsn could serve anything older.
// Those are over if the supervisor has said so of the newest of them. A life whose
// fence stands at lsn or above is no concern of lsn; one that the supervisor has
// not reported keeps the records above its fence waiting, however late or often a
// release of an earlier life comes.
func (p *peer) gone(lsn message.LSN, m mutant.Set) bool {
	if p.released == 0 {
		return false
	}
	return len(p.fences) == 0 || lsn <= p.fences[0].lsn || m.Has(mutant.ReleaseOutlives)
}

// stability advances over applied LSNs in order (rule 14).
type stability struct {
	stable message.LSN
	queue  []applied // stable+1, stable+2, …
}

func (s *stability) learn(a applied) { s.queue = append(s.queue, a) }

// narrow replaces "any node" by what the storage knew when it decided lsn.
func (s *stability) narrow(lsn message.LSN, holders []message.NodeID) {
	if i := int(lsn) - int(s.stable) - 1; lsn > s.stable && i < len(s.queue) && s.queue[i].all {
		s.queue[i].holders, s.queue[i].all = holders, false
	}
}

// advance moves the stable LSN as far as the facts allow and reports whether it
// moved.
func (s *stability) advance(t *Tracker, now time.Duration) bool {
	n := 0
	for n < len(s.queue) && t.passed(&s.queue[n], now) {
		s.stable = s.queue[n].lsn
		s.queue[n] = applied{}
		n++
	}
	s.queue = s.queue[n:]
	return n > 0
}

// passed reports whether no node can serve a state older than a any more: each one
// has applied it, or holds no lease from before it, or has ended since, or any such
// lease has run out.
func (t *Tracker) passed(a *applied, now time.Duration) bool {
	if now >= a.learnedAt+t.cfg.LeaseWait {
		return true
	}
	for i := range t.peers {
		p := &t.peers[i]
		dead := t.cfg.Mutants.Has(mutant.ResetIsDeath) && now > p.heardAt+t.cfg.Heartbeat*3/2
		if p.applied < a.lsn && a.holds(p.id) && !dead && !p.gone(a.lsn, t.cfg.Mutants) {
			return false
		}
	}
	return true
}
