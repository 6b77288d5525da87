package balancer

import "math/bits"

// Weighted gives each candidate operations in proportion to its Share × Weight:
// 3, 1 and 1 give the first three fifths, and less while it starts slowly. The
// candidates come in turn, well mixed, and not in blocks. It doesn't look at
// latencies or at what is in flight: use it where nodes differ in size and the
// sizes are known.
type Weighted struct{}

// Name returns "weighted".
func (Weighted) Name() string { return "weighted" }

// Pick returns the candidate whose turn it is by its share.
func (Weighted) Pick(v *View, r Request) int {
	// Multiples of the golden ratio fall evenly into any partition of the unit
	// interval: after n of them a part has its share but for 3 + 3.6 ln n of them
	// at most, where chance would miss by the root of n (L. Kuipers,
	// H. Niederreiter, "Uniform Distribution of Sequences", Wiley 1974, chapter 2,
	// section 3).
	return v.draw(v.shares, r.Seq*golden+r.Seed, RuleShare, r)
}

// Random draws a candidate, all with the same chance; one that starts slowly
// has less, by its Weight. It doesn't look at latencies or at what is in
// flight. Use it where many short-lived clients, each with few operations,
// must not all begin with the same node.
type Random struct{}

// Name returns "random".
func (Random) Name() string { return "random" }

// Pick returns a random candidate.
func (Random) Pick(v *View, r Request) int {
	return v.draw(v.weights, mix(r.Seq, r.Seed, 0), RuleRandom, r)
}

// draw returns the candidate that a point hits when the range of uint64 is
// divided among those that aren't excluded. sums are the running sums of the
// sizes of their parts.
func (v *View) draw(sums []uint64, point uint64, rule Rule, r Request) int {
	if len(sums) == 0 {
		r.Trace.note(RuleNone)
		return None
	}
	r.Trace.note(rule)
	if r.Excluded.empty() {
		at, _ := bits.Mul64(point, sums[len(sums)-1])
		low, high := 0, len(sums)-1 // the first one whose sum is above at
		for low < high {
			if middle := (low + high) / 2; sums[middle] > at {
				high = middle
			} else {
				low = middle + 1
			}
		}
		if len(sums) == 1 {
			r.Trace.note(RuleOnly)
		}
		return v.pool[low]
	}
	return v.drawRest(sums, point, r)
}

// drawRest is draw where some candidates are excluded.
func (v *View) drawRest(sums []uint64, point uint64, r Request) int {
	last, total, n := None, uint64(0), 0
	for k, i := range v.pool {
		if !r.Excluded.Has(i) {
			last, n = i, n+1
			total += part(sums, k)
		}
	}
	switch n {
	case 0:
		r.Trace.note(RuleNone)
		return None
	case 1:
		r.Trace.note(RuleOnly)
		return last
	}
	at, _ := bits.Mul64(point, total)
	for k, i := range v.pool {
		if r.Excluded.Has(i) {
			continue
		}
		size := part(sums, k)
		if at < size {
			return i
		}
		at -= size
	}
	return last
}

// part is the k-th term of the running sums.
func part(sums []uint64, k int) uint64 {
	if k == 0 {
		return sums[0]
	}
	return sums[k] - sums[k-1]
}
