package health

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Monitor watches nodes: it decides when to probe, feeds each node's Machine,
// judges silences, and publishes Views. Create it with NewMonitor; its methods
// are safe for concurrent use.
type Monitor struct {
	cfg   Config
	view  atomic.Pointer[View]
	inbox chan message
	asked chan func() // runs on the monitor's goroutine
	stop  chan struct{}

	start, close sync.Once
	started      atomic.Bool
	running      sync.WaitGroup

	// What follows belongs to the monitor's goroutine.
	nodes   []*watched // by index; nil where a node was removed
	rand    *rand.Rand
	grace   time.Time     // silences are counted from here at the earliest
	stalls  uint64        // times that this process stood still
	stalled time.Time     // the end of the last of them
	expects time.Time     // when the goroutine should wake up
	ran     time.Time     // when it last did
	awake   time.Duration // how long this process has run, its stalls left out
	life    time.Time     // the last byte from any node
	dirty   bool
	pending []pendingAction
}

// pendingAction is an action that waits for the next View to be published.
type pendingAction struct {
	node   int
	action Action
	reason Reason
}

// NewMonitor returns a Monitor that does nothing yet.
func NewMonitor(cfg Config) *Monitor {
	cfg = cfg.withDefaults()
	m := &Monitor{
		cfg:   cfg,
		inbox: make(chan message, queueLength),
		asked: make(chan func()),
		stop:  make(chan struct{}),
		rand:  rand.New(rand.NewPCG(cfg.Seed, 0x9e3779b97f4a7c15)),
	}
	reports := make([]Report, len(cfg.Nodes))
	for i, n := range cfg.Nodes {
		m.nodes = append(m.nodes, newWatched(i, n))
		reports[i] = m.nodes[i].report(time.Time{})
	}
	m.view.Store(&View{Reports: reports, superseded: make(chan struct{})})
	return m
}

// Start begins to probe. Only the first call does anything.
func (m *Monitor) Start() {
	m.start.Do(func() {
		for w := range m.all() {
			m.launchProber(w)
		}
		m.running.Go(m.run) // ends when Close closes m.stop
		m.started.Store(true)
	})
}

func (m *Monitor) launchProber(w *watched) {
	p := &prober{watched: w, stop: w.removed, start: w.launches}
	// Ends when Close closes m.stop or Remove w.removed, and the probe returns.
	m.running.Go(func() {
		defer close(w.quiet)
		p.run(m.stop, m.inbox)
	})
}

// Close stops probing, ends probes that are under way, and returns when every
// goroutine of the monitor has ended. It may be called more than once.
func (m *Monitor) Close() {
	m.start.Do(func() { close(m.view.Load().superseded) }) // never started: nothing else will
	m.close.Do(func() { close(m.stop) })
	m.running.Wait()
}

// View returns the current snapshot.
func (m *Monitor) View() *View { return m.view.Load() }

// Observe tells the monitor what the data path saw of node i. since is when the
// trouble began: for a dial its start, for a broken connection the moment at
// which the error came. A byte that the node sent after it proves that the node
// lives. What only a probe can say is read as the data path's counterpart: a
// time-out as that of a dial, and an error of the server, which may be the
// user's own, as nothing. Observe never blocks; in a flood of events some are
// dropped.
func (m *Monitor) Observe(i int, kind Kind, since time.Time) {
	switch kind {
	case EventProbeTimeout:
		kind = EventDialTimeout
	case EventProbeFailed, EventProbeOK, EventLate, EventFrozen, EventRampEnd:
		return
	}
	if i < 0 || i >= len(m.View().Reports) || kind == EventNone {
		return
	}
	select {
	case m.inbox <- message{node: i, kind: kind, since: since}:
	default:
	}
}

// run is the monitor's goroutine.
func (m *Monitor) run() {
	defer m.end()
	m.expects = time.Now()
	m.ran = m.expects
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-m.stop:
			return
		case msg := <-m.inbox:
			m.noticeStall(time.Now())
			m.handle(msg, time.Now())
		case f := <-m.asked:
			m.noticeStall(time.Now())
			f()
		case <-timer.C:
			m.noticeStall(time.Now())
		}
		now := time.Now()
		m.noticeLife(now)
		m.advance(now)
		m.publish(now)
		m.act()
		m.expects = m.nextWake(now)
		timer.Reset(time.Until(m.expects))
	}
}

// end releases what the goroutine holds.
func (m *Monitor) end() {
	for w := range m.all() {
		w.giveUp()
	}
	close(m.view.Load().superseded)
}

// noticeStall grants every node a fresh start if this goroutine was late: then
// the process stood still, and what looks like a silence is our own.
func (m *Monitor) noticeStall(now time.Time) {
	m.awake += min(now.Sub(m.ran), heartbeat+stallLimit)
	m.ran = now
	if now.Sub(m.expects) > stallLimit {
		m.grace, m.stalled = now, now
		m.stalls++
		m.dirty = true
	}
}

