package driver_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// matchLines compares a text with one pattern per line.
func matchLines(t *testing.T, text string, patterns ...string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	require.Len(t, lines, len(patterns), text)
	for i, p := range patterns {
		require.Regexp(t, regexp.MustCompile("^"+p+"$"), lines[i], text)
	}
}

const (
	node     = `127\.0\.0\.1:643[234]`
	duration = `[0-9.]+(ns|µs|ms|s)`
)

func explain(t *testing.T, conn *sql.Conn) driver.Explanation {
	t.Helper()
	x, err := driver.Explain(conn)
	require.NoError(t, err)
	return x
}

// What a sql.Conn says of its last statement, from nothing to the end of a
// transaction.
func TestExplainConn(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		ctx := t.Context()
		conn, err := l.db.Conn(ctx)
		require.NoError(t, err)
		matchLines(t, explain(t, conn).String(), "statement: none yet", "outcome: Unknown, because nothing has run", "session: holds no server connection")

		var n int
		require.NoError(t, conn.QueryRowContext(ctx, "select n from ledger where id = $1", 1).Scan(&n))
		x := explain(t, conn)
		matchLines(t, x.String(),
			`statement: Read \(it begins with SELECT\), by itself`,
			`candidate: `+node+` Up.*`, `candidate: `+node+` Up.*`, `candidate: `+node+` Up.*`,
			`node: `+node+`, .* two .*; waited `+duration,
			`attempt 1: done after `+duration,
			`outcome: Committed, because the server has confirmed it`,
			`session: clean`)
		chosen, compared := 0, 0
		for _, c := range x.Candidates {
			require.Equal(t, health.Up, c.State)
			if c.Chosen {
				chosen++
				require.Equal(t, x.Node, c.Node)
			}
			if c.Compared {
				compared++
				require.Positive(t, c.Latency)
			}
		}
		require.Equal(t, []int{1, 2}, []int{chosen, compared})

		_, err = conn.ExecContext(ctx, "set statement_timeout = '10s'")
		require.NoError(t, err)
		x = explain(t, conn)
		require.Equal(t, []any{"Session", "begins with SET", "by itself, in a session that had been used"}, []any{x.Class, x.Why, x.Scope})
		require.Equal(t, []any{"which the session has used before", time.Duration(0)}, []any{x.Choice, x.Waited})
		require.Contains(t, x.Session, "changed")

		rows, err := conn.QueryContext(ctx, "select * from generate_series(1, 1000)")
		require.NoError(t, err)
		require.True(t, rows.Next())
		x = explain(t, conn)
		require.Equal(t, []any{"running", driver.Unknown, "its rows are still being read"}, []any{x.Result, x.Outcome, x.Reason})
		require.NoError(t, rows.Close())
		require.Equal(t, "done", explain(t, conn).Result)

		tx, err := conn.BeginTx(ctx, nil)
		require.NoError(t, err)
		for _, scope := range []string{"first in its transaction", "inside a transaction"} {
			require.NoError(t, add(ctx, tx, 1))
			x = explain(t, conn)
			require.Equal(t, []any{scope, driver.Unknown, "the end of its transaction decides"}, []any{x.Scope, x.Outcome, x.Reason})
			require.Equal(t, []any{"Write", "begins with UPDATE"}, []any{x.Class, x.Why})
		}
		require.NoError(t, tx.Commit())
		x = explain(t, conn)
		require.Equal(t, []any{"COMMIT", driver.Committed, ""}, []any{x.Scope, x.Outcome, x.Class})
		require.NoError(t, conn.Close())
	})
}

// Who waits in vain is told of the nodes as they were when he gave up, not when he
// began to wait.
func TestExplainAfterAWait(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		for node := range 3 {
			defer l.hold(node+1, 1)()
		}
		failed := make(chan error, 1)
		go func() { failed <- add(t.Context(), l.db, 1) }() // ends with acquire_timeout
		synctest.Wait()
		undo := l.sim.Node(3).Kill()
		err := <-failed
		require.ErrorIs(t, err, driver.ErrNoNode)
		x, ok := driver.ExplainError(err)
		require.True(t, ok)
		require.Equal(t, []any{health.Down, "left out"}, []any{x.Candidates[2].State, x.Candidates[2].Note}, x.String())
		undo()
	}, "max_conns_per_node=1")
}

