package health

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type mode int

const (
	healthy mode = iota
	frozen
	killed
	notReady
)

// stateError is an error with a SQLSTATE, as a server's are.
type stateError string

func (e stateError) Error() string    { return "server error " + string(e) }
func (e stateError) SQLState() string { return string(e) }

// fakeNode answers probes as told. Its zero value is a healthy node without
// latency.
type fakeNode struct {
	mu       sync.Mutex
	mode     mode
	latency  time.Duration
	changed  chan struct{}
	cuts     []time.Time
	silences []time.Duration
	allowed  int
	running  int
}

func newFakeNode() *fakeNode { return &fakeNode{changed: make(chan struct{})} }

func (f *fakeNode) set(m mode, latency time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode, f.latency = m, latency
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fakeNode) look(running int) (mode, time.Duration, chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running += running
	if f.running > 1 {
		panic("two probes of one node at once")
	}
	return f.mode, f.latency, f.changed
}

func (f *fakeNode) probe(ctx context.Context) error {
	m, latency, changed := f.look(+1)
	defer f.look(-1)
	for {
		switch m {
		case killed:
			return syscall.ECONNREFUSED
		case notReady:
			return stateError("57P03")
		case healthy:
			select {
			case <-time.After(latency):
				return nil
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		case frozen:
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		m, latency, changed = f.look(0)
	}
}

// watch is the node as a monitor is told of it.
func (f *fakeNode) watch(name string, p *Pulse) Node {
	return Node{
		Name: name, Probe: f.probe, Pulse: p,
		OnLate: func(silence time.Duration) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.silences = append(f.silences, silence)
		},
		Cut: func(Reason) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.cuts = append(f.cuts, time.Now())
		},
		Allow: func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.allowed++
		},
	}
}

// rig is a monitor over fake nodes, in virtual time.
type rig struct {
	t       *testing.T
	nodes   []*fakeNode
	pulses  []*Pulse
	monitor *Monitor
	mu      sync.Mutex
	log     []string
}

func newRig(t *testing.T, n int) *rig {
	r := &rig{t: t}
	cfg := Config{Seed: 7, OnChange: func(v *View, i int) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.log = append(r.log, v.Reports[i].Name+" "+v.Reports[i].State.String())
	}}
	for i := range n {
		f := newFakeNode()
		f.latency = time.Millisecond
		p := NewPulse()
		cfg.Nodes = append(cfg.Nodes, f.watch(string(rune('a'+i)), p))
		r.nodes = append(r.nodes, f)
		r.pulses = append(r.pulses, p)
	}
	r.monitor = NewMonitor(cfg)
	r.monitor.Start()
	time.Sleep(time.Second + 37*time.Millisecond)
	synctest.Wait()
	for i := range n {
		require.Equal(t, Up, r.state(i), "all nodes are up after a second")
	}
	return r
}

func (r *rig) state(i int) State { return r.monitor.View().Reports[i].State }

// wait returns how long it takes until node i is in the given state.
func (r *rig) wait(i int, want State, atMost time.Duration) time.Duration {
	r.t.Helper()
	begun := time.Now()
	for {
		v := r.monitor.View()
		if v.Reports[i].State == want {
			return time.Since(begun)
		}
		select {
		case <-v.Superseded():
		case <-time.After(atMost - time.Since(begun)):
			r.t.Fatalf("node %d is %v after %v, want %v", i, r.state(i), atMost, want)
		}
	}
}

func (f *fakeNode) cutCount() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.cuts)
}

func TestFrozenNodeIsCutWithin700ms(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		phase := time.Duration(rng.Int64N(int64(300 * time.Millisecond)))
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 3)
			defer r.monitor.Close()
			time.Sleep(phase)
			r.nodes[1].set(frozen, 0)
			took := r.wait(1, Down, 700*time.Millisecond)
			synctest.Wait()
			assert.Greater(t, took, CutFloor-50*time.Millisecond)
			assert.Equal(t, 1, r.nodes[1].cutCount())
			assert.Equal(t, ReasonFrozen, r.monitor.View().Reports[1].Reason)
			assert.Equal(t, Up, r.state(0))
			assert.Equal(t, Up, r.state(2))

			r.nodes[1].set(healthy, time.Millisecond)
			assert.Less(t, r.wait(1, Recovering, time.Second), time.Second)
			assert.InDelta(t, RampDuration.Seconds(), r.wait(1, Up, 4*time.Second).Seconds(), 0.1)
			assert.Equal(t, 2, r.nodes[1].allowed)
		})
	}
}

