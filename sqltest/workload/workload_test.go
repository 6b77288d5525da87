package workload_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/sqltest/check"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
	"github.com/anywriter/anywriter/sqltest/history"
	"github.com/anywriter/anywriter/sqltest/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 60 * time.Second

// world is a PostgreSQL server behind a proxy, and a DB on each.
type world struct {
	ctx             context.Context
	proxy           *faultproxy.Proxy
	direct, faulted *sql.DB
}

func newWorld(t *testing.T) *world {
	t.Helper()
	server := pgtest.Start(t, pgtest.Options{})
	cfg, err := faultproxy.TCP(server.Addr())
	require.NoError(t, err)
	proxy, err := faultproxy.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	w := &world{ctx: ctx, proxy: proxy}
	w.direct = open(t, server.Addr())
	w.faulted = open(t, proxy.Addr().String())
	return w
}

func open(t *testing.T, addr string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", addr))
	require.NoError(t, err)
	db.SetMaxIdleConns(20)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// every makes a rule act at each nth message that matches.
func every(n int64, prefix string, rule faultproxy.Rule) faultproxy.Rule {
	var seen atomic.Int64
	rule.Times = -1
	rule.Match = func(m faultproxy.Message) bool {
		return strings.HasPrefix(string(m.Body()), prefix) && seen.Add(1)%n == 0
	}
	return rule
}

// TestBankUnderCuts cuts connections before and after COMMIT, at statements and
// at answers, and finds every promise kept: what plain pgx and PostgreSQL lose
// is only certainty.
func TestBankUnderCuts(t *testing.T) {
	for _, isolation := range []sql.IsolationLevel{sql.LevelReadCommitted, sql.LevelRepeatableRead} {
		t.Run(isolation.String(), func(t *testing.T) {
			w := newWorld(t)
			bank, err := workload.NewBank(workload.BankConfig{
				Config: workload.Config{
					DB: w.faulted, Control: w.direct, Seed: 7, Clients: 8, Rate: 400, Ops: 60, Isolation: isolation,
					Tx: workload.ConflictRetry(workload.PlainTx, 20), Replay: "go test -run TestBankUnderCuts",
				},
				Accounts: 6, Initial: 100,
			})
			require.NoError(t, err)
			require.NoError(t, bank.Setup(w.ctx))
			w.proxy.MustAdd(every(11, "commit", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.CutReply}))
			w.proxy.MustAdd(every(13, "commit", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.Cut}))
			w.proxy.MustAdd(every(47, "", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'E', Action: faultproxy.Reset}))
			w.proxy.MustAdd(every(59, "", faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'C', Action: faultproxy.Cut, Place: faultproxy.Within, Offset: 7}))
			require.NoError(t, bank.Run(w.ctx))
			require.NoError(t, bank.Verify(w.ctx))

			verdict, err := bank.Check(w.ctx)
			require.NoError(t, err)
			require.Positive(t, verdict.UnknownApplied, verdict)
			require.Greater(t, verdict.Unknown, verdict.UnknownApplied, verdict)
			require.Positive(t, verdict.SafeFailures, verdict)
			require.Equal(t, 8*60, verdict.Writes+verdict.Reads)
			stats := bank.Stats()
			require.Equal(t, verdict.OK, stats.OK)
			require.Equal(t, verdict.Unknown, stats.Unknown)
			require.Equal(t, verdict.Aborted, stats.Aborted)
			require.Equal(t, 8*60, stats.Ops)
			require.Zero(t, stats.InFlight)
			require.LessOrEqual(t, stats.P50, stats.P99)
			require.LessOrEqual(t, stats.P99, stats.Max)
			require.Positive(t, stats.LongestGap)
			if isolation == sql.LevelRepeatableRead {
				require.Positive(t, stats.Retries, "six accounts and eight clients conflict")
			}
			require.ErrorContains(t, bank.Run(w.ctx), "twice")

			// The same oracle must see what is done to the tables behind its back.
			_, err = w.direct.ExecContext(w.ctx, "delete from aw_bank_ledger where id = $1", acknowledged(t, bank.History()))
			require.NoError(t, err)
			require.ErrorContains(t, bank.Verify(w.ctx), "lost: ")
			require.ErrorContains(t, bank.Verify(w.ctx), "replay: go test -run TestBankUnderCuts")
			require.NoError(t, bank.Teardown(w.ctx))
		})
	}
}

// acknowledged is the id of a transfer that moved money and was OK.
func acknowledged(t *testing.T, ops []history.Op) string {
	t.Helper()
	for _, op := range ops {
		if op.Kind == history.Transfer && op.Outcome == history.OK && op.Amount > 0 {
			return op.ID
		}
	}
	require.Fail(t, "no transfer was OK")
	return ""
}

func TestCounterUnderCuts(t *testing.T) {
	w := newWorld(t)
	counter, err := workload.NewCounter(workload.Config{
		DB: w.faulted, Control: w.direct, Seed: 3, Clients: 6, Rate: 300, Ops: 100, Tx: workload.ConflictRetry(workload.PlainTx, 20),
	})
	require.NoError(t, err)
	require.NoError(t, counter.Setup(w.ctx))
	w.proxy.MustAdd(every(9, "commit", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.CutReply}))
	w.proxy.MustAdd(every(14, "commit", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.Reset}))
	require.NoError(t, counter.Run(w.ctx))
	require.NoError(t, counter.Verify(w.ctx))
	verdict, err := counter.Check(w.ctx)
	require.NoError(t, err)
	require.Positive(t, verdict.UnknownApplied)

	_, err = w.direct.ExecContext(w.ctx, "update aw_counter set n = n - $1", verdict.UnknownApplied+1)
	require.NoError(t, err)
	require.ErrorContains(t, counter.Verify(w.ctx), "lost: ")
	require.ErrorContains(t, counter.Verify(w.ctx), "replay: seed 3")
	_, err = w.direct.ExecContext(w.ctx, "update aw_counter set n = n + 1000")
	require.NoError(t, err)
	require.ErrorContains(t, counter.Verify(w.ctx), "double: ")
	require.NoError(t, counter.Teardown(w.ctx))
}

