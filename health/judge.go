package health

import "time"

// judge decides about a node whose probe is unanswered.
func (m *Monitor) judge(w *watched, now time.Time) {
	begun := w.silentSince(m.grace)
	silent := now.Sub(w.silentSince(time.Time{})) // our own stalls included
	switch {
	case w.machine.State == Down && w.machine.cut:
		if silent >= w.patience() || now.Sub(w.begun()) >= strangerLimit {
			w.giveUp()
		}
		return
	case w.machine.State == Unknown && silent < strangerTimeout:
		return
	}
	outlook := Outlook{Nodes: m.count(), OthersServing: m.serving(w.index), OtherAnswered: m.answeredSince(w.index, begun)}
	switch Judge(now.Sub(begun), w.detector, outlook) {
	case Frozen:
		m.step(w, Event{Kind: EventFrozen}, now)
	case Late:
		m.step(w, Event{Kind: EventLate}, now)
		if w.node.OnLate != nil {
			w.node.OnLate(now.Sub(begun))
		}
	case Wait:
	}
	lost := m.awake-w.awake >= lostProbe && now.Sub(w.begun()) >= lostProbe
	if lost || now.Sub(later(w.begun(), m.grace)) >= Ceiling {
		w.giveUp() // it lives, but this probe is lost
	}
}

// serving counts the nodes that are given work, except one.
func (m *Monitor) serving(except int) int {
	n := 0
	for w := range m.all() {
		if w.index != except && w.machine.State.Serving() && !w.node.Outside() {
			n++
		}
	}
	return n
}

// count counts the nodes of the cluster.
func (m *Monitor) count() int {
	n := 0
	for w := range m.all() {
		if !w.node.Outside() {
			n++
		}
	}
	return n
}

// answeredSince reports whether a node, except one, sent anything since.
func (m *Monitor) answeredSince(except int, since time.Time) bool {
	for w := range m.all() {
		if w.index != except && w.node.Pulse.Last().After(since) {
			return true
		}
	}
	return false
}
