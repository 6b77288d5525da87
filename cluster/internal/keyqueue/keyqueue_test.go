package keyqueue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// enter is Enter for tests in which it can't fail.
func enter(t *testing.T, q *Queues, key string) *Turn {
	t.Helper()
	turn, err := q.Enter(t.Context(), key)
	require.NoError(t, err)
	return turn
}

// idle requires that nothing is kept of any key.
func idle(t *testing.T, q *Queues) {
	t.Helper()
	for i := range q.shards {
		assert.Empty(t, q.shards[i].lines)
	}
	s := q.Stats()
	assert.Zero(t, s.Keys)
	assert.Zero(t, s.Waiting)
}

// Everyone works as long as they like; they get their turns in the order in which
// they came, one at a time, each exactly when the one before leaves.
func TestFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(100, nil)
		began := time.Now()
		var running sync.WaitGroup
		var order []int
		var starts []time.Duration
		for i := range 20 {
			running.Go(func() { // ends after its turn
				turn := enter(t, q, "k")
				order, starts = append(order, i), append(starts, time.Since(began))
				time.Sleep(time.Duration(1+i) * time.Millisecond)
				turn.Leave()
			})
			synctest.Wait() // it works, or waits
		}
		assert.Equal(t, Stats{Keys: 1, Waiting: 19, Entered: 1, LongestQueue: 19}, q.Stats())
		running.Wait()
		var at time.Duration
		for i := range 20 {
			require.Equal(t, i, order[i])
			require.Equal(t, at, starts[i])
			at += time.Duration(1+i) * time.Millisecond
		}
		s := q.Stats()
		assert.Equal(t, int64(20), s.Entered)
		assert.Equal(t, int64(19), s.Waited)
		assert.Equal(t, starts[19], s.LongestWait)
		idle(t, q)
	})
}

// Sixteen goroutines ask again and again: none gets two turns more than another.
func TestFairness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(100, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second+time.Millisecond/2)
		defer cancel()
		var running sync.WaitGroup
		var turns [16]int
		for i := range turns {
			running.Go(func() { // ends with the context
				for {
					turn, err := q.Enter(ctx, "k")
					if err != nil {
						return
					}
					turns[i]++
					time.Sleep(time.Millisecond)
					turn.Leave()
				}
			})
		}
		running.Wait()
		total := 0
		for i, n := range turns {
			total += n
			assert.InDelta(t, 1000/16, n, 1, "goroutine %d", i)
		}
		assert.InDelta(t, 1000, total, 1, "the key was never idle")
		idle(t, q)
	})
}

func TestKeysAreApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(1, nil)
		held := make([]*Turn, 1000)
		for i := range held {
			held[i] = enter(t, q, fmt.Sprint(i))
			assert.Zero(t, held[i].Waited())
		}
		assert.Equal(t, 1000, q.Stats().Keys)
		for _, turn := range held {
			assert.False(t, turn.Leave())
			turn.Leave() // a second time changes nothing
		}
		idle(t, q)
		assert.Zero(t, (*Turn)(nil).Waited())
		assert.False(t, (*Turn)(nil).Leave())
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(2, nil)
		first := enter(t, q, "k")
		var running sync.WaitGroup
		for range 2 {
			running.Go(func() { enter(t, q, "k").Leave() }) // ends when first leaves
		}
		synctest.Wait()
		_, err := q.Enter(t.Context(), "k")
		require.ErrorIs(t, err, ErrFull)
		require.NotErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "anywriter: the queue of the key is full: 2 operations are waiting, and key_queue allows no more")
		enter(t, q, "other").Leave()
		assert.True(t, first.Leave())
		running.Wait()
		assert.Equal(t, int64(1), q.Stats().RefusedFull)
		idle(t, q)
	})
}

// Whoever gives up leaves at once, wherever it stands, and nobody else waits
// longer for it.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(10, nil)
		first := enter(t, q, "k")
		var running sync.WaitGroup
		var got []int
		cancels := make([]context.CancelFunc, 6)
		for i := range cancels {
			var ctx context.Context
			ctx, cancels[i] = context.WithCancel(t.Context())
			running.Go(func() { // ends with its context, or when its turn comes
				turn, err := q.Enter(ctx, "k")
				if err != nil {
					var e *Error
					assert.ErrorAs(t, err, &e)
					assert.ErrorIs(t, err, context.Canceled)
					assert.Equal(t, time.Second, e.Waited)
					return
				}
				got = append(got, i)
				turn.Leave()
			})
			synctest.Wait()
		}
		time.Sleep(time.Second)
		for _, i := range []int{0, 3, 5} { // the first, one in the middle, the last
			cancels[i]()
			synctest.Wait()
		}
		assert.Equal(t, 3, q.Stats().Waiting)
		first.Leave()
		running.Wait()
		assert.Equal(t, []int{1, 2, 4}, got)
		for _, cancel := range cancels {
			cancel()
		}
		_, err := q.Enter(canceled(), "k")
		require.ErrorIs(t, err, context.Canceled, "a context that is over gets no turn, although the key is free")
		assert.Equal(t, int64(4), q.Stats().GaveUp)
		idle(t, q)
	})
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// A turn that is granted in the moment in which its owner gives up goes on to the
// next.
func TestGrantedAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(10, nil)
		first := enter(t, q, "k")
		s := &q.shards[0]
		for i := range q.shards {
			if len(q.shards[i].lines) > 0 {
				s = &q.shards[i]
			}
		}
		second := &Turn{queues: q, shard: s, line: s.lines["k"], key: "k", state: waiting, ready: make(chan struct{})}
		second.place = s.lines["k"].queue.PushBack(second)
		third := make(chan *Turn)
		go func() { third <- enter(t, q, "k") }() // ends when second has left
		synctest.Wait()
		first.Leave()
		second.leave(false) // as wait does, if it sees the context first
		turn := <-third
		assert.False(t, second.Leave())
		assert.Equal(t, 1, q.Stats().Keys)
		turn.Leave()
		idle(t, q)
	})
}

