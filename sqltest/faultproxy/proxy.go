package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where connections come from and where they go.
type Config struct {
	// Listener accepts the clients; required. The proxy closes it.
	Listener net.Listener
	// Dial opens a connection to the server; required. Its context ends with the
	// proxy.
	Dial func(ctx context.Context) (net.Conn, error)
	// PassEncryption forwards requests for encryption. By default the proxy
	// answers them itself with a refusal, because it can only see messages in
	// clear.
	PassEncryption bool
	// More are further routes, for example to the other nodes of a cluster. A rule
	// counts messages and acts over all of them, and whole networks fail as one;
	// Message.Route and Hit.Route tell where.
	More []Route
}

// Route is one way through a proxy: where connections come from and where they
// go. Both fields are as in Config.
type Route struct {
	Listener net.Listener
	Dial     func(ctx context.Context) (net.Conn, error)
}

// TCP returns a Config with one route to each address, which listens on a free
// loopback port.
func TCP(addrs ...string) (Config, error) {
	if len(addrs) == 0 {
		return Config{}, errors.New("faultproxy: TCP needs the address of at least one server")
	}
	routes := make([]Route, 0, len(addrs))
	for _, addr := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			for _, r := range routes {
				_ = r.Listener.Close() // the first error counts
			}
			return Config{}, err
		}
		var dialer net.Dialer
		routes = append(routes, Route{Listener: l, Dial: func(ctx context.Context) (net.Conn, error) {
			return dialer.DialContext(ctx, "tcp", addr)
		}})
	}
	return Config{Listener: routes[0].Listener, Dial: routes[0].Dial, More: routes[1:]}, nil
}

// Proxy forwards connections. All its methods may be called from any goroutine.
type Proxy struct {
	cfg    Config
	routes []Route
	cancel context.CancelFunc
	wg     sync.WaitGroup
	held   [3]gate // by Direction
	total  counters

	refusing atomic.Bool
	latency  [3]atomic.Int64 // nanoseconds, by Direction

	mu    sync.Mutex
	conns map[*conn]struct{}
	rules []*Armed
	done  bool
}

// Start begins to accept connections; Close ends that.
func Start(cfg Config) (*Proxy, error) {
	routes := append([]Route{{Listener: cfg.Listener, Dial: cfg.Dial}}, cfg.More...)
	for i, r := range routes {
		if r.Listener == nil || r.Dial == nil {
			return nil, fmt.Errorf("faultproxy: route %d of Config needs a Listener and a Dial function", i)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Proxy{cfg: cfg, routes: routes, cancel: cancel, conns: map[*conn]struct{}{}}
	for i := range routes {
		p.wg.Go(func() { p.accept(ctx, i) }) // ends when Close closes the listener
	}
	return p, nil
}

// Addr is the address that clients connect to, of several routes the first one's.
func (p *Proxy) Addr() net.Addr { return p.cfg.Listener.Addr() }

// Addrs are the addresses that clients connect to, by route.
func (p *Proxy) Addrs() []net.Addr {
	addrs := make([]net.Addr, 0, len(p.routes))
	for _, r := range p.routes {
		addrs = append(addrs, r.Listener.Addr())
	}
	return addrs
}

// Close ends all connections and returns when everything that the proxy started
// has ended. A second call does nothing.
func (p *Proxy) Close() error {
	p.mu.Lock()
	again := p.done
	p.done = true
	p.mu.Unlock()
	if again {
		return nil
	}
	p.cancel()
	var errs []error
	for _, r := range p.routes {
		errs = append(errs, r.Listener.Close())
	}
	for _, c := range p.open() {
		c.end(0)
	}
	p.wg.Wait()
	return errors.Join(errs...)
}

// Add puts a rule in force. Of several rules that act at one message, the one
// added first wins; all count it, and those that only observe all do.
func (p *Proxy) Add(rule Rule) (*Armed, error) {
	if err := rule.validate(); err != nil {
		return nil, err
	}
	armed := newArmed(rule)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules = append(p.rules, armed)
	return armed, nil
}

// MustAdd is Add for rules written down in a test: it panics on a bad one.
func (p *Proxy) MustAdd(rule Rule) *Armed {
	armed, err := p.Add(rule)
	if err != nil {
		panic(err)
	}
	return armed
}

// Clear removes all rules.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, armed := range p.rules {
		armed.Remove()
	}
	p.rules = nil
}