// Candidates that were left out say why, and so does a hint.
func TestExplainCandidates(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(l.at(t.Context(), 2), "select 1")
		require.NoError(t, err)
		x := explain(t, conn)
		require.Equal(t, "asked for by WithNode", x.Choice)
		require.Equal(t, []string{"not asked for by WithNode", "", "not asked for by WithNode"},
			[]string{x.Candidates[0].Note, x.Candidates[1].Note, x.Candidates[2].Note})
		require.True(t, x.Candidates[1].Chosen)
		require.NoError(t, conn.Close())

		l.sim.Node(1).Kill()
		<-time.After(time.Second)
		conn, err = l.db.Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(t.Context(), "select 1")
		require.NoError(t, err)
		x = explain(t, conn)
		require.Equal(t, []any{health.Down, health.ReasonRefused, "left out", false},
			[]any{x.Candidates[0].State, x.Candidates[0].Reason, x.Candidates[0].Note, x.Candidates[0].Compared})
		require.Contains(t, x.String(), "candidate: "+l.sim.Node(1).Addr()+" Down (connection refused), left out\n")
		require.NoError(t, conn.Close())
	}, "balancer=p2c")
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		_, err = conn.ExecContext(t.Context(), "select 1")
		require.NoError(t, err)
		require.Equal(t, "its turn", explain(t, conn).Choice)
		require.NoError(t, conn.Close())
	}, "balancer=round_robin")
}

// A statement that moved to another node shows the first attempt, and that its
// node was left out.
func TestExplainRetriedRead(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, l *ledger) {
		conn, err := l.db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		time.AfterFunc(50*time.Millisecond, func() {
			for _, n := range l.sim.Nodes() {
				n.Reset()
			}
		})
		_, err = conn.ExecContext(t.Context(), "select pg_sleep(0.1)")
		require.NoError(t, err)
		x := explain(t, conn)
		require.Equal(t, []any{2, "done", driver.Committed}, []any{x.Attempts, x.Result, x.Outcome})
		require.Len(t, x.Earlier, 1)
		require.Equal(t, "Connection", x.Earlier[0].Kind)
		require.NotEqual(t, x.Earlier[0].Node, x.Node)
		for _, c := range x.Candidates {
			if c.Node == x.Earlier[0].Node {
				require.Equal(t, "left out, an earlier attempt had failed there", c.Note)
			}
		}
		require.Contains(t, x.String(), "\nattempt 1 on "+x.Earlier[0].Node+": Connection, ")
		require.Contains(t, x.String(), "\nattempt 2: done after ")
		first, ok := driver.ExplainError(x.Earlier[0].Err)
		require.True(t, ok)
		require.Equal(t, []any{1, x.Earlier[0].Node, driver.DefinitelyAborted}, []any{first.Attempts, first.Node, first.Outcome})
	}, "min_idle=0")
}

