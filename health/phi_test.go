package health

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func taught(samples ...time.Duration) Detector {
	var d Detector
	for _, s := range samples {
		d = d.Observe(s)
	}
	return d
}

func repeat(d time.Duration, n int) []time.Duration {
	out := make([]time.Duration, n)
	for i := range out {
		out[i] = d
	}
	return out
}

func TestPhi(t *testing.T) {
	d := taught(repeat(100*ms, window)...)
	assert.InDelta(t, 0.30103, d.Phi(100*ms), 1e-4, "half of all answers come after the mean")
	assert.InDelta(t, 0.7994, d.Phi(125*ms), 1e-3, "one deviation later: 15.87 %")
	assert.InDelta(t, 1.6430, d.Phi(150*ms), 1e-3, "two deviations later: 2.275 %")
	last := -1.0
	for s := time.Duration(0); s < 10*time.Second; s += 10 * ms {
		phi := d.Phi(s)
		require.GreaterOrEqual(t, phi, last, "at %v", s)
		require.LessOrEqual(t, phi, 300.0)
		last = phi
	}
	assert.InDelta(t, cutPhi, d.Phi(d.silenceAt(cutPhi)), 1e-3, "silenceAt is the inverse of Phi")
	assert.InDelta(t, suspectPhi, d.Phi(d.silenceAt(suspectPhi)), 1e-3)
}

func TestThresholds(t *testing.T) {
	for name, c := range map[string]struct {
		d            Detector
		suspect, cut time.Duration
	}{
		"nothing known":        {Detector{}, SuspectFloor, CutFloor},
		"fast":                 {taught(repeat(ms/5, 100)...), SuspectFloor, CutFloor},
		"200 ms":               {taught(repeat(200*ms, 100)...), 354 * ms, 480 * ms},
		"became 200 ms slow":   {taught(append(repeat(ms, 100), 200*ms, 200*ms)...), 229 * ms, CutFloor},
		"slow beyond measure":  {taught(repeat(5*time.Second, 20)...), Ceiling / 2, Ceiling},
		"negative round trips": {taught(repeat(-time.Second, 20)...), SuspectFloor, CutFloor},
	} {
		t.Run(name, func(t *testing.T) {
			assert.InDelta(t, c.suspect.Seconds(), c.d.SuspectAfter().Seconds(), 0.002)
			assert.InDelta(t, c.cut.Seconds(), c.d.CutAfter().Seconds(), 0.002)
		})
	}
	assert.Zero(t, Detector{}.Mean())
	assert.Equal(t, 2*ms, taught(ms, 3*ms).Mean())
}

func TestJudge(t *testing.T) {
	fast := taught(repeat(ms, window)...)
	good := Outlook{Nodes: 3, OthersServing: 2, OtherAnswered: true}
	for name, c := range map[string]struct {
		silence time.Duration
		outlook Outlook
		want    Judgement
	}{
		"short":                               {149 * ms, good, Wait},
		"late":                                {150 * ms, good, Late},
		"nearly cut":                          {399 * ms, good, Late},
		"cut":                                 {400 * ms, good, Frozen},
		"nobody answered":                     {1999 * ms, Outlook{Nodes: 3, OthersServing: 2}, Late},
		"fewer than half would stay":          {1999 * ms, Outlook{Nodes: 3, OthersServing: 1, OtherAnswered: true}, Late},
		"half would stay":                     {400 * ms, Outlook{Nodes: 2, OthersServing: 1, OtherAnswered: true}, Frozen},
		"half of four":                        {400 * ms, Outlook{Nodes: 4, OthersServing: 2, OtherAnswered: true}, Frozen},
		"less than half of five":              {400 * ms, Outlook{Nodes: 5, OthersServing: 2, OtherAnswered: true}, Late},
		"one node":                            {1999 * ms, Outlook{Nodes: 1}, Late},
		"one node, ceiling":                   {2000 * ms, Outlook{Nodes: 1}, Frozen},
		"ceiling, nobody answered":            {2000 * ms, Outlook{Nodes: 3, OthersServing: 2}, Frozen},
		"ceiling, fewer than half would stay": {2000 * ms, Outlook{Nodes: 3, OtherAnswered: true}, Frozen},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, Judge(c.silence, fast, c.outlook))
		})
	}
}

func TestNextCheckIsAlwaysAhead(t *testing.T) {
	d := taught(repeat(ms, window)...)
	assert.Equal(t, SuspectFloor, NextCheck(0, d))
	assert.Equal(t, CutFloor, NextCheck(SuspectFloor, d))
	assert.Equal(t, Ceiling, NextCheck(CutFloor, d))
	for s := time.Duration(0); s < 5*time.Second; s += ms {
		require.Greater(t, NextCheck(s, d), s)
	}
}

