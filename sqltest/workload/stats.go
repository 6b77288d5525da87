package workload

import (
	"math"
	"sync"
	"time"

	"github.com/anywriter/anywriter/sqltest/history"
)

// Stats is a moment's view of a run.
type Stats struct {
	// Elapsed is the time since the run began, or its length after its end.
	Elapsed time.Duration
	// Ops have returned; OK, Aborted, SafeFailures and Unknown add up to it.
	Ops, OK, Aborted, SafeFailures, Unknown int
	// Reads are those of Ops that only read; Conflicts those of Aborted with
	// SQLSTATE 40001 or 40P01.
	Reads, Conflicts int
	// Retries are attempts beyond the first, over all operations.
	Retries int
	// InFlight have begun and not returned.
	InFlight int
	// P50, P99 and Max are of the latencies of operations that were OK; the
	// quantiles are exact within 5 %.
	P50, P99, Max time.Duration
	// LongestGap is the longest time without a success of any client, including
	// the one that lasts; LongestWait the longest that an operation took or has
	// been taking.
	LongestGap, LongestWait time.Duration
}

// bucketsPerDoubling makes buckets 4.4 % apart: no finer than timers are.
const bucketsPerDoubling = 16

// meter counts operations as they go; its methods may be called from any
// goroutine.
type meter struct {
	mu          sync.Mutex
	start, end  time.Time
	lastSuccess time.Time
	stats       Stats
	begun       []time.Time // by client; zero while it does nothing
	latencies   [64 * bucketsPerDoubling]int
}

// begin starts the clock.
func (m *meter) begin(clients int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.start = time.Now()
	m.lastSuccess = m.start
	m.begun = make([]time.Time, clients)
}

// finish stops the clock.
func (m *meter) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end = time.Now()
}

func (m *meter) invoke(client int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun[client] = time.Now()
	m.stats.InFlight++
}

func (m *meter) done(op history.Op) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	s := &m.stats
	took := now.Sub(m.begun[op.Client])
	m.begun[op.Client] = time.Time{}
	s.InFlight--
	s.Ops++
	s.Retries += max(op.Attempts-1, 0)
	s.LongestWait = max(s.LongestWait, took)
	if op.Kind.IsRead() {
		s.Reads++
	}
	switch op.Outcome {
	case history.OK:
		s.OK++
		s.Max = max(s.Max, took)
		s.LongestGap = max(s.LongestGap, now.Sub(m.lastSuccess))
		m.lastSuccess = now
		m.latencies[bucket(took)]++
	case history.Aborted:
		s.Aborted++
		if isConflict(op.Err) {
			s.Conflicts++
		}
	case history.SafeFailure:
		s.SafeFailures++
	default:
		s.Unknown++
	}
}

func bucket(d time.Duration) int {
	if d < 1 {
		return 0
	}
	return int(math.Log2(float64(d)) * bucketsPerDoubling)
}

// snapshot returns the numbers of this moment.
func (m *meter) snapshot() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	if m.start.IsZero() {
		return s
	}
	now := m.end
	if now.IsZero() {
		now = time.Now()
		for _, begun := range m.begun {
			if !begun.IsZero() {
				s.LongestWait = max(s.LongestWait, now.Sub(begun))
			}
		}
	}
	s.Elapsed = now.Sub(m.start)
	s.LongestGap = max(s.LongestGap, now.Sub(m.lastSuccess))
	s.P50, s.P99 = m.quantile(0.50), m.quantile(0.99)
	return s
}

// quantile is called with mu held.
func (m *meter) quantile(q float64) time.Duration {
	rank := int(math.Ceil(q * float64(m.stats.OK)))
	for i, n := range m.latencies {
		if rank -= n; n > 0 && rank <= 0 {
			// The bucket's upper end, which is never above the maximum.
			upper := time.Duration(math.Exp2(float64(i+1) / bucketsPerDoubling))
			return min(upper, m.stats.Max)
		}
	}
	return 0
}
