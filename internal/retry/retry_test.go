package retry

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		want   []time.Duration
	}{
		"doubling to the cap": {Policy{Base: ms, Cap: 10 * ms, MaxAttempts: 7}, []time.Duration{ms, 2 * ms, 4 * ms, 8 * ms, 10 * ms, 10 * ms}},
		"cap below base":      {Policy{Base: 5 * ms, Cap: ms, MaxAttempts: 3}, []time.Duration{5 * ms, 5 * ms}},
		"one attempt":         {Policy{Base: ms, Cap: ms, MaxAttempts: 1}, nil},
		"defaults": {Policy{}, append([]time.Duration{
			2 * ms, 4 * ms, 8 * ms, 16 * ms, 32 * ms, 64 * ms, 128 * ms,
		}, slices.Repeat([]time.Duration{250 * ms}, 22)...)},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBackOff(c.policy, 1)
			for round := range 2 {
				for i, want := range c.want {
					assert.Equal(t, want, b.Bound(), "round %d, wait %d", round, i)
					assert.Equal(t, i, b.Waits())
					wait := b.NextBackOff()
					assert.GreaterOrEqual(t, wait, time.Duration(0))
					assert.LessOrEqual(t, wait, want)
				}
				assert.Equal(t, backoff.Stop, b.NextBackOff())
				assert.Equal(t, backoff.Stop, b.NextBackOff())
				b.Reset()
			}
		})
	}
}

func TestBoundNeverOverflows(t *testing.T) {
	b := NewBackOff(Policy{Base: time.Hour, Cap: math.MaxInt64 - 1, MaxAttempts: 1000}, 1)
	last := time.Duration(0)
	for range 999 {
		require.GreaterOrEqual(t, b.Bound(), last)
		last = b.Bound()
		require.GreaterOrEqual(t, b.NextBackOff(), time.Duration(0))
	}
}

func TestWaitsAreUniform(t *testing.T) {
	const n, buckets = 40_000, 10
	b := NewBackOff(Policy{Base: ms, Cap: ms, MaxAttempts: n + 1}, 42)
	counts := make([]int, buckets)
	for range n {
		wait := b.NextBackOff()
		counts[min(int(wait*buckets/ms), buckets-1)]++
	}
	for i, c := range counts {
		assert.InDelta(t, n/buckets, c, n/buckets*0.06, "bucket %d", i)
	}
}

func TestSeedsRepeatAndDiffer(t *testing.T) {
	draw := func(seed uint64) (out []time.Duration) {
		b := NewBackOff(Policy{}, seed)
		for range 9 {
			out = append(out, b.NextBackOff())
		}
		return out
	}
	assert.Equal(t, draw(7), draw(7))
	assert.NotEqual(t, draw(7), draw(8))
}

// TestWithRetryNotify runs the backoff under cenkalti's loop in virtual time.
func TestWithRetryNotify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts, waited, begun := 0, time.Duration(0), time.Now()
		err := backoff.RetryNotify(func() error {
			attempts++
			return errors.New("no")
		}, NewBackOff(Policy{}, 3), func(_ error, wait time.Duration) { waited += wait })
		require.Error(t, err)
		assert.Equal(t, DefaultMaxAttempts, attempts)
		assert.Equal(t, waited, time.Since(begun))
		assert.Less(t, waited, 5800*ms)
	})
}

func TestFitsDeadline(t *testing.T) {
	now := time.Unix(1000, 0)
	assert.True(t, FitsDeadline(now, time.Hour, time.Time{}), "no deadline")
	assert.True(t, FitsDeadline(now, ms, now.Add(2*ms)))
	assert.False(t, FitsDeadline(now, 2*ms, now.Add(2*ms)), "an attempt that starts at the deadline is none")
	assert.False(t, FitsDeadline(now, 0, now.Add(-ms)))

	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(time.Hour))
	assert.True(t, FitsContext(ctx, time.Now(), time.Minute))
	assert.False(t, FitsContext(ctx, time.Now(), 2*time.Hour))
	cancel()
	assert.False(t, FitsContext(ctx, time.Now(), 0))
	assert.True(t, FitsContext(context.Background(), time.Now(), time.Hour))
}

func TestBudget(t *testing.T) {
	now := time.Unix(1000, 0)
	drain := func(b *Budget, now time.Time) (n int) {
		for b.Withdraw(now) {
			n++
			if n > 1_000_000 {
				t.Fatal("the budget has no bottom")
			}
		}
		return n
	}
	t.Run("starts full", func(t *testing.T) {
		b := NewBudget(0.2, 10, now)
		assert.Equal(t, 100, b.Tokens(now))
		assert.Equal(t, 100, drain(b, now))
		assert.Zero(t, b.Tokens(now))
	})
	t.Run("a fifth of the traffic", func(t *testing.T) {
		b := NewBudget(0.2, 0, now)
		drain(b, now)
		for range 50 {
			b.Deposit()
		}
		assert.Equal(t, 10, drain(b, now.Add(time.Hour)))
	})
	t.Run("ten a second", func(t *testing.T) {
		b := NewBudget(0, 10, now)
		drain(b, now)
		for i := range 1000 { // asking often neither loses nor makes tokens
			assert.LessOrEqual(t, b.Tokens(now.Add(time.Duration(i)*ms)), 10)
		}
		assert.InDelta(t, 10, drain(b, now.Add(time.Second)), 1)
		assert.Equal(t, 100, drain(b, now.Add(time.Hour)), "no more is saved up than ten seconds' worth")
	})
	t.Run("both", func(t *testing.T) {
		b := NewBudget(0.2, 10, now)
		drain(b, now)
		retries := 0
		for i := range 10_000 { // ten seconds of 1000 operations, all of which want a retry
			b.Deposit()
			if b.Withdraw(now.Add(time.Duration(i) * ms)) {
				retries++
			}
		}
		assert.InDelta(t, 2100, retries, 5)
	})
	t.Run("deposits don't overflow", func(t *testing.T) {
		b := NewBudget(0.2, 10, now)
		for range 10_000 {
			b.Deposit()
		}
		assert.Equal(t, 100, drain(b, now))
	})
	t.Run("nothing allowed", func(t *testing.T) {
		b := NewBudget(-1, -1, now)
		b.Deposit()
		assert.False(t, b.Withdraw(now.Add(time.Hour)))
	})
	t.Run("a clock that goes back", func(t *testing.T) {
		b := NewBudget(0, 10, now)
		drain(b, now.Add(time.Minute))
		assert.False(t, b.Withdraw(now))
	})
	t.Run("no budget allows everything", func(t *testing.T) {
		var b *Budget
		b.Deposit()
		assert.True(t, b.Withdraw(now))
		assert.Zero(t, b.Tokens(now))
	})
}

func TestBudgetConcurrently(t *testing.T) {
	now := time.Unix(1000, 0)
	b := NewBudget(0.2, 10, now)
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { // ends after its loop
			for i := range 1000 {
				b.Deposit()
				if b.Withdraw(now.Add(time.Duration(i) * ms)) {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, taken.Load(), int64(100+8000/5+10+8), "start, traffic, one second, an overshoot per goroutine")
	assert.GreaterOrEqual(t, taken.Load(), int64(1600))
}