// match finds the rule that acts at the message, or nil, and after how many of
// the message's bytes it does. Rules that only observe leave the message to the
// next one.
func (p *Proxy) match(c *conn, m Message) (acting *Armed, split int) {
	p.mu.Lock()
	rules := p.rules
	p.mu.Unlock()
	for _, armed := range rules {
		at, fires := armed.fires(c, m)
		switch {
		case !fires:
		case armed.rule.Action == Observe:
			armed.acted()
		case acting == nil:
			acting, split = armed, at
		default:
			armed.acted() // the other one had its way
		}
	}
	return acting, split
}

// BlackHole stops all bytes of one direction on all connections, present and
// future, until the returned function is called; then they arrive, as after a
// network's fault that TCP survived. Connecting still succeeds, because the
// operating system does that.
func (p *Proxy) BlackHole(d Direction) (heal func()) {
	if d != ToServer && d != ToClient {
		panic(fmt.Sprintf("faultproxy: black hole %v", d))
	}
	return p.held[d].shut()
}

// Freeze stops both directions until the returned function is called.
func (p *Proxy) Freeze() (thaw func()) {
	a, b := p.BlackHole(ToServer), p.BlackHole(ToClient)
	return func() { a(); b() }
}

// Thaw lets connections go on that a rule with Hold stopped.
func (p *Proxy) Thaw() {
	for _, c := range p.open() {
		c.thaw()
	}
}

// SetLatency delays all bytes of one direction by d from now on; bytes stay in
// order. Zero is none.
func (p *Proxy) SetLatency(dir Direction, d time.Duration) { p.latency[dir].Store(int64(d)) }

// Refuse makes the proxy close new connections at once until the returned
// function is called.
func (p *Proxy) Refuse() (allow func()) {
	p.refusing.Store(true)
	return func() { p.refusing.Store(false) }
}

// CutAll closes all open connections in the ordinary way.
func (p *Proxy) CutAll() {
	for _, c := range p.open() {
		c.end(Cut)
	}
}

// ResetAll closes all open connections with a TCP reset where that is possible.
func (p *Proxy) ResetAll() {
	for _, c := range p.open() {
		c.end(Reset)
	}
}

func (p *Proxy) open() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	conns := make([]*conn, 0, len(p.conns))
	for c := range p.conns {
		conns = append(conns, c)
	}
	return conns
}

func (p *Proxy) accept(ctx context.Context, route int) {
	for {
		client, err := p.routes[route].Listener.Accept()
		if err != nil {
			return // closed, or beyond repair
		}
		number := p.total.accepted.Add(1)
		if p.refusing.Load() {
			_ = client.Close() // it is refused: nobody to tell
			continue
		}
		p.wg.Go(func() { p.serve(ctx, client, route, number) }) // ends with the connection; Close ends all of them
	}
}

// serve forwards one connection until it ends.
func (p *Proxy) serve(ctx context.Context, client net.Conn, route int, number int64) {
	server, err := p.routes[route].Dial(ctx)
	if err != nil {
		p.total.dialFailures.Add(1)
		_ = client.Close() // the client sees the end; that is what a dead server looks like
		return
	}
	c := newConn(p, route, number, client, server)
	p.mu.Lock()
	if !p.done {
		p.conns[c] = struct{}{}
	}
	refuse := p.done
	p.mu.Unlock()
	if refuse {
		c.end(0)
		return
	}
	c.run()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}

// counters count from the start of the proxy.
type counters struct {
	accepted, dialFailures, cut, reset atomic.Int64
	messages                           [3][256]atomic.Int64
	bytes                              [3]atomic.Int64
}

// Stats are counts since Start.
type Stats struct {
	// Accepted, DialFailures, Cut and Reset count connections; Open is how many
	// are open now. Cut and Reset count those that a rule, CutAll or ResetAll
	// ended.
	Accepted, DialFailures, Cut, Reset, Open int64
	// BytesToServer and BytesToClient were forwarded.
	BytesToServer, BytesToClient int64
}

// Stats returns the counts.
func (p *Proxy) Stats() Stats {
	return Stats{
		Accepted: p.total.accepted.Load(), DialFailures: p.total.dialFailures.Load(),
		Cut: p.total.cut.Load(), Reset: p.total.reset.Load(), Open: int64(len(p.open())),
		BytesToServer: p.total.bytes[ToServer].Load(), BytesToClient: p.total.bytes[ToClient].Load(),
	}
}

// Messages is how many messages of a type have come in from one side, whether
// or not they were forwarded.
func (p *Proxy) Messages(dir Direction, typ byte) int64 { return p.total.messages[dir][typ].Load() }
