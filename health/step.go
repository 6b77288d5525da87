package health

import (
	"slices"
	"time"
)

const (
	// refusalWindow: two refusals, or a broken connection and a refusal, within
	// one second are one event: the process is gone. A single refusal may be a
	// full accept queue.
	refusalWindow = time.Second
	// failedProbes in a row, answered with errors, take a node down. The first
	// makes it Suspect, the others follow at suspectInterval.
	failedProbes = 3
	// notReadyAnswers in a row take a node down: one may be a lease that lapsed
	// for a moment.
	notReadyAnswers = 2
	// answersToReturn: a node that was down must answer twice, so that one
	// packet left over in a socket doesn't bring it back.
	answersToReturn = 2
	// firstReentryDelay is what the second fall in a short time costs; it
	// doubles with each up to maxReentryDelay. A node that is up for half a
	// second and down for half a second is then down for good, and a node that
	// was repaired waits 4 s at most.
	firstReentryDelay = 500 * time.Millisecond
	maxReentryDelay   = 4 * time.Second
	// forgiveAfter: a node that served this long starts with a clean record.
	forgiveAfter = 10 * time.Second
	// drainWindow: a server that goes away tells all its sessions within some
	// milliseconds. Two farewells within a second are a node's; one is its
	// session's.
	drainWindow = time.Second
	// drainDoubt: a node that still answers probes half a second after it
	// announced its end to a session ended only that session
	// (pg_terminate_backend sends the same code).
	drainDoubt = 500 * time.Millisecond
)

// Machine is what is known of one node. The zero value is a node of which
// nothing is known. It is a value: Step returns a new one.
type Machine struct {
	// State is the node's state.
	State State
	// Reason says why.
	Reason Reason
	// Since is when State was entered; zero for a fresh machine.
	Since time.Time
	// RampSince is when the node began to recover; zero if it never fell.
	RampSince time.Time

	cut          bool // while Down: its sockets have been cut since it fell
	breakerOpen  bool
	refusals     int
	lastRefusal  time.Time
	lastReset    time.Time
	lastFarewell time.Time // the last session's 57P01
	failures     int       // probes answered with an error, in a row
	notReady     int       // 57P03 in a row
	answers      int       // probes answered in a row, while Down or Draining
	firstAnswer  time.Time
	falls        int // times that the node fell without serving long in between
	servingSince time.Time
}

// Step returns the machine after ev, and what the shell must do. It is pure.
func Step(m Machine, ev Event, now time.Time) (Machine, []Action) {
	switch ev.Kind {
	case EventProbeOK:
		return m.answered(ev, now)
	case EventProbeFailed:
		return m.failed(now)
	case EventProbeTimeout:
		return m.timedOut(ev, now)
	case EventLate:
		if m.State.Serving() {
			return m.to(Suspect, ReasonLate, now), nil
		}
	case EventFrozen:
		return m.fall(ReasonFrozen, now, ActionCut)
	case EventRefused:
		return m.refused(ev, now)
	case EventReset, EventDialTimeout:
		return m.broke(ev, now)
	case EventNotReady:
		return m.refusesWork(now)
	case EventDrain:
		return m.announced(now)
	case EventRole:
		if m.State != Down {
			return m, []Action{ActionProbe}
		}
	case EventBreakerOpen:
		m.breakerOpen = true
		if m.State.Serving() {
			return m.to(Suspect, ReasonBreaker, now), []Action{ActionProbe}
		}
	case EventBreakerClosed:
		m.breakerOpen = false
		if m.State == Suspect && m.Reason == ReasonBreaker {
			return m.serve(now), nil
		}
	case EventRampEnd:
		if m.State == Recovering {
			return m.to(Up, ReasonNone, now), nil
		}
	}
	return m, nil
}

// announced handles the farewell of one session. pg_terminate_backend sends the
// same one to a single session, so it takes two within drainWindow to mean the
// node; the probe that the first asks for is soon the second if it does.
func (m Machine) announced(now time.Time) (Machine, []Action) {
	again := !m.lastFarewell.IsZero() && now.Sub(m.lastFarewell) <= drainWindow
	m.lastFarewell = now
	switch {
	case m.State == Down, m.State == Draining:
		return m, nil
	case !again:
		return m, []Action{ActionProbe}
	}
	m.answers = 0
	return m.to(Draining, ReasonDraining, now), []Action{ActionProbe}
}

// to moves the machine to another state, or gives its state another reason.
func (m Machine) to(s State, r Reason, now time.Time) Machine {
	if m.State != s {
		m.Since = now
	}
	if s.Serving() && !m.State.Serving() && m.State != Suspect {
		m.servingSince = now
	}
	m.State, m.Reason = s, r
	return m
}

// serve returns a suspected node to where it was: Up, or its slow start.
func (m Machine) serve(now time.Time) Machine {
	if !m.RampSince.IsZero() && now.Sub(m.RampSince) < RampDuration {
		return m.to(Recovering, ReasonRecovered, now)
	}
	return m.to(Up, ReasonNone, now)
}

