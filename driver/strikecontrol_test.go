package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// TestVerdictsSees runs inserts without arguments through pgx's stdlib by the
// same harness: it finds double executions there, so it can find them.
func TestVerdictsSees(t *testing.T) {
	target := postgresTarget(t)
	addr := shared.server.Addr()
	target.open = func(lane *strikeLane, addrs []string) (*sql.DB, error) {
		cfg, err := pgx.ParseConfig(strings.Replace(shared.server.DSN(), addr, addrs[0], 1))
		if err != nil {
			return nil, err
		}
		cfg.DialFunc = lane.wires.dial
		return stdlib.OpenDB(*cfg), nil
	}
	lane, err := openLane(target, 1)
	require.NoError(t, err)
	defer func() { require.NoError(t, lane.close()) }()
	kinds := strikeKinds()[:1]
	require.Equal(t, "insert", kinds[0].name)
	const most = 300
	for n := 1; n <= most; n++ {
		c := drawStrike(1, n, kinds)
		c.cancel = nil // stdlib may report those as it likes
		res, err := c.run(lane)
		require.NoError(t, err, c)
		times, err := c.executions(res)
		require.NoError(t, err)
		if times > 1 {
			require.NoError(t, res.err, "and the caller is told that all is well")
			require.ErrorContains(t, c.judge(res, false), "double execution")
			t.Logf("found after %d: %v", n, c)
			return
		}
	}
	t.Fatalf("no double execution in %d strikes; if pgx has been repaired, the control must change", most)
}

// TestVerdictsJudge holds that the oracle refuses what is wrong.
func TestVerdictsJudge(t *testing.T) {
	failed := func(out driver.Outcome) error {
		return &driver.OpError{Outcome: out, Attempts: 1, Err: errors.New("it failed")}
	}
	unknown := &driver.OutcomeUnknownError{Attempts: 1, Err: errors.New("nobody knows")}
	tx := strikeTransactions()[0]
	for _, c := range []struct {
		err         error
		rows, count int64
		fenced      bool
		want        string // "" if the verdict is right
	}{
		{nil, 2, 1, false, ""},
		{nil, 0, 0, false, "a lost write"},
		{nil, 4, 2, false, "double execution"},
		{nil, 2, 0, false, "torn"},
		{nil, 1, 1, false, "torn"},
		{failed(driver.NotSent), 0, 0, false, ""},
		{failed(driver.NotSent), 2, 1, false, "a false abort"},
		{failed(driver.DefinitelyAborted), 0, 0, true, ""},
		{failed(driver.DefinitelyAborted), 2, 1, true, "a false abort"},
		{failed(driver.Committed), 2, 1, false, ""},
		{failed(driver.Committed), 0, 0, false, "a lost write"},
		{unknown, 2, 1, false, ""},
		{unknown, 0, 0, false, ""},
		{unknown, 4, 2, false, "double execution"},
		{unknown, 0, 0, true, "the fence covers it"},
		{errors.New("no outcome"), 0, 0, false, "without outcome"},
		{fmt.Errorf("database/sql: %w", context.Canceled), 0, 0, true, ""},
		{context.Canceled, 2, 1, false, "without COMMIT"},
	} {
		err := (&strike{kind: tx, statements: 3}).judge(strikeResult{err: c.err, rows: c.rows, count: c.count}, c.fenced)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
	hung := strikeResult{err: failed(driver.NotSent), hung: true}
	require.ErrorContains(t, (&strike{kind: tx, statements: 3}).judge(hung, false), "hung")
}
