package simnode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

// The statements by which a client decides what became of a transaction: the
// transaction inserts its id together with its work, and whoever has lost its answer
// marks the id as aborted, unless it is there, and asks. A unique key must be decided
// for all nodes, or a transaction is both committed and aborted.
const (
	decisions = `create schema s; create table s.t (id uuid primary key, aborted boolean not null default false,
		at timestamptz not null default clock_timestamp()); create table work (id uuid, n int)`
	insertID = "insert into s.t (id) values ($1)"
	markID   = "insert into s.t (id, aborted) values ($1, true) on conflict (id) do nothing"
	askID    = "select aborted from s.t where id = $1"
)

// uuidOf is the n-th id of a test.
func uuidOf(n int) (id [16]byte) {
	id[0], id[7], id[14], id[15] = byte(n>>8), byte(n), byte(n>>8), byte(n)
	return id
}

func TestDecisionsInEveryExecMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := start(t, simnode.Config{InMemory: true})
		exec(t, connect(t, sim, 1), decisions)
		n := 0
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
			pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			ctx := context.Background()
			here, there := connect(t, sim, 1), connect(t, sim, 2)
			affected := func(conn *pgx.Conn, sql string, id any) int64 {
				t.Helper()
				tag, err := conn.Exec(ctx, sql, mode, id)
				require.NoError(t, err, "%v: %s", mode, sql)
				return tag.RowsAffected()
			}
			aborted := func(conn *pgx.Conn, id any) (yes bool) {
				t.Helper()
				require.NoError(t, conn.QueryRow(ctx, askID, mode, id).Scan(&yes), mode)
				return yes
			}
			for _, asText := range []bool{false, true} {
				ids := make([]any, 2)
				for i := range ids {
					n++
					id := uuidOf(n)
					if ids[i] = id; asText {
						ids[i] = fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
					} else if mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol {
						ids[i] = fmt.Sprintf("%x", id) // these modes know no types
					}
				}
				require.EqualValues(t, 1, affected(here, insertID, ids[0]))
				require.EqualValues(t, 0, affected(there, markID, ids[0]))
				require.False(t, aborted(there, ids[0]))
				require.EqualValues(t, 1, affected(there, markID, ids[1]))
				require.EqualValues(t, 0, affected(here, markID, ids[1]))
				require.True(t, aborted(here, ids[1]))
				e := fails(t, here, "23505", insertID, mode, ids[1])
				require.Equal(t, "t_pkey", e.ConstraintName)
			}
		}
		require.Equal(t, fmt.Sprint(n), value(t, connect(t, sim, 3), "select count(*) from s.t where at is not null"))
	})
}

// On one node a mark waits for the transaction that has inserted the id, and then
// sees what became of it.
func TestMarkWaitsForALocalTransaction(t *testing.T) {
	for _, c := range []struct {
		end     string // of the transaction that has the id
		aborted bool
	}{{"commit", false}, {"rollback", true}, {"select 1/0; commit", true}} {
		t.Run(c.end, func(t *testing.T) {
			virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
				ctx := context.Background()
				owner, marker := connect(t, sim, 1), connect(t, sim, 1)
				exec(t, owner, decisions)
				exec(t, owner, "begin")
				exec(t, owner, insertID, uuidOf(1))
				exec(t, marker, "begin; set local lock_timeout = 20")
				fails(t, marker, "55P03", markID, uuidOf(1))
				exec(t, marker, "rollback")
				marked := make(chan pgconn.CommandTag, 1)
				// Ends when the owner's transaction does.
				go func() {
					tag, err := marker.Exec(ctx, markID, uuidOf(1))
					if err != nil {
						t.Error(err)
					}
					marked <- tag
				}()
				<-time.After(10 * time.Second)
				synctest.Wait()
				require.Empty(t, marked)
				_, _ = owner.PgConn().Exec(ctx, c.end).ReadAll() // one of them fails on purpose
				if owner.PgConn().TxStatus() != 'I' {
					exec(t, owner, "rollback")
				}
				tag := <-marked
				require.Equal(t, c.aborted, tag.RowsAffected() == 1)
				for n := range sim.Nodes() {
					var aborted bool
					require.NoError(t, connect(t, sim, n+1).QueryRow(ctx, askID, uuidOf(1)).Scan(&aborted))
					require.Equal(t, c.aborted, aborted)
				}
			})
		})
	}
}

