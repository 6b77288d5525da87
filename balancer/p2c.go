package balancer

import "math"

const (
	// slowFactor and slowFloorMicros say when a node gets users' operations only
	// to explore it: its round trips are more than ten times the best node's,
	// and above 5 ms. The floor keeps a busy node of 2 ms beside an idle one of
	// 0.1 ms in the game; there the cost alone decides.
	slowFactor      = 10
	slowFloorMicros = 5000
	// exploreEvery bounds how often such a node gets an operation, in nanoseconds.
	exploreEvery = 1e9
	// alikeFactor and alikeMicros say when two latencies count as equal. Without
	// them a client whose operations never overlap would send most of them to
	// the node that happens to be some microseconds faster.
	alikeFactor = 1.5
	alikeMicros = 1000
)

// P2C draws two candidates at random and takes the one that costs less:
// peak-sensitive latency × (operations in flight + 1). That spreads load almost
// as well as looking at all nodes, without the herd that follows "the best
// one" (M. Mitzenmacher, "The Power of Two Choices in Randomized Load
// Balancing", IEEE TPDS 12(10), 2001).
//
// It looks at latencies: those of operations and probes make the cost; a node
// that refused or broke a connection counts as very slow for a second; and a
// node whose round trips are more than ten times the best one's gets at most
// one operation a second.
type P2C struct{}

// Name returns "p2c".
func (P2C) Name() string { return "p2c" }

// Pick returns the cheaper of two random candidates.
func (P2C) Pick(v *View, r Request) int {
	i := v.twoChoices(v.pool, r)
	if i == None || !v.slow(i, r) {
		return i
	}
	if v.explores(i, r) {
		r.Trace.decide(RuleExplore)
		return i
	}
	if best := v.best(r); best != None {
		r.Trace.decide(RuleFastest)
		return best
	}
	return i
}

// twoChoices returns the cheaper of two random candidates in pool that aren't
// excluded, or None.
func (v *View) twoChoices(pool []int, r Request) int {
	n := free(pool, &r.Excluded)
	if n == 0 {
		r.Trace.note(RuleNone)
		return None
	}
	if n == 1 {
		r.Trace.note(RuleOnly)
		return nth(pool, &r.Excluded, 0)
	}
	random := mix(r.Seq, r.Seed, 0)
	a := int(random % uint64(n))
	b := (a + 1 + int((random>>32)%uint64(n-1))) % n
	return v.cheaper(nth(pool, &r.Excluded, a), nth(pool, &r.Excluded, b), r)
}

// free counts the candidates in pool that aren't excluded.
func free(pool []int, excluded *Set) int {
	if excluded.empty() {
		return len(pool)
	}
	n := 0
	for _, i := range pool {
		if !excluded.Has(i) {
			n++
		}
	}
	return n
}

// nth returns the k-th candidate in pool that isn't excluded.
func nth(pool []int, excluded *Set, k int) int {
	if excluded.empty() {
		return pool[k]
	}
	for _, i := range pool {
		if excluded.Has(i) {
			continue
		}
		if k == 0 {
			return i
		}
		k--
	}
	return None
}

// cheaper returns i or j, whichever costs less; i if they cost the same.
func (v *View) cheaper(i, j int, r Request) int {
	a, b := &v.candidates[i], &v.candidates[j]
	if a.Weight < 1 || b.Weight < 1 {
		random := mix(r.Seq, r.Seed, 1)
		admitsA, admitsB := a.admits(random), b.admits(random>>20)
		switch {
		case admitsA && !admitsB:
			r.Trace.draw(RuleSlowStart, Drawn{Index: i}, Drawn{Index: j})
			return i
		case admitsB && !admitsA:
			r.Trace.draw(RuleSlowStart, Drawn{Index: i}, Drawn{Index: j})
			return j
		}
	}
	latencyA, latencyB := a.Load.latencyMicros(r.NowNanos), b.Load.latencyMicros(r.NowNanos)
	inFlightA, inFlightB := a.Load.InFlight(), b.Load.InFlight()
	drawnA, drawnB := Drawn{i, latencyA, inFlightA}, Drawn{j, latencyB, inFlightB}
	rule := RuleCheaper
	if alike(latencyA, latencyB) {
		latencyA, latencyB, rule = 1, 1, RuleFewer
	}
	costA := max(latencyA, 1) * float64(inFlightA+1)
	costB := max(latencyB, 1) * float64(inFlightB+1)
	if costA == costB {
		rule = RuleDrawn
	}
	r.Trace.draw(rule, drawnA, drawnB)
	if costB < costA {
		return j
	}
	return i
}

// slow reports whether candidate i is far slower than the best one that could
// be picked instead.
func (v *View) slow(i int, r Request) bool {
	mine := v.candidates[i].Load.responseMicros(r.NowNanos)
	return mine > slowFloorMicros && mine > v.slowLimit(r)
}

// slowLimit is the response time from which on a candidate is far slower than
// the best one that could be picked.
func (v *View) slowLimit(r Request) float64 {
	best := v.best(r)
	if best == None {
		return math.Inf(1)
	}
	return max(slowFactor*v.candidates[best].Load.responseMicros(r.NowNanos), slowFloorMicros)
}

// best returns the candidate with the lowest response time.
func (v *View) best(r Request) int {
	best, bestMicros := None, 0.0
	for _, i := range v.pool {
		if r.Excluded.Has(i) {
			continue
		}
		if m := v.candidates[i].Load.responseMicros(r.NowNanos); best == None || m < bestMicros {
			best, bestMicros = i, m
		}
	}
	return best
}

// explores reports whether candidate i, though slow, gets this operation, and
// notes the time if so.
func (v *View) explores(i int, r Request) bool {
	l := v.candidates[i].Load
	last := l.explored.Load()
	if last != 0 && r.NowNanos-(last-1) < exploreEvery {
		return false
	}
	return l.explored.CompareAndSwap(last, r.NowNanos+1)
}

// alike reports whether the difference between two latencies says nothing.
func alike(a, b float64) bool {
	return max(a, b) <= min(a, b)*alikeFactor+alikeMicros
}

// admits reports whether c's slow start lets an operation with these random
// bits through.
func (c *Candidate) admits(random uint64) bool {
	return c.Weight >= 1 || float64(random&0xfffff)/float64(1<<20) < c.Weight
}

// mix derives well-spread bits from the number of an operation: the finaliser
// of SplitMix64 (G. Steele et al., "Fast Splittable Pseudorandom Number
// Generators", OOPSLA 2014).
func mix(seq, seed, stream uint64) uint64 {
	z := seq*golden + seed + stream*0xd1342543de82ef95
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// golden is 2^64 divided by the golden ratio, made odd.
const golden = 0x9e3779b97f4a7c15