// noticeLife grants every node a fresh start when all of them were silent and
// one speaks again: then the trouble was ours or the network's, and whoever
// speaks first is no witness against those that come a moment later.
func (m *Monitor) noticeLife(now time.Time) {
	newest, usual := m.life, time.Duration(0)
	for w := range m.all() {
		newest = later(newest, w.node.Pulse.Last())
		usual = max(usual, w.detector.SuspectAfter())
	}
	if !m.life.IsZero() && newest.Sub(m.life) > m.cfg.ProbeInterval+usual {
		m.grace = now
	}
	m.life = newest
}

// handle takes one message.
func (m *Monitor) handle(msg message, now time.Time) {
	w := m.nodes[msg.node]
	if w == nil || msg.probe && msg.from != w {
		return // of a node that was removed
	}
	ev := Event{
		Kind:      msg.kind,
		RoundTrip: msg.roundTrip,
		Probe:     msg.probe,
		Alive:     w.node.Pulse.Last().After(msg.since),
		Short:     2*m.serving(w.index) < m.count(),
		Alone:     m.serving(w.index) == 0,
	}
	if msg.probe {
		ev.Kind = w.finish(msg, now)
	}
	m.dirty = true
	m.step(w, ev, now)
	if msg.probe {
		w.schedule(now, m.cfg.ProbeInterval, m.rand)
	}
	m.probeSoon(w, now)
}

// step feeds one event to a node's machine and queues what is to be done.
func (m *Monitor) step(w *watched, ev Event, now time.Time) {
	before := w.machine.State
	machine, actions := Step(w.machine, ev, now)
	w.machine = machine
	if machine.State != before {
		m.dirty = true
		if machine.State == Down {
			w.falls++
			w.giveUp()
		}
	}
	for _, a := range actions {
		if a == ActionProbe {
			w.hurry = true
			continue
		}
		m.pending = append(m.pending, pendingAction{node: w.index, action: a, reason: machine.Reason})
	}
}

// probeSoon moves the next probe up if the machine asked for it.
func (m *Monitor) probeSoon(w *watched, now time.Time) {
	if !w.hurry {
		return
	}
	w.hurry = false
	soon := w.ended.Add(probeGap)
	if soon.Before(now) {
		soon = now
	}
	if soon.Before(w.due) {
		w.due = soon
	}
}

// advance looks at every node: its breaker, its slow start, its silence, and
// whether a probe is due.
func (m *Monitor) advance(now time.Time) {
	for w := range m.all() {
		m.checkBreaker(w, now)
		if w.machine.State == Recovering {
			m.dirty = true // its weight grows
			if now.Sub(w.machine.RampSince) >= RampDuration {
				m.step(w, Event{Kind: EventRampEnd}, now)
			}
		}
		switch {
		case w.probing():
			m.judge(w, now)
		case !now.Before(w.due):
			w.launch(now)
			w.awake = m.awake
		}
		m.probeSoon(w, now)
	}
}

// checkBreaker moves the breaker's clock and turns its changes into events.
func (m *Monitor) checkBreaker(w *watched, now time.Time) {
	if w.node.Breaker == nil {
		return
	}
	state := w.node.Breaker.State()
	if state == w.breaker {
		return
	}
	opened, closed := state == BreakerOpen, w.breaker == BreakerOpen
	w.breaker = state
	m.dirty = true
	switch {
	case opened:
		m.step(w, Event{Kind: EventBreakerOpen}, now)
	case closed:
		m.step(w, Event{Kind: EventBreakerClosed}, now)
	}
}

// nextWake returns when the goroutine has something to do.
func (m *Monitor) nextWake(now time.Time) time.Time {
	wake := now.Add(heartbeat)
	for w := range m.all() {
		at := w.due
		if w.probing() {
			begun := w.silentSince(m.grace)
			at = begun.Add(NextCheck(now.Sub(begun), w.detector))
		}
		if at.Before(wake) {
			wake = at
		}
	}
	return wake
}

// publish makes a new View if there is anything new in it.
func (m *Monitor) publish(now time.Time) {
	if !m.dirty {
		return
	}
	m.dirty = false
	old := m.view.Load()
	v := &View{
		Reports: make([]Report, len(m.nodes)), Stalls: m.stalls, LastStall: m.stalled,
		superseded: make(chan struct{}),
	}
	for w := range m.all() {
		v.Reports[w.index] = w.report(now)
	}
	m.view.Store(v)
	close(old.superseded)
	if m.cfg.OnChange == nil {
		return
	}
	for i := range v.Reports {
		a, b := &Report{}, &v.Reports[i]
		if i < len(old.Reports) {
			a = &old.Reports[i]
		}
		if a.State != b.State || a.Breaker != b.Breaker || a.Weight != b.Weight || b.State == Recovering {
			m.cfg.OnChange(v, i)
		}
	}
}

// act carries out what the machines asked for. It runs after the View was
// published: whoever loses a socket finds a View without the node.
func (m *Monitor) act() {
	for _, p := range m.pending {
		if m.nodes[p.node] == nil {
			continue // it was removed
		}
		n := &m.nodes[p.node].node
		switch {
		case p.action == ActionCut && n.Cut != nil:
			m.nodes[p.node].cuts++
			n.Cut(p.reason)
		case p.action == ActionAllow && n.Allow != nil:
			n.Allow()
		case p.action == ActionForget && n.Forget != nil:
			n.Forget()
		}
	}
	m.pending = m.pending[:0]
}