// What the errors say, by how far the work had come.
func TestExplainErrors(t *testing.T) {
	const hunter2 = "hunter2"
	for name, c := range map[string]struct {
		fail    func(ctx context.Context, l *ledger) error
		outcome driver.Outcome
		reason  string
		stop    cluster.Stop
		lines   []string // contained

		noSearch bool
	}{
		"mistake": {
			fail: func(ctx context.Context, l *ledger) error {
				_, err := l.db.ExecContext(ctx, "insert into ledger values ($1, $2)", 1, 5)
				return err
			},
			outcome: driver.DefinitelyAborted, reason: "the server says that it undid it", stop: cluster.StopFinal,
			lines: []string{
				"statement: Write (it begins with INSERT), by itself\n", "\nattempt 1: SQLSTATE 23505 after ",
				"\nno further attempt: the last error allows no other attempt\n",
			},
		},
		"bad argument": {
			fail: func(ctx context.Context, l *ledger) error {
				_, err := l.db.ExecContext(ctx, "update ledger set n = $1", []string{hunter2})
				return err
			},
			outcome: driver.NotSent, reason: "nothing of it had been sent", stop: cluster.StopFinal,
			lines: []string{"\nattempt 1: failed after "},
		},
		"no node": {
			fail: func(ctx context.Context, l *ledger) error {
				for _, n := range l.sim.Nodes() {
					n.Kill()
				}
				return add(ctx, l.db, 1)
			},
			outcome: driver.NotSent, reason: "nothing of it had been sent", stop: cluster.StopFinal,
			lines: []string{" Down (connection refused), left out\n", ": no node available after 1"},
		},
		"no such node": {
			fail: func(ctx context.Context, l *ledger) error {
				return add(driver.WithNode(ctx, "elsewhere:1"), l.db, 1)
			},
			outcome: driver.NotSent, reason: "nothing of it had been sent", stop: cluster.StopFinal, noSearch: true,
		},
		"lost reply to an autocommit write": {
			fail: func(ctx context.Context, l *ledger) error {
				_, err := l.sim.Node(1).DropCommitReply(simnode.AfterCommit, 1)
				require.NoError(l.t, err)
				return add(l.at(ctx, 1), l.db, 1)
			},
			outcome: driver.CommitSent, reason: "it had been sent and no final answer came", stop: cluster.StopFinal,
			lines: []string{"\nnode: 127.0.0.1:6432, asked for by WithNode; waited "},
		},
		"lost reply to COMMIT": {
			fail: func(ctx context.Context, l *ledger) error {
				_, err := l.sim.Node(1).DropCommitReply(simnode.AfterCommit, 1)
				require.NoError(l.t, err)
				_, err = l.run(ctx, nil, func(context.Context, *sql.Tx, int) error { return nil })
				return err
			},
			outcome: driver.CommitSent, reason: "it had been sent and no final answer came",
			lines: []string{"statement: COMMIT\n"},
		},
		"conflict in a plain transaction": {
			fail: func(ctx context.Context, l *ledger) error {
				tx, err := l.db.BeginTx(ctx, nil)
				require.NoError(l.t, err)
				require.NoError(l.t, add(l.at(ctx, 1), tx, 1))
				l.overtake()
				return tx.Commit()
			},
			outcome: driver.DefinitelyAborted, reason: "the server says that it undid it",
			lines: []string{"\nattempt 1: Conflict, SQLSTATE 40001 after "},
		},
		"connection lost in a transaction": {
			fail: func(ctx context.Context, l *ledger) error {
				tx, err := l.db.BeginTx(ctx, nil)
				require.NoError(l.t, err)
				require.NoError(l.t, add(l.at(ctx, 1), tx, 1))
				l.sim.Node(1).Reset()
				_ = add(ctx, tx, 1)
				return tx.Commit()
			},
			outcome: driver.DefinitelyAborted, reason: "COMMIT hadn't been sent", stop: cluster.StopScope,
			lines: []string{"statement: Write (it begins with UPDATE), inside a transaction\n"},
		},
		"conflicts without end": {
			fail: func(ctx context.Context, l *ledger) error {
				_, err := l.run(ctx, &driver.TxOptions{MaxAttempts: 3}, l.always)
				return err
			},
			outcome: driver.DefinitelyAborted, reason: "the server says that it undid it", stop: cluster.StopAttempts,
			lines: []string{"\nattempt 1 on 127.0.0.1:6432: Conflict, SQLSTATE 40001; DefinitelyAborted after ", "\nattempt 3: Conflict"},
		},
		"read without an answer": {
			fail: func(ctx context.Context, l *ledger) error {
				ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
				_, err := l.db.ExecContext(ctx, "select pg_sleep($1)", 10)
				return err
			},
			outcome: driver.DefinitelyAborted, reason: "it had nothing to commit", stop: cluster.StopFinal,
			lines: []string{"statement: Read (it begins with SELECT), by itself\n"},
		},
		"several commands": {
			fail: func(ctx context.Context, l *ledger) error {
				_, err := l.db.ExecContext(ctx, "begin; update ledger set n = 7; commit; select 'hunter2'::int")
				return err
			},
			outcome: driver.CommitSent, reason: "its failing part was undone, but what came before may have been committed", stop: cluster.StopFinal,
			lines: []string{"statement: Write (it holds 4 commands), by itself\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, l *ledger) {
				err := c.fail(t.Context(), l)
				require.Error(t, err)
				x, ok := driver.ExplainError(errors.Join(errors.New("wrapped"), err))
				require.True(t, ok)
				text := x.String()
				require.Equal(t, []any{c.outcome, c.reason, c.stop}, []any{x.Outcome, x.Reason, x.Stop}, text)
				require.Equal(t, driver.OutcomeOf(err), x.Outcome)
				require.Equal(t, c.noSearch, len(x.Candidates) == 0, text)
				for _, line := range c.lines {
					require.Contains(t, text, line)
				}
				require.NotContains(t, text, hunter2)
				for _, n := range l.sim.Nodes() {
					_ = n.Start() // those that were killed
				}
			}, "acquire_timeout=1s")
		})
	}
}

