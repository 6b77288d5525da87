package retry

import (
	"sync/atomic"
	"time"
)

const (
	// DefaultBudgetRatio: retries may add a fifth to the traffic. Enough to
	// hide a lost node of a three-node cluster for a while, too little to keep
	// an overloaded cluster overloaded.
	DefaultBudgetRatio = 0.2
	// DefaultBudgetPerSecond lets a client with little traffic retry at all.
	DefaultBudgetPerSecond = 10.0
	// budgetSeconds bounds what can be saved up: ten seconds of the constant
	// rate, and as many tokens from traffic as that many retries.
	budgetSeconds = 10
	// unitsPerToken: tokens are kept as whole thousandths in one atomic word.
	unitsPerToken = 1000
)

// Budget is a token bucket that one retry takes one token from. It fills by a
// share of the first attempts and by a constant rate. It is safe for concurrent
// use, takes no lock, and reads no clock: the caller passes the time. Create it
// with NewBudget; a nil *Budget allows every retry.
type Budget struct {
	perOperation int64 // thousandths of a token
	perSecond    float64
	limit        int64
	base         time.Time

	units      atomic.Int64 // thousandths of a token
	filledNano atomic.Int64 // time since base up to which the constant rate is paid out
}

// NewBudget returns a full bucket. A ratio or rate below zero counts as zero;
// both zero forbid every retry.
func NewBudget(ratio, perSecond float64, now time.Time) *Budget {
	ratio, perSecond = max(ratio, 0), max(perSecond, 0)
	b := &Budget{
		perOperation: int64(ratio * unitsPerToken),
		perSecond:    perSecond,
		base:         now,
	}
	tokens := perSecond * budgetSeconds
	if ratio > 0 {
		// A burst of conflicts right after a quiet time must not starve a busy
		// client: room for 100 tokens earned by traffic.
		tokens = max(tokens, 100)
	}
	b.limit = int64(tokens * unitsPerToken)
	b.units.Store(b.limit)
	return b
}

// Deposit records one first attempt.
func (b *Budget) Deposit() {
	if b == nil || b.perOperation == 0 {
		return
	}
	if b.units.Load() < b.limit {
		b.units.Add(b.perOperation) // may overshoot by one deposit per goroutine; trimmed by Withdraw
	}
}

// Withdraw takes one token for a retry at the given time and reports whether
// there was one.
func (b *Budget) Withdraw(now time.Time) bool {
	if b == nil {
		return true
	}
	b.fill(now)
	for {
		have := b.units.Load()
		if have < unitsPerToken {
			return false
		}
		if b.units.CompareAndSwap(have, min(have, b.limit)-unitsPerToken) {
			return true
		}
	}
}

// Tokens returns how many retries the bucket holds at the given time.
func (b *Budget) Tokens(now time.Time) int {
	if b == nil {
		return 0
	}
	b.fill(now)
	return int(min(b.units.Load(), b.limit) / unitsPerToken)
}

// fill pays out the constant rate for the time since the last call.
func (b *Budget) fill(now time.Time) {
	at := int64(now.Sub(b.base))
	last := b.filledNano.Load()
	if at <= last {
		return
	}
	earned := int64(float64(at-last) / float64(time.Second) * b.perSecond * unitsPerToken)
	if earned == 0 {
		return // too short a time for a thousandth: leave it for the next call
	}
	if b.filledNano.CompareAndSwap(last, at) {
		b.add(min(earned, b.limit))
	}
}

func (b *Budget) add(units int64) {
	for {
		have := b.units.Load()
		if b.units.CompareAndSwap(have, min(have+units, b.limit)) {
			return
		}
	}
}
