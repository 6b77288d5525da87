package simnode_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

// commits are the ways in which a client ends a transaction that has inserted a
// row with that id.
var commits = map[string]func(ctx context.Context, conn *pgx.Conn, id int) error{
	"autocommit by a simple query": func(ctx context.Context, conn *pgx.Conn, id int) error {
		_, err := conn.Exec(ctx, "insert into d values ($1)", pgx.QueryExecModeSimpleProtocol, id)
		return err
	},
	"autocommit by Sync": func(ctx context.Context, conn *pgx.Conn, id int) error {
		_, err := conn.Exec(ctx, "insert into d values ($1)", pgx.QueryExecModeExec, id)
		return err
	},
	"RETURNING": func(ctx context.Context, conn *pgx.Conn, id int) error {
		return conn.QueryRow(ctx, "insert into d values ($1) returning id", pgx.QueryExecModeExec, id).Scan(&id)
	},
	"COMMIT by a simple query": func(ctx context.Context, conn *pgx.Conn, id int) error {
		return inBlock(ctx, conn, id, "commit")
	},
	"COMMIT AND CHAIN": func(ctx context.Context, conn *pgx.Conn, id int) error {
		return inBlock(ctx, conn, id, "commit and chain")
	},
	"COMMIT by Execute": func(ctx context.Context, conn *pgx.Conn, id int) error {
		if err := inBlock(ctx, conn, id, "select 1"); err != nil {
			return fmt.Errorf("before COMMIT: %v", err)
		}
		return conn.PgConn().ExecParams(ctx, "commit", nil, nil, nil, nil).Read().Err
	},
	"insert and COMMIT in one flush": func(ctx context.Context, conn *pgx.Conn, id int) error {
		batch := new(pgx.Batch)
		batch.Queue("begin")
		batch.Queue("insert into d values ($1)", id)
		batch.Queue("commit")
		return conn.SendBatch(ctx, batch).Close()
	},
}

func inBlock(ctx context.Context, conn *pgx.Conn, id int, end string) error {
	if _, err := conn.Exec(ctx, "begin"); err != nil {
		return fmt.Errorf("before COMMIT: %v", err)
	}
	if _, err := conn.Exec(ctx, "insert into d values ($1)", id); err != nil {
		return fmt.Errorf("before COMMIT: %v", err)
	}
	_, err := conn.Exec(ctx, end)
	return err
}

// dropReplies holds the fault to its word on every way to commit: the connection
// breaks without an answer, and another node tells the truth.
func dropReplies(t *testing.T, sim *simnode.Sim) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	reader := connect(t, sim, 2)
	exec(t, reader, "create table d(id int primary key)")
	id := 0
	for _, point := range []simnode.CommitPoint{simnode.BeforeCommit, simnode.AfterCommit} {
		for name, commit := range commits {
			_, err := sim.Node(1).DropCommitReply(point, 2)
			require.NoError(t, err)
			for attempt := range 3 {
				id++
				conn := connect(t, sim, 1)
				require.NoError(t, conn.Ping(ctx), "statements without a commit are answered")
				err := commit(ctx, conn, id)
				want := "1"
				if attempt < 2 {
					requireSilence(t, conn, err)
					if point == simnode.BeforeCommit {
						want = "0"
					}
				} else {
					require.NoError(t, err, "%s, %v: the third commit is answered", name, point)
				}
				got := value(t, reader, fmt.Sprintf("select count(*) from d where id = %d", id))
				require.Equal(t, want, got, "%s, %v the commit point, commit %d", name, point, attempt+1)
			}
		}
	}
	equalCaches(t, sim)
}

// requireSilence holds that a connection broke and the server did not say why.
func requireSilence(t *testing.T, conn *pgx.Conn, err error) {
	t.Helper()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "before COMMIT")
	var pg *pgconn.PgError
	require.NotErrorAs(t, err, &pg)
	require.False(t, pgconn.Timeout(err), "%v", err)
	require.True(t, conn.IsClosed())
}

func TestDropCommitReplyOverTCP(t *testing.T) {
	dropReplies(t, start(t, simnode.Config{}))
}

func TestDropCommitReplyInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dropReplies(t, start(t, simnode.Config{InMemory: true, Latency: time.Millisecond}))
	})
}

