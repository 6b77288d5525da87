package faultproxy

import (
	"fmt"
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
	// Conn is the number of the client's connection that it travels on, from 1 in
	// the order in which the proxy accepted them.
	Conn int64
	// Route is the connection's: 0 is Config's own Listener and Dial, the others
	// follow as in Config.More.
	Route int
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
	// Proxy.Thaw or Armed.Thaw: the peer looks frozen. What ends it for good is
	// Armed.End, or the end of either peer's patience.
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
	// Observe does nothing: Armed.Done and Armed.Hits tell that the message came.
	Observe
)

var actionNames = [...]string{"none", "cut", "reset", "hold", "delay", "drop", "cut reply", "drop reply", "observe"}

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
	After               // all of it is, but no answer to it
	Within              // Rule.Offset bytes of it are
	// InStream is Within the one message that the byte of number Rule.Offset,
	// counted from 0 over all matching messages, belongs to: the bytes before it
	// are forwarded. With type AnyType that is any byte of one direction.
	InStream
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
	// Nth is the matching message, counted from the time of Add, at which the rule
	// acts; 0 means 1. It can't be given with Place InStream, where Offset says
	// which message it is.
	Nth int
	// PerConnection counts messages, and with Place InStream bytes, for each
	// connection by itself instead of over all of them.
	PerConnection bool
	// Times is how many matching messages from the Nth on it acts at, over all
	// connections; 0 means one, negative means all.
	Times int
	// Action is required; Place and Offset say where.
	Action Action
	Place  Place
	// Offset is the number of bytes forwarded first if Place is Within, where more
	// than the message has is the whole of it, or InStream.
	Offset int
	// Delay is the time for Action Delay.
	Delay time.Duration
}

func (r Rule) validate() error {
	switch {
	case r.Direction != ToServer && r.Direction != ToClient:
		return fmt.Errorf("faultproxy: rule has %v; use ToServer or ToClient", r.Direction)
	case r.Action == 0 || int(r.Action) >= len(actionNames):
		return fmt.Errorf("faultproxy: rule has %v (%d); use Cut, Reset, Hold, Delay, Drop, CutReply, DropReply or Observe", r.Action, r.Action)
	case r.Action == Delay && r.Delay <= 0:
		return fmt.Errorf("faultproxy: a delay of %v; it must be positive", r.Delay)
	case (r.Action == CutReply || r.Action == DropReply) && r.Direction != ToServer:
		return fmt.Errorf("faultproxy: %v belongs to a message to the server", r.Action)
	case r.Nth < 0 || r.Offset < 0 || r.Place > InStream:
		return fmt.Errorf("faultproxy: Nth %d, Offset %d, Place %d; none may be negative, Place is Before, After, Within or InStream", r.Nth, r.Offset, r.Place)
	case r.Place == InStream && r.Nth > 1:
		return fmt.Errorf("faultproxy: Nth %d with Place InStream; Offset says which message it is, leave Nth out", r.Nth)
	default:
		return nil
	}
}

// split is how many bytes of a message are forwarded before the rule acts;
// before is how many bytes of matching messages came ahead of it.
func (r Rule) split(size, before int) int {
	switch r.Place {
	case After:
		return size
	case Within:
		return min(r.Offset, size)
	case InStream:
		return r.Offset - before
	default:
		return 0
	}
}
