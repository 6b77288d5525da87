package balancer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// The trace says by which rule the picker went, and shows what it compared.
func TestTrace(t *testing.T) {
	ready := func(i int, c *Candidate) { c.Load.Observe(0, time.Millisecond) }
	for name, c := range map[string]struct {
		picker Picker
		nodes  int
		edit   func(i int, c *Candidate)
		want   map[Rule]bool // every rule that many picks meet
		check  func(t *testing.T, picked int, trace Trace)
	}{
		"nobody":  {picker: P2C{}, nodes: 0, want: map[Rule]bool{RuleNone: true}},
		"no turn": {picker: RoundRobin{}, nodes: 0, want: map[Rule]bool{RuleNone: true}},
		"one":     {picker: P2C{}, nodes: 1, edit: ready, want: map[Rule]bool{RuleOnly: true}},
		"equals":  {picker: P2C{}, nodes: 3, edit: ready, want: map[Rule]bool{RuleDrawn: true}},
		"turns":   {picker: RoundRobin{}, nodes: 3, edit: ready, want: map[Rule]bool{RuleTurn: true}},
		"in flight": {picker: P2C{}, nodes: 2, edit: func(i int, c *Candidate) {
			ready(i, c)
			for range i {
				c.Load.Begin()
			}
		}, want: map[Rule]bool{RuleFewer: true}, check: func(t *testing.T, picked int, trace Trace) {
			assert.Zero(t, picked)
			for _, d := range trace.Drawn {
				assert.EqualValues(t, d.Index, d.InFlight)
				assert.InDelta(t, 1000, d.LatencyMicros, 0.1)
			}
		}},
		"latency": {picker: P2C{}, nodes: 2, edit: func(i int, c *Candidate) {
			c.Load.Observe(0, time.Duration(1+4*i)*time.Millisecond)
		}, want: map[Rule]bool{RuleCheaper: true}},
		"slow start": {picker: P2C{}, nodes: 2, edit: func(i int, c *Candidate) {
			ready(i, c)
			if i == 1 {
				c.State, c.Weight = Recovering, 0.5
			}
		}, want: map[Rule]bool{RuleSlowStart: true, RuleDrawn: true}},
		"far slower": {picker: P2C{}, nodes: 2, edit: func(i int, c *Candidate) {
			c.Load.ObserveProbe(0, time.Duration(1+199*i)*time.Millisecond)
			for range 1000 * (1 - i) {
				c.Load.Begin()
			}
		}, want: map[Rule]bool{RuleExplore: true, RuleFastest: true}},
	} {
		t.Run(name, func(t *testing.T) {
			v, got := view(c.nodes, c.edit), map[Rule]bool{}
			for seq := range 200 {
				trace := Trace{Rule: 99, Compared: true}
				r := Request{Seq: uint64(seq), Trace: &trace}
				picked := c.picker.Pick(v, r)
				got[trace.Rule] = true
				if trace.Compared {
					assert.True(t, trace.Rule == RuleFastest || picked == trace.Drawn[0].Index || picked == trace.Drawn[1].Index)
				}
				if c.check != nil {
					c.check(t, picked, trace)
				}
			}
			assert.Equal(t, c.want, got)
		})
	}
	for r := RuleNone; r <= RuleTurn; r++ {
		assert.NotEmpty(t, r.String())
	}
	assert.Equal(t, RuleNone.String(), Rule(99).String())
}