// A transaction that lost against another node lets the mark on its own node see the
// winner.
func TestMarkSeesTheWinnerOnAnotherNode(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		owner, marker, other := connect(t, sim, 1), connect(t, sim, 1), connect(t, sim, 2)
		exec(t, owner, decisions)
		exec(t, owner, "begin")
		exec(t, owner, insertID, uuidOf(1))
		marked := make(chan error, 1)
		// Ends when the owner's transaction does.
		go func() {
			tag, err := marker.Exec(context.Background(), markID, uuidOf(1))
			if err == nil && tag.RowsAffected() != 0 {
				err = errors.New("marked what another node has")
			}
			marked <- err
		}()
		synctest.Wait()
		exec(t, other, markID, uuidOf(1))
		fails(t, owner, "40001", "commit")
		require.NoError(t, <-marked)
		fails(t, owner, "23505", insertID, uuidOf(1))
	})
}

// Two nodes insert the same id at once. Both statements succeed, as neither node has
// heard of the other's, and one commits.
func TestTwoNodesInsertTheSameID(t *testing.T) {
	for _, second := range []string{insertID, markID} {
		virtual(t, simnode.Config{Latency: time.Millisecond}, func(t *testing.T, sim *simnode.Sim) {
			ctx := context.Background()
			conns := []*pgx.Conn{connect(t, sim, 1), connect(t, sim, 2)}
			exec(t, conns[0], decisions)
			for i, sql := range []string{insertID, second} {
				exec(t, conns[i], "begin")
				tag, err := conns[i].Exec(ctx, sql, uuidOf(1))
				require.NoError(t, err)
				require.EqualValues(t, 1, tag.RowsAffected())
			}
			errs := make([]error, 2)
			var commits sync.WaitGroup
			for i, conn := range conns {
				// Ends with the answer to COMMIT.
				commits.Go(func() { _, errs[i] = conn.Exec(ctx, "commit") })
			}
			commits.Wait()
			won := 0
			for _, err := range errs {
				require.Contains(t, []string{"", "40001", "23505"}, sqlState(err))
				if err == nil {
					won++
				}
			}
			require.LessOrEqual(t, won, 1)
			if won == 0 { // each has voted for itself
				exec(t, conns[1], second, uuidOf(1))
			}
			for _, conn := range conns {
				tag, err := conn.Exec(ctx, markID, uuidOf(1))
				require.NoError(t, err)
				require.Zero(t, tag.RowsAffected(), "after a retry it sees the row")
				fails(t, conn, "23505", insertID, uuidOf(1))
			}
			require.Equal(t, "1", value(t, connect(t, sim, 3), "select count(*) from s.t"))
			equalCaches(t, sim)
		})
	}
}

func TestDecisionRace(t *testing.T) {
	for seed := uint64(1); seed <= 6; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			cfg := simnode.Config{Seed: seed, Latency: time.Millisecond, Jitter: 2 * time.Millisecond}
			virtual(t, cfg, func(t *testing.T, sim *simnode.Sim) {
				exec(t, connect(t, sim, 1), decisions)
				r := &decisionRace{sim: sim, seed: seed, said: map[int]string{}, found: map[int][]bool{}}
				r.run(t)
				r.judge(t)
			})
		})
	}
}

// raceKeys is how many transactions a race decides, and raceMarkers how many others
// try to abort each of them.
const (
	raceKeys    = 60
	raceMarkers = 2
)

// decisionRace lets transactions commit their work under an id while others mark the
// id as aborted, with commits that lose their replies and nodes that freeze.
type decisionRace struct {
	sim  *simnode.Sim
	seed uint64

	mu    sync.Mutex
	said  map[int]string // what the transaction's client heard: "", an SQLSTATE, or "lost"
	found map[int][]bool // what each of the others was told: aborted or not
}

