package lock

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// acquire runs Acquire in the background; the channel gives its result.
func acquire(t *testing.T, o *Owner, key string, mode Mode) <-chan error {
	done := make(chan error, 1)
	go func() { done <- o.manager.Acquire(t.Context(), o, key, mode) }() // ends with Acquire
	synctest.Wait()
	return done
}

func waits(t *testing.T, done <-chan error) {
	t.Helper()
	synctest.Wait()
	require.Empty(t, done, "should wait")
}

func granted(t *testing.T, done <-chan error) {
	t.Helper()
	synctest.Wait()
	require.Len(t, done, 1, "should be granted")
	require.NoError(t, <-done)
}

func owners(m *Manager) (a, b, c *Owner) { return m.NewOwner(), m.NewOwner(), m.NewOwner() }

func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager()
		a, b, c := owners(m)
		granted(t, acquire(t, a, "k", Exclusive))
		granted(t, acquire(t, a, "k", Shared))
		second := acquire(t, b, "k", Exclusive)
		third := acquire(t, c, "k", Exclusive)
		waits(t, second)
		a.Release()
		granted(t, second)
		waits(t, third)
		b.Release()
		granted(t, third)
		require.Equal(t, Exclusive, c.Holds("k"))
		c.Release()
		require.Zero(t, m.Len())
	})
}

func TestSharedHoldersAndNoOvertaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager()
		a, b, c := owners(m)
		granted(t, acquire(t, a, "k", Shared))
		granted(t, acquire(t, b, "k", Shared))
		writer := acquire(t, c, "k", Exclusive)
		waits(t, writer)
		d := m.NewOwner()
		reader := acquire(t, d, "k", Shared)
		waits(t, reader) // or writers would starve
		require.False(t, m.TryAcquire(m.NewOwner(), "k", Shared))
		a.Release()
		b.Release()
		granted(t, writer)
		waits(t, reader)
		c.Release()
		granted(t, reader)
		d.Release()
		require.Zero(t, m.Len())
	})
}

func TestUpgradeAndItsRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager()
		a, b, c := owners(m)
		granted(t, acquire(t, a, "k", Shared))
		mark := a.Mark()
		granted(t, acquire(t, b, "k", Shared))
		queued := acquire(t, c, "k", Exclusive)
		upgrade := acquire(t, a, "k", Exclusive)
		waits(t, upgrade)
		b.Release()
		granted(t, upgrade) // before c, which waits for a's shared lock anyway
		waits(t, queued)
		a.ReleaseTo(mark)
		require.Equal(t, Shared, a.Holds("k"))
		waits(t, queued)
		a.Release()
		granted(t, queued)
		c.Release()
		require.Zero(t, m.Len())
	})
}

func TestDeadlocks(t *testing.T) {
	isDeadlock := func(t *testing.T, done <-chan error) {
		t.Helper()
		var e *sqlerr.Error
		require.ErrorAs(t, <-done, &e)
		require.Equal(t, "40P01", e.Code)
		require.Equal(t, "deadlock detected", e.Message)
	}
	t.Run("three owners", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := NewManager()
			a, b, c := owners(m)
			granted(t, acquire(t, a, "1", Exclusive))
			granted(t, acquire(t, b, "2", Exclusive))
			granted(t, acquire(t, c, "3", Exclusive))
			first, second := acquire(t, a, "2", Exclusive), acquire(t, b, "3", Exclusive)
			isDeadlock(t, acquire(t, c, "1", Exclusive))
			waits(t, first)
			c.Release()
			granted(t, second)
			b.Release()
			granted(t, first)
			a.Release()
			require.Zero(t, m.Len())
		})
	})
	t.Run("two upgrades", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := NewManager()
			a, b, _ := owners(m)
			granted(t, acquire(t, a, "k", Shared))
			granted(t, acquire(t, b, "k", Shared))
			first := acquire(t, a, "k", Exclusive)
			isDeadlock(t, acquire(t, b, "k", Exclusive))
			b.Release()
			granted(t, first)
			a.Release()
		})
	})
	t.Run("through the queue", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m := NewManager()
			a, b, c := owners(m)
			granted(t, acquire(t, a, "x", Shared))
			granted(t, acquire(t, c, "y", Exclusive))
			writer := acquire(t, b, "x", Exclusive) // waits for a
			reader := acquire(t, c, "x", Shared)    // waits behind b
			// a would wait for c, c for b in the queue, b for a.
			isDeadlock(t, acquire(t, a, "y", Exclusive))
			a.Release()
			granted(t, writer)
			b.Release()
			granted(t, reader)
			c.Release()
			require.Zero(t, m.Len())
		})
	})
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager()
		a, b, c := owners(m)
		granted(t, acquire(t, a, "k", Shared))
		cause := errors.New("statement timeout")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- m.Acquire(ctx, b, "k", Exclusive) }() // ends at the timeout
		synctest.Wait()
		reader := acquire(t, c, "k", Shared)
		waits(t, reader)
		require.ErrorIs(t, <-done, cause)
		granted(t, reader) // the one who gave up no longer stands before it
		require.Equal(t, Unknown, b.Holds("k"))
		a.Release()
		c.Release()
		require.Zero(t, m.Len())
	})
}

// Owners take random locks in random order; the exclusive ones guard a counter that
// must never be seen taken twice. All must end: a missed deadlock hangs the bubble.
func TestRandomOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager()
		keys := []string{"a", "b", "c", "d"}
		holders := make([]int, len(keys)) // guarded by the locks themselves
		var mu sync.Mutex
		deadlocks := 0
		var wg sync.WaitGroup
		for seed := range uint64(8) {
			wg.Go(func() { // ends after its rounds
				rng := rand.New(rand.NewPCG(seed, 1))
				for range 200 {
					o := m.NewOwner()
					var mine []int
					for range 3 {
						i := rng.IntN(len(keys))
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(5))*time.Second)
						err := m.Acquire(ctx, o, keys[i], Exclusive)
						cancel()
						if err != nil {
							mu.Lock()
							deadlocks++
							mu.Unlock()
							break
						}
						if len(mine) == 0 || !contains(mine, i) {
							holders[i]++
							assert.Equal(t, 1, holders[i])
							mine = append(mine, i)
						}
					}
					for _, i := range mine {
						holders[i]--
					}
					o.Release()
				}
			})
		}
		wg.Wait()
		require.Zero(t, m.Len())
		t.Logf("%d waits ended in a deadlock or a timeout", deadlocks)
	})
}

func contains(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

func BenchmarkAcquireRelease(b *testing.B) {
	m := NewManager()
	b.ReportAllocs()
	for b.Loop() {
		o := m.NewOwner()
		if err := m.Acquire(context.Background(), o, "key", Exclusive); err != nil {
			b.Fatal(err)
		}
		o.Release()
	}
}

// The lock is granted in the moment in which its waiter gives up: it goes on to the
// next.
func TestGivingUpAfterTheGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := NewManager()
		a, b, c := owners(m)
		granted(t, acquire(t, a, "k", Exclusive))
		w, err := m.request(b, "k", Exclusive)
		require.NoError(t, err)
		third := acquire(t, c, "k", Exclusive)
		a.Release()
		require.Equal(t, Exclusive, b.Holds("k"))
		m.withdraw(w)
		require.Equal(t, Unknown, b.Holds("k"))
		granted(t, third)
		c.Release()
		require.Zero(t, m.Len())
	})
}
