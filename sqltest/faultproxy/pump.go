package faultproxy

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// backlog is how many messages wait for their time in one direction before the
// sender is held back.
const backlog = 1024

// conn is one client's connection and the one to the server that goes with it.
type conn struct {
	proxy *Proxy
	sides [3]net.Conn // by Direction: where messages of that direction go
	done  chan struct{}
	once  sync.Once

	// awaitSSL is set while the server's one-byte answer is expected; the answer
	// itself comes by sslAnswer.
	awaitSSL  atomic.Bool
	sslAnswer chan byte
	opaque    atomic.Bool
	// reply is what is to happen to the server's answers, an Action or 0.
	reply atomic.Uint32

	held gate // rules with Hold

	mu    sync.Mutex
	undos []func() // of held
}

// item is what a reader hands to its writer.
type item struct {
	bytes []byte
	due   time.Time
	then  Action // Cut, Reset, Hold or 0
	eof   bool
}

func newConn(p *Proxy, client, server net.Conn) *conn {
	return &conn{
		proxy: p, sides: [3]net.Conn{ToServer: server, ToClient: client},
		done: make(chan struct{}), sslAnswer: make(chan byte, 1),
	}
}

// run forwards until the connection ends and all its goroutines with it.
func (c *conn) run() {
	var wg sync.WaitGroup
	for _, dir := range []Direction{ToServer, ToClient} {
		source := c.sides[ToServer+ToClient-dir]
		items := make(chan item, backlog)
		wg.Go(func() { c.read(dir, bufio.NewReader(source), items) }) // ends when its source does, which end closes
		wg.Go(func() { c.write(dir, items) })                         // ends with an end item or with c.done
	}
	wg.Wait()
}

// end closes both sides, once; how is Cut, Reset or 0 for an end that one of the
// peers brought about.
func (c *conn) end(how Action) {
	c.once.Do(func() {
		close(c.done)
		switch how {
		case Cut:
			c.proxy.total.cut.Add(1)
		case Reset:
			c.proxy.total.reset.Add(1)
		}
		for _, side := range c.sides[ToServer:] {
			if lingerer, ok := side.(interface{ SetLinger(seconds int) error }); ok && how == Reset {
				_ = lingerer.SetLinger(0) // then the end is an ordinary one
			}
			_ = side.Close() // nothing can be done about a failed close
		}
	})
}

// hold stops both directions until thaw.
func (c *conn) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undos = append(c.undos, c.held.shut())
}

func (c *conn) thaw() {
	c.mu.Lock()
	undos := c.undos
	c.undos = nil
	c.mu.Unlock()
	for _, undo := range undos {
		undo()
	}
}

// read takes messages from one side and hands them to the writer of the other.
func (c *conn) read(dir Direction, r *bufio.Reader, items chan<- item) {
	started := dir == ToClient // the server's first message has a type already
	var lastDue time.Time
	for {
		m, err := c.next(dir, r, &started)
		if err != nil {
			c.push(items, item{eof: true, due: lastDue})
			return
		}
		c.proxy.total.messages[dir][m.Type].Add(1)
		if c.refuseEncryption(m) {
			continue
		}
		for _, it := range c.plan(m, &lastDue) {
			if !c.push(items, it) {
				return
			}
		}
		if (m.Type == SSLRequest || m.Type == GSSENCRequest) && !c.awaitAnswer() {
			return
		}
	}
}

func (c *conn) push(items chan<- item, it item) bool {
	select {
	case items <- it:
		return true
	case <-c.done:
		return false
	}
}

// next reads one message.
func (c *conn) next(dir Direction, r *bufio.Reader, started *bool) (Message, error) {
	if c.opaque.Load() {
		return readOpaque(r, dir)
	}
	if !*started {
		m, err := readUntyped(r)
		if err == nil && m.Type == Startup {
			*started = true
		}
		return m, err
	}
	typ, err := r.ReadByte()
	if err != nil {
		return Message{}, err
	}
	if dir == ToClient && c.awaitSSL.CompareAndSwap(true, false) {
		if typ == 'S' {
			c.opaque.Store(true)
		}
		c.sslAnswer <- typ
		return Message{Direction: dir, Type: SSLAnswer, Bytes: []byte{typ}}, nil
	}
	return readTyped(r, dir, typ)
}

