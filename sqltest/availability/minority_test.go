package availability_test

import (
	"context"
	"database/sql"
	"errors"
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

// TestTwoOfThreeDown takes two of three independent servers away: the third does
// all the work. Killed, they are gone at once. Of two that freeze one after the
// other, the second may only be cut off at the ceiling of two seconds: before, the
// client can't know that it isn't itself to blame.
func TestTwoOfThreeDown(t *testing.T) {
	if !*all && !*write {
		t.Skip("bounds in real time: run it alone, with -matrix.all")
	}
	killed := fault{name: "two of three killed", postgres: func(t *testing.T, g *target) func() {
		require.NoError(t, errors.Join(g.kill(sick), g.kill(sick+1)))
		return func() { require.NoError(t, errors.Join(g.restart(sick), g.restart(sick+1))) }
	}}
	frozen := fault{
		name:   "two of three frozen, one after the other",
		bounds: bounds{wait: health.Ceiling + 500*time.Millisecond, deadline: 4 * time.Second, bursts: 2},
		postgres: func(t *testing.T, g *target) func() {
			require.NoError(t, g.freeze(sick+1))
			thaw := afterwards(time.Second, func() error { return g.freeze(sick) })
			return func() {
				require.NoError(t, thaw())
				require.NoError(t, errors.Join(g.thaw(sick), g.thaw(sick+1)))
			}
		},
	}
	servers := postgresServers(t)
	for _, f := range []fault{killed, frozen} {
		t.Run(f.name, func(t *testing.T) { onPostgres(t, servers, f) })
	}
}

// afterwards runs f after d; the returned function waits for it.
func afterwards(d time.Duration, f func() error) (wait func() error) {
	done := make(chan error, 1)
	timer := time.AfterFunc(d, func() { done <- f() })
	return func() error {
		if timer.Stop() {
			return nil
		}
		return <-done
	}
}

// TestMajorityLost takes the majority of the simulator's nodes away: what is left
// can't commit, but reads what is current. No read fails; each write ends in time, as
// certainly without effect, but for those in flight at the fault; and writes succeed
// within a second of the majority's return.
func TestMajorityLost(t *testing.T) {
	kill := func(s *simnode.Sim) func() {
		one, two := s.Node(2).Kill(), s.Node(3).Kill()
		return func() { one(); two() }
	}
	apart := func(s *simnode.Sim) func() {
		at := func(n int) []simnode.Endpoint { return []simnode.Endpoint{simnode.AtNode(n)} }
		undo := []simnode.Undo{s.Partition(at(1), at(2)), s.Partition(at(2), at(3)), s.Partition(at(3), at(1))}
		return func() {
			for _, u := range undo {
				u()
			}
		}
	}
	for _, c := range []struct {
		name, params string
		hurt         func(s *simnode.Sim) func()
		readers      int // nodes that hear no majority but read
	}{
		{"two killed", "", kill, 1},
		{"two killed, commit fence on", fenced, kill, 1},
		{"none hears another", "", apart, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := simTarget(t, true, c.params)
				who := g.ours(t)
				r := g.measured(t, fault{}, who, func() func() {
					heal := c.hurt(g.sim)
					read := afterwards(time.Second, func() error { g.readsGoOn(t, c.readers); return nil })
					return func() {
						require.NoError(t, read())
						heal()
					}
				})
				r.withoutMajority(t)
			})
		})
	}
}

// readsGoOn reads and writes by every way while there is no majority.
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

