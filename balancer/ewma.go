package balancer

import (
	"math"
	"sync/atomic"
	"time"
)

const (
	// decay is the time constant of the latency averages. With four probes a
	// second, 1 s forgets a healed slowness of 200 ms within some seconds and
	// still smooths over several samples.
	decay = time.Second
	// failurePenalty is how long a node that refused or broke a connection
	// counts as slow as refusedLatencyMicros: by then the prober has judged it.
	failurePenalty = time.Second
	// refusedLatencyMicros is the latency that a penalised node counts with, so
	// that a node that fails fast never looks fast.
	refusedLatencyMicros = 1e6
)

// Load holds the figures of one node that change with every operation. All
// methods are safe for concurrent use, take no lock and don't allocate. The
// zero value is a node without samples. Times are nanoseconds since any fixed
// point, the same one for all calls.
type Load struct {
	inFlight     atomic.Int64
	latency      average
	probe        average
	penaltyUntil atomic.Int64 // nanoseconds
	explored     atomic.Int64 // nanoseconds of the last operation granted while slow, plus one
}

// Begin counts an operation that starts now. Every Begin needs one End.
func (l *Load) Begin() { l.inFlight.Add(1) }

// End counts an operation that is over.
func (l *Load) End() { l.inFlight.Add(-1) }

// InFlight returns the number of operations between Begin and End.
func (l *Load) InFlight() int64 { return l.inFlight.Load() }

// Observe records how long an operation waited for the node's first answer.
// A failed operation must be recorded with Fail, never here.
func (l *Load) Observe(nowNanos int64, latency time.Duration) {
	l.latency.observe(nowNanos, latency)
}

// ObserveProbe records the round trip of a successful probe. It counts for the
// node's latency too, so that a node without traffic keeps a current figure.
func (l *Load) ObserveProbe(nowNanos int64, roundTrip time.Duration) {
	l.probe.observe(nowNanos, roundTrip)
	l.latency.observe(nowNanos, roundTrip)
}

// Fail records a refused or broken connection: for a second the node counts as
// very slow.
func (l *Load) Fail(nowNanos int64) {
	l.penaltyUntil.Store(nowNanos + int64(failurePenalty))
}

// Reset forgets the latencies and the penalty, but not what is in flight. Call
// it when a node starts to recover: what it did before says nothing.
func (l *Load) Reset() {
	l.latency.reset()
	l.probe.reset()
	l.penaltyUntil.Store(0)
	l.explored.Store(0)
}

// Latency returns the peak-sensitive average of operations and probes; zero
// without samples.
func (l *Load) Latency() time.Duration {
	return time.Duration(l.latency.micros() * float64(time.Microsecond))
}

// ProbeLatency returns the average of probes alone; zero without samples.
func (l *Load) ProbeLatency() time.Duration {
	return time.Duration(l.probe.micros() * float64(time.Microsecond))
}

// penalised reports whether a connection has failed within the last second.
func (l *Load) penalised(nowNanos int64) bool { return nowNanos < l.penaltyUntil.Load() }

// latencyMicros is the latency that pickers compare.
func (l *Load) latencyMicros(nowNanos int64) float64 {
	if l.penalised(nowNanos) {
		return refusedLatencyMicros
	}
	return l.latency.micros()
}

// responseMicros is the latency of the node as such, apart from what users ask
// of it: the probes' if there are any.
func (l *Load) responseMicros(nowNanos int64) float64 {
	if l.penalised(nowNanos) {
		return refusedLatencyMicros
	}
	if m := l.probe.micros(); m > 0 {
		return m
	}
	return l.latency.micros()
}

// average is an exponentially weighted moving average that follows a rise at
// once and a fall slowly ("peak EWMA", as in Twitter's Finagle). Two writers at
// the same moment may lose one of the two samples; that is cheaper than a lock
// and harmless for an average.
type average struct {
	bits atomic.Uint64 // float64, microseconds; zero without samples
	at   atomic.Int64  // nanoseconds of the last sample
}

func (a *average) observe(nowNanos int64, d time.Duration) {
	sample := max(float64(d)/float64(time.Microsecond), 1)
	last := a.at.Swap(nowNanos)
	old := a.micros()
	if old == 0 || sample >= old {
		a.bits.Store(math.Float64bits(sample))
		return
	}
	keep := decayed(float64(max(nowNanos-last, 0)) / float64(decay))
	a.bits.Store(math.Float64bits(sample + (old-sample)*keep))
}

// decayed returns e^-x, for the small x between the samples of a busy node by the
// beginning of its series, which is wrong by x²/2.
func decayed(x float64) float64 {
	if x < 1e-4 {
		return 1 - x
	}
	return math.Exp(-x)
}

func (a *average) micros() float64 { return math.Float64frombits(a.bits.Load()) }

func (a *average) reset() {
	a.bits.Store(0)
	a.at.Store(0)
}
