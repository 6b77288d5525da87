package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var errCrowded = errors.New("no room")

// full makes the server refuse further connections, or ends that.
func (s *server) full(full bool) {
	var err *error
	if full {
		err = &errCrowded
	}
	s.refused.Store(err)
}

func crowds(c *Config[int]) {
	c.Max = 10
	c.Crowded = func(err error) bool { return errors.Is(err, errCrowded) }
}

// A server that has no room for more isn't asked again by everybody: the patient wait
// for the connections that there are, the others are told what it said.
func TestCrowdedServer(t *testing.T) {
	s := &server{delay: time.Millisecond}
	inBubble(t, s, crowds, func(t *testing.T, p *Pool[int]) {
		a := acquire(t, p)
		s.full(true)
		began := time.Now()
		_, err := p.Acquire(t.Context(), nanos(), true)
		require.ErrorIs(t, err, errCrowded, "the server was asked")
		require.Equal(t, time.Millisecond, time.Since(began))
		_, err = p.Acquire(t.Context(), nanos(), false)
		require.ErrorIs(t, err, errCrowded)
		require.Equal(t, time.Millisecond, time.Since(began), "it wasn't asked again")

		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = p.Acquire(ctx, nanos(), true)
		require.ErrorIs(t, err, context.DeadlineExceeded, "nothing was given back")
		time.AfterFunc(5*time.Millisecond, func() { p.Release(a, nanos()) })
		b, err := p.Acquire(t.Context(), nanos(), true)
		require.NoError(t, err)
		require.Same(t, a, b)
		require.Equal(t, 16*time.Millisecond, time.Since(began))
		require.Equal(t, Stat{Total: 1, Lent: 1}, p.Stat(), "what was refused takes no place")

		s.full(false)
		<-time.After(crowdPause)
		c := acquire(t, p) // it may be asked again, and has room
		d := acquire(t, p)
		for _, x := range []*Conn[int]{b, c, d} {
			p.Release(x, nanos())
		}
	})
}

// A server without room for any connection is asked ever less often, by one at a time.
func TestServerWithoutRoom(t *testing.T) {
	s := &server{delay: time.Millisecond}
	inBubble(t, s, crowds, func(t *testing.T, p *Pool[int]) {
		s.full(true)
		asked := 0
		for range 10_000 {
			began := time.Now()
			_, err := p.Acquire(t.Context(), nanos(), true)
			require.ErrorIs(t, err, errCrowded)
			if time.Since(began) > 0 {
				asked++
			}
			<-time.After(time.Millisecond)
		}
		require.InDelta(t, 10*time.Second/maxCrowdPause, asked, 5)
		s.full(false)
		<-time.After(maxCrowdPause)
		p.Release(acquire(t, p), nanos())
	})
}

// When the last connection of a full server breaks, whoever waits for it opens another.
func TestLastConnectionOfACrowdedServerBreaks(t *testing.T) {
	s := &server{delay: time.Millisecond}
	inBubble(t, s, crowds, func(t *testing.T, p *Pool[int]) {
		a := acquire(t, p)
		s.full(true)
		_, err := p.Acquire(t.Context(), nanos(), true)
		require.ErrorIs(t, err, errCrowded)
		time.AfterFunc(time.Millisecond, func() {
			s.full(false)
			p.Discard(a)
		})
		b, err := p.Acquire(t.Context(), nanos(), true)
		require.NoError(t, err)
		require.NotSame(t, a, b)
		p.Release(b, nanos())
	})
}
