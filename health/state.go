package health

// State is what is believed of a node. The zero value is Unknown.
type State uint8

const (
	// Unknown: no probe has answered or failed yet.
	Unknown State = iota
	// Up: probes are answered in time.
	Up
	// Suspect: a probe is late or failed, or the breaker is open. Given work only
	// when there is nothing better.
	Suspect
	// Down: given no work; its sockets have been cut if it was found frozen or
	// gone.
	Down
	// Recovering: answered again after Down or Draining; within its slow start.
	Recovering
	// Draining: announced its end (57P01). Keeps what it has, gets nothing new.
	Draining
)

// String returns the name of s.
func (s State) String() string {
	names := [...]string{"Unknown", "Up", "Suspect", "Down", "Recovering", "Draining"}
	if int(s) < len(names) {
		return names[s]
	}
	return "Unknown"
}

// Serving reports whether a node in state s is given work in normal times.
func (s State) Serving() bool { return s == Up || s == Recovering }

// Reason says why a node is in its state. The zero value is ReasonNone.
type Reason uint8

const (
	// ReasonNone: nothing special; also the reason of Up.
	ReasonNone Reason = iota
	// ReasonLate: a probe is unanswered for longer than its history explains.
	ReasonLate
	// ReasonFrozen: silent for so long that the detector cut it off.
	ReasonFrozen
	// ReasonRefused: its address refuses connections.
	ReasonRefused
	// ReasonReset: it broke connections.
	ReasonReset
	// ReasonProbeFailed: it answers probes with errors.
	ReasonProbeFailed
	// ReasonNotReady: it says itself that it takes no work (57P03).
	ReasonNotReady
	// ReasonDraining: it announced its end (57P01, 57P02).
	ReasonDraining
	// ReasonBreaker: the data path's breaker is open.
	ReasonBreaker
	// ReasonRecovered: it answers again.
	ReasonRecovered
)

// String returns the reason in a few words, fit for a message.
func (r Reason) String() string {
	names := [...]string{
		"none", "probe late", "frozen", "connection refused", "connection reset",
		"probe failed", "not ready", "draining", "breaker open", "recovered",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return "none"
}