// Nobody begins to wait for what can't come in time; the estimate follows what
// was seen, and without anything seen nobody is refused.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(100, nil)
		try := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			turn, err := q.Enter(ctx, "k")
			turn.Leave()
			return err
		}
		turn := enter(t, q, "k")
		began := time.Now()
		err := try(time.Millisecond)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.NotErrorIs(t, err, ErrLate, "nobody knew how long it would take")
		require.Equal(t, time.Millisecond, time.Since(began))

		var running sync.WaitGroup
		for range 2 + 3 {
			running.Go(func() { // ends after its turn
				turn := enter(t, q, "k")
				time.Sleep(9 * time.Millisecond)
				turn.Leave()
			})
		}
		time.Sleep(8 * time.Millisecond)
		turn.Leave() // after 9 ms in all
		time.Sleep(18 * time.Millisecond)
		synctest.Wait()                  // three have worked: the estimate is right from now on
		time.Sleep(2 * time.Millisecond) // 7 + 9 + 9 are left
		began = time.Now()
		err = try(24 * time.Millisecond)
		require.ErrorIs(t, err, ErrLate)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualError(t, err, "anywriter: the turn on the key would come after the deadline: about 25ms to wait behind 3 others, 24ms left")
		require.Zero(t, time.Since(began), "it was told at once")
		require.NoError(t, try(25*time.Millisecond+1))
		require.Equal(t, 25*time.Millisecond, time.Since(began))
		running.Wait()
		assert.Equal(t, int64(1), q.Stats().RefusedLate)
		idle(t, q)
	})
}

// One that works for long delays those behind it, but spoils no estimate; nothing is
// estimated before enough have worked, and what is long over doesn't count.
func TestEstimateNeedsEvidence(t *testing.T) {
	const ms = time.Millisecond
	l := &line{}
	for _, c := range []struct{ took, hold time.Duration }{
		{600 * ms, 0},
		{ms, 0},
		{ms, ms},
		{600 * ms, ms},
		{600 * ms, 600 * ms},
		{2 * ms, 2 * ms},
		{2 * ms, 2 * ms},
		{0, 2 * ms},
		{0, 2 * ms},
		{0, 2 * ms},
		{0, 0},
		{10 * ms, 0},
		{10 * ms, 0},
		{10 * ms, 0},
		{10 * ms, 10 * ms},
	} {
		l.observe(c.took)
		assert.Equal(t, c.hold, l.hold(), "after %d", l.count)
	}
}

// The first on an idle key is slow for once; nobody behind it is turned away, since
// the others are as quick as ever.
func TestOneSlowTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(100, nil)
		slow := enter(t, q, "k")
		var running sync.WaitGroup
		for range 30 {
			running.Go(func() { // ends after its turns
				for range 5 {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					turn, err := q.Enter(ctx, "k")
					cancel()
					if assert.NoError(t, err) {
						time.Sleep(time.Millisecond)
						turn.Leave()
					}
				}
			})
		}
		time.Sleep(600 * time.Millisecond)
		slow.Leave()
		running.Wait()
		idle(t, q)
	})
}

func TestClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		closing := make(chan struct{})
		q := New(10, closing)
		turn := enter(t, q, "k")
		var running sync.WaitGroup
		for range 5 {
			running.Go(func() { // ends when closing is closed
				_, err := q.Enter(t.Context(), "k")
				assert.ErrorIs(t, err, ErrClosed)
			})
		}
		synctest.Wait()
		close(closing)
		running.Wait()
		turn.Leave()
		idle(t, q)
	})
}

// Many goroutines, few keys, contexts that end at any moment: never two at work
// on a key, never one that is forgotten. It is for the race detector, too.
func TestNobodyIsForgotten(t *testing.T) {
	q := New(1000, nil)
	var running sync.WaitGroup
	var at [4]atomic.Int64
	for g := range 16 {
		running.Go(func() { // ends after its rounds
			for i := range 300 {
				k := (g + i) % len(at)
				ctx, cancel := context.WithCancel(context.Background())
				if i%3 == 0 {
					go cancel() // ends at once
				}
				turn, err := q.Enter(ctx, fmt.Sprint(k))
				if err == nil {
					assert.Equal(t, int64(1), at[k].Add(1))
					at[k].Add(-1)
					turn.Leave()
				} else {
					assert.True(t, errors.Is(err, context.Canceled))
				}
				cancel()
			}
		})
	}
	running.Wait()
	idle(t, q)
}

func BenchmarkFreeKey(b *testing.B) {
	q := New(1000, nil)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		turn, err := q.Enter(ctx, "accounts/42")
		if err != nil {
			b.Fatal(err)
		}
		turn.Leave()
	}
}

func BenchmarkUnrelatedKeys(b *testing.B) {
	q := New(1000, nil)
	var id atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		key := fmt.Sprint("accounts/", id.Add(1))
		for pb.Next() {
			turn, err := q.Enter(context.Background(), key)
			if err != nil {
				b.Error(err)
				return
			}
			turn.Leave()
		}
	})
}
