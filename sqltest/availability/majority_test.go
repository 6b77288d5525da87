package availability_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/availability"
)

// loss is a way in which the simulator loses the majority of its nodes.
type loss struct {
	name   string
	hurt   func(s *simnode.Sim) (heal func())
	fenced bool
	// after is when the majority is lost, from the first fault on; bursts how often
	// writes in flight may lose their answers.
	after  time.Duration
	bursts int
	// found is how long clients may take to find it.
	found    time.Duration
	deadline time.Duration // of each operation
	readers  int           // nodes that hear no majority but read
}

// losses are all ways; the third node is the one that is well.
func losses() []loss {
	const soon = 250 * time.Millisecond
	// A second frozen node is only cut off at the ceiling, as on independent servers.
	const late = health.Ceiling + 500*time.Millisecond
	killed := loss{name: "two of three killed", bursts: 1, found: soon, deadline: availability.DefaultDeadline, readers: 1}
	killed.hurt = func(s *simnode.Sim) func() {
		one, two := s.Node(sick+1).Kill(), s.Node(sick+2).Kill()
		return func() { one(); two() }
	}
	withFence := killed
	withFence.name, withFence.fenced = killed.name+", commit fence on", true
	apart := loss{name: "none hears another", bursts: 1, found: soon, deadline: availability.DefaultDeadline, readers: 3}
	apart.hurt = func(s *simnode.Sim) func() {
		at := func(n int) []simnode.Endpoint { return []simnode.Endpoint{simnode.AtNode(n)} }
		undo := []simnode.Undo{s.Partition(at(1), at(2)), s.Partition(at(2), at(3)), s.Partition(at(3), at(1))}
		return func() {
			for _, u := range undo {
				u()
			}
		}
	}
	frozen := loss{
		name: "two of three frozen, one after the other", after: time.Second, bursts: 2, found: late, deadline: 4 * time.Second, readers: 1,
		hurt: func(s *simnode.Sim) func() {
			s.Node(sick + 2).Freeze()
			second := afterwards(time.Second, func() error { s.Node(sick + 1).Freeze(); return nil })
			return func() {
				_ = second() // it fails never
				s.Node(sick + 1).Thaw()
				s.Node(sick + 2).Thaw()
			}
		},
	}
	return []loss{killed, withFence, frozen, apart}
}

// TestMajorityLost takes the majority of the simulator's nodes away: what is left
// can't commit, but reads what is current. No read fails; each write ends in time, as
// certainly without effect, but for those in flight at the fault; and writes succeed
// within a second of the majority's return.
func TestMajorityLost(t *testing.T) {
	for _, l := range losses() {
		t.Run(l.name, func(t *testing.T) {
			synctest.Test(t, l.measure)
		})
	}
}

// measure measures the driver, and its peers for the report.
func (l loss) measure(t *testing.T) {
	params := ""
	if l.fenced {
		params = fenced
	}
	g := simTarget(t, true, params)
	f := fault{name: l.name, bounds: bounds{deadline: l.deadline}}
	r := g.measured(t, f, g.ours(t), func() func() {
		heal := l.hurt(g.sim)
		read := afterwards(l.after+max(l.found, time.Second), func() error { g.readsGoOn(t, l.readers); return nil })
		return func() {
			require.NoError(t, read())
			heal()
		}
	})
	t.Log(r.summary())
	l.check(t, r)
	l.report("anywriter", r)
	if *write && !l.fenced {
		for _, open := range g.peers() {
			g.empty(t)
			peer := open(t)
			r := g.measured(t, f, peer, func() func() { return l.hurt(g.sim) })
			t.Logf("%s: %s", peer.name, r.summary())
			l.report(peer.name, r)
		}
	}
}

