package balancer

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = int64(time.Millisecond)

// view returns a View of n nodes that are Up, changed by edit.
func view(n int, edit func(i int, c *Candidate)) *View {
	list := make([]Candidate, n)
	for i := range list {
		list[i] = Candidate{Name: fmt.Sprintf("10.0.0.%d:5432", i), State: Up, Load: &Load{}}
		if edit != nil {
			edit(i, &list[i])
		}
	}
	return NewView(list)
}

// shares picks n times and returns each candidate's share in percent; the last
// element is that of None.
func shares(p Picker, v *View, n int, r Request) []float64 {
	out := make([]float64, v.Len()+1)
	for k := range n {
		r.Seq = uint64(k)
		i := p.Pick(v, r)
		if i == None {
			i = v.Len()
		}
		out[i] += 100 / float64(n)
	}
	return out
}

// byKey is every picker when each operation has a key of its own.
type byKey struct{ P2C }

func (byKey) Name() string { return "any picker by key" }

func (byKey) Pick(v *View, r Request) int {
	r.Key, r.Keyed = mix(r.Seq, 77, 0), true
	return Pick(P2C{}, v, r)
}

func pickers() []Picker {
	all := []Picker{byKey{}}
	for _, name := range Names() {
		p, err := Parse(name)
		if err != nil {
			panic(err)
		}
		all = append(all, p)
	}
	return all
}

func TestEvenShares(t *testing.T) {
	for _, p := range pickers() {
		for _, n := range []int{1, 2, 3, 7, 100} {
			for i, s := range shares(p, view(n, nil), 100_000, Request{Seed: 5})[:n] {
				assert.InDelta(t, 100/float64(n), s, 1.5, "%s, %d nodes, node %d", p.Name(), n, i)
			}
		}
	}
}

func TestEvenSharesDespiteSmallDifferences(t *testing.T) {
	v := view(3, func(i int, c *Candidate) {
		c.Load.Observe(0, time.Duration(200+i*150)*time.Microsecond)
	})
	for _, s := range shares(P2C{}, v, 100_000, Request{})[:3] {
		assert.InDelta(t, 33.3, s, 1.5)
	}
}

func TestOnlyPickableAndNotExcluded(t *testing.T) {
	states := []State{Unknown, Up, Suspect, Down, Recovering, Draining, Up, Recovering, Up}
	v := view(len(states), func(i int, c *Candidate) {
		c.State = states[i]
		c.BreakerOpen = i == 8
	})
	assert.False(t, view(3, nil).Panic())
	require.True(t, v.Panic(), "4 of 9 are eligible")
	assert.Equal(t, 4, v.Eligible())
	for _, p := range pickers() {
		s := shares(p, v, 10_000, Request{Excluded: Set{}.With(6)})
		for i := range states {
			usable := (states[i] == Up || states[i] == Recovering || states[i] == Suspect) && i != 6
			assert.Equal(t, usable, s[i] > 0, "%s: node %d", p.Name(), i)
			assert.Equal(t, usable || i == 6, v.Pickable(i))
		}
	}
}

func TestPanicMode(t *testing.T) {
	for name, c := range map[string]struct {
		states []State
		open   int // index with an open breaker, or -1
		panic  bool
		want   []int
	}{
		"all up":                    {[]State{Up, Up, Up}, -1, false, []int{0, 1, 2}},
		"two of three":              {[]State{Up, Suspect, Up}, -1, false, []int{0, 2}},
		"half of four":              {[]State{Up, Up, Suspect, Suspect}, -1, false, []int{0, 1}},
		"one of three":              {[]State{Up, Suspect, Down}, -1, true, []int{0, 1}},
		"one of three by a breaker": {[]State{Up, Up, Down}, 1, true, []int{0, 1}},
		"breaker":                   {[]State{Up, Up, Up}, 1, false, []int{0, 2}},
		"none":                      {[]State{Down, Down, Draining, Unknown}, -1, true, nil},
		"all suspect":               {[]State{Suspect, Suspect, Suspect}, -1, true, []int{0, 1, 2}},
		"nobody at all":             {nil, -1, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			v := view(len(c.states), func(i int, cand *Candidate) {
				cand.State, cand.BreakerOpen = c.states[i], i == c.open
			})
			assert.Equal(t, c.panic, v.Panic())
			var got []int
			for i := range c.states {
				if v.Pickable(i) {
					got = append(got, i)
				}
			}
			assert.Equal(t, c.want, got)
			for _, p := range pickers() {
				if len(c.want) == 0 {
					assert.Equal(t, None, p.Pick(v, Request{}))
				}
			}
		})
	}
}

