package balancer

import "math/bits"

// None is what Pick returns when no candidate may be picked.
const None = -1

// MaxCandidates is the largest number of candidates in a View.
const MaxCandidates = 256

// Picker chooses a candidate for one operation. Pickers are values without
// state of their own: all they know is in the View and the Request, so one
// value serves all goroutines.
type Picker interface {
	// Pick returns the index of a candidate in v, or None. It never returns a
	// candidate in r.Excluded. But for Affinity it doesn't look at the key: the
	// function Pick does, for all pickers.
	Pick(v *View, r Request) int
	// Name returns the name by which Parse finds the picker.
	Name() string
}

// Request describes one operation to be placed. The zero value is valid: first
// operation, nothing excluded.
type Request struct {
	// Seq numbers the operations. The caller counts it up atomically; round
	// robin follows it and random choices are derived from it, so that a run is
	// repeated by repeating the numbers.
	Seq uint64
	// Seed makes the random choices of one process differ from another's.
	Seed uint64
	// NowNanos is the time in nanoseconds since any fixed point, the same point
	// that the candidates' Load values are fed with.
	NowNanos int64
	// Key is the hash, see KeyOf, of what the operation is about, if Keyed is
	// true: operations with one key go to one node while that is possible.
	Key   uint64
	Keyed bool
	// Excluded holds the candidates that were tried already.
	Excluded Set
	// Trace, if not nil, is where the picker notes what decided.
	Trace *Trace
}

// Pick places one operation: one with a key where the key belongs (see
// Affinity), whatever the picker, any other as p says. It returns the index of
// a candidate in v, or None.
func Pick(p Picker, v *View, r Request) int {
	if r.Keyed {
		return Affinity{}.Pick(v, r)
	}
	return p.Pick(v, r)
}

// Set is a set of candidate indices. The zero value is empty. It is a plain
// value: With returns a changed copy.
type Set struct {
	words [MaxCandidates / 64]uint64
}

// With returns s with i added. Indices outside [0, MaxCandidates) change
// nothing.
func (s Set) With(i int) Set {
	if i >= 0 && i < MaxCandidates {
		s.add(i)
	}
	return s
}

// add adds the index of a candidate to s itself.
func (s *Set) add(i int) { s.words[i/64] |= 1 << (i % 64) }

// Has reports whether i is in s.
func (s *Set) Has(i int) bool {
	return i >= 0 && i < MaxCandidates && s.words[i/64]&(1<<(i%64)) != 0
}

// empty reports whether nothing is in s.
func (s *Set) empty() bool {
	return s.words[0]|s.words[1]|s.words[2]|s.words[3] == 0
}

// Len returns the number of indices in s.
func (s *Set) Len() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}
