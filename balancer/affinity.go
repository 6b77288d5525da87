package balancer

import "math/bits"

// boundFloor is how many operations in flight never make a node overloaded for
// a key. Without it a quiet client, whose average is below one, would send the
// second of two operations at a time elsewhere, although nobody is busy. Four
// are a quarter of a node's connections by default.
const boundFloor = 4

// Affinity sends operations with the same key to the same node: the one for
// which the hash of key and name is highest (rendezvous hashing: D. Thaler,
// C. Ravishankar, "Using Name-Based Mappings to Increase Hit Rates", IEEE/ACM
// ToN 6(1), 1998). So every client that knows the nodes by the same names
// chooses alike, and a node that comes or goes moves its own keys only. A node
// is passed over, for the next one of that order, while it has more in flight
// than 1.25 × the average (V. Mirrokni, M. Thorup, M. Zadimoghaddam,
// "Consistent Hashing with Bounded Loads", SODA 2018), and more than a few;
// after it refused a connection, for a second; and, for a part of its keys
// that shrinks, while it starts slowly.
//
// Operations without a key are placed by P2C. For those with one, latency
// counts in one way: a node more than ten times slower than the best gets at
// most one operation a second.
type Affinity struct{}

// Name returns "affinity".
func (Affinity) Name() string { return "affinity" }

// Pick returns the candidate that the key of the operation belongs to.
func (Affinity) Pick(v *View, r Request) int {
	if !r.Keyed {
		return P2C{}.Pick(v, r)
	}
	if i := v.forKey(r); v.stands(i, &r) {
		return i
	}
	i := v.forKey(r)
	r.Trace.decide(RuleNextForKey)
	return i
}

// KeyOf returns the hash of a key for Request.Key. It is the same in every
// process: FNV-1a (G. Fowler, L. Noll, K.-P. Vo), its bits mixed once more.
func KeyOf(key string) uint64 {
	const offset, prime = 0xcbf29ce484222325, 0x100000001b3
	h := uint64(offset)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * prime
	}
	return mix(h, 0, 0)
}

// score ranks a candidate for a key: the halves of a product, folded, as in wyhash
// (Wang Yi). Both come out of KeyOf, and are as good as random.
func score(key, name uint64) uint64 {
	high, low := bits.Mul64(key^name, golden)
	return high ^ low
}

// forKey returns the first candidate in the order of the key that has room, or
// None.
func (v *View) forKey(r Request) int {
	bound, n := v.loadBound(&r.Excluded)
	first, taken := None, None
	var firstScore, takenScore uint64
	for _, i := range v.pool {
		if r.Excluded.Has(i) {
			continue
		}
		c := &v.candidates[i]
		score := score(r.Key, c.hash)
		if first == None || score > firstScore {
			first, firstScore = i, score
		}
		if (taken == None || score > takenScore) && c.Load.InFlight() < bound &&
			c.admits(score) && !c.Load.penalised(r.NowNanos) {
			taken, takenScore = i, score
		}
	}
	switch {
	case n == 0:
		r.Trace.note(RuleNone)
		return None
	case n == 1:
		r.Trace.note(RuleOnly)
		return first
	case taken == None || taken == first:
		r.Trace.note(RuleKey)
		return first
	default:
		r.Trace.note(RuleNextForKey)
		return taken
	}
}

// loadBound returns how many operations a candidate may have in flight, one
// with a key included, and the number of candidates: 1.25 × the average that
// there will be with that operation, rounded up.
func (v *View) loadBound(excluded *Set) (bound, n int64) {
	total := int64(1)
	for _, i := range v.pool {
		if !excluded.Has(i) {
			n++
			total += v.candidates[i].Load.InFlight()
		}
	}
	return max((5*total+4*n-1)/max(4*n, 1), boundFloor), n
}