// With a commit fence the reason is its word.
func TestExplainFence(t *testing.T) {
	dsn := sharedServer(t)
	_, err := openPgx(t).Exec("drop table if exists told cascade; create table told (id int primary key)")
	require.NoError(t, err)
	db, proxy := throughProxy(t, dsn, shared.server.Addr(), installFence(t, dsn, "fences.told")...)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	armed := proxy.MustAdd(atSync(`"fences"."told"`, faultproxy.CutReply, faultproxy.After))
	_, err = conn.ExecContext(t.Context(), "insert into told values (1)")
	require.NoError(t, err)
	x := explain(t, conn)
	require.Equal(t, []any{driver.Committed, "the commit fence says so; the server's answer is lost"}, []any{x.Outcome, x.Reason})
	require.Equal(t, "holds no server connection", x.Session)
	require.NoError(t, conn.Close())
	armed.Remove()

	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "insert into told values (2)")
	require.NoError(t, err)
	proxy.MustAdd(faultproxy.Rule{ // COMMIT is behind it in the same flush
		Direction: faultproxy.ToServer, Action: faultproxy.Reset, Place: faultproxy.Before,
		Match: func(m faultproxy.Message) bool { return bytes.Contains(m.Body(), []byte(`"fences"."told"`)) },
	})
	x, ok := driver.ExplainError(tx.Commit())
	require.True(t, ok)
	require.Equal(t, []any{driver.DefinitelyAborted, "the commit fence says so", "COMMIT"}, []any{x.Outcome, x.Reason, x.Scope})
}

// Neither a statement's literals nor arguments, nor a foreign sql.Conn.
func TestExplainShowsNoSecrets(t *testing.T) {
	db := open(t)
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	for _, text := range []string{
		"set application_name = 'hunter2'", "select 'hunter2'::int", "hunter2", "select hunter2", "'hunter2'",
		"select 1 as hunter2 into temp hunter2_t", "do $hunter2$ begin raise exception 'hunter2'; end $hunter2$",
	} {
		_, err := conn.ExecContext(t.Context(), text)
		require.NotContains(t, explain(t, conn).String(), "hunter2", text)
		if err != nil {
			x, ok := driver.ExplainError(err)
			require.True(t, ok)
			require.NotContains(t, x.String(), "hunter2", text)
			require.NotEmpty(t, x.Class)
		}
	}
	_, err = conn.ExecContext(t.Context(), "select $1::int", "hunter2")
	x, ok := driver.ExplainError(err)
	require.True(t, ok)
	require.NotContains(t, x.String(), "hunter2")

	_, ok = driver.ExplainError(errors.New("foreign"))
	require.False(t, ok)
	_, ok = driver.ExplainError(nil)
	require.False(t, ok)
	foreign, err := openPgx(t).Conn(t.Context())
	require.NoError(t, err)
	defer foreign.Close()
	_, err = driver.Explain(foreign)
	require.ErrorContains(t, err, "anywriter driver")
}
