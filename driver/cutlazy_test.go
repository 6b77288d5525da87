package driver_test

import (
	"context"
	"net"
	"sync"
	"time"
)

// lazyConn dials when the first byte is sent, so that a connection of which a
// proxy forwards nothing costs the server no process.
type lazyConn struct {
	dial   func() (net.Conn, error)
	cancel context.CancelFunc
	once   sync.Once
	opened chan struct{} // closed when conn and err are set

	conn net.Conn
	err  error
}

// lazily makes a dial function of a proxy lazy.
func lazily(dial func(ctx context.Context) (net.Conn, error)) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		return &lazyConn{
			dial:   func() (net.Conn, error) { return dial(ctx) },
			cancel: cancel, opened: make(chan struct{}),
		}, nil
	}
}

func (c *lazyConn) open(dial func() (net.Conn, error)) {
	c.once.Do(func() {
		c.conn, c.err = dial()
		close(c.opened)
	})
}

// Write opens the connection.
func (c *lazyConn) Write(b []byte) (int, error) {
	if c.open(c.dial); c.err != nil {
		return 0, c.err
	}
	return c.conn.Write(b)
}

// Read waits for the first Write.
func (c *lazyConn) Read(b []byte) (int, error) {
	if <-c.opened; c.err != nil {
		return 0, c.err
	}
	return c.conn.Read(b)
}

// Close closes what was opened, or makes sure that nothing will be.
func (c *lazyConn) Close() error {
	c.cancel()
	c.open(func() (net.Conn, error) { return nil, net.ErrClosed })
	if c.err != nil {
		return nil
	}
	return c.conn.Close()
}

// SetLinger is what the proxy resets connections by.
func (c *lazyConn) SetLinger(seconds int) error {
	c.open(func() (net.Conn, error) { return nil, net.ErrClosed })
	if tcp, ok := c.conn.(*net.TCPConn); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// The proxy uses none of these.
func (c *lazyConn) LocalAddr() net.Addr              { return nil }
func (c *lazyConn) RemoteAddr() net.Addr             { return nil }
func (c *lazyConn) SetDeadline(time.Time) error      { return nil }
func (c *lazyConn) SetReadDeadline(time.Time) error  { return nil }
func (c *lazyConn) SetWriteDeadline(time.Time) error { return nil }
