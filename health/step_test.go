package health

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

// at is one event at a time after the start of a script.
type at struct {
	after time.Duration
	event Event
}

func ev(after time.Duration, k Kind) at          { return at{after, Event{Kind: k}} }
func probe(after time.Duration, k Kind) at       { return at{after, Event{Kind: k, Probe: true}} }
func alive(after time.Duration, k Kind) at       { return at{after, Event{Kind: k, Alive: true}} }
func short(after time.Duration, k Kind) at       { return at{after, Event{Kind: k, Short: true}} }
func alone(after time.Duration, k Kind) at       { return at{after, Event{Kind: k, Alone: true}} }
func (a at) apply(m Machine) (Machine, []Action) { return Step(m, a.event, start.Add(a.after)) }

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const ms = time.Millisecond

func TestStep(t *testing.T) {
	up := []at{ev(0, EventProbeOK)}
	fallen := append(up, ev(10*ms, EventFrozen))
	for name, c := range map[string]struct {
		script  []at
		state   State
		reason  Reason
		actions []Action // of the last event
	}{
		"first answer":                  {up, Up, ReasonNone, []Action{ActionAllow}},
		"second answer":                 {append(up, ev(ms, EventProbeOK)), Up, ReasonNone, nil},
		"unknown and refused":           {[]at{ev(0, EventRefused)}, Down, ReasonRefused, []Action{ActionCut}},
		"unknown and failed":            {[]at{ev(0, EventProbeFailed)}, Down, ReasonProbeFailed, nil},
		"unknown and timed out":         {[]at{ev(0, EventProbeTimeout)}, Down, ReasonLate, nil},
		"unknown and not ready":         {[]at{ev(0, EventNotReady)}, Down, ReasonNotReady, nil},
		"unknown and hung up on":        {[]at{probe(0, EventReset)}, Down, ReasonReset, []Action{ActionCut}},
		"unknown and frozen":            {[]at{ev(0, EventFrozen)}, Down, ReasonFrozen, []Action{ActionCut}},
		"unknown and late":              {[]at{ev(0, EventLate)}, Unknown, ReasonNone, nil},
		"late":                          {append(up, ev(ms, EventLate)), Suspect, ReasonLate, nil},
		"late, answered":                {append(up, ev(ms, EventLate), ev(2*ms, EventProbeOK)), Up, ReasonNone, nil},
		"frozen":                        {fallen, Down, ReasonFrozen, []Action{ActionCut}},
		"frozen twice cuts once":        {append(fallen, ev(11*ms, EventFrozen)), Down, ReasonFrozen, nil},
		"refused once":                  {append(up, ev(ms, EventRefused)), Suspect, ReasonRefused, []Action{ActionProbe}},
		"refused twice":                 {append(up, ev(ms, EventRefused), ev(2*ms, EventRefused)), Down, ReasonRefused, []Action{ActionCut}},
		"refused twice, far apart":      {append(up, ev(ms, EventRefused), ev(1500*ms, EventRefused)), Suspect, ReasonRefused, []Action{ActionProbe}},
		"refused twice, but alive":      {append(up, ev(ms, EventRefused), alive(2*ms, EventRefused)), Suspect, ReasonRefused, []Action{ActionProbe}},
		"refused, answered, refused":    {append(up, ev(ms, EventRefused), ev(2*ms, EventProbeOK), ev(3*ms, EventRefused)), Suspect, ReasonRefused, []Action{ActionProbe}},
		"broken":                        {append(up, ev(ms, EventReset)), Suspect, ReasonReset, []Action{ActionProbe}},
		"broken, but alive":             {append(up, alive(ms, EventReset)), Up, ReasonNone, nil},
		"broken, then refused":          {append(up, ev(ms, EventReset), ev(2*ms, EventRefused)), Down, ReasonRefused, []Action{ActionCut}},
		"broken, much later refused":    {append(up, ev(ms, EventReset), ev(2000*ms, EventRefused)), Suspect, ReasonReset, []Action{ActionProbe}},
		"accepts and hangs up":          {append(up, probe(ms, EventReset), probe(2*ms, EventReset), probe(3*ms, EventReset)), Down, ReasonReset, []Action{ActionCut}},
		"users' broken connections":     {append(up, ev(ms, EventReset), ev(2*ms, EventReset), ev(3*ms, EventReset)), Suspect, ReasonReset, []Action{ActionProbe}},
		"dial without answer":           {append(up, ev(ms, EventDialTimeout)), Suspect, ReasonLate, []Action{ActionProbe}},
		"probe failed":                  {append(up, ev(ms, EventProbeFailed)), Suspect, ReasonProbeFailed, nil},
		"three probes failed":           {append(up, ev(ms, EventProbeFailed), ev(2*ms, EventProbeFailed), ev(3*ms, EventProbeFailed)), Down, ReasonProbeFailed, nil},
		"not ready":                     {append(up, ev(ms, EventNotReady)), Suspect, ReasonNotReady, nil},
		"not ready twice":               {append(up, ev(ms, EventNotReady), ev(2*ms, EventNotReady)), Down, ReasonNotReady, nil},
		"full is healthy":               {append(up, ev(ms, EventFull)), Up, ReasonNone, nil},
		"probe given up, but alive":     {append(up, alive(ms, EventProbeTimeout)), Up, ReasonNone, nil},
		"probe given up":                {append(up, ev(ms, EventProbeTimeout)), Suspect, ReasonLate, []Action{ActionProbe}},
		"one farewell":                  {append(up, ev(ms, EventDrain)), Up, ReasonNone, []Action{ActionProbe}},
		"two farewells far apart":       {append(up, ev(ms, EventDrain), ev(1002*ms, EventDrain)), Up, ReasonNone, []Action{ActionProbe}},
		"two farewells and an answer":   {append(up, ev(ms, EventDrain), ev(2*ms, EventProbeOK), ev(3*ms, EventDrain)), Draining, ReasonDraining, []Action{ActionProbe}},
		"draining":                      {append(up, ev(ms, EventDrain), ev(ms, EventDrain)), Draining, ReasonDraining, []Action{ActionProbe}},
		"draining, answers early":       {append(up, ev(ms, EventDrain), ev(ms, EventDrain), ev(2*ms, EventProbeOK), ev(3*ms, EventProbeOK)), Draining, ReasonDraining, nil},
		"draining, answers on":          {append(up, ev(ms, EventDrain), ev(ms, EventDrain), ev(2*ms, EventProbeOK), ev(600*ms, EventProbeOK)), Up, ReasonNone, nil},
		"draining, last hope":           {append(up, ev(ms, EventDrain), ev(ms, EventDrain), alone(2*ms, EventProbeOK)), Up, ReasonNone, nil},
		"draining, refused":             {append(up, ev(ms, EventDrain), ev(ms, EventDrain), ev(2*ms, EventRefused)), Down, ReasonRefused, []Action{ActionCut}},
		"draining, silent":              {append(up, ev(ms, EventDrain), ev(ms, EventDrain), ev(2*ms, EventProbeTimeout)), Down, ReasonDraining, []Action{ActionCut}},
		"draining, hangs up":            {append(up, ev(ms, EventDrain), ev(ms, EventDrain), probe(2*ms, EventReset), probe(3*ms, EventReset)), Draining, ReasonDraining, []Action{ActionProbe}},
		"draining, hangs up for good":   {append(up, ev(ms, EventDrain), ev(ms, EventDrain), probe(2*ms, EventReset), probe(3*ms, EventReset), probe(4*ms, EventReset)), Down, ReasonReset, []Action{ActionCut}},
		"breaker opens":                 {append(up, ev(ms, EventBreakerOpen)), Suspect, ReasonBreaker, []Action{ActionProbe}},
		"breaker open, probe answered":  {append(up, ev(ms, EventBreakerOpen), ev(2*ms, EventProbeOK)), Suspect, ReasonBreaker, nil},
		"breaker opens and closes":      {append(up, ev(ms, EventBreakerOpen), ev(2*ms, EventBreakerClosed)), Up, ReasonNone, nil},
		"breaker closes while late":     {append(up, ev(ms, EventLate), ev(2*ms, EventBreakerOpen), ev(3*ms, EventBreakerClosed)), Suspect, ReasonLate, nil},
		"down answers once":             {append(fallen, ev(20*ms, EventProbeOK)), Down, ReasonFrozen, nil},
		"down answers twice":            {append(fallen, ev(20*ms, EventProbeOK), ev(30*ms, EventProbeOK)), Recovering, ReasonRecovered, []Action{ActionForget, ActionAllow}},
		"down, answers interrupted":     {append(fallen, ev(20*ms, EventProbeOK), ev(25*ms, EventRefused), ev(30*ms, EventProbeOK)), Down, ReasonFrozen, nil},
		"down, last hope":               {append(fallen, alone(20*ms, EventProbeOK)), Recovering, ReasonRecovered, []Action{ActionForget, ActionAllow}},
		"down, needed, answers once":    {append(fallen, short(20*ms, EventProbeOK)), Down, ReasonFrozen, nil},
		"down drains":                   {append(fallen, ev(20*ms, EventDrain)), Down, ReasonFrozen, nil},
		"recovering":                    {append(fallen, ev(20*ms, EventProbeOK), ev(30*ms, EventProbeOK), ev(40*ms, EventProbeOK)), Recovering, ReasonRecovered, nil},
		"ramp ends":                     {append(fallen, ev(20*ms, EventProbeOK), ev(30*ms, EventProbeOK), ev(3030*ms, EventRampEnd)), Up, ReasonNone, nil},
		"recovering, late, answers":     {append(fallen, ev(20*ms, EventProbeOK), ev(30*ms, EventProbeOK), ev(40*ms, EventLate), ev(50*ms, EventProbeOK)), Recovering, ReasonRecovered, nil},
		"recovering, late for the ramp": {append(fallen, ev(20*ms, EventProbeOK), ev(30*ms, EventProbeOK), ev(40*ms, EventLate), ev(3050*ms, EventProbeOK)), Up, ReasonNone, nil},
		"another role":                  {append(up, ev(ms, EventRole)), Up, ReasonNone, []Action{ActionProbe}},
		"another role, down":            {append(fallen, ev(20*ms, EventRole)), Down, ReasonFrozen, nil},
		"ramp end while up":             {append(up, ev(ms, EventRampEnd)), Up, ReasonNone, nil},
		"nothing":                       {append(up, ev(ms, EventNone)), Up, ReasonNone, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var m Machine
			var actions []Action
			for _, a := range c.script {
				m, actions = a.apply(m)
			}
			assert.Equal(t, c.state, m.State)
			assert.Equal(t, c.reason, m.Reason)
			assert.Equal(t, c.actions, actions)
		})
	}
}

