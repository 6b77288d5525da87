package node

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/mutant"
	"github.com/anywriter/anywriter/simnode/internal/volume"
)

var (
	longSearch = flag.Bool("long", false, "run the search for much longer")
	firstSeed  = flag.Uint64("search.from", 1, "the first seed of the search")
	manySeeds  = flag.Uint64("search.seeds", 0, "how many seeds; 0 means 40, or 5000 with -long")
	oneSeed    = flag.Uint64("search.seed", 0, "run only this seed of the search, with a trace")
	everySeeds = flag.Uint64("search.report", 100, "log progress after that many seeds")
	oneMutant  = flag.String("search.mutant", "", "with -search.seed: the mutant to search with")
)

const runLength = 4 * time.Second // of virtual time, before healing

func replay(seed uint64, m mutant.Set) string {
	cmd := fmt.Sprintf("go test ./simnode/internal/node -run TestSearch$ -v -search.seed %d", seed)
	if m != 0 {
		cmd += " -search.mutant " + m.String()
	}
	return cmd
}

// The search: many seeds, each a cluster under faults, and no violation.
func TestSearch(t *testing.T) {
	if *oneSeed > 0 {
		m, _ := mutant.Parse(*oneMutant)
		w := newWorld(*oneSeed, m, 0)
		w.trace = t.Logf
		if v := w.run(runLength); v != "" {
			t.Fatalf("%s\n%v", v, w)
		}
		t.Log(w, w.oracle.verdicts)
		return
	}
	seeds := uint64(40)
	switch {
	case *manySeeds > 0:
		seeds = *manySeeds
	case *longSearch:
		seeds = 5000
	}
	commits := 0
	var events uint64
	for seed := *firstSeed; seed < *firstSeed+seeds; seed++ {
		w := newWorld(seed, 0, 0)
		if v := w.run(runLength); v != "" {
			t.Fatalf("%s\n%v\nreplay: %s", v, w, replay(seed, 0))
		}
		commits += w.oracle.commits
		events += w.events
		if done := seed - *firstSeed + 1; done%*everySeeds == 0 && testing.Verbose() {
			fmt.Printf("%d seeds done (%d to %d), %d commits, %d events, no violation\n", done, *firstSeed, seed, commits, events)
		}
	}
	t.Logf("%d seeds, %d commits, %d events", seeds, commits, events)
	if commits < int(seeds)*50 {
		t.Fatalf("only %d commits in %d seeds: the search exercises nothing", commits, seeds)
	}
}

// focus arranges a run so that a mutant comes out soon; most do under any faults.
func focus(w *world, m mutant.Set) {
	switch m {
	case mutant.PruneNoReject: // a long pause, in which the index forgets
		w.mix, w.horizon = []int{freezeFault, freezeFault, partitionFault}, 16
	case mutant.OrphanLocalDrop:
		w.mix = []int{freezeFault, freezeFault, partitionFault}
	case mutant.ResolvedDropBeforeApply:
		w.mix = []int{freezeFault, partitionFault, lagFault, killFault}
	case mutant.VoteBeforeRebuilt: // a long way through the log
		w.mix, w.fetchLimit = []int{killFault, killFault, freezeFault, partitionFault, lagFault}, 2
	case mutant.ReleaseOutlives:
		w.mix = []int{killFault, deafFault, freezeFault}
	case mutant.ReleaseFromAnybody:
		w.mix = []int{slanderFault, deafFault, freezeFault, partitionFault}
	case mutant.RequestIDsRestart:
		w.mix = []int{rebirthFault, rebirthFault, mendFault}
	case mutant.LeaseFromReply, mutant.NoDriftMargin:
		w.mix = []int{deafFault}
	default: // whatever the seed says
	}
}

// soon is where to begin: a seed, less one, that caught the mutant when this was
// written. It saves time and promises nothing; all the others follow.
func soon(m mutant.Set) uint64 {
	switch m {
	case mutant.PruneNoReject:
		return 104
	case mutant.OrphanLocalDrop:
		return 59
	case mutant.VoteBeforeRebuilt:
		return 331
	case mutant.NoDriftMargin:
		return 68
	case mutant.RequestIDsRestart:
		return 30
	default:
		return 0
	}
}

// Every mutant is caught: the search would see the bug that each rule prevents.
func TestSearchCatchesMutants(t *testing.T) {
	for _, m := range mutant.All() {
		t.Run(m.String(), func(t *testing.T) {
			const within = 500
			for n := range uint64(within) {
				seed := (n+soon(m))%within + 1
				w := newWorld(seed, m, 0)
				focus(w, m)
				if v := w.run(runLength); v != "" {
					t.Logf("seed %d: %s", seed, v)
					return
				}
			}
			t.Fatalf("not caught in %d seeds", within)
		})
	}
}

// The bugs of the storage that a node can see are caught here too; the others are
// the volume's own search's.
func TestSearchCatchesStorageMutants(t *testing.T) {
	for _, c := range []struct {
		name   string
		mutant volume.Mutant
		mix    []int
	}{
		{"DupAppend", volume.MutantDupAppend, nil},
		{"NoTombstoneCheck", volume.MutantNoTombstoneCheck, []int{freezeFault, partitionFault}},
		{"LeaseWithoutTail", volume.MutantLeaseWithoutTail, nil},
		{"RefuseBeforeDurable", volume.MutantRefuseBeforeDurable, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			const within = 60
			for seed := uint64(1); seed <= within; seed++ {
				w := newWorld(seed, 0, c.mutant)
				if c.mix != nil {
					w.mix = c.mix
				}
				if v := w.run(runLength); v != "" {
					t.Logf("seed %d: %s", seed, v)
					return
				}
			}
			t.Fatalf("not caught in %d seeds", within)
		})
	}
}

// The same seed gives the same run, event for event.
func TestSearchIsDeterministic(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		a, b := newWorld(seed, 0, 0), newWorld(seed, 0, 0)
		a.run(runLength)
		b.run(runLength)
		if a.String() != b.String() || fmt.Sprint(a.oracle.verdicts) != fmt.Sprint(b.oracle.verdicts) {
			t.Fatalf("two runs of one seed differ:\n%v\n%v", a, b)
		}
	}
}