func TestKilledNodeIsDownAtOnce(t *testing.T) {
	t.Run("two refused dials", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 3)
			defer r.monitor.Close()
			r.nodes[0].set(killed, 0)
			r.monitor.Observe(0, EventRefused, time.Now())
			r.monitor.Observe(0, EventRefused, time.Now())
			assert.Zero(t, r.wait(0, Down, time.Second))
		})
	})
	t.Run("one refused dial, confirmed by the prober", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 3)
			defer r.monitor.Close()
			r.nodes[0].set(killed, 0)
			r.monitor.Observe(0, EventRefused, time.Now())
			assert.LessOrEqual(t, r.wait(0, Down, time.Second), 10*time.Millisecond)
			synctest.Wait()
			assert.Equal(t, 1, r.nodes[0].cutCount())
		})
	})
	t.Run("a broken connection, then refused", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 3)
			defer r.monitor.Close()
			r.pulses[0].Touch() // it was alive until now
			time.Sleep(time.Millisecond)
			r.nodes[0].set(killed, 0)
			r.monitor.Observe(0, EventReset, time.Now())
			assert.LessOrEqual(t, r.wait(0, Down, time.Second), 10*time.Millisecond)
			assert.Equal(t, ReasonRefused, r.monitor.View().Reports[0].Reason)
		})
	})
	t.Run("unseen by the data path", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 3)
			defer r.monitor.Close()
			r.nodes[0].set(killed, 0)
			assert.LessOrEqual(t, r.wait(0, Down, time.Second), 260*time.Millisecond)
		})
	})
}

func TestSlowNodeIsNeverDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.nodes[2].set(healthy, 200*time.Millisecond)
		time.Sleep(time.Minute)
		r.nodes[2].set(healthy, time.Millisecond)
		time.Sleep(time.Minute)
		synctest.Wait()
		assert.Equal(t, Up, r.state(2))
		assert.Zero(t, r.nodes[2].cutCount())
		assert.NotContains(t, r.log, "c Down")
		suspected := 0
		for _, line := range r.log {
			if line == "c Suspect" {
				suspected++
			}
		}
		assert.LessOrEqual(t, suspected, 3, "the detector learns what the node's normal is")
	})
}

func TestBusyNodeIsAliveThoughItsProbeHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.nodes[1].set(frozen, 0)
		for range 200 {
			time.Sleep(20 * time.Millisecond)
			r.pulses[1].Touch()
		}
		synctest.Wait()
		assert.Zero(t, r.nodes[1].cutCount())
		assert.NotContains(t, r.log, "b Down")
	})
}

func TestSecondFrozenNodeWaitsForTheCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.nodes[0].set(frozen, 0)
		r.wait(0, Down, time.Second)
		r.nodes[1].set(frozen, 0)
		took := r.wait(1, Down, 3*time.Second)
		assert.GreaterOrEqual(t, took, Ceiling-100*time.Millisecond)
		assert.LessOrEqual(t, took, Ceiling+300*time.Millisecond)
		assert.Equal(t, Up, r.state(2))
	})
}

// TestLateProbeCountsBeforeItIsAnswered: what is picked among doubtful nodes
// shouldn't wait for the verdict.
func TestLateProbeCountsBeforeItIsAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.nodes[0].set(frozen, 0)
		r.wait(0, Down, time.Second)
		r.nodes[0].mu.Lock()
		defer r.nodes[0].mu.Unlock()
		require.NotEmpty(t, r.nodes[0].silences)
		assert.GreaterOrEqual(t, r.nodes[0].silences[0], SuspectFloor)
		assert.IsIncreasing(t, r.nodes[0].silences)
		assert.Less(t, r.nodes[0].silences[len(r.nodes[0].silences)-1], CutFloor, "then it is cut")
		assert.Empty(t, r.nodes[1].silences)
	})
}

func TestOneNodeClusterUsesTheCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		defer r.monitor.Close()
		r.nodes[0].set(frozen, 0)
		assert.GreaterOrEqual(t, r.wait(0, Down, 3*time.Second), Ceiling-100*time.Millisecond)
		r.nodes[0].set(healthy, time.Millisecond)
		assert.Less(t, r.wait(0, Recovering, time.Second), time.Second)
	})
}

func TestTwoNodeClusterCutsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		defer r.monitor.Close()
		r.nodes[0].set(frozen, 0)
		assert.Less(t, r.wait(0, Down, time.Second), 700*time.Millisecond)
	})
}

func TestEverybodySilentBlamesNobodyBeforeTheCeiling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		for _, n := range r.nodes {
			n.set(frozen, 0)
		}
		time.Sleep(1700 * time.Millisecond)
		synctest.Wait()
		for i, n := range r.nodes {
			assert.Zero(t, n.cutCount(), "node %d", i)
			assert.Equal(t, Suspect, r.state(i))
			n.set(healthy, time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond)
		for i := range r.nodes {
			assert.Equal(t, Up, r.state(i))
		}
	})
}

func TestAllDownAndBackWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		for range 3 { // falls in quick succession don't keep the last hope out
			for _, n := range r.nodes {
				n.set(killed, 0)
			}
			for i := range r.nodes {
				r.wait(i, Down, time.Second)
			}
			time.Sleep(3 * time.Second)
			r.nodes[2].set(healthy, time.Millisecond)
			assert.Less(t, r.wait(2, Recovering, time.Second), time.Second)
		}
	})
}

func TestFlappingNodeSettlesAtDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		served := make([]time.Duration, 0, 40)
		for range 40 {
			r.nodes[1].set(killed, 0)
			time.Sleep(500 * time.Millisecond)
			r.nodes[1].set(healthy, time.Millisecond)
			up := time.Duration(0)
			for range 50 {
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
				if r.state(1).Serving() {
					up += 10 * time.Millisecond
				}
			}
			served = append(served, up)
		}
		for i, up := range served[4:] {
			assert.Zero(t, up, "flap %d", i+4)
		}
		back := r.wait(1, Recovering, 5*time.Second)
		assert.LessOrEqual(t, back, maxReentryDelay+time.Second)
	})
}

func TestNotReadyNodeLeavesWithoutACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.nodes[1].set(notReady, 0)
		assert.LessOrEqual(t, r.wait(1, Suspect, time.Second), 260*time.Millisecond)
		assert.LessOrEqual(t, r.wait(1, Down, time.Second), 60*time.Millisecond)
		synctest.Wait()
		assert.Zero(t, r.nodes[1].cutCount())
		assert.Equal(t, ReasonNotReady, r.monitor.View().Reports[1].Reason)
		r.nodes[1].set(healthy, time.Millisecond)
		r.wait(1, Up, 5*time.Second)
	})
}

// A node that fell several times and answers again waits before it returns. When
// another node falls silent meanwhile it is let in at once: it is needed, and
// without it the silent one couldn't be cut off before the ceiling.
// TestDownNodeThatFallsSilentIsCut: what a node still runs that takes no work is left
// alone as long as the node speaks.
func TestDownNodeThatFallsSilentIsCut(t *testing.T) {
	for name, then := range map[string]struct {
		mode   mode
		within time.Duration
		reason Reason
	}{
		"frozen": {frozen, 700 * time.Millisecond, ReasonFrozen},
		"killed": {killed, 1200 * time.Millisecond, ReasonRefused},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 3)
				defer r.monitor.Close()
				r.nodes[1].set(notReady, 0)
				r.wait(1, Down, 2*time.Second)
				time.Sleep(20 * time.Second)
				assert.Zero(t, r.nodes[1].cutCount())
				r.nodes[1].set(then.mode, 0)
				began := time.Now()
				time.Sleep(maxDownInterval + then.within)
				if assert.Equal(t, 1, r.nodes[1].cutCount()) {
					assert.LessOrEqual(t, r.nodes[1].cuts[0].Sub(began), maxDownInterval+then.within)
				}
				assert.Equal(t, then.reason, r.monitor.View().Reports[1].Reason)
				time.Sleep(20 * time.Second)
				assert.Equal(t, 1, r.nodes[1].cutCount(), "once")
				r.nodes[1].set(healthy, time.Millisecond)
				r.wait(1, Up, 10*time.Second)
			})
		})
	}
}

// TestSecondFreezeIsFoundAsSoon: the answers that a node gives when it thaws are no
// measure of a healthy one.
func TestSecondFreezeIsFoundAsSoon(t *testing.T) {
	for _, gap := range []time.Duration{0, 100 * time.Millisecond, time.Second, 4 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 3)
			defer r.monitor.Close()
			for range 3 {
				r.nodes[1].set(frozen, 0)
				assert.LessOrEqual(t, r.wait(1, Down, 5*time.Second), 700*time.Millisecond+DefaultProbeInterval, "after %v", gap)
				time.Sleep(900 * time.Millisecond)
				r.nodes[1].set(healthy, time.Millisecond)
				r.wait(1, Recovering, 10*time.Second)
				time.Sleep(gap)
			}
		})
	}
}

func TestNeededNodeReturnsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		for range 4 {
			r.nodes[1].set(killed, 0)
			r.wait(1, Down, time.Second)
			r.nodes[1].set(healthy, time.Millisecond)
			if r.monitor.View().Reports[1].Falls < 4 {
				r.wait(1, Recovering, 5*time.Second)
			}
		}
		time.Sleep(600 * time.Millisecond) // it answers, and waits
		require.Equal(t, Down, r.monitor.View().Reports[1].State)
		r.nodes[2].set(frozen, 0)
		assert.NotZero(t, r.wait(2, Down, time.Second), "cut off within a second")
		assert.Equal(t, Recovering, r.monitor.View().Reports[1].State)
	})
}

func TestOneTerminatedSessionIsNoDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.monitor.Observe(1, EventDrain, time.Now())
		before := r.monitor.View().Reports[1].Probes
		time.Sleep(20 * time.Millisecond)
		assert.Equal(t, Up, r.monitor.View().Reports[1].State)
		assert.Greater(t, r.monitor.View().Reports[1].Probes, before, "it is asked at once")
		assert.Zero(t, r.nodes[1].cutCount())
	})
}

// Two sessions were terminated by hand: the node is left alone for half a
// second, and back then.
func TestDrainingNodeThatAnswersOnIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.monitor.Observe(1, EventDrain, time.Now())
		r.monitor.Observe(1, EventDrain, time.Now())
		r.wait(1, Draining, time.Second)
		assert.LessOrEqual(t, r.wait(1, Up, time.Second), 600*time.Millisecond)
		assert.Zero(t, r.nodes[1].cutCount())
	})
}

func TestDrainingNodeThatGoesIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		r.monitor.Observe(1, EventDrain, time.Now())
		r.monitor.Observe(1, EventDrain, time.Now())
		r.wait(1, Draining, time.Second)
		r.nodes[1].set(killed, 0)
		assert.LessOrEqual(t, r.wait(1, Down, time.Second), 100*time.Millisecond)
	})
}

func TestOpenBreakerSuspectsAndRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, b := newFakeNode(), NewBreaker("a")
		m := NewMonitor(Config{Nodes: []Node{{Name: "a", Probe: f.probe, Breaker: b}}})
		m.Start()
		defer m.Close()
		r := &rig{t: t, monitor: m}
		r.wait(0, Up, time.Second)
		for range breakerConsecutive {
			done, ok := b.Allow()
			require.True(t, ok)
			done(BreakerFailure)
		}
		assert.LessOrEqual(t, r.wait(0, Suspect, time.Second), heartbeat)
		assert.Equal(t, BreakerOpen, m.View().Reports[0].Breaker)
		assert.False(t, m.View().Reports[0].Serving())
		took := r.wait(0, Up, 3*time.Second)
		assert.InDelta(t, breakerOpenFor.Seconds(), took.Seconds(), 0.2, "half-open is found without an operation")
		assert.Equal(t, BreakerHalfOpen, m.View().Reports[0].Breaker)
		assert.True(t, m.View().Reports[0].Serving())
	})
}

func TestCloseEndsAHangingProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.nodes[0].set(frozen, 0)
		time.Sleep(300 * time.Millisecond)
		r.monitor.Close()
		r.monitor.Close()
		select {
		case <-r.monitor.View().Superseded():
		default:
			t.Fatal("a closed monitor's View isn't superseded")
		}
		r.monitor.Observe(0, EventRefused, time.Now()) // harmless
	})
}

func TestCloseWithoutStart(t *testing.T) {
	m := NewMonitor(Config{Nodes: []Node{{Name: "a", Probe: func(context.Context) error { return nil }}}})
	m.Close()
	<-m.View().Superseded()
}

