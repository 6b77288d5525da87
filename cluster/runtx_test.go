package cluster_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/simnode"
)

// openSimulated opens a cluster of three simulated nodes, for virtual time.
func openSimulated(t *testing.T, params string) (*simnode.Sim, *cluster.Cluster) {
	t.Helper()
	sim, err := simnode.Start(t.Context(), simnode.Config{InMemory: true, Latency: 100 * time.Microsecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	config, err := cluster.ParseConfig(sim.DSN() + params)
	require.NoError(t, err)
	config.DialFunc, config.Seed = sim.Dial, 1
	c, err := cluster.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return sim, c
}

// exec runs one statement in a session of its own, or in the given one.
func exec(ctx context.Context, t *testing.T, c *cluster.Cluster, text string, args ...any) {
	t.Helper()
	s := c.NewSession()
	defer s.Release()
	_, err := s.Exec(ctx, text, args)
	require.NoError(t, err)
}

func count(t *testing.T, c *cluster.Cluster) int {
	t.Helper()
	s := c.NewSession()
	defer s.Release()
	rows, err := s.Query(context.Background(), "select n from ledger where id = 1", nil)
	require.NoError(t, err)
	require.True(t, rows.Next())
	var n int
	require.NoError(t, rows.TypeMap().Scan(rows.Fields()[0].DataTypeOID, rows.Fields()[0].Format, rows.Values()[0], &n))
	require.NoError(t, rows.Close())
	return n
}

// inLedger runs a test of RunTx on three nodes with a table of one row. run is
// RunTx on a fresh session whose closure adds one, on node 1 unless all are
// allowed, and then calls fn with its number.
func inLedger(t *testing.T, params string, test func(t *testing.T, l *native)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &native{t: t}
		l.sim, l.c = openSimulated(t, params)
		exec(t.Context(), t, l.c, "create table ledger (id int primary key, n int); insert into ledger values (1, 0)")
		test(t, l)
		synctest.Wait()
		require.Zero(t, l.c.Leases())
	})
}

type native struct {
	t   *testing.T
	sim *simnode.Sim
	c   *cluster.Cluster
	s   *cluster.Session // of the last run
}

func (l *native) run(ctx context.Context, opts *cluster.RunOptions, fn func(ctx context.Context, s *cluster.Session, run int) error) (runs int, err error) {
	l.s = l.c.NewSession()
	defer l.s.Release()
	err = cluster.RunTx(ctx, l.s, opts, func(ctx context.Context, s *cluster.Session) error {
		runs++
		if _, err := s.Exec(ctx, "update ledger set n = n + 1 where id = 1", nil); err != nil {
			return err
		}
		return fn(ctx, s, runs)
	})
	return runs, err
}

func (l *native) at(node int) context.Context {
	return cluster.WithNode(l.t.Context(), l.sim.Node(node).Addr())
}

func (l *native) overtake() {
	exec(l.at(2), l.t, l.c, "update ledger set n = n + 100 where id = 1")
}

