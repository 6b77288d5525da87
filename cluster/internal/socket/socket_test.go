package socket

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pair returns a tracked connection over TCP and the server's end of it.
func pair(t *testing.T) (*Set, *Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	var d net.Dialer
	set := New(d.DialContext, 2, health.NewPulse())
	client, err := set.Dial(context.Background(), "tcp", l.Addr().String())
	require.NoError(t, err)
	server, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { client.Close(); server.Close() })
	return set, client.(*Conn), server
}

func TestCountsBytesAndLife(t *testing.T) {
	set, client, server := pair(t)
	require.True(t, set.pulse.Last().IsZero())
	_, err := client.Write([]byte("hello"))
	require.NoError(t, err)
	require.EqualValues(t, 5, client.Sent())
	require.Zero(t, client.Heard())
	asked := time.Since(set.pulse.Base())
	_, err = server.Write([]byte("abc"))
	require.NoError(t, err)
	_, err = io.ReadFull(client, make([]byte, 3))
	require.NoError(t, err)
	require.False(t, set.pulse.Last().IsZero())
	require.GreaterOrEqual(t, client.Heard(), asked)
	require.LessOrEqual(t, client.Heard(), time.Since(set.pulse.Base()))
	require.Equal(t, 1, set.Count())
	require.NoError(t, client.Close())
	require.Zero(t, set.Count())
}

func TestGone(t *testing.T) {
	_, client, server := pair(t)
	require.False(t, client.Gone(false))
	require.False(t, client.Cut())
	require.Zero(t, testing.AllocsPerRun(100, func() { client.Gone(false) }))
	_, err := server.Write([]byte{'N', 0})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return client.peekable() }, 20*time.Second, time.Millisecond)
	require.False(t, client.Gone(false), "a notice is no farewell")
	require.True(t, client.Gone(true), "under TLS it could be one")
	_, err = io.ReadFull(client, make([]byte, 2))
	require.NoError(t, err)
	_, err = server.Write([]byte{'E', 0})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return client.Gone(false) }, 20*time.Second, time.Millisecond, "a farewell")
	require.True(t, client.Gone(true), "under TLS whatever comes unasked is one")
	_, err = io.ReadFull(client, make([]byte, 2))
	require.NoError(t, err)
	require.NoError(t, server.Close())
	require.Eventually(t, func() bool { return client.Gone(true) }, 20*time.Second, time.Millisecond, "closed")
}

// peekable reports whether a byte waits to be read.
func (c *Conn) peekable() bool {
	c.Gone(false)
	return c.peek.n > 0
}

// A read that is under way doesn't keep Gone waiting.
func TestGoneBesideRead(t *testing.T) {
	_, client, _ := pair(t)
	reading := make(chan struct{})
	go func() { // ends when the connection is closed
		close(reading)
		_, _ = client.Read(make([]byte, 1))
	}()
	<-reading
	done := make(chan bool, 1)
	go func() { done <- client.Gone(false) }() // ends at once
	select {
	case gone := <-done:
		require.False(t, gone)
	case <-time.After(5 * time.Second):
		t.Fatal("Gone waits for the read")
	}
}

func TestCutEndsEverything(t *testing.T) {
	set, client, server := pair(t)
	read := make(chan error, 1)
	go func() { // ends when the connection is cut
		_, err := client.Read(make([]byte, 1))
		read <- err
	}()
	refusal := errors.New("refused")
	set.Refuse(refusal)
	require.Equal(t, 1, set.Cut())
	err := <-read
	require.ErrorIs(t, err, ErrCut)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = client.Write([]byte("x"))
	require.ErrorIs(t, err, ErrCut)
	require.Zero(t, client.Sent())
	_, err = server.Read(make([]byte, 1))
	require.ErrorContains(t, err, "reset", "the peer sees an RST")
	_, err = set.Dial(context.Background(), "tcp", "127.0.0.1:1")
	require.ErrorIs(t, err, refusal)
	set.Allow()
	_, err = set.Dial(context.Background(), "tcp", "127.0.0.1:1")
	require.NotErrorIs(t, err, refusal)
}

// A dial under way when the cut comes fails too, whether it is blocked or just
// about to succeed.
func TestCutEndsDials(t *testing.T) {
	refusal := errors.New("refused")
	dialing, release := make(chan struct{}), make(chan struct{})
	client, server := net.Pipe()
	defer server.Close()
	late := New(func(context.Context, string, string) (net.Conn, error) {
		close(dialing)
		<-release
		return client, nil
	}, 1, health.NewPulse())
	result := make(chan error, 1)
	go func() { // ends with the dial
		_, err := late.Dial(context.Background(), "tcp", "x")
		result <- err
	}()
	<-dialing
	late.Refuse(refusal)
	late.Cut()
	close(release)
	require.ErrorIs(t, <-result, refusal)
	_, err := client.Write([]byte("x"))
	require.Error(t, err, "the late connection was closed")

	blocked := New(func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}, 1, health.NewPulse())
	for range 3 { // one dials, two wait for the slot
		go func() { // ends with the cut
			_, err := blocked.Dial(context.Background(), "tcp", "x")
			result <- err
		}()
	}
	require.Eventually(t, func() bool {
		blocked.mu.Lock()
		defer blocked.mu.Unlock()
		return len(blocked.dialing) == 3
	}, 20*time.Second, time.Millisecond)
	blocked.Refuse(refusal)
	blocked.Cut()
	for range 3 {
		require.ErrorIs(t, <-result, refusal)
	}
}

// What pgx sends after a failed write isn't the statement.
func TestFarewellDoesNotCount(t *testing.T) {
	client, server := net.Pipe()
	set := New(func(context.Context, string, string) (net.Conn, error) { return client, nil }, 1, health.NewPulse())
	conn, err := set.Dial(context.Background(), "tcp", "x")
	require.NoError(t, err)
	require.NoError(t, conn.SetWriteDeadline(time.Unix(1, 0)))
	_, err = conn.Write([]byte("insert"))
	require.Error(t, err)
	require.NoError(t, conn.SetWriteDeadline(time.Time{}))
	go func() { _, _ = io.ReadFull(server, make([]byte, 5)) }() // ends when the farewell is read
	_, err = conn.Write([]byte("XXXXX"))
	require.NoError(t, err)
	require.Zero(t, conn.(*Conn).Sent())
}

func TestFindUnderWrapping(t *testing.T) {
	_, client, _ := pair(t)
	require.Same(t, client, Find(wrapped{client}))
	require.Nil(t, Find(nil))
	plain, other := net.Pipe()
	defer plain.Close()
	defer other.Close()
	require.Nil(t, Find(plain))
}

type wrapped struct{ net.Conn }

func (w wrapped) NetConn() net.Conn { return w.Conn }

// A session in use outlives a cut of what isn't ready yet.
func TestCutUnready(t *testing.T) {
	set, client, server := pair(t)
	client.Ready()
	set.CutUnready()
	_, err := client.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(server, make([]byte, 1))
	require.NoError(t, err)
	_, other, _ := pair(t)
	other.owner.CutUnready()
	_, err = other.Write([]byte("x"))
	require.ErrorIs(t, err, ErrCut)
}
