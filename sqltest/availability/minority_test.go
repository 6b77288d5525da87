package availability_test

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
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

// outage takes all nodes away.
type outage struct {
	kill func()
	back func() // brings some back, or all
	rest func() // brings back those that back hasn't
}

// TestAllDown kills all nodes: operations end with ErrNoNode once acquire_timeout
// is over, and the first succeeds within a second of a node's return.
func TestAllDown(t *testing.T) {
	t.Run("virtual", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			g := simTarget(t, true, "")
			var undo []simnode.Undo
			allDown(t, g, outage{
				kill: func() {
					for _, n := range g.sim.Nodes() {
						undo = append(undo, n.Kill())
					}
				},
				back: func() {
					for _, u := range undo {
						u()
					}
					require.NoError(t, g.sim.WaitReady(t.Context()))
				},
				rest: func() {},
			})
		})
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		g := postgresTarget(t, postgresServers(t), false)
		g.patience = "" // acquire_timeout is the default
		allDown(t, g, outage{
			kill: func() {
				for _, s := range g.server {
					require.NoError(t, s.Kill())
				}
			},
			back: func() {
				for _, s := range g.server[sick+1:] { // the first stays away
					require.NoError(t, s.Restart())
				}
			},
			rest: func() { require.NoError(t, g.server[sick].Restart()) },
		})
	})
}

// allDown measures an outage until its bound in time holds, but not for ever.
func allDown(t *testing.T, g *target, o outage) {
	t.Helper()
	db := g.open(t)
	defer func() { require.NoError(t, db.Close()) }()
	rounds := measurements
	if g.virtual {
		rounds = 1
	}
	for n := 1; ; n++ {
		longest, took := g.outlast(t, db, o)
		t.Logf("round %d: ErrNoNode after %v, first success %v after the nodes were back", n, longest, took)
		if took < time.Second {
			reportedDown = append(reportedDown, fmt.Sprintf("| %s | %v | %v |", g.name, round(longest), round(took)))
			return
		}
		require.Less(t, n, rounds, "the first success took %v", took)
		o.rest()
	}
}

// outlast runs an operation at a time while everything is gone, and afterwards. It
// returns the longest time to ErrNoNode, and that to the first success.
func (g *target) outlast(t *testing.T, db *sql.DB, o outage) (longest, took time.Duration) {
	t.Helper()
	waitUp(t, clusterOf(t, db))
	o.kill()
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
	o.back()
	back := time.Now()
	require.NoError(t, firstSuccess(t, db))
	return longest, time.Since(back)
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
