package simnode

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// FaultKind is a kind of fault that a Schedule can play.
type FaultKind uint8

// The kinds of fault.
const (
	FaultUnknown    FaultKind = iota
	FaultKill                 // Node.Kill
	FaultFreeze               // Node.Freeze
	FaultPartition            // the node is cut off from the other nodes and the storage; clients still reach it
	FaultIsolate              // Node.Isolate
	FaultDropBefore           // Node.DropCommitReply with BeforeCommit
	FaultDropAfter            // Node.DropCommitReply with AfterCommit
	FaultReadOnly             // Node.SetReadOnly
)

// AllFaults gives every kind.
func AllFaults() []FaultKind {
	return []FaultKind{FaultKill, FaultFreeze, FaultPartition, FaultIsolate, FaultDropBefore, FaultDropAfter, FaultReadOnly}
}

// String gives the kind in one word.
func (k FaultKind) String() string {
	switch k {
	case FaultKill:
		return "kill"
	case FaultFreeze:
		return "freeze"
	case FaultPartition:
		return "partition"
	case FaultIsolate:
		return "isolate"
	case FaultDropBefore:
		return "drop-before"
	case FaultDropAfter:
		return "drop-after"
	case FaultReadOnly:
		return "read-only"
	default:
		return "unknown"
	}
}

// commitPoint is where a kind drops replies, CommitPointUnknown for the others.
func (k FaultKind) commitPoint() CommitPoint {
	switch k {
	case FaultDropBefore:
		return BeforeCommit
	case FaultDropAfter:
		return AfterCommit
	default:
		return CommitPointUnknown
	}
}

// Fault is one fault of a schedule and what came of it. Times count from the
// start of Play.
type Fault struct {
	Kind        FaultKind
	Node        int
	From, Until time.Duration
	// Commits is how many commits lose their replies, for the kinds that drop them;
	// 0 for the others.
	Commits int

	Fired, Healed bool
}

// String is the fault's line in a time line.
func (f Fault) String() string {
	state := "planned"
	switch {
	case f.Healed:
		state = "over"
	case f.Fired:
		state = "IN FORCE"
	}
	return fmt.Sprintf("%5.1fs - %5.1fs  %-11s node %d  %s", f.From.Seconds(), f.Until.Seconds(), f.Kind, f.Node, state)
}

// The parts of a cycle: each fault has an equal slot, begins a little after its
// slot and is in force for about half of it, so that the cluster recovers before
// the next one.
const (
	cycleLength = 10 * time.Second
	slotDelay   = 0.18
	slotLength  = 0.54
)

// plannedDrops is how many replies a planned fault drops: more than one, so that a
// client meets the fault again while it finds out about the first.
const plannedDrops = 3

// Plan draws the faults of a run: in each cycle of about ten seconds every kind
// once, one after the other, on nodes drawn from the seed. A shorter run is one
// cycle. The last fault ends well before the run does.
func Plan(duration time.Duration, nodes int, seed uint64, kinds ...FaultKind) []Fault {
	random := rand.New(rand.NewPCG(seed, 0xfa017))
	cycles := max(int(duration/cycleLength), 1)
	slot := duration / time.Duration(cycles*max(len(kinds), 1))
	var out []Fault
	for range cycles {
		for _, kind := range kinds {
			from := time.Duration(len(out))*slot + share(slot, slotDelay)
			f := Fault{Kind: kind, Node: 1 + random.IntN(nodes), From: from, Until: from + share(slot, slotLength)}
			if kind.commitPoint() != CommitPointUnknown {
				f.Commits = plannedDrops
			}
			out = append(out, f)
		}
	}
	return out
}

func share(d time.Duration, part float64) time.Duration { return time.Duration(float64(d) * part) }

// Schedule plays faults at their times. All methods are safe for concurrent use.
type Schedule struct {
	sim *Sim

	mu     sync.Mutex
	faults []Fault
}

// NewSchedule makes a schedule of faults in the order of their times, which do
// not overlap. The error names the first fault that cannot be played.
func NewSchedule(sim *Sim, faults []Fault) (*Schedule, error) {
	var last time.Duration
	for i, f := range faults {
		switch {
		case f.Kind == FaultUnknown || f.Kind > FaultReadOnly:
			return nil, fmt.Errorf("simnode: fault %d has no kind", i+1)
		case f.Node < 1 || f.Node > len(sim.nodes):
			return nil, fmt.Errorf("simnode: fault %d is on node %d, the nodes are 1 to %d", i+1, f.Node, len(sim.nodes))
		case f.From < last || f.Until < f.From:
			return nil, fmt.Errorf("simnode: fault %d is from %v until %v, allowed are times in order, without overlap", i+1, f.From, f.Until)
		case f.Kind.commitPoint() != CommitPointUnknown && f.Commits < 1:
			return nil, fmt.Errorf("simnode: fault %d drops the replies to %d commits, allowed are 1 and more", i+1, f.Commits)
		case f.Kind.commitPoint() == CommitPointUnknown && f.Commits != 0:
			return nil, fmt.Errorf("simnode: fault %d is of kind %v and has %d commits, allowed is 0", i+1, f.Kind, f.Commits)
		}
		last = f.Until
	}
	return &Schedule{sim: sim, faults: append([]Fault(nil), faults...)}, nil
}

// Faults gives the schedule with what has come of it so far.
func (s *Schedule) Faults() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Fault(nil), s.faults...)
}

// Play injects and heals every fault at its time, counted from the call. It
// returns when all are healed; if ctx ends first, it heals what is in force.
func (s *Schedule) Play(ctx context.Context) {
	start := time.Now()
	for i, f := range s.Faults() {
		if !waitUntil(ctx, start.Add(f.From)) {
			return
		}
		undo := s.inject(f)
		s.mark(i, func(f *Fault) { f.Fired = true })
		done := waitUntil(ctx, start.Add(f.Until))
		undo()
		s.mark(i, func(f *Fault) { f.Healed = true })
		if !done {
			return
		}
	}
}

func (s *Schedule) inject(f Fault) Undo {
	node := s.sim.Node(f.Node)
	switch f.Kind {
	case FaultKill:
		return node.Kill()
	case FaultFreeze:
		return node.Freeze()
	case FaultIsolate:
		return node.Isolate()
	case FaultReadOnly:
		return node.SetReadOnly()
	case FaultDropBefore, FaultDropAfter:
		undo, _ := node.DropCommitReply(f.Kind.commitPoint(), f.Commits) // NewSchedule has checked both
		return undo
	default:
		// Clients still reach the node, which can no longer do anything for them:
		// the harder half of a partition.
		others := []Endpoint{AtStorage()}
		for _, n := range s.sim.nodes {
			if n.number != f.Node {
				others = append(others, AtNode(n.number))
			}
		}
		return s.sim.Partition([]Endpoint{AtNode(f.Node)}, others)
	}
}

func (s *Schedule) mark(i int, change func(*Fault)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.faults[i])
}

// waitUntil reports whether the time came before ctx ended.
func waitUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