func (r *decisionRace) run(t *testing.T) {
	random := rand.New(rand.NewPCG(r.seed, 5))
	var all sync.WaitGroup
	for n := range raceKeys {
		home := 1 + random.IntN(3)
		owner := connect(t, r.sim, home)
		pause := time.Duration(random.IntN(8000)) * time.Microsecond
		all.Go(func() { r.own(owner, n, pause) }) // ends with its transaction
		for range raceMarkers {
			node := 1 + random.IntN(3)
			pause := time.Duration(random.IntN(8000)) * time.Microsecond
			all.Go(func() { r.mark(t, node, n, pause) }) // ends when it knows
		}
		if random.IntN(3) == 0 {
			point := simnode.BeforeCommit + simnode.CommitPoint(random.IntN(2))
			_, err := r.sim.Node(home).DropCommitReply(point, 1)
			require.NoError(t, err)
		}
		if n%10 == 9 {
			all.Wait()
			if random.IntN(2) == 0 {
				thaw := r.sim.Node(home).Freeze()
				<-time.After(time.Duration(random.IntN(300)) * time.Millisecond)
				thaw()
			}
		}
	}
	all.Wait()
}

// own is the transaction: its work and its id.
func (r *decisionRace) own(conn *pgx.Conn, n int, pause time.Duration) {
	ctx := context.Background()
	<-time.After(pause)
	_, err := conn.Exec(ctx, "begin")
	for _, sql := range []string{"insert into work values ($1, 1)", insertID} {
		if err == nil {
			_, err = conn.Exec(ctx, sql, uuidOf(n))
		}
	}
	if err == nil {
		_, err = conn.Exec(ctx, "commit")
	}
	said := sqlState(err)
	if conn.IsClosed() {
		said = "lost"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said[n] = said
}

// mark aborts the transaction unless it has committed, and asks. It tries again, on
// another node each time, until it knows.
func (r *decisionRace) mark(t *testing.T, node, n int, pause time.Duration) {
	<-time.After(pause)
	var err error
	for range 50 {
		var aborted bool
		if aborted, err = markAndAsk(r.sim, node, n); err == nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.found[n] = append(r.found[n], aborted)
			return
		}
		node = 1 + node%3
		<-time.After(time.Millisecond)
	}
	t.Errorf("id %d was not decided: %v", n, err)
}

func markAndAsk(sim *simnode.Sim, node, n int) (aborted bool, err error) {
	ctx := context.Background()
	conn, err := open(sim, node)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, markID, uuidOf(n)); err != nil {
		return false, err
	}
	err = conn.QueryRow(ctx, askID, uuidOf(n)).Scan(&aborted)
	return aborted, err
}

// judge holds everything that anybody was told against what is stored.
func (r *decisionRace) judge(t *testing.T) {
	replay := fmt.Sprintf("replay: go test ./simnode -run 'TestDecisionRace/seed=%d'", r.seed)
	ctx := context.Background()
	kinds := map[string]int{}
	for node := range r.sim.Nodes() {
		conn := connect(t, r.sim, node+1)
		for n := range raceKeys {
			var aborted bool
			require.NoError(t, conn.QueryRow(ctx, askID, uuidOf(n)).Scan(&aborted), replay)
			var work int
			require.NoError(t, conn.QueryRow(ctx, "select count(*) from work where id = $1", uuidOf(n)).Scan(&work))
			require.Equal(t, !aborted, work == 1, "id %d: aborted %t and %d rows of work, %s", n, aborted, work, replay)
			require.Len(t, r.found[n], raceMarkers, replay)
			for _, told := range r.found[n] {
				require.Equal(t, aborted, told, "id %d: what a marker was told, %s", n, replay)
			}
			switch said := r.said[n]; said {
			case "":
				require.False(t, aborted, "id %d: a commit was acknowledged, %s", n, replay)
			case "40001", "23505":
				require.True(t, aborted, "id %d: a commit was refused with %s, %s", n, said, replay)
			default:
				require.Equal(t, "lost", said, replay)
			}
			kinds[fmt.Sprintf("%q aborted=%t", r.said[n], aborted)]++
		}
	}
	t.Logf("%v, %s", kinds, replay)
	require.GreaterOrEqual(t, len(kinds), 3, "a race with one outcome is none: %v, %s", kinds, replay)
	equalCaches(t, r.sim)
}
