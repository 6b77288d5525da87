package driver_test

import (
	"context"
	"encoding/binary"
	"net"
	"sync"
)

// strikeWires are the client's ends of the connections of one database under test.
type strikeWires struct {
	dialer net.Dialer

	mu    sync.Mutex
	wires map[*strikeWire]struct{}
	ended []uint32 // process ids of sessions whose client has hung up
}

func (w *strikeWires) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := w.dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	wire := &strikeWire{TCPConn: conn.(*net.TCPConn), wires: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wires == nil {
		w.wires = map[*strikeWire]struct{}{}
	}
	w.wires[wire] = struct{}{}
	return wire, nil
}

// quiet reports whether every open connection has had the answer to all that was
// asked on it, and returns the sessions of those that are closed: what these
// were asked last may still be carried out.
func (w *strikeWires) quiet() (quiet bool, ended []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	quiet = true
	for wire := range w.wires {
		quiet = quiet && wire.settled()
	}
	return quiet, append([]uint32(nil), w.ended...)
}

// forget drops sessions that are known to have ended.
func (w *strikeWires) forget(ended []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = w.ended[len(ended):]
}

// strikeWire is the client's end of one connection. It counts the requests that end
// in ReadyForQuery and these answers. It is a TCP connection in every other
// respect, because the driver looks for more than a net.Conn.
type strikeWire struct {
	*net.TCPConn
	wires *strikeWires

	mu        sync.Mutex
	sent, got framer
	asked     int // Sync, Query and the startup
	answered  int
	open      bool   // messages have been sent behind the last Sync or Query
	pid       uint32 // of the server's process; 0: not known yet
}

func (c *strikeWire) settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid == 0 || c.asked == c.answered && !c.open
}

func (c *strikeWire) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.sent.untyped = c.asked == 0
	c.sent.feed(b, func(typ byte, _ []byte) {
		switch typ {
		case 'S', 'Q', 0:
			c.asked++
			c.open = false
		case 'd', 'c', 'f': // COPY's data: the Query before them is still unanswered
		default:
			c.open = true
		}
	})
	c.mu.Unlock()
	return c.TCPConn.Write(b)
}

func (c *strikeWire) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got.feed(b[:n], func(typ byte, body []byte) {
		switch typ {
		case 'K':
			c.pid = binary.BigEndian.Uint32(body)
		case 'Z':
			c.answered++
		}
	})
	return n, err
}

func (c *strikeWire) Close() error {
	w := c.wires
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, open := w.wires[c]; open {
		delete(w.wires, c)
		c.mu.Lock()
		if c.pid != 0 {
			w.ended = append(w.ended, c.pid)
		}
		c.mu.Unlock()
	}
	return c.TCPConn.Close()
}

// framer finds the messages in a stream of bytes.
type framer struct {
	untyped bool // the next message has no type byte
	buf     []byte
}

// feed takes bytes and calls got for each message that is complete with them.
func (f *framer) feed(b []byte, got func(typ byte, body []byte)) {
	f.buf = append(f.buf, b...)
	for {
		head := 5
		if f.untyped {
			head = 4
		}
		if len(f.buf) < head {
			return
		}
		size := head - 4 + int(binary.BigEndian.Uint32(f.buf[head-4:]))
		if len(f.buf) < size {
			return
		}
		typ := byte(0)
		if !f.untyped {
			typ = f.buf[0]
		}
		f.untyped = false
		got(typ, f.buf[head:size])
		f.buf = f.buf[size:]
	}
}
