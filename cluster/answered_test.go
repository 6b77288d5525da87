package cluster

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster/internal/clock"
	"github.com/anywriter/anywriter/cluster/internal/socket"
	"github.com/anywriter/anywriter/health"
)

// The time of an answer is when its bytes came, however late that is asked for, unless
// they came before the statement was sent: with the answer of an earlier one.
func TestAnsweredAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &Cluster{clock: clock.New()}
		time.Sleep(time.Second)
		pulse := health.NewPulse()
		near, far := net.Pipe()
		dial := func(context.Context, string, string) (net.Conn, error) { return near, nil }
		conn, err := socket.New(dial, 1, pulse).Dial(t.Context(), "tcp", "n:1")
		require.NoError(t, err)
		sock := conn.(*socket.Conn)
		p := &physical{node: &Node{cluster: c}, sock: sock, pulsed: c.clock.At(pulse.Base())}
		require.Equal(t, c.clock.Nanos(), p.answeredAt(0), "nothing has come yet")

		started := c.clock.Nanos()
		time.Sleep(time.Millisecond)
		go far.Write([]byte("x")) // ends with the read
		_, err = sock.Read(make([]byte, 1))
		require.NoError(t, err)
		came := c.clock.Nanos()
		time.Sleep(time.Millisecond)
		require.Equal(t, came, p.answeredAt(started))
		require.Equal(t, c.clock.Nanos(), p.answeredAt(c.clock.Nanos()))
		require.NoError(t, sock.Close())
	})
}
