package keyqueue

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var seed = flag.Uint64("seed", 0, "seed of the random test; 0 draws one")

// client is one operation in the model test.
type client struct {
	key     string
	cancel  context.CancelFunc
	turn    *Turn
	err     error
	decided bool // Enter has returned
}

// bed is the queues under test beside what they should be: a list for each key,
// of which the first works.
type bed struct {
	*testing.T
	q       *Queues
	rng     *rand.Rand
	model   map[string][]*client
	running sync.WaitGroup
	steps   []string
}

const modelLimit = 5

// TestModel takes random steps (come, leave, give up, let time pass) and compares
// after each who works, who waits and who was turned away.
func TestModel(t *testing.T) {
	for range 30 {
		s := *seed
		if s == 0 {
			s = rand.Uint64()
		}
		synctest.Test(t, func(t *testing.T) { runModel(t, s) })
	}
}

func runModel(t *testing.T, s uint64) {
	b := &bed{T: t, q: New(modelLimit, nil), rng: rand.New(rand.NewPCG(s, 1)), model: map[string][]*client{}}
	defer func() {
		if t.Failed() {
			t.Logf("the last steps: %v\nreplay: go test ./cluster/internal/keyqueue -run TestModel -seed %d", b.steps[max(0, len(b.steps)-30):], s)
		}
	}()
	for range 500 {
		key := fmt.Sprint("k", b.rng.IntN(3))
		switch p := b.rng.IntN(10); {
		case p < 4:
			b.come(key)
		case p < 7:
			b.leave(key)
		case p < 9:
			b.giveUp(key)
		default:
			time.Sleep(time.Duration(b.rng.IntN(3)) * time.Millisecond)
		}
		b.compare()
	}
	for key := range b.model {
		for len(b.model[key]) > 0 {
			b.leave(key)
			b.compare()
		}
	}
	b.running.Wait()
	idle(t, b.q)
}

func (b *bed) step(format string, args ...any) {
	b.steps = append(b.steps, fmt.Sprintf(format, args...))
}

func (b *bed) come(key string) {
	b.step("come %s", key)
	ctx, cancel := context.WithCancel(b.Context())
	c := &client{key: key, cancel: cancel}
	b.running.Go(func() { // ends when its turn comes, or it gives up
		c.turn, c.err = b.q.Enter(ctx, key)
		c.decided = true
	})
	synctest.Wait()
	if len(b.model[key]) > modelLimit {
		require.True(b, c.decided)
		require.ErrorIs(b, c.err, ErrFull)
		cancel()
		return
	}
	b.model[key] = append(b.model[key], c)
}

func (b *bed) leave(key string) {
	list := b.model[key]
	if len(list) == 0 {
		return
	}
	b.step("leave %s", key)
	require.Equal(b, len(list) > 1, list[0].turn.Leave(), "Leave says whether somebody waits")
	list[0].turn.Leave() // twice is as good as once
	list[0].cancel()
	b.model[key] = list[1:]
}

func (b *bed) giveUp(key string) {
	list := b.model[key]
	if len(list) < 2 {
		return
	}
	i := 1 + b.rng.IntN(len(list)-1)
	b.step("give up %s %d", key, i)
	c := list[i]
	if b.rng.IntN(2) == 0 && i == 1 {
		// In the moment in which its turn comes: either may win.
		list[0].turn.Leave()
		c.cancel()
		synctest.Wait()
		list = list[1:]
		if c.err != nil {
			list = list[1:]
		}
		b.model[key] = list
		return
	}
	c.cancel()
	synctest.Wait()
	require.ErrorIs(b, c.err, context.Canceled)
	b.model[key] = slices.Delete(slices.Clone(list), i, i+1)
}

func (b *bed) compare() {
	synctest.Wait()
	keys, waits := 0, 0
	for key, list := range b.model {
		for i, c := range list {
			require.Equal(b, i == 0, c.decided, "%s: client %d of %d", key, i, len(list))
			require.NoError(b, c.err)
		}
		if len(list) > 0 {
			keys++
			waits += len(list) - 1
		}
	}
	s := b.q.Stats()
	require.Equal(b, keys, s.Keys)
	require.Equal(b, waits, s.Waiting)
	held := 0
	for i := range b.q.shards {
		held += len(b.q.shards[i].lines)
	}
	require.Equal(b, keys, held, "only keys in use are kept")
}
