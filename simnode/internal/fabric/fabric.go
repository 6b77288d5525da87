package fabric

import (
	"fmt"
	"sync"
	"time"
)

// Config of a Fabric. The zero value is a perfect network with seed 0.
type Config struct {
	// Seed drives every random draw; each link draws from a stream of its own.
	Seed uint64
	// Link is how two addresses are joined unless SetLink says otherwise.
	Link Link
}

// Fabric is the network. All methods are safe for concurrent use, unless one
// says otherwise. Make it with New and end it with Close.
type Fabric struct {
	cfg Config

	mu        sync.RWMutex
	closed    bool
	links     map[linkKey]*link
	inboxes   map[Addr]*inbox
	listeners map[Addr]*listener
	conns     map[faulted]struct{}
	overrides map[linkKey][]*override
	cuts      map[linkKey]int
	isolated  map[Addr]int
	frozen    map[Addr]int
	down      map[Addr]int
	changed   chan struct{} // closed and replaced whenever a fault changes

	heldMu sync.Mutex
	held   map[Addr][]heldMessage // what a frozen address sent
}

// faulted is a connection that faults reach.
type faulted interface {
	ends() (a, b Addr)
	wake()  // a fault changed: look at the links again
	sever() // both ends see a reset, at once
}

type heldMessage struct {
	to      Addr
	payload []byte
}

// New makes a fabric without addresses; it starts no goroutine. It panics if
// cfg.Link is not valid: check values of a user's with Link.Validate.
func New(cfg Config) *Fabric {
	if err := cfg.Link.Validate(); err != nil {
		panic("fabric.New: " + err.Error())
	}
	return &Fabric{
		cfg:       cfg,
		links:     map[linkKey]*link{},
		inboxes:   map[Addr]*inbox{},
		listeners: map[Addr]*listener{},
		conns:     map[faulted]struct{}{},
		overrides: map[linkKey][]*override{},
		cuts:      map[linkKey]int{},
		isolated:  map[Addr]int{},
		frozen:    map[Addr]int{},
		down:      map[Addr]int{},
		changed:   make(chan struct{}),
		held:      map[Addr][]heldMessage{},
	}
}

// Close resets every connection, closes every listener, drops what is under way
// and joins every goroutine of the fabric. It is idempotent and must not be
// called from a recv function.
func (f *Fabric) Close() {
	f.mu.Lock()
	f.closed = true
	var (
		inboxes   []*inbox
		listeners []*listener
	)
	for _, in := range f.inboxes {
		inboxes = append(inboxes, in)
	}
	for _, l := range f.listeners {
		listeners = append(listeners, l)
	}
	f.inboxes = map[Addr]*inbox{}
	conns := f.connsLocked(func(_, _ Addr) bool { return true })
	f.broadcastLocked()
	f.mu.Unlock()
	for _, l := range listeners {
		_ = l.Close()
	}
	for _, c := range conns {
		c.sever()
	}
	for _, in := range inboxes {
		in.stop()
	}
}

// Attach gives the messages sent to addr to recv, from one goroutine and in the
// order of their arrival. recv must not block for long, keeps the payload to
// read only (other receivers may hold the same bytes) and must not call detach.
// detach returns when recv runs no more; it is idempotent.
//
// Attach panics if addr is attached already: two owners of one address are a
// mistake of the program's. On a closed fabric it does nothing.
func (f *Fabric) Attach(addr Addr, recv func(from Addr, payload []byte)) (detach func()) {
	in := newInbox(recv)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return func() {}
	}
	if f.inboxes[addr] != nil {
		panic(fmt.Sprintf("fabric.Attach: %v is attached already", addr))
	}
	in.setPaused(f.frozen[addr] > 0)
	f.inboxes[addr] = in
	// Ends with in.stop, which detach and Close call.
	go in.run()
	return func() {
		f.mu.Lock()
		if f.inboxes[addr] == in {
			delete(f.inboxes, addr)
		}
		f.mu.Unlock()
		in.stop()
	}
}

// Send passes payload from one address to another and never blocks. The message
// is lost if the link loses it, an end is down or nobody is attached. The fabric
// keeps payload: the caller must not change it afterwards, but may send the same
// bytes to several addresses.
func (f *Fabric) Send(from, to Addr, payload []byte) {
	f.mu.RLock()
	l := f.links[keyOf(from, to)]
	if l == nil {
		f.mu.RUnlock()
		f.link(from, to)
		f.mu.RLock()
	}
	f.routeLocked(from, to, payload)
	f.mu.RUnlock()
}

// routeLocked needs mu held, for reading at least, and the link made.
func (f *Fabric) routeLocked(from, to Addr, payload []byte) {
	if f.closed || f.down[from] > 0 || f.down[to] > 0 {
		return
	}
	if f.frozen[from] > 0 {
		f.heldMu.Lock()
		f.held[from] = append(f.held[from], heldMessage{to, payload})
		f.heldMu.Unlock()
		return
	}
	l, in := f.links[keyOf(from, to)], f.inboxes[to]
	if in == nil || l.cut.Load() {
		return
	}
	if l.plain.Load() {
		in.push(envelope{from: from, payload: payload})
		return
	}
	copies, delays := l.message()
	for i := range copies {
		env := envelope{from: from, payload: payload}
		if delays[i] > 0 {
			env.at = time.Now().Add(delays[i])
		}
		in.push(env)
	}
}

// link gives the direction from → to, made on first use.
func (f *Fabric) link(from, to Addr) *link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.linkLocked(from, to)
}

func (f *Fabric) linkLocked(from, to Addr) *link {
	k := keyOf(from, to)
	l := f.links[k]
	if l == nil {
		l = newLink(from, to, f.cfg.Seed)
		f.links[k] = l
		f.recomputeLocked(l)
	}
	return l
}

// register makes c subject to faults; false when the fabric is closed or an end
// of c is down.
func (f *Fabric) register(c faulted) bool {
	a, b := c.ends()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.down[a] > 0 || f.down[b] > 0 {
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *Fabric) unregister(c faulted) {
	f.mu.Lock()
	delete(f.conns, c)
	f.mu.Unlock()
}

func (f *Fabric) connsLocked(match func(a, b Addr) bool) []faulted {
	var out []faulted
	for c := range f.conns {
		if match(c.ends()) {
			out = append(out, c)
		}
	}
	return out
}