// TestPlainPgxWritesTwice shows that the unique ids workload finds a statement
// that ran twice: plain pgx repeats an argument-less INSERT whose reply was
// lost (pgx 5.9 to 5.12). With arguments it doesn't.
func TestPlainPgxWritesTwice(t *testing.T) {
	for _, withoutArguments := range []bool{true, false} {
		t.Run(fmt.Sprintf("withoutArguments=%v", withoutArguments), func(t *testing.T) {
			w := newWorld(t)
			ids, err := workload.NewUniqueIDs(workload.Config{
				DB: w.faulted, Control: w.direct, Seed: 1, Clients: 4, Rate: 300, Ops: 50,
			}, withoutArguments)
			require.NoError(t, err)
			require.NoError(t, ids.Setup(w.ctx))
			lost := faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.CutReply}
			if !withoutArguments {
				lost.Type = 'E'
			}
			w.proxy.MustAdd(every(10, "", lost))
			require.NoError(t, ids.Run(w.ctx))
			verdict, err := ids.Check(w.ctx)
			require.NoError(t, err)
			if withoutArguments {
				require.Positive(t, verdict.Broken[check.Double], verdict)
				require.ErrorContains(t, ids.Verify(w.ctx), "double: ")
			} else {
				require.True(t, verdict.Holds(), verdict)
				require.Positive(t, verdict.UnknownApplied)
			}
			require.NoError(t, ids.Teardown(w.ctx))
		})
	}
}

func TestRegistersUnderFreeze(t *testing.T) {
	w := newWorld(t)
	registers, err := workload.NewRegisters(workload.Config{
		DB: w.faulted, Control: w.direct, Seed: 5, Clients: 4, Rate: 200, Ops: 100, Timeout: 10 * time.Second, ReadShare: 0.6,
	})
	require.NoError(t, err)
	require.NoError(t, registers.Setup(w.ctx))
	frozen := w.proxy.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'E', Nth: 100, Action: faultproxy.Delay, Delay: time.Hour})
	go func() { // ends when the rule has acted, which the run makes sure of
		<-frozen.Done()
		thaw := w.proxy.Freeze()
		time.AfterFunc(150*time.Millisecond, func() {
			thaw()
			w.proxy.CutAll()
		})
	}()
	require.NoError(t, registers.Run(w.ctx))
	require.NoError(t, registers.Verify(w.ctx))
	gap := check.Gap(registers.History())
	require.GreaterOrEqual(t, gap.LongestGap, 100*time.Millisecond)
	require.GreaterOrEqual(t, gap.LongestWait, 100*time.Millisecond)
	require.Positive(t, gap.SafeFailures+gap.Unknown)
	require.InDelta(t, gap.LongestGap.Seconds(), registers.Stats().LongestGap.Seconds(), 0.1)

	_, err = w.direct.ExecContext(w.ctx, "update aw_registers set v = 0")
	require.NoError(t, err)
	require.ErrorContains(t, registers.Verify(w.ctx), "lost: ")
	require.NoError(t, registers.Teardown(w.ctx))
}

type ambiguous bool

func (a ambiguous) Error() string   { return "ambiguous" }
func (a ambiguous) Ambiguous() bool { return bool(a) }

type state string

func (s state) Error() string    { return string(s) }
func (s state) SQLState() string { return string(s) }

func TestClassify(t *testing.T) {
	cut := errors.New("connection reset")
	for _, c := range []struct {
		err  error
		want history.Outcome
	}{
		{nil, history.OK},
		{cut, history.SafeFailure},
		{context.DeadlineExceeded, history.SafeFailure},
		{&workload.CommitError{Err: cut}, history.Unknown},
		{&workload.CommitError{Err: fmt.Errorf("x: %w", state("40001"))}, history.Aborted},
		{&workload.CommitError{Err: state("57P01")}, history.Unknown},
		{&workload.CommitError{Err: state("08007")}, history.Unknown},
		{state("40003"), history.Unknown},
		{fmt.Errorf("%w, resolved: %w", ambiguous(false), state("40003")), history.Aborted},
		{state("57P01"), history.SafeFailure},
		{state("57014"), history.SafeFailure},
		{state("23505"), history.Aborted},
		{fmt.Errorf("x: %w", ambiguous(true)), history.Unknown},
		{ambiguous(false), history.SafeFailure},
		{&workload.CommitError{Err: ambiguous(false)}, history.SafeFailure},
	} {
		require.Equal(t, c.want, workload.Classify(c.err), "%v", c.err)
	}
}

func TestBadConfigs(t *testing.T) {
	_, err := workload.NewCounter(workload.Config{})
	require.ErrorContains(t, err, "DB is nil")
	db := open(t, "127.0.0.1:1") // never dialed
	for _, bad := range []workload.Config{{DB: db, Clients: -1}, {DB: db, Rate: -1}, {DB: db, ReadShare: 2}} {
		_, err := workload.NewRegisters(bad)
		require.ErrorContains(t, err, "want")
	}
	_, err = workload.NewBank(workload.BankConfig{Config: workload.Config{DB: db}, Accounts: 1})
	require.ErrorContains(t, err, "2 accounts")
}
