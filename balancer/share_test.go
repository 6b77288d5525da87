package balancer

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// counts picks n times and returns how often each candidate was picked.
func counts(t *testing.T, p Picker, v *View, n int, r Request) []int {
	t.Helper()
	out := make([]int, v.Len())
	for k := range n {
		r.Seq = uint64(k)
		i := p.Pick(v, r)
		if i == None {
			t.Fatalf("%s: nobody is picked", p.Name())
		}
		out[i]++
	}
	return out
}

// fiveSigma is how far a count of n draws of chance p strays less than once in
// a million times.
func fiveSigma(n int, p float64) float64 { return 5 * math.Sqrt(float64(n)*p*(1-p)) }

// goldenError is how far the multiples of the golden ratio stray; see Weighted.
func goldenError(n int) float64 { return 3 + 3.6*math.Log(float64(n)) }

func sized(sizes ...int) *View {
	return view(len(sizes), func(i int, c *Candidate) { c.Share = sizes[i] })
}

func TestRandomIsEven(t *testing.T) {
	for _, n := range []int{2, 3, 100} {
		const draws = 100_000
		p := 1 / float64(n)
		for i, k := range counts(t, Random{}, sized(make([]int, n)...), draws, Request{Seed: 9}) {
			assert.InDelta(t, draws*p, k, fiveSigma(draws, p), "node %d of %d", i, n)
		}
	}
	got := counts(t, Random{}, sized(1000, 1, 1), 30_000, Request{})
	assert.InDelta(t, 10_000, got[0], fiveSigma(30_000, 1./3), "Random knows no shares")
}

func TestWeightedShares(t *testing.T) {
	for name, c := range map[string]struct {
		sizes    []int
		excluded Set
		want     []float64 // parts of one
	}{
		"3:1:1":          {sizes: []int{3, 1, 1}, want: []float64{0.6, 0.2, 0.2}},
		"not given":      {sizes: []int{0, 0, 0, 0}, want: []float64{0.25, 0.25, 0.25, 0.25}},
		"extremes":       {sizes: []int{MaxShare, 1}, want: []float64{0.999001, 0.000999}},
		"one left out":   {sizes: []int{3, 1, 2}, excluded: Set{}.With(0), want: []float64{0, 1. / 3, 2. / 3}},
		"the last isn't": {sizes: []int{3, 1, 2}, excluded: Set{}.With(0).With(1), want: []float64{0, 0, 1}},
		"out of range":   {sizes: []int{-4, MaxShare * 2, MaxShare}, want: []float64{1. / 2001, 1000. / 2001, 1000. / 2001}},
	} {
		for _, n := range []int{100, 10_000} {
			for _, seed := range []uint64{0, 1, 1 << 63} {
				got := counts(t, Weighted{}, sized(c.sizes...), n, Request{Excluded: c.excluded, Seed: seed})
				for i, want := range c.want {
					assert.InDelta(t, want*float64(n), got[i], goldenError(n), "%s, %d picks, node %d", name, n, i)
					assert.True(t, want > 0 || got[i] == 0)
				}
			}
		}
	}
}

// Shares come well mixed: among any five operations that follow each other the
// one with three fifths gets two to four, and among any ten each gets one.
func TestWeightedMixes(t *testing.T) {
	v := sized(3, 1, 1)
	for start := range uint64(10_000) {
		var five, ten [3]int
		for k := range uint64(10) {
			i := Weighted{}.Pick(v, Request{Seq: start + k, Seed: 42})
			ten[i]++
			if k < 5 {
				five[i]++
			}
		}
		if five[0] < 2 || five[0] > 4 || ten[1] < 1 || ten[2] < 1 {
			t.Fatalf("from %d on: %v of five, %v of ten", start, five, ten)
		}
	}
}

