package balancer

// RoundRobin takes the candidates in turn. It doesn't look at latencies: use it
// where all nodes are alike and all operations are too.
type RoundRobin struct{}

// Name returns "round_robin".
func (RoundRobin) Name() string { return "round_robin" }

// Pick returns the next candidate in turn that isn't excluded and whose slow
// start lets this operation through.
func (RoundRobin) Pick(v *View, r Request) int {
	n := uint64(len(v.pool))
	if n == 0 {
		r.Trace.note(RuleNone)
		return None
	}
	r.Trace.note(RuleTurn)
	first := None
	for k := range n {
		i := v.pool[(r.Seq+k)%n]
		if r.Excluded.Has(i) {
			continue
		}
		if first == None {
			first = i
		}
		if c := &v.candidates[i]; c.Weight >= 1 || c.admits(mix(r.Seq, r.Seed, k)) {
			return i
		}
	}
	return first // all are starting slowly: one of them must do the work
}