// answered handles a probe that was answered.
func (m Machine) answered(ev Event, now time.Time) (Machine, []Action) {
	m.refusals, m.failures, m.notReady = 0, 0, 0
	m.lastReset = time.Time{}
	switch m.State {
	case Unknown:
		return m.to(Up, ReasonNone, now), []Action{ActionAllow}
	case Suspect:
		if m.breakerOpen {
			return m.to(Suspect, ReasonBreaker, now), nil
		}
		return m.serve(now), nil
	case Draining:
		m.count(now)
		if ev.Alone || m.answers >= answersToReturn && now.Sub(m.Since) >= drainDoubt {
			return m.serve(now), nil
		}
	case Down:
		m.count(now)
		waited := ev.Short || now.Sub(m.firstAnswer) >= m.reentryDelay()
		if ev.Alone || m.answers >= answersToReturn && waited {
			m.RampSince = now
			return m.to(Recovering, ReasonRecovered, now), []Action{ActionForget, ActionAllow}
		}
	}
	return m, nil
}

// count counts an answer of a node that isn't served yet.
func (m *Machine) count(now time.Time) {
	if m.answers == 0 {
		m.firstAnswer = now
	}
	m.answers++
}

// reentryDelay is how long a fallen node must answer without a fault.
func (m Machine) reentryDelay() time.Duration {
	if m.falls <= 1 {
		return 0
	}
	return min(firstReentryDelay<<min(m.falls-2, 8), maxReentryDelay)
}

// fall takes the node down. One that is down already, but was left what it still
// runs because it answered, is cut when that changes.
func (m Machine) fall(r Reason, now time.Time, also ...Action) (Machine, []Action) {
	m.answers = 0
	cuts := slices.Contains(also, ActionCut)
	if m.State == Down {
		if m.cut || !cuts {
			return m, nil
		}
		m.cut = true
		return m.to(Down, r, now), []Action{ActionCut}
	}
	m.cut = cuts
	if !m.servingSince.IsZero() && now.Sub(m.servingSince) >= forgiveAfter {
		m.falls = 0
	}
	if m.State != Unknown {
		m.falls++
	}
	return m.to(Down, r, now), also
}

// failed handles a probe that was answered with an error.
func (m Machine) failed(now time.Time) (Machine, []Action) {
	m.answers = 0
	m.failures++
	switch {
	case m.State == Unknown, m.State == Suspect && m.failures >= failedProbes:
		return m.fall(ReasonProbeFailed, now)
	case m.State.Serving():
		return m.to(Suspect, ReasonProbeFailed, now), nil
	}
	return m, nil
}

// timedOut handles a probe that was given up. If the node sent something else
// meanwhile, it is slow, and the detector goes on watching it.
func (m Machine) timedOut(ev Event, now time.Time) (Machine, []Action) {
	m.answers = 0
	switch {
	case m.State == Unknown:
		return m.fall(ReasonLate, now)
	case m.State.Serving() && !ev.Alive:
		return m.to(Suspect, ReasonLate, now), []Action{ActionProbe}
	case m.State == Draining && !ev.Alive:
		return m.fall(ReasonDraining, now, ActionCut)
	}
	return m, nil
}

// refused handles a refused dial.
func (m Machine) refused(ev Event, now time.Time) (Machine, []Action) {
	m.answers = 0
	if now.Sub(m.lastRefusal) > refusalWindow {
		m.refusals = 0
	}
	m.refusals++
	m.lastRefusal = now
	gone := m.refusals >= 2 || m.State == Unknown || m.State == Draining ||
		!m.lastReset.IsZero() && now.Sub(m.lastReset) <= refusalWindow
	switch {
	case gone && !ev.Alive:
		return m.fall(ReasonRefused, now, ActionCut)
	case m.State.Serving():
		return m.to(Suspect, ReasonRefused, now), []Action{ActionProbe}
	case m.State == Suspect:
		return m, []Action{ActionProbe}
	}
	return m, nil
}

// broke handles a broken connection, and a dial without an answer.
func (m Machine) broke(ev Event, now time.Time) (Machine, []Action) {
	m.answers = 0
	reason := ReasonLate
	if ev.Kind == EventReset {
		m.lastReset = now
		reason = ReasonReset
	}
	if ev.Alive {
		return m, nil
	}
	if ev.Probe {
		m.failures++
	}
	switch {
	case m.State.Serving():
		return m.to(Suspect, reason, now), []Action{ActionProbe}
	case (m.State == Suspect || m.State == Draining) && m.failures >= failedProbes:
		// Something accepts and hangs up: a proxy in front of a dead server. Only a
		// node that is down is asked at growing pauses.
		return m.fall(reason, now, ActionCut)
	case m.State == Draining, m.State == Suspect && m.failures <= 1:
		return m, []Action{ActionProbe}
	case m.State == Unknown && ev.Probe:
		return m.fall(reason, now, ActionCut)
	}
	return m, nil
}

// refusesWork handles 57P03. Nothing is cut: what the node still runs may end
// well, as long as it isn't silent.
func (m Machine) refusesWork(now time.Time) (Machine, []Action) {
	m.answers = 0
	m.notReady++
	switch {
	case m.State == Unknown, m.State == Suspect && m.notReady >= notReadyAnswers:
		return m.fall(ReasonNotReady, now)
	case m.State.Serving():
		return m.to(Suspect, ReasonNotReady, now), nil
	}
	return m, nil
}
