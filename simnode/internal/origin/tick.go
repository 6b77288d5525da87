package origin

import (
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mutant"
)

// Tick does what is due: repetitions, vote timeouts, and telling clients that
// their transaction is in doubt. Calling it early or late is harmless.
func (m *Machine) Tick(now time.Duration) Output {
	var out Output
	if now < m.wake {
		return out
	}
	rest := m.order[:0]
	m.wake = never
	for _, c := range m.order {
		if m.open[c.txid] != c {
			continue
		}
		out.add(m.tick(c, now))
		if m.open[c.txid] == c {
			rest = append(rest, c)
			m.wake = min(m.wake, c.next(m.cfg.Patience))
		}
	}
	clear(m.order[len(rest):])
	m.order = rest
	return out
}

func (m *Machine) tick(c *commit, now time.Duration) Output {
	switch {
	case c.phase == voting && now >= c.deadline:
		return m.timeout(c)
	case c.phase == voting && m.hopeless(c, now):
		return m.giveUp(c, c.rejection(c.rejects[0]))
	}
	var out Output
	if now >= c.repeat {
		if c.phase == voting {
			c.repeat = now + m.cfg.ProposeRetry
			out.Peers = append(out.Peers, c.propose)
		} else {
			c.repeat = now + m.cfg.AppendRetry
			out.Head = append(out.Head, message.Append{Record: c.record})
		}
	}
	if c.phase != voting && !c.told && m.waitedLong(c, now) {
		out.add(m.doubt(c))
	}
	return out
}

// waitedLong reports whether the client has waited for the storage's answer for as
// long as makes sense.
func (m *Machine) waitedLong(c *commit, now time.Duration) bool {
	patience := m.cfg.Patience
	if m.cfg.CutOff != nil && m.cfg.CutOff(now) {
		patience /= 2
	}
	return now >= c.began+patience
}

// timeout ends a proposal without a majority. If anybody rejected it for another
// transaction, that is the more useful thing to say.
func (m *Machine) timeout(c *commit) Output {
	if len(c.rejects) > 0 && len(c.accepts)+len(c.rejects) >= m.majority() {
		return m.giveUp(c, c.rejection(c.rejects[0]))
	}
	return m.giveUp(c, Result{TxID: c.txid, Outcome: NoMajority})
}

// doubt tells the client that the outcome is open (rule 22). A transaction goes on
// being appended; a sequence block that nobody waits for is let go.
func (m *Machine) doubt(c *commit) Output {
	c.told = true
	if c.phase == allotting {
		delete(m.open, c.txid)
		return Output{Results: []Result{{TxID: c.txid, Outcome: NoAnswer}}}
	}
	if m.cfg.Mutants.Has(mutant.AppendTimeoutAborts) {
		return m.giveUp(c, Result{TxID: c.txid, Outcome: NoMajority})
	}
	return Output{Results: []Result{{TxID: c.txid, Outcome: InDoubt}}}
}