// refuseEncryption answers a request for encryption unless it is to be passed
// on; then it makes the other direction expect the answer.
func (c *conn) refuseEncryption(m Message) bool {
	if m.Type != SSLRequest && m.Type != GSSENCRequest {
		return false
	}
	if c.proxy.cfg.PassEncryption {
		c.awaitSSL.Store(true)
		return false
	}
	// Nothing else can be on its way to the client yet: the server was told nothing.
	if !c.proxy.held[ToClient].wait(c.done) {
		return true
	}
	if _, err := c.sides[ToClient].Write([]byte{'N'}); err != nil {
		c.end(0)
	}
	return true
}

// awaitAnswer waits for the server's answer to a request for encryption, since
// what the client says next depends on it.
func (c *conn) awaitAnswer() bool {
	select {
	case <-c.sslAnswer:
		return true
	case <-c.done:
		return false
	}
}

// plan turns a message into what the writer does, by the rules.
func (c *conn) plan(m Message, lastDue *time.Time) []item {
	due := time.Now().Add(time.Duration(c.proxy.latency[m.Direction].Load()))
	if due.Before(*lastDue) {
		due = *lastDue // bytes stay in order when the latency shrinks
	}
	rule := c.proxy.match(m)
	if m.Direction == ToClient && rule == nil {
		if items, lost := c.loseReply(m, due); lost {
			return items
		}
	}
	defer func() { *lastDue = due }()
	if rule == nil {
		return []item{{bytes: m.Bytes, due: due}}
	}
	split := 0
	switch rule.Place {
	case After:
		split = len(m.Bytes)
	case Within:
		split = min(rule.Offset, len(m.Bytes))
	}
	head, rest := m.Bytes[:split], m.Bytes[split:]
	switch rule.Action {
	case Drop:
		return nil
	case Delay:
		first := item{bytes: head, due: due}
		due = due.Add(rule.Delay)
		return []item{first, {bytes: rest, due: due}}
	case CutReply, DropReply:
		c.reply.Store(uint32(rule.Action))
		return []item{{bytes: m.Bytes, due: due}}
	default: // Cut, Reset, Hold
		return []item{{bytes: head, due: due, then: rule.Action}, {bytes: rest, due: due}}
	}
}

// loseReply discards the server's messages while a reply is to be lost.
func (c *conn) loseReply(m Message, due time.Time) (items []item, lost bool) {
	action := Action(c.reply.Load())
	if action == 0 {
		return nil, false
	}
	if m.Type == 'Z' {
		c.reply.Store(0)
		if action == CutReply {
			return []item{{due: due, then: Cut}}, true
		}
	}
	return nil, true
}

// write forwards what the reader has planned, each item at its time.
func (c *conn) write(dir Direction, items <-chan item) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var it item
		select {
		case it = <-items:
		case <-c.done:
			return
		}
		if wait := time.Until(it.due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-c.done:
				return
			}
		}
		if !c.carryOut(dir, it) {
			return
		}
	}
}

// carryOut does what an item says; false ends the writer.
func (c *conn) carryOut(dir Direction, it item) bool {
	if !c.held.wait(c.done) || !c.proxy.held[dir].wait(c.done) {
		return false
	}
	if it.eof {
		c.end(0)
		return false
	}
	if len(it.bytes) > 0 {
		n, err := c.sides[dir].Write(it.bytes)
		c.proxy.total.bytes[dir].Add(int64(n))
		if err != nil {
			c.end(0)
			return false
		}
	}
	switch it.then {
	case Cut, Reset:
		c.end(it.then)
		return false
	case Hold:
		c.hold()
	}
	return true
}
