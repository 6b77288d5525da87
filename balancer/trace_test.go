package balancer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// traced is a case of TestTrace.
type traced struct {
	picker Picker
	nodes  int
	edit   func(i int, c *Candidate)
	want   map[Rule]bool // every rule that many picks meet
	check  func(t *testing.T, picked int, trace Trace)
}

func tracedCases() map[string]traced {
	ready := func(i int, c *Candidate) { c.Load.Observe(0, time.Millisecond) }
	return map[string]traced{
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
		"nobody is least":    {picker: LeastInFlight{}, nodes: 0, want: map[Rule]bool{RuleNone: true}},
		"one is least":       {picker: LeastInFlight{}, nodes: 1, want: map[Rule]bool{RuleOnly: true}},
		"nobody has a share": {picker: Weighted{}, nodes: 0, want: map[Rule]bool{RuleNone: true}},
		"one has all shares": {picker: Weighted{}, nodes: 1, want: map[Rule]bool{RuleOnly: true}},
		"shares":             {picker: Weighted{}, nodes: 3, want: map[Rule]bool{RuleShare: true}},
		"chance":             {picker: Random{}, nodes: 3, want: map[Rule]bool{RuleRandom: true}},
		"least": {picker: LeastInFlight{}, nodes: 3, edit: func(i int, c *Candidate) {
			for range i {
				c.Load.Begin()
			}
		}, want: map[Rule]bool{RuleLeast: true}, check: func(t *testing.T, _ int, trace Trace) {
			assert.Equal(t, [2]Drawn{{Index: 0}, {Index: 1, InFlight: 1}}, trace.Drawn, "the best two")
		}},
		"idle but slow": {picker: LeastInFlight{}, nodes: 3, edit: func(i int, c *Candidate) {
			c.Load.ObserveProbe(0, time.Duration(1+99*i)*time.Millisecond)
			for range 3 * (2 - i) {
				c.Load.Begin()
			}
		}, want: map[Rule]bool{RuleExplore: true, RuleOnly: true}},
		"zone": {
			picker: Zone{}, nodes: 4, edit: func(i int, c *Candidate) { c.Local = i < 2 },
			want: map[Rule]bool{RuleDrawn: true}, check: func(t *testing.T, _ int, trace Trace) {
				assert.Equal(t, "the first of two equals drawn at random, in the own zone", trace.String())
			},
		},
		"no such zone": {
			picker: Zone{}, nodes: 1, want: map[Rule]bool{RuleOnly: true},
			check: func(t *testing.T, _ int, trace Trace) {
				assert.Equal(t, "the only one that could be picked, of all zones because the own one has none to spare", trace.String())
			},
		},
		"nobody in any zone": {
			picker: Zone{}, nodes: 0, want: map[Rule]bool{RuleNone: true},
			check: func(t *testing.T, _ int, trace Trace) { assert.Equal(t, RuleNone.String(), trace.String()) },
		},
		"keys":             {picker: byKey{}, nodes: 3, want: map[Rule]bool{RuleKey: true}},
		"nobody for a key": {picker: byKey{}, nodes: 0, want: map[Rule]bool{RuleNone: true}},
		"one for a key":    {picker: byKey{}, nodes: 1, want: map[Rule]bool{RuleOnly: true}},
		"keys of an overloaded node": {picker: byKey{}, nodes: 2, edit: func(i int, c *Candidate) {
			for range 9 * i {
				c.Load.Begin()
			}
		}, want: map[Rule]bool{RuleKey: true, RuleNextForKey: true}},
		"keys of a slow node": {picker: byKey{}, nodes: 2, edit: func(i int, c *Candidate) {
			c.Load.ObserveProbe(0, time.Duration(1+99*i)*time.Millisecond)
		}, want: map[Rule]bool{RuleKey: true, RuleExplore: true, RuleNextForKey: true}},
	}
}

// The trace says by which rule the picker went, and shows what it compared.
func TestTrace(t *testing.T) {
	for name, c := range tracedCases() {
		t.Run(name, func(t *testing.T) {
			v, got := view(c.nodes, c.edit), map[Rule]bool{}
			for seq := range 200 {
				trace := Trace{Rule: 99, Reach: 99, Compared: true}
				r := Request{Seq: uint64(seq), Trace: &trace}
				picked := c.picker.Pick(v, r)
				got[trace.Rule] = true
				assert.LessOrEqual(t, trace.Reach, ReachSpilled)
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
	seen := map[string]bool{}
	for r := RuleNone; r <= RuleNextForKey; r++ {
		assert.NotEmpty(t, r.String())
		assert.False(t, seen[r.String()], "%s twice", r)
		seen[r.String()] = true
		assert.NotEmpty(t, r.Other(false))
		assert.NotEmpty(t, r.Other(true))
	}
	assert.Equal(t, []string{"drawn as well", "not drawn"}, []string{RuleFewer.Other(true), RuleFewer.Other(false)})
	assert.Empty(t, Reach(99).String())
	assert.Equal(t, RuleNone.String(), Rule(99).String())
}
