package wire

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Server serves the clients of one life of a node: after CloseAll it serves nobody
// any more. It is safe for concurrent use; create it with NewServer. It starts no
// goroutine until Serve or ServeConn is called.
type Server struct {
	cfg Config

	mu       sync.Mutex
	max      int
	draining bool
	closed   bool // CloseAll was called
	reset    bool // with reset
	conns    map[*conn]ConnInfo
	admitted int // connections past their startup message
	changed  chan struct{}
}

// ConnInfo describes one connection of a server. PID, User and Database are zero
// until the client has said them.
type ConnInfo struct {
	PID      uint32
	User     string
	Database string
	Remote   string
	Since    time.Time
}

// NewServer checks the configuration and builds a Server.
func NewServer(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return &Server{cfg: cfg, max: cfg.MaxConnections, conns: map[*conn]ConnInfo{}, changed: make(chan struct{})}, nil
}

// Serve accepts connections until ln is closed or ctx is done, and returns when
// every connection that it accepted has ended; closing ln alone waits for the
// clients to go, ctx ends them at once. wrap, if not nil, is put around each
// connection. Serve closes ln. The error is nil after either of these ends.
func (s *Server) Serve(ctx context.Context, ln net.Listener, wrap func(net.Conn) net.Conn) error {
	var joined sync.WaitGroup
	defer joined.Wait()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	defer func() { _ = ln.Close() }()
	for {
		nc, err := ln.Accept()
		if err != nil {
			switch {
			case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
				return nil
			case passing(err) && pause(ctx, acceptPause):
				continue
			}
			return err
		}
		if wrap != nil {
			nc = wrap(nc)
		}
		// Ends when the client goes, the connection is closed or ctx is done.
		joined.Go(func() { s.ServeConn(ctx, nc) })
	}
}

// acceptPause is how long a server that cannot accept waits for others to give
// descriptors back, as PostgreSQL's postmaster does.
const acceptPause = 100 * time.Millisecond

// passing reports whether accepting may work again: the process is out of
// descriptors, or a client went before it was accepted.
func passing(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// pause waits for d and reports whether ctx is still alive then.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// ServeConn serves one connection and returns when it has ended and everything
// that belonged to it is gone. It closes nc. ctx ends the connection at once.
func (s *Server) ServeConn(ctx context.Context, nc net.Conn) {
	c := newConn(ctx, s, nc)
	c.info = ConnInfo{Remote: nc.RemoteAddr().String(), Since: time.Now()}
	s.mu.Lock()
	s.conns[c] = c.info
	closed, reset := s.closed, s.reset
	s.mu.Unlock()
	if closed {
		c.kill(reset)
	}
	stop := context.AfterFunc(ctx, func() { c.kill(false) })
	c.run()
	stop()
	s.mu.Lock()
	delete(s.conns, c)
	if c.counted {
		s.admitted--
	}
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
}

// admit lets a client in past its startup message, or says why not.
func (s *Server) admit(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining:
		return sqlerr.Fatal("57P03", "the database system is shutting down")
	case s.admitted >= s.max:
		return sqlerr.Fatal("53300", "sorry, too many clients already")
	}
	s.admitted++
	c.counted = true
	s.conns[c] = c.info
	return nil
}

// opened enters the process ID of a connection that has a session now.
func (s *Server) opened(c *conn, pid uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.info.PID = pid
	s.conns[c] = c.info
}

// Conns lists the connections, oldest first.
func (s *Server) Conns() []ConnInfo {
	s.mu.Lock()
	out := make([]ConnInfo, 0, len(s.conns))
	for _, info := range s.conns {
		out = append(out, info)
	}
	s.mu.Unlock()
	slices.SortFunc(out, func(a, b ConnInfo) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		return int(a.PID) - int(b.PID)
	})
	return out
}

// SetMaxConnections changes how many clients may be connected (at least 0) and
// gives the number before. Clients that are connected stay.
func (s *Server) SetMaxConnections(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.max
	s.max = max(n, 0)
	return before
}

// CloseAll closes every connection at once, as a process that dies does, and
// waits until they are gone; one that is accepted later is closed too. With reset,
// what clients have not read yet is lost and their sockets are reset. A session
// that waits for the outcome of a commit ends when the node gives one: close the
// node first, or at the same time.
func (s *Server) CloseAll(reset bool) {
	s.mu.Lock()
	s.closed, s.reset = true, reset
	s.mu.Unlock()
	conns := s.snapshot()
	for _, c := range conns {
		c.kill(reset)
	}
	_ = s.wait(context.Background(), conns)
}

// Terminate ends the connection of that process ID as pg_terminate_backend does,
// and reports whether there was one. It does not wait.
func (s *Server) Terminate(pid uint32) bool {
	for _, c := range s.snapshot() {
		if s.infoOf(c).PID == pid {
			c.intr.terminate(shutdownError())
			return true
		}
	}
	return false
}

// Drain refuses new clients with 57P03 and ends every session with 57P01; a
// statement that runs is cancelled. It returns when all are gone, or with ctx's
// error after closing those that are not. Resume accepts clients again.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	conns := s.snapshot()
	for _, c := range conns {
		c.intr.terminate(shutdownError())
	}
	err := s.wait(ctx, conns)
	if err == nil {
		return nil
	}
	for _, c := range conns {
		c.kill(false)
	}
	_ = s.wait(context.Background(), conns)
	return err
}

// Resume ends a Drain: clients are accepted again.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = false
}

func shutdownError() *sqlerr.Error {
	return sqlerr.Fatal("57P01", "terminating connection due to administrator command")
}

func (s *Server) snapshot() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		out = append(out, c)
	}
	return out
}

func (s *Server) infoOf(c *conn) ConnInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[c]
}

// wait returns when none of conns is served any more.
func (s *Server) wait(ctx context.Context, conns []*conn) error {
	for {
		s.mu.Lock()
		left := slices.ContainsFunc(conns, func(c *conn) bool { _, there := s.conns[c]; return there })
		changed := s.changed
		s.mu.Unlock()
		if !left {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
