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
	proxy  *Proxy
	route  int
	number int64        // from 1 in the order of acceptance
	sides  [3]net.Conn  // by Direction: where messages of that direction go
	items  [3]chan item // by Direction: what its writer is to do
	done   chan struct{}
	once   sync.Once

	// awaitSSL is set while the server's one-byte answer is expected; the answer
	// itself comes by sslAnswer.
	awaitSSL  atomic.Bool
	sslAnswer chan byte
	opaque    atomic.Bool
	// reply is what is to happen to the server's answers, an Action or 0.
	reply atomic.Uint32

	held gate // rules with Hold

	mu     sync.Mutex
	undos  []func() // of held
	claims []*Armed // rules that act, or were to act, on this connection
}

// item is what a reader hands to its writer.
type item struct {
	bytes []byte
	due   time.Time
	then  *Armed // a rule with Cut, Reset or Hold, or nil
	cut   bool   // a lost reply is over: cut
	eof   bool
}

func newConn(p *Proxy, route int, number int64, client, server net.Conn) *conn {
	return &conn{
		proxy: p, route: route, number: number, sides: [3]net.Conn{ToServer: server, ToClient: client},
		items: [3]chan item{ToServer: make(chan item, backlog), ToClient: make(chan item, backlog)},
		done:  make(chan struct{}), sslAnswer: make(chan byte, 1),
	}
}

// run forwards until the connection ends and all its goroutines with it.
func (c *conn) run() {
	var wg sync.WaitGroup
	for _, dir := range []Direction{ToServer, ToClient} {
		source := c.sides[ToServer+ToClient-dir]
		wg.Go(func() { c.read(dir, bufio.NewReader(source)) }) // ends when its source does, which end closes
		wg.Go(func() { c.write(dir) })                         // ends with an end item or with c.done
	}
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, armed := range c.claims {
		armed.acted() // or never will
	}
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
func (c *conn) read(dir Direction, r *bufio.Reader) {
	started := dir == ToClient // the server's first message has a type already
	var lastDue time.Time
	for {
		m, err := c.next(dir, r, &started)
		if err != nil {
			c.push(dir, item{eof: true, due: lastDue})
			return
		}
		m.Conn, m.Route = c.number, c.route
		c.proxy.total.messages[dir][m.Type].Add(1)
		if c.refuseEncryption(m, &lastDue) {
			continue
		}
		if !c.push(dir, c.plan(m, &lastDue)...) {
			return
		}
		if (m.Type == SSLRequest || m.Type == GSSENCRequest) && !c.awaitAnswer() {
			return
		}
	}
}

// push hands items to the writer of a direction.
func (c *conn) push(dir Direction, items ...item) bool {
	for _, it := range items {
		select {
		case c.items[dir] <- it:
		case <-c.done:
			return false
		}
	}
	return true
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
// on; then it makes the other direction expect the answer. Rules see the
// request and the answer as if both had come past.
func (c *conn) refuseEncryption(m Message, lastDue *time.Time) bool {
	if m.Type != SSLRequest && m.Type != GSSENCRequest {
		return false
	}
	if c.proxy.cfg.PassEncryption {
		c.awaitSSL.Store(true)
		return false
	}
	// Nothing else can be on its way to the client yet, since the server was told
	// nothing: what happens at the request happens in the answer's queue.
	items := c.plan(m, lastDue)
	for i := range items {
		items[i].bytes = nil
	}
	lost := Action(c.reply.Swap(0))
	if lost == CutReply {
		items = append(items, item{due: *lastDue, cut: true})
	}
	if !c.push(ToClient, items...) || lost != 0 || items == nil {
		return true
	}
	answer := Message{Conn: c.number, Route: c.route, Direction: ToClient, Type: SSLAnswer, Bytes: []byte{'N'}}
	c.proxy.total.messages[ToClient][SSLAnswer].Add(1)
	c.push(ToClient, c.plan(answer, lastDue)...)
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
	rule, split := c.proxy.match(c, m)
	if m.Direction == ToClient && rule == nil {
		if items, lost := c.loseReply(m, due); lost {
			return items
		}
	}
	defer func() { *lastDue = due }()
	if rule == nil {
		return []item{{bytes: m.Bytes, due: due}}
	}
	head, rest := m.Bytes[:split], m.Bytes[split:]
	switch rule.rule.Action {
	case Cut, Reset, Hold:
		c.mu.Lock()
		c.claims = append(c.claims, rule)
		c.mu.Unlock()
		return []item{{bytes: head, due: due, then: rule}, {bytes: rest, due: due}}
	case Delay:
		rule.acted()
		first := item{bytes: head, due: due}
		due = due.Add(rule.rule.Delay)
		return []item{first, {bytes: rest, due: due}}
	case CutReply, DropReply:
		rule.acted()
		c.reply.Store(uint32(rule.rule.Action))
		return []item{{bytes: m.Bytes, due: due}}
	default: // Drop
		rule.acted()
		return nil
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
			return []item{{due: due, cut: true}}, true
		}
	}
	return nil, true
}

// write forwards what the reader has planned, each item at its time.
func (c *conn) write(dir Direction) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		var it item
		select {
		case it = <-c.items[dir]:
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
	if it.then != nil {
		// Before the bytes go out, so that no answer to them slips through.
		c.hold()
		defer it.then.acted()
	}
	if len(it.bytes) > 0 {
		n, err := c.sides[dir].Write(it.bytes)
		c.proxy.total.bytes[dir].Add(int64(n))
		if err != nil {
			c.end(0)
			return false
		}
	}
	switch {
	case it.cut:
		c.end(Cut)
		return false
	case it.then == nil || it.then.rule.Action == Hold:
		return true
	default:
		c.end(it.then.rule.Action)
		return false
	}
}