// Slow start multiplies: 3 × 0.1 beside 1 and 1.
func TestWeightedSlowStart(t *testing.T) {
	v := view(3, func(i int, c *Candidate) {
		if c.Share = 1; i == 0 {
			c.Share, c.State, c.Weight = 3, Recovering, 0.1
		}
	})
	const n = 10_000
	got := counts(t, Weighted{}, v, n, Request{})
	for i, want := range []float64{0.3 / 2.3, 1 / 2.3, 1 / 2.3} {
		assert.InDelta(t, want*n, got[i], goldenError(n))
	}
}

// A simulated second: operations begin every 100 µs and take their node's time.
func TestLeastInFlightFollowsSpeed(t *testing.T) {
	v := view(3, nil)
	took := []int{4, 4, 12} // steps that an operation takes on each node
	var ends [3][]int
	got, most := [3]int{}, int64(0)
	for step := range 10_000 {
		for i := range ends {
			for len(ends[i]) > 0 && ends[i][0] <= step {
				ends[i] = ends[i][1:]
				v.Candidate(i).Load.End()
			}
		}
		i := LeastInFlight{}.Pick(v, Request{Seq: uint64(step)})
		v.Candidate(i).Load.Begin()
		ends[i] = append(ends[i], step+took[i])
		got[i]++
		most = max(most, v.Candidate(i).Load.InFlight())
	}
	assert.LessOrEqual(t, most, int64(3), "operations in flight are spread evenly")
	assert.InDelta(t, got[0], got[1], 300)
	assert.Less(t, got[2], got[0]/2, "the node that takes three times as long gets less")
}

func TestLeastInFlight(t *testing.T) {
	busy := view(5, func(i int, c *Candidate) {
		for range []int{2, 1, 5, 1, 1}[i] {
			c.Load.Begin()
		}
	})
	got := counts(t, LeastInFlight{}, busy, 30_000, Request{})
	for i, want := range []float64{0, 1. / 3, 0, 1. / 3, 1. / 3} {
		assert.InDelta(t, want*30_000, got[i], fiveSigma(30_000, 1./3)*math.Ceil(want), "node %d: equals share evenly", i)
	}
	busy.Candidate(1).Load.Fail(0)
	got = counts(t, LeastInFlight{}, busy, 1000, Request{NowNanos: 500 * ms})
	assert.Zero(t, got[1], "a node that has just refused isn't idle")
	r := Request{NowNanos: 500 * ms, Excluded: Set{}.With(0).With(2).With(3).With(4)}
	assert.Equal(t, 1, LeastInFlight{}.Pick(busy, r), "with no other node left it serves")
	got = counts(t, LeastInFlight{}, busy, 1000, Request{NowNanos: int64(failurePenalty)})
	assert.Positive(t, got[1], "the penalty ends")
}

// Whoever looks at what is in flight would find a far slower node idle. It gets
// one operation a second, and the others share the rest.
func TestSlowNodeGetsOneOperationASecond(t *testing.T) {
	for _, p := range []Picker{P2C{}, LeastInFlight{}, Zone{}, Affinity{}, byKey{}} {
		v := view(4, func(i int, c *Candidate) {
			c.Load.ObserveProbe(0, time.Millisecond)
			c.Local = i == 1
			if i == 1 {
				c.Load.ObserveProbe(0, 200*time.Millisecond)
			} else {
				for range 3 { // below the bound of keys
					c.Load.Begin()
				}
			}
		})
		got := make([]int, 4)
		for k := range 100_000 { // ten seconds, one operation in 0.1 ms
			got[p.Pick(v, Request{Seq: uint64(k), NowNanos: int64(k) * ms / 10})]++
		}
		assert.LessOrEqual(t, got[1], 10, p.Name())
		switch p.(type) {
		case LeastInFlight, byKey: // P2C's cost keeps the others from it
			assert.GreaterOrEqual(t, got[1], 9, p.Name())
		}
		for _, i := range []int{0, 2, 3} {
			assert.InDelta(t, 33_333, got[i], 1000, "%s, node %d", p.Name(), i)
		}
		only := Request{Excluded: Set{}.With(0).With(2).With(3)}
		assert.Equal(t, 1, p.Pick(v, only), "with no other node left the slow one serves")
	}
}