func TestEverythingExcluded(t *testing.T) {
	for _, p := range pickers() {
		assert.Equal(t, None, p.Pick(view(3, nil), Request{Excluded: Set{}.With(0).With(1).With(2)}))
		assert.Equal(t, 1, p.Pick(view(3, nil), Request{Excluded: Set{}.With(0).With(2)}))
	}
}

func TestP2CAvoidsLoadAndLatency(t *testing.T) {
	t.Run("in flight", func(t *testing.T) {
		v := view(3, func(i int, c *Candidate) {
			for range i * 3 {
				c.Load.Begin()
			}
		})
		s := shares(P2C{}, v, 30_000, Request{})
		assert.InDelta(t, 66.7, s[0], 2)
		assert.InDelta(t, 33.3, s[1], 2)
		assert.Zero(t, s[2], "the busiest of three loses to both")
	})
	t.Run("slower", func(t *testing.T) {
		v := view(3, func(i int, c *Candidate) { c.Load.Observe(0, time.Duration(1+i*4)*time.Millisecond) })
		assert.Zero(t, shares(P2C{}, v, 30_000, Request{})[2])
	})
	t.Run("slower but idle", func(t *testing.T) {
		v := view(2, func(i int, c *Candidate) {
			c.Load.Observe(0, time.Duration(2+i*2)*time.Millisecond)
			if i == 0 {
				for range 9 {
					c.Load.Begin()
				}
			}
		})
		assert.InDelta(t, 100, shares(P2C{}, v, 1000, Request{})[1], 0.1)
	})
}

func TestFarSlowerNodeIsExploredOncePerSecond(t *testing.T) {
	v := view(3, func(i int, c *Candidate) {
		c.Load.ObserveProbe(0, time.Millisecond)
		if i == 1 {
			c.Load.ObserveProbe(0, 200*time.Millisecond)
		} else {
			for range 1000 { // so busy that by cost alone the slow node would win
				c.Load.Begin()
			}
		}
	})
	picks := 0
	for k := range 100_000 { // ten seconds, one operation in 0.1 ms
		if (P2C{}).Pick(v, Request{Seq: uint64(k), NowNanos: int64(k) * ms / 10}) == 1 {
			picks++
		}
	}
	assert.GreaterOrEqual(t, picks, 9)
	assert.LessOrEqual(t, picks, 10)
	only := Request{Excluded: Set{}.With(0).With(2)}
	for k := range 10 {
		only.Seq = uint64(k)
		assert.Equal(t, 1, P2C{}.Pick(v, only), "with no other node left the slow one serves")
	}
}

func TestSlowQueriesDontMakeANodeSlow(t *testing.T) {
	v := view(3, func(i int, c *Candidate) {
		c.Load.ObserveProbe(0, time.Millisecond)
		if i == 1 {
			c.Load.Observe(0, 3*time.Second) // a user's report
		}
	})
	assert.False(t, v.slow(1, Request{}), "probes say that the node itself is fast")
	idle := view(2, func(i int, c *Candidate) { c.Load.ObserveProbe(0, time.Duration(100+i*2900)*time.Microsecond) })
	assert.False(t, idle.slow(1, Request{}), "3 ms is no slowness, though it is 30 times the best")
}

func TestRefusedNeverLooksFast(t *testing.T) {
	v := view(3, func(i int, c *Candidate) { c.Load.ObserveProbe(0, time.Duration(i*i+1)*time.Millisecond) })
	fails := v.Candidate(0).Load
	fails.Fail(0)
	s := shares(P2C{}, v, 10_000, Request{NowNanos: 10 * ms})
	assert.Less(t, s[0], 0.02, "at most one exploration")
	s = shares(P2C{}, v, 10_000, Request{NowNanos: int64(failurePenalty) + 1})
	assert.Greater(t, s[0], 30.0, "the penalty ends")
	fails.Fail(0)
	fails.Reset()
	assert.Greater(t, shares(P2C{}, v, 10_000, Request{NowNanos: 10 * ms})[0], 30.0)
}

func TestSlowStart(t *testing.T) {
	for _, p := range pickers() {
		for _, weight := range []float64{0.1, 0.5, 1} {
			v := view(3, func(i int, c *Candidate) {
				if i == 2 {
					c.State, c.Weight = Recovering, weight
				}
			})
			want := weight / 3 // it lets a part of its operations pass on to others
			switch p.(type) {
			case Weighted, Random:
				want = weight / (2 + weight) // its part of all weights
			}
			s := shares(p, v, 60_000, Request{Seed: 3})
			assert.InDelta(t, 100*want, s[2], 8*weight, "%s at weight %v", p.Name(), weight)
		}
		all := view(3, func(_ int, c *Candidate) { c.State, c.Weight = Recovering, 0.1 })
		for i, s := range shares(p, all, 30_000, Request{})[:3] {
			assert.InDelta(t, 33.3, s, 4, "%s, all recovering, node %d", p.Name(), i)
		}
	}
}