func TestWeight(t *testing.T) {
	assert.InDelta(t, rampStart, Weight(0), 1e-9)
	assert.InDelta(t, 0.5, Weight(RampDuration/2), 1e-9)
	assert.InDelta(t, 1.0, Weight(RampDuration), 1e-9)
	assert.InDelta(t, 1.0, Weight(time.Hour), 1e-9)
}

func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPulse()
		assert.True(t, p.Last().IsZero())
		p.Touch() // also at the very moment of its creation
		assert.True(t, p.Last().Equal(time.Now()))
		time.Sleep(time.Microsecond)
		sockets := make(map[*Beat]bool)
		for range 2 * len(p.beats) {
			sockets[p.Beat()] = true
		}
		assert.Len(t, sockets, len(p.beats), "all are used")
		for b := range sockets {
			time.Sleep(time.Nanosecond)
			assert.Equal(t, time.Since(p.Base()), b.Touch())
			assert.Zero(t, time.Since(p.Last()), "the last of any")
		}
		time.Sleep(time.Second)
		assert.Equal(t, time.Second, time.Since(p.Last()))
	})
}

func TestBreaker(t *testing.T) {
	report := func(t *testing.T, b *Breaker, r BreakerResult, n int) {
		t.Helper()
		for range n {
			done, ok := b.Allow()
			require.True(t, ok)
			done(r)
		}
	}
	t.Run("failures in a row", func(t *testing.T) {
		b := NewBreaker("n")
		report(t, b, BreakerFailure, breakerConsecutive-1)
		report(t, b, BreakerSuccess, 1)
		report(t, b, BreakerFailure, breakerConsecutive-1)
		assert.Equal(t, BreakerClosed, b.State())
		assert.False(t, b.Changed())
		report(t, b, BreakerFailure, 1)
		assert.Equal(t, BreakerOpen, b.State())
		assert.True(t, b.Changed())
		assert.False(t, b.Changed())
		_, ok := b.Allow()
		assert.False(t, ok)
	})
	t.Run("half of many", func(t *testing.T) {
		b := NewBreaker("n")
		for range breakerMinimum/2 - 1 {
			report(t, b, BreakerSuccess, 1)
			report(t, b, BreakerFailure, 1)
		}
		assert.Equal(t, BreakerClosed, b.State())
		report(t, b, BreakerSuccess, 1)
		report(t, b, BreakerFailure, 1)
		assert.Equal(t, BreakerOpen, b.State())
	})
	t.Run("callers that give up say nothing", func(t *testing.T) {
		b := NewBreaker("n")
		report(t, b, BreakerFailure, breakerConsecutive-1)
		report(t, b, BreakerIgnore, 100)
		assert.Equal(t, BreakerClosed, b.State())
		report(t, b, BreakerFailure, 1)
		assert.Equal(t, BreakerOpen, b.State())
	})
	t.Run("half-open is bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := NewBreaker("n")
			report(t, b, BreakerFailure, breakerConsecutive)
			time.Sleep(breakerOpenFor + ms)
			assert.Equal(t, BreakerHalfOpen, b.State())
			var trials []func(BreakerResult)
			for range breakerTrials {
				done, ok := b.Allow()
				require.True(t, ok)
				trials = append(trials, done)
			}
			_, ok := b.Allow()
			assert.False(t, ok, "no more than the trials")
			trials[0](BreakerIgnore) // gives its place back
			done, ok := b.Allow()
			require.True(t, ok)
			trials[0] = done
			for _, done := range trials {
				done(BreakerSuccess)
			}
			assert.Equal(t, BreakerClosed, b.State())
		})
	})
	t.Run("slow trials are no failures", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := NewBreaker("n")
			report(t, b, BreakerFailure, breakerConsecutive)
			time.Sleep(breakerOpenFor + ms)
			var trials []func(BreakerResult)
			for range breakerTrials {
				done, ok := b.Allow()
				require.True(t, ok)
				trials = append(trials, done)
			}
			trials[0](BreakerSuccess)
			time.Sleep(breakerPatience - ms)
			synctest.Wait()
			assert.Equal(t, BreakerHalfOpen, b.State())
			time.Sleep(2 * ms)
			assert.Equal(t, BreakerClosed, b.State())
			trials[1](BreakerSuccess)
			report(t, b, BreakerFailure, breakerConsecutive-1)
			assert.Equal(t, BreakerClosed, b.State())
			trials[2](BreakerFailure)
			assert.Equal(t, BreakerOpen, b.State(), "it counts, however late")
		})
	})
	t.Run("concurrent use", func(t *testing.T) {
		b := NewBreaker("n")
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() { // ends after its loop
				for range 200 {
					if done, ok := b.Allow(); ok {
						done(BreakerResult(i % 3))
					}
					b.State()
					b.Changed()
				}
			})
		}
		wg.Wait()
	})
}
