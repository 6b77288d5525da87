package dials

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ms = int64(time.Millisecond)

// hanging returns a watch with so many dials that were begun at 0 and hang, and
// operations that have waited for them until 100 ms.
func hanging(t *testing.T, dials, waits int) (w *Watch, under []context.Context, ends []func(error)) {
	t.Helper()
	w = &Watch{}
	for range dials {
		ctx, end := w.Begin(t.Context(), 0)
		under, ends = append(under, ctx), append(ends, end)
	}
	for range waits {
		w.InVain(100 * ms)
	}
	return w, under, ends
}

func TestHang(t *testing.T) {
	boom := errors.New("boom")
	t.Run("waits in a row", func(t *testing.T) {
		w, _, ends := hanging(t, 1, limit-1)
		require.NoError(t, w.Hang(100*ms))
		w.InVain(150 * ms)
		require.EqualError(t, w.Hang(1100*ms), "its dials hang; waits in vain for one: 5, the first 1s ago")
		ends[0](boom)
		require.EqualError(t, w.Hang(1100*ms), "its dials hang; waits in vain for one: 5, the first 1s ago; the last dial that ended: boom")
	})
	t.Run("a dial that is answered", func(t *testing.T) {
		w, _, ends := hanging(t, 2, limit)
		ends[0](boom)
		require.Error(t, w.Hang(200*ms))
		ends[1](nil)
		require.NoError(t, w.Hang(200*ms))
		require.NoError(t, w.Unanswered(200*ms))
	})
	t.Run("in between", func(t *testing.T) {
		w, _, ends := hanging(t, 2, limit-1)
		ends[0](nil)
		w.InVain(200 * ms)
		require.NoError(t, w.Hang(200*ms))
		require.EqualError(t, w.Unanswered(200*ms), "its dials hang; waits in vain for one: 1, the first 0s ago")
	})
	t.Run("no dial", func(t *testing.T) {
		w, _, ends := hanging(t, 1, 0)
		ends[0](nil)
		for range 2 * limit {
			w.InVain(100 * ms)
		}
		require.NoError(t, w.Unanswered(100*ms), "all connections were in use")
	})
	t.Run("failed dials", func(t *testing.T) {
		w, _, ends := hanging(t, 1, 0)
		ends[0](boom)
		for range limit {
			w.InVain(100 * ms)
		}
		require.Error(t, w.Hang(100*ms))
	})
}

func TestTry(t *testing.T) {
	w, _, _ := hanging(t, 1, limit)
	var tries []int64
	for at := int64(100); at < 15_000; at++ {
		if w.Try(at*ms, false, false) {
			tries = append(tries, at)
			require.False(t, w.Try(at*ms, true, false), "one at a time")
			w.InVain(at * ms)
		}
	}
	require.Equal(t, []int64{350, 850, 1850, 3850, 6350, 8850, 11350, 13850}, tries)
	require.False(t, w.Try((13850+249)*ms, true, false))
	require.True(t, w.Try((13850+250)*ms, true, false), "who has no other node tries sooner")

	_, end := w.Begin(t.Context(), 0)
	end(nil)
	for range limit + 1 {
		w.InVain(20_000 * ms)
	}
	require.False(t, w.Try(20_249*ms, false, false))
	require.True(t, w.Try(20_250*ms, false, false), "the pauses begin again")
}

func TestGiveUp(t *testing.T) {
	w, under, ends := hanging(t, 8, limit)
	given := func() (n int) { // from the end
		for n < len(under) && under[len(under)-1-n].Err() != nil {
			n++
		}
		for _, ctx := range under[:len(under)-n] {
			require.NoError(t, ctx.Err(), "an older one was given up")
		}
		return n
	}
	require.True(t, w.Try(1999*ms, false, true))
	require.Zero(t, given(), "they may succeed")
	require.True(t, w.Try(4000*ms, false, false))
	require.Equal(t, 8-spared, given())
	for _, end := range ends[spared:] {
		end(context.Canceled)
	}
	require.NotContains(t, w.Hang(4000*ms).Error(), "ended", "that was us")
	require.True(t, w.Try(8000*ms, false, true))
	require.Equal(t, 7, given(), "one goes on where there is no room")
	ends[0](errors.New("its time is up"))
	require.ErrorContains(t, w.Hang(8000*ms), "the last dial that ended: its time is up")
}