func TestAverage(t *testing.T) {
	var l Load
	assert.Zero(t, l.Latency())
	l.Observe(0, 10*time.Millisecond)
	l.Observe(ms, 100*time.Millisecond)
	assert.Equal(t, 100*time.Millisecond, l.Latency(), "a rise counts at once")
	l.Observe(ms+int64(decay), time.Millisecond)
	assert.InDelta(t, 1+99/math.E, float64(l.Latency())/float64(ms), 0.01, "a fall counts by its age")
	l.Observe(0, 0)
	assert.Positive(t, l.Latency(), "a clock that went back does no harm")
	assert.Zero(t, l.ProbeLatency())
	l.ObserveProbe(2*int64(decay), 5*time.Millisecond)
	assert.Equal(t, 5*time.Millisecond, l.ProbeLatency())

	healed := Load{}
	for at := int64(0); at < int64(10*time.Second); at += 250 * ms {
		rtt := time.Millisecond
		if at < int64(5*time.Second) {
			rtt = 200 * time.Millisecond
		}
		healed.ObserveProbe(at, rtt)
	}
	assert.Less(t, healed.Latency(), 4*time.Millisecond, "five seconds after it healed the node is fast again")
}

func TestSet(t *testing.T) {
	s := Set{}.With(0).With(63).With(64).With(255).With(-1).With(256)
	assert.Equal(t, 4, s.Len())
	for _, i := range []int{0, 63, 64, 255} {
		assert.True(t, s.Has(i))
	}
	for _, i := range []int{-1, 1, 254, 256} {
		assert.False(t, s.Has(i))
	}
}

func TestParse(t *testing.T) {
	for _, name := range Names() {
		p, err := Parse(name)
		require.NoError(t, err)
		assert.Equal(t, name, p.Name())
	}
	p, err := Parse("")
	require.NoError(t, err)
	assert.Equal(t, DefaultName, p.Name())
	_, err = Parse("best")
	for _, name := range Names() {
		assert.ErrorContains(t, err, name)
	}
	assert.ErrorContains(t, err, `"best"`)
}

func TestNewViewRefusesNonsense(t *testing.T) {
	assert.PanicsWithValue(t, "balancer: candidate 0 (x) has no Load", func() { NewView([]Candidate{{Name: "x"}}) })
	assert.Panics(t, func() { NewView(make([]Candidate, MaxCandidates+1)) })
	list := []Candidate{{Load: &Load{}, State: Up, Weight: 7}}
	v := NewView(list)
	list[0].State = Down
	assert.Equal(t, Up, v.Candidate(0).State, "the View has its own copy")
	assert.InDelta(t, 1.0, v.Candidate(0).Weight, 0)
}

func TestStateNames(t *testing.T) {
	assert.Equal(t, "Unknown Up Suspect Down Recovering Draining Unknown", strings.Join([]string{
		Unknown.String(), Up.String(), Suspect.String(), Down.String(), Recovering.String(), Draining.String(), State(9).String(),
	}, " "))
}

func TestConcurrentUse(t *testing.T) {
	v := view(5, nil)
	var wg sync.WaitGroup
	for g, p := range pickers() {
		wg.Go(func() { // ends after its loop
			for k := range 2000 {
				i := p.Pick(v, Request{Seq: uint64(g*2000 + k), NowNanos: int64(k) * ms})
				l := v.Candidate(i).Load
				l.Begin()
				l.Observe(int64(k)*ms, time.Duration(k)*time.Microsecond)
				l.ObserveProbe(int64(k)*ms, time.Duration(k)*time.Microsecond)
				if k%100 == 0 {
					l.Fail(int64(k) * ms)
					l.Reset()
				}
				l.End()
			}
		})
	}
	wg.Wait()
	for i := range v.Len() {
		assert.Zero(t, v.Candidate(i).Load.InFlight())
	}
}

// The short cut for samples that follow each other closely is as good as the function.
func TestDecayed(t *testing.T) {
	for _, x := range []float64{0, 1e-7, 1e-5, 9.9e-5, 1e-4, 0.1, 3} {
		assert.InDelta(t, math.Exp(-x), decayed(x), 1e-8)
	}
}
