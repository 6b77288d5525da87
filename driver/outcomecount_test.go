package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
)

var outcomeSeed = flag.Uint64("outcomes.seed", 1, "the seed of TestOutcomesAddUp")

// heard is what callers heard, by outcome.
type heard struct {
	cluster.Outcomes
	NoNode, other int64
}

func (h *heard) note(err error) {
	switch out := driver.OutcomeOf(err); {
	case errors.Is(err, driver.ErrNoNode):
		h.NoNode++
	case out == driver.Committed:
		h.Committed++
	case out == driver.CommitSent:
		h.CommitSent++
	case out == driver.DefinitelyAborted:
		h.DefinitelyAborted++
	case out == driver.NotSent:
		h.NotSent++
	default:
		h.other++
	}
}

// TestOutcomesAddUp compares what the callers of a load heard, under every fault that
// the simulator knows, with what is counted of the nodes: nothing is missing, and
// what is there beyond it are the attempts that were tried again.
func TestOutcomesAddUp(t *testing.T) {
	for name, params := range map[string][]string{"no fence": nil, "fence": {"commit_fence=table"}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				t.Logf("replay: go test ./driver -run TestOutcomesAddUp -outcomes.seed %d", *outcomeSeed)
				sim := startSim(t, simnode.Config{InMemory: true, Seed: *outcomeSeed, Latency: 200 * time.Microsecond})
				if params != nil {
					cfg, err := driver.ParseConfig(withParams(sim.DSN(), params...))
					require.NoError(t, err)
					cfg.DialFunc = sim.Dial
					require.NoError(t, cluster.InstallFence(t.Context(), cfg))
				}
				db := openSim(t, sim, true, params...)
				defer func() { require.NoError(t, db.Close()) }()
				_, err := db.ExecContext(t.Context(), "create table t (id int primary key, n int)")
				require.NoError(t, err)
				_, err = db.ExecContext(t.Context(), "insert into t select i, 0 from generate_series(0, 7) i")
				require.NoError(t, err)
				before := counted(t, db)
				got := outcomeLoad(t, sim, db)
				after := counted(t, db)
				t.Logf("heard %+v, counted %+v", got, after)
				require.Zero(t, got.other)
				require.Equal(t, got.Committed, after.Committed-before.Committed)
				require.Equal(t, got.CommitSent, after.CommitSent-before.CommitSent)
				require.Equal(t, got.NoNode, after.NoNode-before.NoNode)
				require.Equal(t, got.NotSent+got.DefinitelyAborted+after.retries-before.retries,
					after.NotSent-before.NotSent+after.DefinitelyAborted-before.DefinitelyAborted)
				require.Positive(t, got.Committed)
				require.Positive(t, got.DefinitelyAborted)
				require.Positive(t, after.retries)
				require.Equal(t, params == nil, got.CommitSent > 0, "only the fence leaves nothing unknown")
			})
		})
	}
}

// counts are the sums over all nodes.
type counts struct {
	cluster.Outcomes
	NoNode, retries int64
}

func counted(t *testing.T, db *sql.DB) counts {
	t.Helper()
	s := clusterOf(t, db).Stats()
	out := counts{NoNode: s.NoNode}
	for _, n := range s.Nodes {
		out.Committed += n.Outcomes.Committed
		out.NotSent += n.Outcomes.NotSent
		out.DefinitelyAborted += n.Outcomes.DefinitelyAborted
		out.CommitSent += n.Outcomes.CommitSent
		out.retries += n.Retries
	}
	return out
}

// outcomeLoad works on few rows from many goroutines while nodes fail, one after the
// other, and returns what was heard.
func outcomeLoad(t *testing.T, sim *simnode.Sim, db *sql.DB) heard {
	t.Helper()
	const duration = 20 * time.Second
	schedule, err := simnode.NewSchedule(sim, simnode.Plan(duration, len(sim.Nodes()), *outcomeSeed, simnode.AllFaults()...))
	require.NoError(t, err)
	var running sync.WaitGroup
	running.Go(func() { schedule.Play(t.Context()) }) // ends with the last fault
	end := time.Now().Add(duration)
	all := make([]heard, 8)
	for w := range all {
		random := rand.New(rand.NewPCG(*outcomeSeed, uint64(w)))
		running.Go(func() { // ends when duration is over
			for time.Now().Before(end) {
				outcomeOp(db, random, w, &all[w])
				<-time.After(time.Duration(random.IntN(20)) * time.Millisecond)
			}
		})
	}
	running.Wait()
	require.NoError(t, sim.WaitReady(t.Context()))
	var sum heard
	for _, h := range all {
		sum.Committed += h.Committed
		sum.NotSent += h.NotSent
		sum.DefinitelyAborted += h.DefinitelyAborted
		sum.CommitSent += h.CommitSent
		sum.NoNode += h.NoNode
		sum.other += h.other
	}
	return sum
}

// outcomeOp is one operation of the load.
func outcomeOp(db *sql.DB, random *rand.Rand, worker int, h *heard) {
	ctx, id := context.Background(), random.IntN(8)
	update := fmt.Sprintf("update t set n = n + 1 where id = %d", id)
	switch random.IntN(5) {
	case 0:
		var n int
		h.note(db.QueryRowContext(ctx, "select n from t where id = $1", id).Scan(&n))
	case 1:
		_, err := db.ExecContext(ctx, update)
		h.note(err)
	case 2:
		_, err := db.ExecContext(ctx, "insert into t values ($1, 0)", id) // it is there
		h.note(err)
	default:
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			h.note(err)
			return
		}
		if _, err = tx.ExecContext(ctx, "select n from t where id = $1", worker); err != nil {
			h.note(err)
			_ = tx.Rollback() // the statement's error counts
			return
		}
		last, rides := ctx, random.IntN(2) == 0
		if rides {
			last = driver.WithCommit(ctx)
		}
		if _, err = tx.ExecContext(last, update); err != nil {
			h.note(err)
			_ = tx.Rollback() // the statement's error counts
			return
		}
		h.note(tx.Commit())
	}
}
