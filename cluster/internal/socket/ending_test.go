package socket

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/health"
)

// slow is a transport whose Close takes its time.
type slow struct {
	net.Conn
	takes time.Duration
	deaf  bool // it knows no deadlines
}

var errDeaf = errors.New("deadlines aren't supported")

func (s slow) Close() error {
	time.Sleep(s.takes)
	return s.Conn.Close()
}

func (s slow) SetDeadline(t time.Time) error {
	if s.deaf {
		return errDeaf
	}
	return s.Conn.SetDeadline(t)
}

// slowPipe returns a set and one of its connections, which closes slowly.
func slowPipe(t *testing.T, takes time.Duration, deaf bool) (*Set, *Conn) {
	t.Helper()
	here, there := net.Pipe()
	t.Cleanup(func() { require.NoError(t, there.Close()) })
	set := New(func(context.Context, string, string) (net.Conn, error) {
		return slow{here, takes, deaf}, nil
	}, 1, health.NewPulse())
	conn, err := set.Dial(t.Context(), "tcp", "node")
	require.NoError(t, err)
	return set, conn.(*Conn)
}

// Nobody waits for the Close of a transport that was cut: neither who cuts nor who
// reads, nor who closes the connection afterwards.
func TestCutWaitsForNoClose(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			set, conn := slowPipe(t, time.Minute, deaf)
			began := time.Now()
			read := make(chan time.Duration)
			go func() { // ends with the read
				_, err := conn.Read(make([]byte, 1))
				require.ErrorIs(t, err, ErrCut)
				read <- time.Since(began)
			}()
			synctest.Wait()
			require.Equal(t, 1, set.Cut())
			_, err := conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, ErrCut)
			_, err = conn.Write([]byte("x"))
			require.ErrorIs(t, err, ErrCut)
			require.ErrorIs(t, conn.Close(), ErrCut)
			require.Zero(t, set.Count())
			require.Zero(t, time.Since(began))

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.Equal(t, 1, set.Wait(ctx))
			require.Equal(t, time.Second, time.Since(began))
			if deaf {
				require.Equal(t, time.Minute, <-read, "nothing else ends it")
			} else {
				require.Zero(t, <-read)
			}
			require.Zero(t, set.Wait(t.Context()))
			require.Equal(t, time.Minute, time.Since(began))
			require.NoError(t, conn.Close(), "what the transport said")
		})
	}
}

// A deadline that pgx sets doesn't undo a cut.
func TestCutKeepsItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, conn := slowPipe(t, time.Minute, false)
		require.NoError(t, conn.SetDeadline(time.Now().Add(time.Hour)))
		set.Cut()
		synctest.Wait()
		for _, set := range []func(time.Time) error{conn.SetDeadline, conn.SetReadDeadline, conn.SetWriteDeadline} {
			require.ErrorIs(t, set(time.Time{}), ErrCut)
		}
		began := time.Now()
		_, err := conn.Conn.Read(make([]byte, 1))
		require.Error(t, err)
		require.Zero(t, time.Since(began))
		require.Zero(t, set.Wait(t.Context()))
	})
}

// Close waits for the transport's, but not for long, and only once.
func TestCloseHasPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, conn := slowPipe(t, closePatience/2, false)
		began := time.Now()
		require.NoError(t, conn.Close())
		require.Equal(t, closePatience/2, time.Since(began))
		require.NoError(t, conn.Close())
		require.Zero(t, set.Wait(t.Context()))

		set, conn = slowPipe(t, time.Minute, false)
		began = time.Now()
		require.ErrorIs(t, conn.Close(), errSlowClose)
		require.ErrorIs(t, conn.Close(), errSlowClose)
		require.Equal(t, closePatience, time.Since(began))
		require.Zero(t, set.Wait(t.Context()))
		require.Equal(t, time.Minute, time.Since(began))
	})
}

// A cut releases who waits in Close, too: pgx may have begun to close what it found
// broken.
func TestCutReleasesClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set, conn := slowPipe(t, time.Minute, false)
		began := time.Now()
		closed := make(chan error)
		go func() { closed <- conn.Close() }() // ends with the cut
		time.Sleep(closePatience / 4)
		require.Zero(t, set.Cut(), "it isn't open any more")
		require.ErrorIs(t, <-closed, ErrCut)
		require.Equal(t, closePatience/4, time.Since(began))
		require.Zero(t, set.Wait(t.Context()))
	})
}
