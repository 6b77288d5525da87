package balancer

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// homes returns the names of the candidates that the keys 0 to n-1 go to.
func homes(v *View, n int, now int64) []string {
	out := make([]string, n)
	for k := range out {
		r := Request{Key: KeyOf(fmt.Sprint("key", k)), Keyed: true, Seq: uint64(k), NowNanos: now}
		out[k] = v.Candidate(Affinity{}.Pick(v, r)).Name
	}
	return out
}

// A key's node doesn't depend on the order of the list, on the sequence or on
// the process: these are fixed for ever, clients of different versions agree.
func TestKeysAreStable(t *testing.T) {
	assert.Equal(t, []uint64{0x8035f29acc108b3, 0x5c6cccfc9a5050ba}, []uint64{KeyOf(""), KeyOf("account 7")})
	v := view(5, nil)
	backwards := view(5, func(i int, c *Candidate) { c.Name = v.Candidate(4 - i).Name })
	want := homes(v, 1000, 0)
	assert.Equal(t, want, homes(backwards, 1000, 0))
	assert.Equal(t, []string{"10.0.0.4:5432", "10.0.0.4:5432", "10.0.0.3:5432"}, want[:3])
	for _, p := range pickers() {
		for k := range 100 {
			r := Request{Key: KeyOf(fmt.Sprint("key", k)), Keyed: true, Seq: uint64(7 * k), Seed: 3}
			assert.Equal(t, want[k], v.Candidate(Pick(p, v, r)).Name, "%s honours keys", p.Name())
		}
	}
}

func TestRemovingANodeMovesItsKeysOnly(t *testing.T) {
	const keys = 20_000
	for _, n := range []int{3, 10} {
		before := homes(view(n, nil), keys, 0)
		gone := view(n, func(i int, c *Candidate) {
			if i == 1 {
				c.State = Down
			}
		})
		left := gone.Candidate(1).Name
		removed := view(n-1, func(i int, c *Candidate) {
			if i > 0 {
				c.Name = gone.Candidate(i + 1).Name
			}
		})
		moved, heirs := 0, map[string]int{}
		for name, after := range map[string][]string{"down": homes(gone, keys, 0), "removed": homes(removed, keys, 0)} {
			moved = 0
			clear(heirs)
			for k := range before {
				if (before[k] == left) == (before[k] == after[k]) {
					t.Fatalf("%s: key %d was at %s and is at %s", name, k, before[k], after[k])
				}
				if before[k] != left {
					continue
				}
				moved++
				heirs[after[k]]++
			}
			assert.InDelta(t, keys/float64(n), moved, fiveSigma(keys, 1/float64(n)), "%s: each of %d has its part", name, n)
			assert.Len(t, heirs, n-1)
			for heir, k := range heirs {
				p := 1 / float64(n-1)
				assert.InDelta(t, p*float64(moved), k, fiveSigma(moved, p), "%s: %s inherits its part", name, heir)
			}
		}
	}
}

// One key is asked for by everybody: no node gets more than 1.25 × the average.
func TestBoundedLoad(t *testing.T) {
	for _, n := range []int{3, 10} {
		v := view(n, nil)
		r := Request{Key: KeyOf("hot"), Keyed: true}
		home := Affinity{}.Pick(v, r)
		for total := int64(1); total <= 400; total++ {
			i := Affinity{}.Pick(v, r)
			v.Candidate(i).Load.Begin()
			bound := max((5*total+4*int64(n)-1)/(4*int64(n)), 4)
			require.LessOrEqual(t, v.Candidate(i).Load.InFlight(), bound, "%d nodes, %d in flight", n, total)
			if total <= 4 {
				require.Equal(t, home, i, "a few at a time overload nobody")
			}
		}
		assert.EqualValues(t, (5*400+4*n-1)/(4*n), v.Candidate(home).Load.InFlight(), "the key's own node is used to the bound")
		for range 400 / n {
			v.Candidate(home).Load.End()
		}
		assert.Equal(t, home, Affinity{}.Pick(v, r), "and again as soon as it has room")
	}
}

// While a node comes back its keys do, each once.
func TestKeysComeBackOnce(t *testing.T) {
	const keys = 5_000
	full := homes(view(3, nil), keys, 0)
	back := make([]bool, keys)
	for _, weight := range []float64{0.1, 0.2, 0.4, 0.7, 0.9, 1} {
		v := view(3, func(i int, c *Candidate) {
			if i == 2 {
				c.State, c.Weight = Recovering, weight
			}
		})
		own, here := 0, 0
		for k, name := range homes(v, keys, 0) {
			if full[k] != v.Candidate(2).Name {
				if full[k] != name {
					t.Fatalf("key %d was at %s and is at %s", k, full[k], name)
				}
				continue
			}
			own++
			if name == full[k] {
				back[k] = true
				here++
			}
			if back[k] != (name == full[k]) {
				t.Fatalf("key %d was back at a lower weight", k)
			}
		}
		assert.InDelta(t, weight*float64(own), here, fiveSigma(own, weight)+0.5, "at weight %v", weight)
	}
}

func TestKeysLeaveAFailingNode(t *testing.T) {
	v := view(3, nil)
	before := homes(v, 300, 0)
	v.Candidate(1).Load.Fail(0)
	assert.NotContains(t, homes(v, 300, 500*ms), v.Candidate(1).Name)
	assert.Equal(t, before, homes(v, 300, int64(failurePenalty)))
	for i := range 3 {
		v.Candidate(i).Load.Fail(0)
	}
	assert.Equal(t, before, homes(v, 300, 500*ms), "if all fail, the key's own is as good as any")
}

func TestWithoutKeyAffinityIsP2C(t *testing.T) {
	v := view(7, func(i int, c *Candidate) { c.Load.Observe(0, time.Duration(1+i)*time.Millisecond) })
	for k := range uint64(1000) {
		r := Request{Seq: k, Key: 5}
		assert.Equal(t, P2C{}.Pick(v, r), Affinity{}.Pick(v, r))
	}
}
