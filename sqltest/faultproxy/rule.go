package faultproxy

import (
	"fmt"
	"sync"
	"time"
)

// Direction is the way a message travels.
type Direction uint8

// The directions; the zero value is no direction and refused by Add.
const (
	_        Direction = iota
	ToServer           // from the client: frontend messages
	ToClient           // from the server: backend messages
)

// String returns "to server" or "to client".
func (d Direction) String() string {
	switch d {
	case ToServer:
		return "to server"
	case ToClient:
		return "to client"
	default:
		return "unknown direction"
	}
}

// Types of messages that carry no type byte of their own. Every other type is
// the byte of the protocol, for example 'Q' (Query), 'S' to the server (Sync)
// or 'Z' to the client (ReadyForQuery).
const (
	AnyType       byte = 0 // in a Rule: every message
	Startup       byte = 1 // StartupMessage
	SSLRequest    byte = 2
	GSSENCRequest byte = 3
	CancelRequest byte = 4
	SSLAnswer     byte = 5 // the server's one byte, 'S' or 'N'
	Opaque        byte = 6 // bytes whose messages the proxy cannot see: after TLS began
)

// Message is one protocol message as the proxy sees it.
type Message struct {
	// Direction is where it goes.
	Direction Direction
	// Type is its type byte or one of the constants above.
	Type byte
	// Bytes are the whole message with type and length. They must not be changed
	// or kept.
	Bytes []byte
}

// Body returns the message without type byte and length.
func (m Message) Body() []byte {
	switch m.Type {
	case Startup, SSLRequest, GSSENCRequest, CancelRequest:
		return m.Bytes[4:]
	case SSLAnswer, Opaque:
		return m.Bytes
	default:
		return m.Bytes[5:]
	}
}

// Action is what a rule does.
type Action uint8

// The actions; the zero value is none and refused by Add.
const (
	_ Action = iota
	// Cut closes both sides in the ordinary way (FIN); what was forwarded before
	// still arrives.
	Cut
	// Reset closes both sides with a TCP reset where the connection has SetLinger
	// and otherwise as Cut. A reset may overtake bytes forwarded before it.
	Reset
	// Hold forwards nothing more on this connection, either way, until
	// Proxy.Thaw: the peer looks frozen.
	Hold
	// Delay holds this direction of the connection back for Rule.Delay.
	Delay
	// Drop discards the message; Rule.Place doesn't matter.
	Drop
	// CutReply, for a message to the server, forwards it, lets the server do its
	// work up to ReadyForQuery, discards that answer and cuts: a lost reply. With
	// several requests in the pipeline it is the first ReadyForQuery to come.
	CutReply
	// DropReply is as CutReply, but leaves the connection open: the client waits.
	DropReply
)

var actionNames = [...]string{"none", "cut", "reset", "hold", "delay", "drop", "cut reply", "drop reply"}

// String returns the action in words.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "unknown action"
}

// Place says where in relation to the message an action happens.
type Place uint8

// The places.
const (
	Before Place = iota // nothing of the message is forwarded first
	After               // all of it is
	Within              // Rule.Offset bytes of it are
)

// Rule makes something happen at a message.
type Rule struct {
	// Direction is required.
	Direction Direction
	// Type is the message's type; AnyType matches all but Opaque bytes, which
	// only Opaque matches.
	Type byte
	// Match, if not nil, must also say yes. It is called from the connection's
	// goroutine and must not call the proxy.
	Match func(Message) bool
	// Nth is the matching message, counted over all connections from the time of
	// Add, at which the rule acts; 0 means 1.
	Nth int
	// Times is how many matching messages from the Nth on it acts at; 0 means
	// one, negative means all.
	Times int
	// Action is required; Place and Offset say where.
	Action Action
	Place  Place
	// Offset is the number of bytes forwarded first if Place is Within; more than
	// the message has is the whole of it.
	Offset int
	// Delay is the time for Action Delay.
	Delay time.Duration
}

func (r Rule) validate() error {
	switch {
	case r.Direction != ToServer && r.Direction != ToClient:
		return fmt.Errorf("faultproxy: rule has %v; use ToServer or ToClient", r.Direction)
	case r.Action == 0 || int(r.Action) >= len(actionNames):
		return fmt.Errorf("faultproxy: rule has %v (%d); use Cut, Reset, Hold, Delay, Drop, CutReply or DropReply", r.Action, r.Action)
	case r.Action == Delay && r.Delay <= 0:
		return fmt.Errorf("faultproxy: a delay of %v; it must be positive", r.Delay)
	case (r.Action == CutReply || r.Action == DropReply) && r.Direction != ToServer:
		return fmt.Errorf("faultproxy: %v belongs to a message to the server", r.Action)
	case r.Nth < 0 || r.Offset < 0 || r.Place > Within:
		return fmt.Errorf("faultproxy: Nth %d, Offset %d, Place %d; none may be negative, Place is Before, After or Within", r.Nth, r.Offset, r.Place)
	default:
		return nil
	}
}

// Armed is a rule in force. Its methods may be called from any goroutine.
type Armed struct {
	rule  Rule
	first chan struct{}

	mu      sync.Mutex
	seen    int
	fired   int
	removed bool
}

// Fired is how often the rule has acted.
func (a *Armed) Fired() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fired
}

// Done is closed when the rule acts for the first time.
func (a *Armed) Done() <-chan struct{} { return a.first }

// Remove ends the rule; what it did stays done.
func (a *Armed) Remove() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.removed = true
}

// fires counts a message and tells whether the rule acts at it.
func (a *Armed) fires(m Message) bool {
	r := a.rule
	if m.Direction != r.Direction || m.Type != r.Type && (r.Type != AnyType || m.Type == Opaque) {
		return false
	}
	if r.Match != nil && !r.Match(m) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.removed {
		return false
	}
	a.seen++
	if a.seen < max(r.Nth, 1) || r.Times >= 0 && a.fired >= max(r.Times, 1) {
		return false
	}
	a.fired++
	if a.fired == 1 {
		close(a.first)
	}
	return true
}