// withoutMajority checks what may and must happen.
func (r *result) withoutMajority(t *testing.T) {
	t.Helper()
	t.Log(r.summary())
	assert.Zero(t, r.truth.Lost)
	assert.Zero(t, r.truth.Twice)
	assert.Zero(t, r.truth.Denied)
	ends := map[string]int{}
	reads, slowest, firstWrite := 0, time.Duration(0), time.Time{}
	for _, op := range r.then {
		out := driver.OutcomeOf(op.Err)
		switch {
		case !op.Write:
			assert.NoError(t, op.Err, "a read, %v after the fault", op.Ended.Sub(r.hurt))
			reads, slowest = reads+1, max(slowest, op.Wait())
		case op.Err == nil && op.Began.Before(r.healed):
			assert.True(t, op.Ended.Before(r.hurt.Add(100*time.Millisecond)) || op.Ended.After(r.healed), "a write without a majority")
		case op.Err != nil:
			ends[out.String()]++
			assert.True(t, out == driver.NotSent || out == driver.DefinitelyAborted || out == driver.CommitSent, "%v: %v", out, op.Err)
			assert.True(t, op.Began.Before(r.healed), "%v after the majority was back: %v", op.Began.Sub(r.healed), op.Err)
		}
		if op.Write && op.Err == nil && op.Ended.After(r.healed) && firstWrite.IsZero() {
			firstWrite = op.Ended
		}
	}
	t.Logf("writes without a majority: %v; slowest of %d reads %v; first write %v after the majority was back",
		ends, reads, slowest, firstWrite.Sub(r.healed))
	assert.Positive(t, ends[driver.NotSent.String()])
	assert.LessOrEqual(t, ends[driver.CommitSent.String()], availability.DefaultWorkers, "writes in flight at the fault")
	unknown := 0
	for i, n := range r.after.Nodes {
		unknown += int(n.Outcomes.CommitSent - r.before.Nodes[i].Outcomes.CommitSent)
	}
	assert.Equal(t, ends[driver.CommitSent.String()], unknown, "unknown outcomes counted")
	assert.EqualValues(t, ends[driver.NotSent.String()], r.after.NoNode-r.before.NoNode, "operations without a node counted")
	assert.Less(t, slowest, 250*time.Millisecond)
	assert.LessOrEqual(t, firstWrite.Sub(r.healed), time.Second)
	assert.Less(t, r.record.Longest().Wait(), availability.DefaultDeadline+100*time.Millisecond)
}

// TestAllDown kills all nodes: operations end with ErrNoNode once acquire_timeout
// is over, and the first succeeds within a second of a node's return.
func TestAllDown(t *testing.T) {
	t.Run("virtual", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := simTarget(t, true, "")
			allDown(t, g, func() func() {
				var undo []simnode.Undo
				for _, n := range g.sim.Nodes() {
					undo = append(undo, n.Kill())
				}
				return func() {
					for _, u := range undo {
						u()
					}
					require.NoError(t, g.sim.WaitReady(t.Context()))
				}
			}, time.Second)
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		g := postgresTarget(t, postgresServers(t), false)
		g.patience = "" // acquire_timeout is the default
		allDown(t, g, func() func() {
			for _, s := range g.server {
				require.NoError(t, s.Kill())
			}
			return func() {
				for _, s := range g.server[sick+1:] { // the first stays away
					require.NoError(t, s.Restart())
				}
			}
		}, 2*time.Second)
	})
}

// allDown runs an operation at a time while everything is gone, and heals.
func allDown(t *testing.T, g *target, hurt func() func(), limit time.Duration) {
	t.Helper()
	db := g.open(t)
	defer func() { require.NoError(t, db.Close()) }()
	waitUp(t, clusterOf(t, db))
	heal := hurt()
	var longest time.Duration
	for range 3 {
		began := time.Now()
		_, err := db.ExecContext(t.Context(), "select 1")
		if driver.OutcomeOf(err) == driver.CommitSent {
			continue // it was on its way when the servers died
		}
		require.ErrorIs(t, err, driver.ErrNoNode)
		longest = max(longest, time.Since(began))
		assert.GreaterOrEqual(t, time.Since(began), 900*time.Millisecond, "acquire_timeout is a second")
		if g.virtual {
			assert.LessOrEqual(t, time.Since(began), 1100*time.Millisecond)
		}
	}
	heal()
	back := time.Now()
	require.NoError(t, firstSuccess(t, db))
	took := time.Since(back)
	t.Logf("ErrNoNode after %v, first success %v after the nodes were back", longest, took)
	assert.Less(t, took, limit)
	reportedDown = append(reportedDown, fmt.Sprintf("| %s | %v | %v |", g.name, round(longest), round(took)))
}

// firstSuccess runs operations until one succeeds, for ten seconds.
func firstSuccess(t *testing.T, db *sql.DB) error {
	t.Helper()
	for began := time.Now(); ; {
		_, err := db.ExecContext(t.Context(), "insert into availability_log values (-1, -1)")
		if err == nil || time.Since(began) > 10*time.Second {
			return err
		}
	}
}
