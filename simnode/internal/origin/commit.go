package origin

import (
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// phase is how far a transaction has come.
type phase uint8

const (
	voting    phase = iota + 1 // proposed, nothing appended: may still be given up
	appending                  // only the storage decides
	allotting                  // a sequence block: appended, nothing to give up
)

// commit is one transaction between COMMIT and its outcome.
type commit struct {
	txid     message.TxID
	phase    phase
	propose  message.Propose
	record   message.Record // what will be, or was, appended
	accepts  []message.VoteRef
	rejects  []message.Vote
	repeat   time.Duration // next repetition of the proposal or the append
	deadline time.Duration // vote timeout
	began    time.Duration // when the client began to wait
	told     bool          // in-doubt was said
}

// next is the time at which the transaction wants a tick. Repetitions are frequent
// enough to notice that the node is cut off.
func (c *commit) next(patience time.Duration) time.Duration {
	switch {
	case c.phase == voting:
		return min(c.repeat, c.deadline)
	case c.told:
		return c.repeat
	default:
		return min(c.repeat, c.began+patience)
	}
}

// take counts a vote. An accept holds until the outcome, so it outlives a
// rejection by the same life of the voter, in whichever order they arrive; a new
// life of the voter replaces what the old one said (rule 8, hole 14).
func (c *commit) take(v message.Vote) {
	same := func(a message.VoteRef) bool { return a.Voter == v.Voter }
	i := slices.IndexFunc(c.accepts, same)
	if i >= 0 && c.accepts[i].Inc >= v.Inc {
		return
	}
	j := slices.IndexFunc(c.rejects, func(r message.Vote) bool { return r.Voter == v.Voter })
	if j >= 0 && c.rejects[j].Inc > v.Inc {
		return
	}
	if i >= 0 {
		c.accepts = slices.Delete(c.accepts, i, i+1)
	}
	if j >= 0 {
		c.rejects = slices.Delete(c.rejects, j, j+1)
	}
	if v.Accept {
		c.accepts = append(c.accepts, message.VoteRef{Voter: v.Voter, Inc: v.Inc, ConfigEpoch: v.ConfigEpoch})
		return
	}
	c.rejects = append(c.rejects, v)
}

// voted reports whether a vote of that member counts at present.
func (c *commit) voted(id message.NodeID) bool {
	return slices.ContainsFunc(c.accepts, func(a message.VoteRef) bool { return a.Voter == id }) ||
		slices.ContainsFunc(c.rejects, func(r message.Vote) bool { return r.Voter == id })
}

// rejection is the Result of a transaction that lost against another one.
func (c *commit) rejection(v message.Vote) Result {
	return Result{
		TxID: c.txid, Outcome: Rejected,
		Reason: v.Reason, Key: v.Key, Winner: v.Winner, WinnerLSN: v.WinnerLSN,
	}
}
