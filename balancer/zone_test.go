package balancer

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// Six nodes, two of them in the own zone: when operations leave it, and for
// where.
func TestZone(t *testing.T) {
	begin := func(n int) func(c *Candidate) {
		return func(c *Candidate) {
			for range n {
				c.Load.Begin()
			}
		}
	}
	state := func(s State) func(c *Candidate) { return func(c *Candidate) { c.State = s } }
	const own, one, spread = "own", "one of the own", "spread" // both of the zone, its second, all but the zone's
	for name, c := range map[string]struct {
		first, second func(c *Candidate)
		excluded      Set
		want          string
	}{
		"all well":           {want: own},
		"one down":           {first: state(Down), want: one},
		"one suspected":      {first: state(Suspect), want: one},
		"one overloaded":     {first: begin(12), want: one},
		"one fails":          {first: func(c *Candidate) { c.Load.Fail(0) }, want: one},
		"one tried already":  {excluded: Set{}.With(0), want: one},
		"both down":          {first: state(Down), second: state(Down), want: spread},
		"both suspected":     {first: state(Suspect), second: state(Suspect), want: spread},
		"down and overfull":  {first: state(Down), second: begin(12), want: spread},
		"both overloaded":    {first: begin(12), second: begin(13), want: spread},
		"breakers are open":  {first: func(c *Candidate) { c.BreakerOpen = true }, second: state(Draining), want: spread},
		"both fail":          {first: func(c *Candidate) { c.Load.Fail(0) }, second: func(c *Candidate) { c.Load.Fail(0) }, want: spread},
		"both tried already": {excluded: Set{}.With(0).With(1), want: spread},
		"nearly overloaded":  {first: begin(11), second: begin(11), want: own},
	} {
		v := view(6, func(i int, x *Candidate) {
			x.Local, x.Limit = i < 2, 16
			x.Load.Observe(0, time.Millisecond)
			for k, edit := range []func(*Candidate){c.first, c.second} {
				if i == k && edit != nil {
					edit(x)
				}
			}
		})
		trace := Trace{}
		s := shares(Zone{}, v, 30_000, Request{NowNanos: ms, Excluded: c.excluded, Trace: &trace})
		switch c.want {
		case own:
			assert.InDelta(t, 50, s[0], 2, name)
			assert.InDelta(t, 50, s[1], 2, name)
		case one:
			assert.InDelta(t, 100, s[1], 0.01, name)
		case spread:
			for i := 2; i < 6; i++ {
				assert.InDelta(t, 25, s[i], 3, "%s, node %d", name, i)
			}
		}
		assert.Equal(t, map[bool]Reach{true: ReachSpilled, false: ReachOwn}[c.want == spread], trace.Reach, name)
	}
}

// In panic mode doubtful nodes of the own zone aren't better than those that
// are well elsewhere.
func TestZoneInPanic(t *testing.T) {
	v := view(6, func(i int, c *Candidate) {
		if c.Local = i < 3; i < 4 {
			c.State = Suspect
		}
		c.Load.Observe(0, time.Millisecond)
	})
	assert.True(t, v.Panic())
	for i, s := range shares(Zone{}, v, 30_000, Request{})[:6] {
		assert.InDelta(t, 100./6, s, 2, "node %d: everybody is needed", i)
	}
}

// The only node of the zone comes back: it gets its part, and the rest stays
// with those that had it.
func TestZoneSlowStart(t *testing.T) {
	for _, weight := range []float64{0.1, 0.5} {
		v := view(3, func(i int, c *Candidate) {
			if i == 0 {
				c.Local, c.State, c.Weight = true, Recovering, weight
			}
		})
		s := shares(Zone{}, v, 60_000, Request{})
		assert.InDelta(t, 100*weight, s[0], 2)
		assert.InDelta(t, s[1], s[2], 2)
		alone := Request{Excluded: Set{}.With(1).With(2)}
		assert.InDelta(t, 100, shares(Zone{}, v, 1000, alone)[0], 0.01, "with no other node left it serves")
	}
}

// What the zone can't take leaves it, and no more: one node of three is local,
// and more operations are under way than it has room for.
func TestZoneKeepsWhatItCan(t *testing.T) {
	v := view(3, func(i int, c *Candidate) { c.Local, c.Limit = i == 0, 16 })
	for k := range 30 {
		v.Candidate(Zone{}.Pick(v, Request{Seq: uint64(k)})).Load.Begin()
	}
	assert.GreaterOrEqual(t, v.Candidate(0).Load.InFlight(), int64(12), "three quarters of its limit")
	assert.Less(t, v.Candidate(0).Load.InFlight(), int64(16))
	assert.InDelta(t, v.Candidate(1).Load.InFlight(), v.Candidate(2).Load.InFlight(), 4)
}
