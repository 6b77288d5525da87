package balancer

import "fmt"

// State is what a candidate's health allows. The zero value, Unknown, is never
// picked.
type State uint8

const (
	// Unknown: no probe has answered yet.
	Unknown State = iota
	// Up: healthy.
	Up
	// Suspect: signs of trouble; picked in panic mode only.
	Suspect
	// Down: never picked.
	Down
	// Recovering: back again, within its slow start.
	Recovering
	// Draining: announced its end; gets nothing new.
	Draining
)

// String returns the name of s.
func (s State) String() string {
	names := [...]string{"Unknown", "Up", "Suspect", "Down", "Recovering", "Draining"}
	if int(s) < len(names) {
		return names[s]
	}
	return "Unknown"
}

// Candidate is a node as a picker sees it. It is immutable but for what Load
// points to.
type Candidate struct {
	// Name tells the candidates apart in messages and places keys: clients that
	// should send a key to the same node must call the node the same.
	Name string
	// State decides whether the candidate may be picked.
	State State
	// BreakerOpen keeps the candidate out unless the View is in panic mode.
	BreakerOpen bool
	// Weight is the slow-start share in (0, 1]; zero counts as 1.
	Weight float64
	// Share is how much of the operations Weighted gives the candidate, compared
	// with the others' shares, from 1 to MaxShare; zero counts as 1.
	Share int
	// Local says that the candidate is in the client's own zone; see Zone.
	Local bool
	// Limit is how many operations the candidate serves at a time before others
	// have to wait; zero if there is no limit. Only Zone looks at it.
	Limit int64
	// Load holds the figures that change with every operation. It must not be
	// nil and is shared by all Views of the same node.
	Load *Load

	hash uint64 // of Name
}

// MaxShare is the largest Share of a candidate.
const MaxShare = 1000

// Eligible reports whether c may be picked in normal times.
func (c *Candidate) Eligible() bool {
	return (c.State == Up || c.State == Recovering) && !c.BreakerOpen
}

// usableInPanic reports whether c may be picked when fewer than half of the
// candidates are eligible: then a suspicion is better than nothing, and so is a
// node behind an open breaker; a node that is down is not.
func (c *Candidate) usableInPanic() bool {
	return c.State == Up || c.State == Recovering || c.State == Suspect
}

// View is an immutable snapshot of the candidates. Build one with NewView
// whenever a state, a breaker or a weight changes, and publish it through an
// atomic pointer; it is safe for concurrent use.
type View struct {
	candidates []Candidate
	pool       []int // indices that may be picked
	local      []int // those of them that are in the own zone, and well
	eligible   int
	panicking  bool

	// Running sums over pool, for drawing: of Weight, and of Weight × Share.
	weights, shares []uint64
}

// NewView copies the candidates into a new View. It panics if there are more
// than MaxCandidates or if one has no Load: both are errors of the program.
func NewView(candidates []Candidate) *View {
	if len(candidates) > MaxCandidates {
		panic(fmt.Sprintf("balancer: %d candidates, at most %d are possible", len(candidates), MaxCandidates))
	}
	v := &View{candidates: append([]Candidate(nil), candidates...), pool: make([]int, 0, len(candidates))}
	for i := range v.candidates {
		c := &v.candidates[i]
		if c.Load == nil {
			panic(fmt.Sprintf("balancer: candidate %d (%s) has no Load", i, c.Name))
		}
		if c.Weight <= 0 || c.Weight > 1 {
			c.Weight = 1
		}
		c.Share = min(max(c.Share, 1), MaxShare)
		c.hash = KeyOf(c.Name)
		if c.Eligible() {
			v.pool = append(v.pool, i)
		}
	}
	v.eligible = len(v.pool)
	if 2*v.eligible < len(v.candidates) {
		v.panicking = true
		v.pool = v.pool[:0]
		for i := range v.candidates {
			if v.candidates[i].usableInPanic() {
				v.pool = append(v.pool, i)
			}
		}
	}
	v.sum()
	return v
}

// sum prepares what pickers want to know about the whole pool.
func (v *View) sum() {
	v.weights, v.shares = make([]uint64, len(v.pool)), make([]uint64, len(v.pool))
	var weights, shares uint64
	for k, i := range v.pool {
		c := &v.candidates[i]
		weight := max(uint64(c.Weight*(1<<20)), 1)
		weights += weight
		shares += weight * uint64(c.Share)
		v.weights[k], v.shares[k] = weights, shares
		if c.Local && c.Eligible() {
			v.local = append(v.local, i)
		}
	}
}

// Len returns the number of candidates.
func (v *View) Len() int { return len(v.candidates) }

// Candidate returns the i-th candidate; the caller must not change it.
func (v *View) Candidate(i int) *Candidate { return &v.candidates[i] }

// Eligible returns how many candidates may be picked in normal times.
func (v *View) Eligible() int { return v.eligible }

// Panic reports whether fewer than half of the candidates are eligible, so that
// suspects are picked too.
func (v *View) Panic() bool { return v.panicking }

// Pickable reports whether Pick can return the i-th candidate.
func (v *View) Pickable(i int) bool {
	for _, p := range v.pool {
		if p == i {
			return true
		}
	}
	return false
}
