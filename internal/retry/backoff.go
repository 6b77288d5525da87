package retry

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

const (
	// DefaultBase is the upper bound of the first wait. 2 ms is a few round
	// trips inside a data centre: long enough for the winner of a conflict to
	// be gone, short enough not to be felt.
	DefaultBase = 2 * time.Millisecond
	// DefaultCap bounds every wait. 250 ms is one probe interval: after it the
	// picture of the cluster is a new one.
	DefaultCap = 250 * time.Millisecond
	// DefaultMaxAttempts bounds the attempts of one operation, the first
	// included. With the other defaults the waits of thirty attempts add up to at
	// most about 5.8 s, half of it on average: what a dead node had reserved is
	// free again after some hundred milliseconds, and ten attempts could be over
	// before that.
	DefaultMaxAttempts = 30
)

// FullJitter is a backoff.BackOff whose n-th wait (n from 0) is drawn uniformly
// from [0, min(cap, base·2ⁿ)], so that clients that collided once don't collide
// again in step. The name and the formula are from M. Brooker, "Exponential
// Backoff And Jitter", AWS Architecture Blog, 2015. It isn't safe for
// concurrent use; each operation has its own.
type FullJitter struct {
	base, limit time.Duration
	maxWaits    int
	waits       int
	rand        *rand.Rand
}

var _ backoff.BackOff = (*FullJitter)(nil)

// Policy configures a FullJitter. The zero value of each field means its
// default.
type Policy struct {
	// Base is the upper bound of the first wait.
	Base time.Duration
	// Cap is the upper bound of every wait; below Base it counts as Base.
	Cap time.Duration
	// MaxAttempts counts the attempts, the first included; 1 means no retry.
	MaxAttempts int
}

func (p Policy) withDefaults() Policy {
	if p.Base <= 0 {
		p.Base = DefaultBase
	}
	if p.Cap <= 0 {
		p.Cap = DefaultCap
	}
	p.Cap = max(p.Cap, p.Base)
	if p.MaxAttempts <= 0 {
		p.MaxAttempts = DefaultMaxAttempts
	}
	return p
}

// NewBackOff returns a fresh FullJitter. The same seed gives the same waits.
func NewBackOff(p Policy, seed uint64) *FullJitter {
	p = p.withDefaults()
	return &FullJitter{
		base:     p.Base,
		limit:    p.Cap,
		maxWaits: p.MaxAttempts - 1,
		rand:     rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15)),
	}
}

// NextBackOff returns the next wait, or backoff.Stop when the attempts are used
// up.
func (b *FullJitter) NextBackOff() time.Duration {
	if b.waits >= b.maxWaits {
		return backoff.Stop
	}
	bound := b.Bound()
	b.waits++
	return time.Duration(b.rand.Int64N(int64(bound) + 1))
}

// Bound returns the upper bound of the next wait.
func (b *FullJitter) Bound() time.Duration {
	// Compared before shifting: base<<waits overflows after some 40 waits.
	if b.waits >= 62 || b.base > b.limit>>b.waits {
		return b.limit
	}
	return b.base << b.waits
}

// Waits returns how many waits were handed out since the last Reset.
func (b *FullJitter) Waits() int { return b.waits }

// Reset starts counting from the first wait again. The generator goes on, so
// that the waits of the next round differ from those of the last.
func (b *FullJitter) Reset() { b.waits = 0 }

// FitsDeadline reports whether a wait that starts at now ends before the
// deadline. A zero deadline means that there is none.
func FitsDeadline(now time.Time, wait time.Duration, deadline time.Time) bool {
	return deadline.IsZero() || now.Add(wait).Before(deadline)
}

// FitsContext is FitsDeadline for the deadline of ctx; it is false if ctx is
// done already.
func FitsContext(ctx context.Context, now time.Time, wait time.Duration) bool {
	if ctx.Err() != nil {
		return false
	}
	deadline, ok := ctx.Deadline()
	return !ok || FitsDeadline(now, wait, deadline)
}
