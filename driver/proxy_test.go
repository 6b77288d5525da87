package driver_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// cutter is a TCP proxy in front of one server that can lose the reply to the
// next request: it passes the request on, waits until the server has answered,
// and closes the connection instead of passing the answer on.
type cutter struct {
	listener net.Listener
	target   string
	armed    atomic.Bool
	cuts     atomic.Int64
	running  sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func startCutter(t testing.TB, target string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &cutter{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	p.running.Go(p.accept) // ends when the listener is closed
	t.Cleanup(p.close)
	return p
}

func (p *cutter) addr() string { return p.listener.Addr().String() }

func (p *cutter) close() {
	p.listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

func (p *cutter) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = struct{}{}, struct{}{}
		p.mu.Unlock()
		var lose atomic.Bool
		p.running.Go(func() { p.upstream(client, server, &lose) })   // ends when either side closes
		p.running.Go(func() { p.downstream(client, server, &lose) }) // the same
	}
}

func (p *cutter) forget(client, server net.Conn) {
	client.Close()
	server.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, client)
	delete(p.conns, server)
}

func (p *cutter) upstream(client, server net.Conn, lose *atomic.Bool) {
	defer p.forget(client, server)
	buf := make([]byte, 32<<10)
	prober := false // the health prober's connection, from its first question on
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		prober = prober || bytes.Contains(buf[:n], []byte("pg_control_system"))
		startup, farewell := bytes.Contains(buf[:n], []byte("user\x00")), buf[0] == 'X'
		if !prober && !startup && !farewell && p.armed.CompareAndSwap(true, false) {
			lose.Store(true)
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (p *cutter) downstream(client, server net.Conn, lose *atomic.Bool) {
	defer p.forget(client, server)
	buf := make([]byte, 32<<10)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		if lose.Load() {
			p.cuts.Add(1)
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}
