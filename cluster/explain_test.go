package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/health"
)

// What the choice of a node says of each candidate.
func TestChoice(t *testing.T) {
	c := &Cluster{}
	reports := &health.View{Reports: make([]health.Report, 7)}
	candidates := make([]balancer.Candidate, 0, 7)
	v, g := &view{health: reports}, &group{}
	states := []health.State{health.Up, health.Up, health.Down, health.Up, health.Up, health.Suspect, health.Up}
	for i, state := range states {
		n := &Node{index: i, addr: fmt.Sprintf("n%d:1", i)}
		n.role.Store(&role.Verdict{Role: role.Writer})
		c.nodes = append(c.nodes, n)
		reports.Reports[i] = health.Report{State: state}
		if i == 6 {
			n.duplicateOf.Store(c.nodes[0])
			continue // another name of n0
		}
		seen := balancer.Candidate{Name: n.addr, State: balancer.State(state), Load: new(balancer.Load), BreakerOpen: i == 3}
		if i == 4 {
			seen.State = balancer.Unknown // it refuses this client
		}
		candidates = append(candidates, seen)
		g.nodes = append(g.nodes, n)
	}
	v.nodes = c.nodes
	reports.Reports[2].Reason = health.ReasonFrozen
	g.picks = balancer.NewView(candidates)
	require.True(t, g.picks.Panic(), "two of six are well")

	ch := choice{view: v, group: g, index: 0, trace: balancer.Trace{Rule: balancer.RuleFewer, Compared: true}}
	ch.trace.Drawn = [2]balancer.Drawn{{Index: 0, LatencyMicros: 1500}, {Index: 5, LatencyMicros: 1200, InFlight: 3}}
	ch.avoid = ch.avoid.With(1)
	lines := func() []string {
		var out []string
		for _, x := range ch.candidates() {
			out = append(out, x.String())
		}
		return out
	}
	require.Equal(t, []string{
		"n0:1 Up, chosen, latency 1.5ms, 0 in flight",
		"n1:1 Up, left out, an earlier attempt had failed there",
		"n2:1 Down (frozen), left out",
		"n3:1 Up, not drawn", // few are well, so its open breaker doesn't count
		"n4:1 Up, left out, it refuses this client",
		"n5:1 Suspect, drawn as well, latency 1.2ms, 3 in flight",
		"n6:1 Up, another name of a node in the list",
	}, lines())
	require.Equal(t, "the one of two alike with less in flight; few nodes are well, so doubtful ones count, too", ch.reason(true))
	require.Equal(t, "which the session has used before", ch.reason(false))

	candidates[1].Load, candidates[5].State, candidates[4].State = &balancer.Load{}, balancer.Up, balancer.Up
	g.picks = balancer.NewView(candidates)
	require.False(t, g.picks.Panic())
	ch = choice{view: v, group: g, index: 1, failed: balancer.Set{}.With(0), trace: balancer.Trace{Rule: balancer.RuleTurn}}
	require.Equal(t, "its turn", ch.reason(true))
	require.Equal(t, []string{"left out, it gave no connection", "", "left out", "left out, its breaker is open"},
		[]string{ch.candidates()[0].Note, ch.candidates()[1].Note, ch.candidates()[2].Note, ch.candidates()[3].Note})
	ch.renewed = true
	require.Equal(t, "for a new session where the last one had ended", ch.reason(true))
	ch.hint = "n1:1"
	require.Equal(t, "asked for by WithNode", ch.reason(true))
	require.Equal(t, "not asked for by WithNode", ch.candidates()[0].Note)

	require.Empty(t, (&choice{}).reason(true))
	require.Nil(t, (&choice{}).candidates())
}

func TestExplanationString(t *testing.T) {
	require.Equal(t, "outcome: Unknown, because nobody has judged it", Explanation{}.String())
	x := Explanation{
		Class: "Write", Why: "begins with INSERT", Scope: "by itself",
		Candidates: []Candidate{{Node: "a:1", State: health.Up, Chosen: true}},
		Node:       "a:1", Choice: "its turn", Waited: 1234567 * time.Nanosecond,
		Attempts: 2, Earlier: []Attempt{{Number: 1, Node: "b:2", SQLState: "40001", Kind: "Conflict", Outcome: DefinitelyAborted}},
		Result: "SQLSTATE 23505", Took: 12345678 * time.Nanosecond, Stop: StopFinal,
		Outcome: DefinitelyAborted, Reason: "the server says that it undid it", Session: "clean",
	}
	require.Equal(t, `statement: Write (it begins with INSERT), by itself
candidate: a:1 Up, chosen
node: a:1, its turn; waited 1.235ms
attempt 1 on b:2: Conflict, SQLSTATE 40001; DefinitelyAborted after 0s, then a wait of 0s
attempt 2: SQLSTATE 23505 after 12ms
no further attempt: the last error allows no other attempt
outcome: DefinitelyAborted, because the server says that it undid it
session: clean`, x.String())
	bare := (&OpError{Node: "a:1", Outcome: NotSent, Attempts: 1, Err: ErrClosed}).Explain()
	require.Equal(t, []any{"a:1", NotSent, 1}, []any{bare.Node, bare.Outcome, bare.Attempts})
	for s := scopeUnknown; s <= scopeCommit; s++ {
		require.NotEmpty(t, s.String())
	}
	require.Equal(t, scopeUnknown.String(), scope(99).String())
}
