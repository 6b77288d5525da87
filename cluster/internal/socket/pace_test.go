package socket

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/health"
)

// pipes returns a set whose dials succeed at once, with one end of a pipe.
func pipes(t *testing.T, maxDials int) *Set {
	t.Helper()
	set := New(func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { assert.NoError(t, there.Close()) })
		return here, nil
	}, maxDials, health.NewPulse())
	t.Cleanup(func() { set.Cut() })
	return set
}

func TestPaceOfDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := pipes(t, 100)
		dial := func() {
			_, err := set.Dial(t.Context(), "tcp", "node")
			require.NoError(t, err)
		}
		began := time.Now()
		for range 50 {
			dial()
		}
		require.Equal(t, began, time.Now(), "without a bound nobody waits")

		set.Pace(10, 5)
		for range 5 {
			dial()
		}
		require.Equal(t, began, time.Now(), "the burst")
		for range 20 {
			dial()
		}
		require.Equal(t, 2*time.Second, time.Since(began), "ten a second")
		time.Sleep(time.Hour)
		began = time.Now()
		var running sync.WaitGroup
		for range 25 {
			running.Go(dial) // ends with the dial
		}
		running.Wait()
		require.Equal(t, 2*time.Second, time.Since(began), "an idle hour grants one burst, no more")
		set.Pace(10, 5)
		began = time.Now()
		dial()
		require.Equal(t, 100*time.Millisecond, time.Since(began), "the same bound grants no burst anew")
		set.Pace(0, 0)
		dial()
		require.EqualValues(t, 102, set.Opened())
	})
}

func TestPaceGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := pipes(t, 2)
		set.Pace(1, 1)
		_, err := set.Dial(t.Context(), "tcp", "node")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = set.Dial(ctx, "tcp", "node")
		require.ErrorIs(t, err, context.DeadlineExceeded)

		var cut atomic.Value
		done := make(chan struct{})
		go func() { // ends when the cut ends its dial
			defer close(done)
			_, err := set.Dial(context.Background(), "tcp", "node")
			cut.Store(err)
		}()
		synctest.Wait()
		set.Refuse(ErrCut)
		set.Cut()
		<-done
		require.ErrorIs(t, cut.Load().(error), ErrCut, "who waits for a turn is cut like who dials")
	})
}
