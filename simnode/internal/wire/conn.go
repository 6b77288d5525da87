package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// conn is one client's connection. Its fields belong to the goroutine that runs
// it; others reach it through intr, kill and info only.
type conn struct {
	cfg    *Config
	server *Server
	nc     net.Conn
	intr   *interrupt
	cancel context.CancelFunc
	ahead  *ahead
	in     *reader
	out    *output
	sess   Session
	info   ConnInfo
	// counted is set by the server, which counts the clients it admitted.
	counted bool

	ctx       context.Context // of the command being carried out
	skipping  bool            // an extended command failed: ignore until Sync
	idle      bool            // ReadyForQuery was the last thing sent
	owed      bool            // an error is buffered that the client waits for
	idleErr   *sqlerr.Error   // what ends the wait for the next message
	deadlined bool            // a read deadline is set
}

func newConn(ctx context.Context, s *Server, nc net.Conn) *conn {
	// kill ends it, after the socket: nobody hears of the end.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &conn{cfg: &s.cfg, server: s, nc: nc, cancel: cancel, intr: newInterrupt(ctx, nc)}
	c.ahead = newAhead(nc, func() { c.intr.stop(sqlerr.Fatal("08006", "connection to client lost")) })
	c.in = newReader(c.ahead, s.cfg.MaxMessageBytes)
	c.out = &output{w: nc, beforeWrite: func() error { return c.sess.Flush(c.ctx) }}
	return c
}

// run serves the connection to its end and gives everything back.
func (c *conn) run() {
	defer c.close()
	if err := c.handshake(); err != nil {
		c.goodbye(err)
		return
	}
	if c.sess == nil {
		return
	}
	c.goodbye(c.loop())
}

// close ends the connection and joins its goroutines.
func (c *conn) close() {
	if c.sess != nil {
		c.sess.Close()
		c.cfg.Cancel.unregister(c.info.PID)
	}
	_ = c.nc.Close()
	c.ahead.join()
	c.intr.release()
	c.cancel()
}

// kill ends the connection from outside, at once and without a word; with reset,
// what the client has not read yet is lost, as when a process dies.
func (c *conn) kill(reset bool) {
	if l, ok := c.nc.(interface{ SetLinger(int) error }); ok && reset {
		_ = l.SetLinger(0)
	}
	_ = c.nc.Close()
	c.cancel()
}

// handshake leads the client to its first ReadyForQuery. Without an error and
// without a session, there was nothing to serve.
func (c *conn) handshake() error {
	c.intr.setReadDeadline(time.Now().Add(c.cfg.HandshakeTimeout))
	start, err := c.readStartup()
	if err != nil || start == nil {
		return err
	}
	c.info.User, c.info.Database = start.user, start.database
	if err := c.server.admit(c); err != nil {
		return err
	}
	c.negotiate(start)
	if err := c.authenticate(start.user, start.database); err != nil {
		return err
	}
	pid, secret := c.cfg.Cancel.register(func() {
		c.intr.stop(sqlerr.New("57014", "canceling statement due to user request"))
	})
	sess, err := c.cfg.Open(c.intr.base, session.Startup{
		User:     start.user,
		Database: start.database,
		PID:      pid,
		Settings: start.params,
		Client:   c.out,
	})
	if err != nil {
		c.cfg.Cancel.unregister(pid)
		return fatal(err)
	}
	c.sess = sess
	c.server.opened(c, pid)
	c.intr.setReadDeadline(time.Time{})
	c.parameters()
	c.out.send(&pgproto3.BackendKeyData{ProcessID: pid, SecretKey: secret[:]})
	return c.ready()
}

// fatal gives an error the severity that ends the session.
func fatal(err error) error {
	e := *asError(err)
	e.Severity = "FATAL"
	return &e
}

func (c *conn) parameters() {
	for _, p := range c.sess.Changed() {
		c.out.send(&pgproto3.ParameterStatus{Name: p.Name, Value: p.Value})
	}
}

// ready tells the client that the next command may come.
func (c *conn) ready() error {
	c.parameters()
	c.out.send(&pgproto3.ReadyForQuery{TxStatus: c.sess.Status()})
	c.idle, c.owed = true, false
	return c.out.flush()
}

// goodbye tells the client why the connection ends, where there is something to
// say and somebody to hear it.
func (c *conn) goodbye(err error) {
	var e *sqlerr.Error
	if f := c.intr.terminated(); f != nil {
		e = f
	} else if errors.Is(err, os.ErrDeadlineExceeded) && c.sess == nil {
		// The client was too slow with its startup or its password.
		e = sqlerr.Fatal("57014", "canceling authentication due to timeout")
	} else if !errors.As(err, &e) {
		return
	}
	// A client that does not read cannot hold the connection open.
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	c.out.error(e)
	if c.out.flush() == nil && e.Code == "08P01" {
		c.linger()
	}
}

// linger reads on for a moment after a broken message: closing with bytes unread
// would reset the connection, and TCP would drop the error on its way.
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.intr.setReadDeadline(time.Now().Add(200 * time.Millisecond))
	_, _ = io.CopyN(io.Discard, c.ahead, 1<<20)
}

// incomplete names the message in which the client stopped.
func incomplete(err error, message string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return sqlerr.Fatal("08P01", "incomplete %s message from client", message)
	}
	return err
}
