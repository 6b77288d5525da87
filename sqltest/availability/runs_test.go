package availability_test

import (
	"cmp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/sqltest/availability"
)

// onSimulator runs one cell on the simulator until its bounds in time hold.
func onSimulator(t *testing.T, f fault, inMemory bool) {
	params := ""
	if f.bounds.fenced {
		params = fenced
	}
	g := simTarget(t, inMemory, params)
	g.repeat(t, f, func() func() { return f.sim(t, g.sim) })
}

// onPostgres runs one cell on the servers.
func onPostgres(t *testing.T, servers []*pgtest.Server, f fault) {
	g := postgresTarget(t, servers, f.proxied)
	g.repeat(t, f, func() func() { return f.postgres(t, g) })
}

// repeat measures one cell until its bounds in time hold, but not for ever; what
// may never happen is checked every time.
func (g *target) repeat(t *testing.T, f fault, hurt func() (heal func())) {
	t.Helper()
	rounds := measurements
	if g.virtual {
		rounds = 1
	}
	for round := 1; ; round++ {
		g.empty(t)
		r := g.measured(t, f, g.ours(t), hurt)
		r.neverHappens(t, f)
		misses := r.inTime(g, f)
		t.Logf("round %d: %s%s", round, r.summary(), r.listed(misses))
		if len(misses) == 0 {
			g.report(f, "anywriter", r)
			break
		}
		require.Less(t, round, rounds, "bounds are broken: %v", misses)
	}
	if *write && !f.bounds.fenced { // the peers have no fence
		for _, open := range g.peers() {
			g.empty(t)
			peer := open(t)
			r := g.measured(t, f, peer, hurt)
			t.Logf("%s: %s", peer.name, r.summary())
			g.report(f, peer.name, r)
		}
	}
}

// measured measures one subject, closes it and compares with the truth.
func (g *target) measured(t *testing.T, f fault, who subject, hurt func() (heal func())) *result {
	t.Helper()
	deadline := f.bounds.deadline
	if deadline == 0 && !g.virtual && !*write {
		// Longer than the bounds: a starved machine must not look like a failure.
		deadline = 20 * time.Second
	}
	r := measure(t, g, who, phasesOf(g, f), deadline, hurt)
	require.NoError(t, who.close())
	r.truth = g.compare(t, r.record)
	return r
}

// empty forgets the writes of the round before.
func (g *target) empty(t *testing.T) {
	t.Helper()
	dbs := g.truth
	if dbs == nil {
		db := g.open(t)
		defer func() { require.NoError(t, db.Close()) }()
		dbs = append(dbs, db)
	}
	for _, db := range dbs {
		require.NoError(t, availability.Setup(t.Context(), db))
	}
}

// neverHappens checks what holds on the slowest machine.
func (r *result) neverHappens(t *testing.T, f fault) {
	t.Helper()
	begun := 0
	for _, op := range r.record.Filter(availability.Failed) {
		if op.Begun { // the connection broke between a row and the end of its result
			begun++
			continue
		}
		t.Errorf("a safe operation failed %v after the fault: write %v, waited %v: %v", op.Ended.Sub(r.hurt), op.Write, op.Wait(), op.Err)
	}
	assert.LessOrEqual(t, begun, 3, "reads that broke off after their row")
	unknown := max(f.bounds.bursts, 1) * availability.DefaultWorkers // one write of each worker, each time
	if f.bounds.fenced {
		unknown = 0
	}
	assert.LessOrEqual(t, r.record.Count(availability.Unknown), unknown, "more unknown outcomes than writes in flight")
	assert.Zero(t, r.unhurt.Count(availability.Unknown), "unknown outcomes before the fault")
	assert.Zero(t, r.truth.Lost, "acknowledged writes that are lost")
	assert.Zero(t, r.truth.Twice, "writes that took effect twice")
	assert.Zero(t, r.truth.Denied, "writes that took effect although their error says no")
	assert.Less(t, r.dialed, mostDialed, "connections opened per second to the sick node")
	if f.bounds.noCuts && r.after.Stalls == r.before.Stalls {
		assert.Zero(t, r.cuts, "a node that lives was cut off")
	}
	require.False(t, t.Failed())
}

// mostDialed bounds the connections per second that are opened to a node from its
// fault on.
const mostDialed = 64.0

// inTime returns the bounds in time that were missed.
func (r *result) inTime(g *target, f fault) []string {
	var missed []string
	check := func(ok bool, text string) {
		if !ok {
			missed = append(missed, text)
		}
	}
	low, high := 0.25, 0.42
	if g.virtual {
		low, high = 0.30, 0.37
	}
	check(r.share >= low && r.share <= high, "the healed node's share")
	if f.bounds.noLatency {
		return missed
	}
	gap := cmp.Or(f.bounds.gap, time.Second)
	if !g.virtual {
		gap += r.record.LongestGap(r.well, r.hurt) // what the machine adds in this run without a fault
	}
	check(r.gap() < gap, "the longest gap")
	longest := r.then.Longest()
	check(longest.Wait() < cmp.Or(f.bounds.wait, longestWait), "the longest wait")
	if f.bounds.slow {
		check(r.record.Rate(r.hurt, r.healed) >= 0.97*r.record.Rate(r.well, r.hurt), "the throughput")
		check(r.during.Quantile(0.99) <= max(5*time.Millisecond, 2*r.unhurt.Quantile(0.99)), "the 99th percentile")
	}
	return missed
}
