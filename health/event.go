package health

import "time"

// Kind says what happened to a node. The zero value, EventNone, is ignored.
type Kind uint8

const (
	// EventNone changes nothing.
	EventNone Kind = iota
	// EventProbeOK: a probe was answered; Event.RoundTrip holds how fast.
	EventProbeOK
	// EventProbeFailed: the node answered a probe with an error, or the probe
	// failed in a way that no other kind names.
	EventProbeFailed
	// EventProbeTimeout: a probe was given up without an answer.
	EventProbeTimeout
	// EventLate: a probe is unanswered for longer than expected.
	EventLate
	// EventFrozen: the detector's verdict: cut it off.
	EventFrozen
	// EventRefused: a dial was refused, by the prober or the data path.
	EventRefused
	// EventReset: a connection broke (RST, EOF), by the prober or the data path.
	EventReset
	// EventDialTimeout: a dial of the data path ended without an answer.
	EventDialTimeout
	// EventNotReady: 57P03.
	EventNotReady
	// EventDrain: 57P01 or 57P02.
	EventDrain
	// EventFull: 53300. The node is healthy; whoever dials should slow down.
	EventFull
	// EventBreakerOpen: the data path's breaker opened.
	EventBreakerOpen
	// EventBreakerClosed: the breaker is half-open or closed again.
	EventBreakerClosed
	// EventRampEnd: the slow start is over.
	EventRampEnd
	// EventRole: what the node takes isn't what was believed; it is asked soon,
	// and as well as before.
	EventRole
)

// String returns the name of k.
func (k Kind) String() string {
	names := [...]string{
		"None", "ProbeOK", "ProbeFailed", "ProbeTimeout", "Late", "Frozen", "Refused", "Reset",
		"DialTimeout", "NotReady", "Drain", "Full", "BreakerOpen", "BreakerClosed", "RampEnd", "Role",
	}
	if int(k) < len(names) {
		return names[k]
	}
	return "None"
}

// Event is one thing that happened to a node.
type Event struct {
	// Kind says what happened.
	Kind Kind
	// RoundTrip is the probe's, for EventProbeOK.
	RoundTrip time.Duration
	// Alive is true if the node sent a byte on any socket after the trouble that
	// the event reports began: then it isn't gone, whatever one socket says.
	Alive bool
	// Probe is true if the prober reports the event, false for the data path.
	Probe bool
	// Short is true if fewer than half of all nodes serve at the moment: then a
	// node that answers again doesn't wait out what its earlier falls cost it.
	// It is missed: as long as so few serve, a silent node isn't cut off either.
	Short bool
	// Alone is true if no node serves at the moment: then a node that answers
	// isn't made to wait.
	Alone bool
}

// Action is something that the shell must do after a step. The zero value,
// ActionNone, is nothing.
type Action uint8

const (
	// ActionNone is nothing.
	ActionNone Action = iota
	// ActionCut: refuse new dials to the node, then close its sockets.
	ActionCut
	// ActionAllow: allow dials again and open warm connections.
	ActionAllow
	// ActionProbe: probe as soon as possible.
	ActionProbe
	// ActionForget: forget the node's latencies; they say nothing any more.
	ActionForget
)

// String returns the name of a.
func (a Action) String() string {
	names := [...]string{"None", "Cut", "Allow", "Probe", "Forget"}
	if int(a) < len(names) {
		return names[a]
	}
	return "None"
}