// TestStalledClientBlamesNobody drives the monitor's own functions with a clock
// that jumps, which virtual time can't do.
func TestStalledClientBlamesNobody(t *testing.T) {
	newMonitor := func() (*Monitor, time.Time) {
		m := NewMonitor(Config{Nodes: []Node{{Name: "a"}, {Name: "b"}, {Name: "c"}}})
		now := time.Now()
		for _, w := range m.nodes {
			w.machine = Machine{State: Up}
			w.launch(now)
		}
		m.expects = now.Add(heartbeat)
		return m, now
	}
	states := func(m *Monitor) (out []State) {
		for _, w := range m.nodes {
			out = append(out, w.machine.State)
		}
		return out
	}
	t.Run("a wake-up five seconds late", func(t *testing.T) {
		m, now := newMonitor()
		now = now.Add(5 * time.Second)
		m.nodes[0].node.Pulse.Touch()
		m.nodes[0].node.Pulse.beats[0].last.Store(int64(now.Sub(m.nodes[0].node.Pulse.Base()))) // the first to answer
		m.noticeStall(now)
		m.advance(now)
		assert.Equal(t, []State{Up, Up, Up}, states(m))
		m.publish(now)
		assert.Equal(t, uint64(1), m.View().Stalls)
		assert.Equal(t, now, m.View().LastStall)
		m.advance(now.Add(SuspectFloor - time.Millisecond))
		assert.Equal(t, []State{Up, Up, Up}, states(m))
	})
	t.Run("a wake-up in time", func(t *testing.T) {
		m, now := newMonitor()
		now = now.Add(5 * time.Second)
		m.expects = now
		m.noticeStall(now)
		m.advance(now)
		m.publish(now)
		assert.Zero(t, m.View().Stalls)
		assert.True(t, m.View().LastStall.IsZero())
		assert.Equal(t, []State{Down, Down, Down}, states(m), "the control: without a stall the silence counts")
	})
}

func TestKindOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want Kind
	}{
		{nil, EventProbeOK},
		{syscall.ECONNREFUSED, EventRefused},
		{syscall.ENOENT, EventRefused},
		{syscall.ECONNRESET, EventReset},
		{context.DeadlineExceeded, EventProbeTimeout},
		{context.Canceled, EventProbeTimeout},
		{stateError("57P01"), EventDrain},
		{stateError("57P02"), EventDrain},
		{stateError("57P03"), EventNotReady},
		{stateError("53300"), EventFull},
		{stateError("28P01"), EventProbeFailed},
		{errors.New("odd"), EventProbeFailed},
	} {
		assert.Equal(t, c.want, KindOf(c.err), "%v", c.err)
	}
}

func TestUsersErrorsAreNoProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		defer r.monitor.Close()
		for range 10 {
			for _, k := range []Kind{EventProbeFailed, EventProbeOK, EventLate, EventFrozen, EventRampEnd, EventFull, EventNone} {
				r.monitor.Observe(0, k, time.Now())
			}
		}
		synctest.Wait()
		assert.Equal(t, Up, r.state(0))
		r.monitor.Observe(0, EventProbeTimeout, time.Now())
		synctest.Wait()
		assert.Contains(t, r.log, "a Suspect", "a dial without an answer counts")
	})
}

// TestObserveNeverBlocks fills the inbox of a monitor that doesn't read it.
func TestObserveNeverBlocks(t *testing.T) {
	m := NewMonitor(Config{Nodes: []Node{{Name: "a"}}})
	defer m.Close()
	for range 2 * queueLength {
		m.Observe(0, EventReset, time.Now())
	}
	m.Observe(-1, EventReset, time.Now())
	m.Observe(9, EventReset, time.Now())
	assert.Len(t, m.inbox, queueLength)
}

// probes returns how many probes are under way.
func (f *fakeNode) probes() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.running
}

// TestProbeEndsItsGoroutine: a probe that doesn't return, as that of a test whose hook
// has called FailNow, has failed, and the next one is asked as ever.
func TestProbeEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var quits atomic.Bool
		m := NewMonitor(Config{Seed: 1, Nodes: []Node{{Name: "a", Probe: func(context.Context) error {
			if quits.Load() {
				runtime.Goexit()
			}
			return nil
		}}}})
		m.Start()
		defer m.Close()
		state := func() State {
			time.Sleep(time.Second)
			synctest.Wait()
			return m.View().Reports[0].State
		}
		require.Equal(t, Up, state())
		quits.Store(true)
		require.Equal(t, Down, state())
		require.Equal(t, errProbeQuit.Error(), m.View().Reports[0].LastError)
		require.Greater(t, m.View().Reports[0].Probes, uint64(5), "it is asked again and again")
		quits.Store(false)
		require.Equal(t, Recovering, state())
	})
}