func TestRunTxConflicts(t *testing.T) {
	inLedger(t, "", func(t *testing.T, l *native) {
		var seen []int
		opts := &cluster.RunOptions{}
		opts.Isolation = pgx.RepeatableRead
		opts.OnRetry = func(attempt int, err error, wait time.Duration) {
			seen = append(seen, attempt)
			require.True(t, cluster.IsRetryable(err))
		}
		runs, err := l.run(l.at(1), opts, func(_ context.Context, s *cluster.Session, run int) error {
			require.True(t, s.InTx())
			if run < 3 {
				l.overtake()
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 3, runs)
		require.Equal(t, []int{1, 2}, seen)
		require.Equal(t, 201, count(t, l.c))

		opts = &cluster.RunOptions{RetryOptions: cluster.RetryOptions{MaxAttempts: 3}}
		_, err = l.run(l.at(1), opts, func(context.Context, *cluster.Session, int) error { l.overtake(); return nil })
		var gaveUp *cluster.RetryError
		require.ErrorAs(t, err, &gaveUp)
		require.Equal(t, cluster.StopAttempts, gaveUp.Stop)
		var op *cluster.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, []any{"40001", 3, 2}, []any{op.SQLState, op.Attempts, len(op.Earlier)})

		hidden := errors.New("hidden")
		runs, err = l.run(l.at(1), nil, func(context.Context, *cluster.Session, int) error { return hidden })
		require.Same(t, hidden, err)
		require.Equal(t, 1, runs)
	})
}

// A session that held nothing before moves to another node with its next
// attempt; one that had been used stays, and is lost with its connection.
func TestRunTxMoves(t *testing.T) {
	inLedger(t, "", func(t *testing.T, l *native) {
		var nodes []string
		cut := func(_ context.Context, s *cluster.Session, run int) error {
			nodes = append(nodes, s.Node())
			if run > 1 {
				return nil
			}
			for i, n := range l.sim.Nodes() {
				if n.Addr() == s.Node() {
					l.sim.Node(i + 1).Kill()
				}
			}
			_, err := s.Exec(t.Context(), "update ledger set n = n + 1 where id = 1", nil)
			return err
		}
		runs, err := l.run(t.Context(), nil, cut)
		require.NoError(t, err)
		require.Equal(t, 2, runs)
		require.NotEqual(t, nodes[0], nodes[1])
		require.Equal(t, 1, count(t, l.c))

		s := l.c.NewSession()
		defer s.Release()
		_, err = s.Exec(t.Context(), "select 1", nil)
		require.NoError(t, err)
		node := s.Node()
		runs = 0
		err = cluster.RunTx(t.Context(), s, nil, func(ctx context.Context, s *cluster.Session) error {
			runs++
			_, err := s.Exec(ctx, "update ledger set n = n + 1 where id = 1", nil)
			require.NoError(t, err)
			return cut(ctx, s, runs)
		})
		require.ErrorIs(t, err, cluster.ErrSessionLost)
		require.Equal(t, 1, runs)
		require.Equal(t, node, nodes[2])
	})
}

// Whatever the closure leaves behind is ended.
func TestRunTxEndsWhatTheClosureLeaves(t *testing.T) {
	inLedger(t, "", func(t *testing.T, l *native) {
		boom := errors.New("boom")
		openRows := func(ctx context.Context, s *cluster.Session) *cluster.Rows {
			rows, err := s.Query(ctx, "select * from generate_series(1, 1000)", nil)
			require.NoError(t, err)
			require.True(t, rows.Next())
			return rows
		}
		_, err := l.run(t.Context(), nil, func(ctx context.Context, s *cluster.Session, _ int) error {
			openRows(ctx, s)
			return nil
		})
		require.NoError(t, err, "rows that are left open are closed")
		require.Equal(t, 1, count(t, l.c))
		_, err = l.run(t.Context(), nil, func(ctx context.Context, s *cluster.Session, _ int) error {
			openRows(ctx, s)
			return boom
		})
		require.Same(t, boom, err)

		for name, c := range map[string]struct {
			fn    func(ctx context.Context, s *cluster.Session) error
			out   cluster.Outcome
			is    error
			added int
		}{
			"commits":           {fn: func(ctx context.Context, s *cluster.Session) error { return s.Commit(ctx) }, out: cluster.Committed, added: 1},
			"rolls back":        {fn: func(_ context.Context, s *cluster.Session) error { return s.Rollback() }, out: cluster.DefinitelyAborted, is: cluster.ErrTxEnded},
			"gives the session": {fn: func(_ context.Context, s *cluster.Session) error { s.Release(); return nil }, out: cluster.DefinitelyAborted, is: cluster.ErrTxEnded},
			"begins another": {fn: func(ctx context.Context, s *cluster.Session) error {
				return errors.Join(s.Commit(ctx), s.Begin(ctx, cluster.TxOptions{}))
			}, out: cluster.Committed, added: 1},
			"says commit": {fn: func(ctx context.Context, s *cluster.Session) error {
				_, err := s.Exec(ctx, "commit", nil)
				return err
			}, out: cluster.CommitSent, is: cluster.ErrTxEnded, added: 1},
			"commits on the connection": {fn: func(ctx context.Context, s *cluster.Session) error {
				conn, err := s.Conn(ctx)
				if err == nil {
					_, err = conn.Exec(ctx, "commit")
				}
				return err
			}, out: cluster.CommitSent, is: cluster.ErrTxEnded, added: 1},
		} {
			before := count(t, l.c)
			runs, err := l.run(t.Context(), nil, func(ctx context.Context, s *cluster.Session, _ int) error { return c.fn(ctx, s) })
			require.Equal(t, c.out, cluster.OutcomeOf(err), "%s: %v", name, err)
			if c.is != nil {
				require.ErrorIs(t, err, c.is, name)
			}
			require.Equal(t, 1, runs, name)
			require.False(t, l.s.InTx(), name)
			require.Equal(t, c.added, count(t, l.c)-before, name)
		}

		before := count(t, l.c)
		for _, leave := range []func(){func() { panic("closure") }, runtime.Goexit} {
			var running sync.WaitGroup
			running.Go(func() { // ends with the closure
				defer func() { _ = recover() }()
				_, _ = l.run(t.Context(), nil, func(ctx context.Context, s *cluster.Session, _ int) error {
					openRows(ctx, s)
					leave()
					return nil
				})
				t.Error("RunTx has returned")
			})
			running.Wait()
		}
		require.Equal(t, before, count(t, l.c))
	})
}

// The time of an attempt bounds the search for a node, the statements, and COMMIT.
func TestRunTxAttemptTimeout(t *testing.T) {
	inLedger(t, "&acquire_timeout=1h", func(t *testing.T, l *native) {
		opts := &cluster.RunOptions{RetryOptions: cluster.RetryOptions{AttemptTimeout: 300 * time.Millisecond}}
		runs, err := l.run(t.Context(), opts, func(ctx context.Context, _ *cluster.Session, run int) error {
			if run == 1 {
				<-ctx.Done()
			}
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, 2, runs)
		require.Equal(t, 1, count(t, l.c))

		var undo []simnode.Undo
		for _, n := range l.sim.Nodes() {
			undo = append(undo, n.Kill())
		}
		time.Sleep(time.Second)
		var none *cluster.NoNodeError
		opts.OnRetry = func(attempt int, err error, _ time.Duration) {
			require.ErrorAs(t, err, &none)
			require.Equal(t, cluster.NotSent, cluster.OutcomeOf(err))
			if attempt == 1 {
				for _, u := range undo {
					u()
				}
				require.NoError(t, l.sim.WaitReady(t.Context()))
			}
		}
		_, err = l.run(t.Context(), opts, func(context.Context, *cluster.Session, int) error { return nil })
		require.NoError(t, err)
		require.NotNil(t, none)
		require.Equal(t, 2, count(t, l.c))
	})
}

// Retry without any transaction knows no cluster, and works all the same.
func TestRetryWithoutTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		runs := 0
		opts := &cluster.RetryOptions{AttemptTimeout: time.Second, MaxElapsed: 10 * time.Second}
		err := cluster.Retry(t.Context(), opts, func(ctx context.Context) error {
			if runs++; runs == 3 {
				return nil
			}
			<-ctx.Done()
			return &cluster.OpError{Outcome: cluster.NotSent, Err: ctx.Err()}
		})
		require.NoError(t, err)
		require.Equal(t, 3, runs)
		require.Less(t, time.Since(began), 3*time.Second)

		err = cluster.Retry(t.Context(), opts, func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err() // nobody knows what that means
		})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, cluster.Unknown, cluster.OutcomeOf(err))
	})
}