// readsGoOn reads and writes by every way, as a new client, while there is no majority.
func (g *target) readsGoOn(t *testing.T, readers int) {
	db := g.open(t)
	defer func() { assert.NoError(t, db.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	count := func(row *sql.Row) (n int) {
		assert.NoError(t, row.Scan(&n))
		return n
	}
	const points = "select count(*) from availability_points"
	assert.Equal(t, 16, count(db.QueryRowContext(ctx, points)))
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if assert.NoError(t, err) {
		assert.Equal(t, 16, count(tx.QueryRowContext(ctx, points)))
		assert.NoError(t, tx.Commit())
	}
	assert.NoError(t, driver.RunTx(ctx, db, &driver.TxOptions{TxOptions: sql.TxOptions{ReadOnly: true}}, func(ctx context.Context, tx *sql.Tx) error {
		assert.Equal(t, 16, count(tx.QueryRowContext(ctx, points)))
		return nil
	}))
	c := clusterOf(t, db)
	roles := 0
	for _, n := range c.Stats().Nodes {
		if n.State == health.Up && n.Role == cluster.RoleReadOnly && strings.Contains(n.Note, "hears no majority") {
			roles++
		}
	}
	assert.Equal(t, readers, roles, "nodes that read: %+v", c.Stats().Nodes)
	began := time.Now()
	_, err = db.ExecContext(ctx, "insert into availability_log values (-2, -2)")
	assert.Equal(t, driver.NotSent, driver.OutcomeOf(err), "%v", err)
	assert.ErrorIs(t, err, driver.ErrNoNode)
	assert.ErrorContains(t, err, "no node that takes writes after 1s\n")
	assert.ErrorContains(t, err, "takes no writes: it hears no majority of its cluster's nodes")
	assert.WithinDuration(t, began.Add(time.Second), time.Now(), 100*time.Millisecond, "acquire_timeout")
	assert.ErrorIs(t, c.Ping(ctx), driver.ErrNoNode, "no node takes writes")
}

// check checks what may and must happen.
func (l loss) check(t *testing.T, r *result) {
	t.Helper()
	assert.Zero(t, r.truth.Lost)
	assert.Zero(t, r.truth.Twice)
	assert.Zero(t, r.truth.Denied)
	lost := r.hurt.Add(l.after)
	ends := map[driver.Outcome]int{}
	for _, op := range r.then {
		out := driver.OutcomeOf(op.Err)
		switch {
		case !op.Write:
			assert.NoError(t, op.Err, "a read, %v after the fault", op.Ended.Sub(r.hurt))
		case op.Err == nil && op.Began.Before(r.healed):
			assert.True(t, op.Ended.Before(lost.Add(100*time.Millisecond)) || op.Ended.After(r.healed), "a write without a majority, %v after its loss", op.Ended.Sub(lost))
		case op.Err != nil:
			ends[out]++
			assert.True(t, out == driver.NotSent || out == driver.DefinitelyAborted || out == driver.CommitSent, "%v: %v", out, op.Err)
			assert.True(t, op.Began.Before(r.healed), "%v after the majority was back: %v", op.Began.Sub(r.healed), op.Err)
		}
	}
	slowest := r.reads().Longest().Wait()
	again, ok := r.writesAgain()
	t.Logf("writes without a majority: %v; slowest of %d reads %v; first write %v after the majority was back", ends, len(r.reads()), slowest, again)
	assert.Positive(t, ends[driver.NotSent])
	assert.LessOrEqual(t, ends[driver.CommitSent], l.bursts*availability.DefaultWorkers, "writes in flight at the fault")
	unknown := 0
	for i, n := range r.after.Nodes {
		unknown += int(n.Outcomes.CommitSent - r.before.Nodes[i].Outcomes.CommitSent)
	}
	assert.Equal(t, ends[driver.CommitSent], unknown, "unknown outcomes counted")
	assert.EqualValues(t, ends[driver.NotSent], r.after.NoNode-r.before.NoNode, "operations without a node counted")
	assert.Less(t, slowest, l.found)
	assert.True(t, ok && again <= time.Second, "the first write %v after the majority was back", again)
	assert.Less(t, r.record.Longest().Wait(), l.deadline+100*time.Millisecond)
}

// reads are the reads from the fault on.
func (r *result) reads() availability.Record {
	var out availability.Record
	for _, op := range r.then {
		if !op.Write {
			out = append(out, op)
		}
	}
	return out
}

// writesAgain returns how long after the return of the majority the first write
// succeeded, if one did.
func (r *result) writesAgain() (d time.Duration, ok bool) {
	for _, op := range r.then {
		if op.Write && op.Err == nil && op.Ended.After(r.healed) {
			return op.Ended.Sub(r.healed), true
		}
	}
	return 0, false
}

// report keeps a measurement for the report.
func (l loss) report(who string, r *result) {
	again := "never"
	if d, ok := r.writesAgain(); ok {
		again = round(d).String()
	}
	reads := r.reads()
	writes := r.then.Count(availability.Failed) - reads.Count(availability.Failed)
	reportedLost = append(reportedLost, fmt.Sprintf("| %s | %s | %d of %d | %v | %d | %d | %d | %v | %s | %.0f %% | %.1f |",
		l.name, who, reads.Count(availability.Failed), len(reads), round(reads.Longest().Wait()),
		writes, r.then.Count(availability.Unknown), r.truth.Twice+r.truth.Lost, round(r.then.Longest().Wait()), again, 100*r.share, r.dialed))
}