func TestReentryDelayGrowsAndIsForgiven(t *testing.T) {
	m, now := Machine{}, start
	step := func(k Kind, after time.Duration) {
		now = now.Add(after)
		m, _ = Step(m, Event{Kind: k}, now)
	}
	back := func() time.Duration {
		fell := now
		for m.State != Recovering {
			step(EventProbeOK, 10*ms)
		}
		return now.Sub(fell)
	}
	step(EventProbeOK, 0)
	var delays []time.Duration
	for range 7 {
		step(EventFrozen, 100*ms)
		delays = append(delays, back())
	}
	assert.Equal(t, []time.Duration{20 * ms, 510 * ms, 1010 * ms, 2010 * ms, 4010 * ms, 4010 * ms, 4010 * ms}, delays)
	step(EventFrozen, forgiveAfter)
	assert.Equal(t, 20*ms, back(), "ten good seconds are a clean record")
}

// TestStepInvariants feeds random events.
func TestStepInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, now, cut := Machine{}, start, false
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "gap")) * ms)
			e := Event{
				Kind:  Kind(rapid.IntRange(0, int(EventRole)).Draw(t, "kind")),
				Alive: rapid.Bool().Draw(t, "alive"), Alone: rapid.Bool().Draw(t, "alone"), Probe: rapid.Bool().Draw(t, "probe"),
			}
			before := m
			var actions []Action
			m, actions = Step(m, e, now)
			if before.State == Down && m.State != Down && (e.Kind != EventProbeOK || m.State != Recovering) {
				t.Fatalf("left Down by %v for %v", e.Kind, m.State)
			}
			if e.Kind == EventFrozen && m.State != Down {
				t.Fatalf("frozen, but %v", m.State)
			}
			if e.Alive && e.Kind != EventFrozen && m.State == Down && before.State != Down &&
				(e.Kind == EventRefused || e.Kind == EventReset) {
				t.Fatalf("a living node fell by %v", e.Kind)
			}
			if m.State != before.State && !m.Since.Equal(now) {
				t.Fatal("Since isn't the time of the change")
			}
			cut = cut && m.State == Down
			for _, a := range actions {
				if a == ActionCut && (m.State != Down || cut) {
					t.Fatalf("cut on %v → %v, cut before: %v", before.State, m.State, cut)
				}
				cut = cut || a == ActionCut
			}
			if e.Kind == EventFrozen && !cut {
				t.Fatalf("frozen, and not cut")
			}
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Recovering.String(), "Recovering"},
		{State(99).String(), "Unknown"},
		{ReasonFrozen.String(), "frozen"},
		{Reason(99).String(), "none"},
		{EventRampEnd.String(), "RampEnd"},
		{EventRole.String(), "Role"},
		{Kind(99).String(), "None"},
		{ActionForget.String(), "Forget"},
		{Action(99).String(), "None"},
		{Frozen.String(), "Frozen"},
		{Judgement(99).String(), "Wait"},
		{BreakerOpen.String(), "open"},
		{BreakerState(99).String(), "closed"},
	} {
		assert.Equal(t, c.want, c.got)
	}
}
