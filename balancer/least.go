package balancer

// LeastInFlight takes the candidate that has the fewest operations in flight
// from this client, of all candidates; chance decides between equals. Use it
// where operations differ much in length and their latency says little.
//
// Of latencies it sees only two: a node that refused or broke a connection
// within the last second comes last, however idle it looks, and a node whose
// round trips are more than ten times the best one's gets at most one operation
// a second.
type LeastInFlight struct{}

// Name returns "least_inflight".
func (LeastInFlight) Name() string { return "least_inflight" }

// Pick returns the candidate with the fewest operations in flight.
func (LeastInFlight) Pick(v *View, r Request) int {
	if i := v.least(r); v.stands(i, &r) {
		return i
	}
	return v.least(r)
}

// What stands in the way of a candidate counts as so many operations in flight:
// more than any real number of them.
const (
	handicapStarting = 1 << 30
	handicapFailing  = 1 << 40
)

// least returns the candidate with the fewest operations in flight, or None.
func (v *View) least(r Request) int {
	// A load and 16 random bits in one number, so that the smallest number is the
	// one that wins.
	best, second := None, None
	var bestRank, secondRank int64
	for _, i := range v.pool {
		if r.Excluded.Has(i) {
			continue
		}
		c, random := &v.candidates[i], mix(r.Seq, r.Seed, uint64(i))
		load := c.Load.InFlight()
		if !c.admits(random) {
			load += handicapStarting
		}
		if c.Load.penalised(r.NowNanos) {
			load += handicapFailing
		}
		switch rank := load<<16 | int64(random>>48); {
		case best == None || rank < bestRank:
			second, secondRank = best, bestRank
			best, bestRank = i, rank
		case second == None || rank < secondRank:
			second, secondRank = i, rank
		}
	}
	switch {
	case best == None:
		r.Trace.note(RuleNone)
	case second == None:
		r.Trace.note(RuleOnly)
	case r.Trace != nil:
		r.Trace.draw(RuleLeast, v.seen(best, r), v.seen(second, r))
	}
	return best
}

// seen notes the figures of a candidate for the trace.
func (v *View) seen(i int, r Request) Drawn {
	l := v.candidates[i].Load
	return Drawn{Index: i, LatencyMicros: l.latencyMicros(r.NowNanos), InFlight: l.InFlight()}
}

// stands reports whether the choice of i is final. If i is far slower than the
// best and has been tried within the last second, it isn't: r then excludes all
// that are so slow, and the choice must be made again.
func (v *View) stands(i int, r *Request) bool {
	if i == None {
		return true
	}
	mine, limit := v.candidates[i].Load.responseMicros(r.NowNanos), float64(slowFloorMicros)
	if mine > limit {
		limit = v.slowLimit(*r)
	}
	if mine <= limit {
		return true
	}
	if v.explores(i, *r) {
		r.Trace.decide(RuleExplore)
		return true
	}
	for _, k := range v.pool {
		if v.candidates[k].Load.responseMicros(r.NowNanos) > limit {
			r.Excluded.add(k)
		}
	}
	return false
}