func TestDropCommitReplyCountsOnlyCommitsThatSucceed(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		loser, winner := connect(t, sim, 1), connect(t, sim, 2)
		_, err := sim.Node(1).DropCommitReply(simnode.AfterCommit, 1)
		require.NoError(t, err)
		exec(t, loser, "begin; select n from t; commit") // wrote nothing
		exec(t, loser, "begin; update t set n = 1; rollback")
		exec(t, loser, "begin; update t set n = 100 where id = 1")
		exec(t, winner, "update t set n = 2 where id = 1")
		fails(t, loser, "40001", "commit")
		fails(t, loser, "23505", "insert into t values (1)")
		_, err = loser.Exec(context.Background(), "update t set n = n + 1")
		requireSilence(t, loser, err)
		require.Equal(t, "3", value(t, winner, "select n from t"))
	})
}

func TestDropCommitReplyOutlivesTheProcessAndEndsWithItsUndo(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		reader := connect(t, sim, 2)
		kept, err := sim.Node(1).DropCommitReply(simnode.BeforeCommit, 1)
		require.NoError(t, err)
		undo, err := sim.Node(1).DropCommitReply(simnode.BeforeCommit, 100)
		require.NoError(t, err)
		sim.Node(1).Kill()()
		ready(t, sim)
		undo()
		undo() // idempotent
		conn := connect(t, sim, 1)
		_, err = conn.Exec(context.Background(), "update t set n = 1")
		requireSilence(t, conn, err)
		kept()
		exec(t, connect(t, sim, 1), "update t set n = n + 2")
		require.Equal(t, "2", value(t, reader, "select n from t"))
		var texts []string
		for _, e := range sim.Events() {
			if e.Source == "node/1" && (e.Kind == "drop" || e.Kind == "cut") {
				texts = append(texts, e.Kind+" "+e.Text)
			}
		}
		require.Len(t, texts, 5)
		require.Contains(t, texts[3], "cut no reply to COMMIT point=before pid=")
	})
}

func TestDropCommitReplyRefusesWhatMeansNothing(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1, InMemory: true})
	for _, c := range []struct {
		point   simnode.CommitPoint
		commits int
		says    string
	}{
		{simnode.AfterCommit, 0, "the replies to 0 commits, allowed are 1 and more"},
		{simnode.BeforeCommit, -1, "the replies to -1 commits, allowed are 1 and more"},
		{simnode.CommitPointUnknown, 1, "commit point 0, allowed are BeforeCommit and AfterCommit"},
		{3, 1, "commit point 3, allowed are BeforeCommit and AfterCommit"},
	} {
		undo, err := sim.Node(1).DropCommitReply(c.point, c.commits)
		require.ErrorContains(t, err, c.says)
		require.Nil(t, undo)
	}
}

func TestScheduleDropsCommitReplies(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		planned := simnode.Plan(time.Second, 3, 1, simnode.FaultDropAfter)
		require.Len(t, planned, 1)
		require.Positive(t, planned[0].Commits)
		schedule, err := simnode.NewSchedule(sim, []simnode.Fault{
			{Kind: simnode.FaultDropBefore, Node: 1, From: time.Second, Until: 2 * time.Second, Commits: 1},
			{Kind: simnode.FaultDropAfter, Node: 2, From: 3 * time.Second, Until: 4 * time.Second, Commits: 1},
			{Kind: simnode.FaultDropAfter, Node: 3, From: 5 * time.Second, Until: 6 * time.Second, Commits: 1},
		})
		require.NoError(t, err)
		done := make(chan struct{})
		// Ends with the schedule.
		go func() {
			defer close(done)
			schedule.Play(context.Background())
		}()
		for i, want := range []string{"0", "1"} {
			<-time.After(1500 * time.Millisecond)
			conn := connect(t, sim, i+1)
			_, err = conn.Exec(context.Background(), "update t set n = 1")
			requireSilence(t, conn, err)
			require.Equal(t, want, value(t, connect(t, sim, 3), "select n from t"))
			<-time.After(500 * time.Millisecond)
		}
		<-done
		exec(t, connect(t, sim, 3), "update t set n = 2") // the third was taken back
		synctest.Wait()
		for _, f := range schedule.Faults() {
			require.True(t, f.Fired && f.Healed, "%v", f)
		}
	})
}

func TestScheduleRefusesDropsOfNothing(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1, InMemory: true})
	for _, f := range []simnode.Fault{
		{Kind: simnode.FaultDropAfter, Node: 1},
		{Kind: simnode.FaultDropBefore, Node: 1, Commits: -1},
		{Kind: simnode.FaultKill, Node: 1, Commits: 1},
		{Kind: simnode.FaultReadOnly + 1, Node: 1},
	} {
		_, err := simnode.NewSchedule(sim, []simnode.Fault{f})
		require.ErrorContains(t, err, "fault 1", "%v", f)
	}
}
