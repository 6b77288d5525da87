package faultproxy

import "sync"

// Hit is one message at which a rule has acted.
type Hit struct {
	// Conn, Route, Direction and Type are the message's.
	Conn      int64
	Route     int
	Direction Direction
	Type      byte
	// Nth is the message's number among those that matched, as Rule counts them.
	Nth int
	// Size is the message's length in bytes, Split how many of them were to be
	// forwarded before the rule acted.
	Size, Split int
}

// Armed is a rule in force. Its methods may be called from any goroutine.
type Armed struct {
	rule  Rule
	first chan struct{} // closed by acted
	once  sync.Once     // of first

	mu      sync.Mutex
	seen    map[int64]progress // by connection, or only 0 for all of them
	hits    []Hit
	conns   []*conn // of the hits
	removed bool
}

// progress is what has come of the messages that match a rule.
type progress struct{ messages, bytes int }

func newArmed(rule Rule) *Armed {
	return &Armed{rule: rule, first: make(chan struct{}), seen: map[int64]progress{}}
}

// Fired is how often the rule has acted, or is about to: a message is counted
// when it comes in, and the bytes ahead of it may still be on their way.
func (a *Armed) Fired() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.hits)
}

// Hits lists the messages that Fired counts.
func (a *Armed) Hits() []Hit {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Hit(nil), a.hits...)
}

// Done is closed when the rule has acted for the first time: from then on the
// connection is cut, held, or whatever the rule says. It is also closed if the
// connection ended by itself before that.
func (a *Armed) Done() <-chan struct{} { return a.first }

// acted closes Done.
func (a *Armed) acted() { a.once.Do(func() { close(a.first) }) }

// Remove ends the rule; what it did stays done.
func (a *Armed) Remove() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed = true
}

// Thaw lets the connections go on that this rule has stopped. Wait for Done
// first: what the rule is only about to stop is not let go.
func (a *Armed) Thaw() {
	for _, c := range a.touched() {
		c.thaw()
	}
}

// End closes the connections at which this rule has acted, with a TCP reset
// (Reset) or in the ordinary way (any other action); those that are closed
// already stay so.
func (a *Armed) End(how Action) {
	if how != Reset {
		how = Cut
	}
	for _, c := range a.touched() {
		c.end(how)
	}
}

func (a *Armed) touched() []*conn {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]*conn(nil), a.conns...)
}

// fires counts a message and tells whether the rule acts at it, and after how
// many of its bytes.
func (a *Armed) fires(c *conn, m Message) (split int, ok bool) {
	r := a.rule
	if m.Direction != r.Direction || m.Type != r.Type && (r.Type != AnyType || m.Type == Opaque) {
		return 0, false
	}
	if r.Match != nil && !r.Match(m) {
		return 0, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.removed {
		return 0, false
	}
	counted := int64(0)
	if r.PerConnection {
		counted = m.Conn
	}
	before := a.seen[counted]
	now := progress{before.messages + 1, before.bytes + len(m.Bytes)}
	a.seen[counted] = now
	due := now.messages >= max(r.Nth, 1)
	if r.Place == InStream {
		due = before.bytes <= r.Offset && r.Offset < now.bytes
	}
	if !due || r.Times >= 0 && len(a.hits) >= max(r.Times, 1) {
		return 0, false
	}
	split = r.split(len(m.Bytes), before.bytes)
	a.hits = append(a.hits, Hit{
		Conn: m.Conn, Route: m.Route, Direction: m.Direction, Type: m.Type, Nth: now.messages, Size: len(m.Bytes), Split: split,
	})
	a.conns = append(a.conns, c)
	return split, true
}
