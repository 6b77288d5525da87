package driver_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// TestConcurrentIndexThatFails holds that an index built in several transactions,
// which stays behind as invalid when one of them fails, isn't reported as undone and
// isn't built a second time.
func TestConcurrentIndexThatFails(t *testing.T) {
	db, control := open(t), openPgx(t)
	for _, text := range []string{
		"drop table if exists steps cascade", "create table steps (v int)", "insert into steps values (1), (1)",
	} {
		_, err := control.Exec(text)
		require.NoError(t, err)
	}
	invalid := func(name string) (n int) {
		t.Helper()
		require.NoError(t, control.QueryRow("select count(*) from pg_index where not indisvalid and indexrelid = to_regclass($1)", name).Scan(&n))
		return n
	}
	for again := range 2 { // the second time with a cached statement
		name := fmt.Sprintf("steps_%d", again)
		_, err := db.Exec("create unique index concurrently " + name + " on steps (v)")
		requireUnknown(t, err, "23505")
		require.Equal(t, 1, invalid(name))
	}
	_, err := db.Exec("reindex index concurrently steps_0")
	requireUnknown(t, err, "23505")

	// What is refused at once has done nothing.
	for text, state := range map[string]string{
		"create index concurrently on steps (v":                           "42601",
		"set default_transaction_read_only = on; vacuum steps":            "25001",
		"alter table steps detach partition nosuch concurrently, alter v": "42601",
	} {
		_, err := db.Exec(text)
		var op *driver.OpError
		require.ErrorAs(t, err, &op, text)
		require.Equal(t, []any{state, driver.DefinitelyAborted}, []any{op.SQLState, op.Outcome}, text)
	}
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("vacuum steps")
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "in a transaction: %v", err)
	require.NoError(t, tx.Rollback())
	checkIdle(t, db)
}

func requireUnknown(t *testing.T, err error, state string) {
	t.Helper()
	var unknown *driver.OutcomeUnknownError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, []any{state, 1}, []any{unknown.SQLState, unknown.Attempts})
	require.ErrorContains(t, err, "what it did in those before stands")
	require.False(t, driver.IsRetryable(err))
}

// TestConcurrentIndexInDeadlock ends such a statement by 40P01, for which anything
// else is tried again: the second attempt would meet the index of the first.
func TestConcurrentIndexInDeadlock(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// The server looks for deadlocks in the session of the index alone.
	db := openDSN(t, withParams(sharedServer(t), "deadlock_timeout=2s"))
	control := openPgx(t)
	for _, text := range []string{"drop table if exists stepslock cascade", "create table stepslock (v int)"} {
		_, err := control.Exec(text)
		require.NoError(t, err)
	}
	tx, err := control.Begin()
	require.NoError(t, err)
	defer tx.Rollback()
	for _, text := range []string{"set local deadlock_timeout = '5min'", "insert into stepslock values (1)"} {
		_, err = tx.Exec(text)
		require.NoError(t, err)
	}
	built := make(chan error, 1)
	go func() { // ends when the server has found the deadlock
		_, err := db.ExecContext(ctx, "create index concurrently stepslock_v on stepslock (v)")
		built <- err
	}()
	require.Eventually(t, func() bool {
		var waits int
		require.NoError(t, control.QueryRow("select count(*) from pg_stat_activity where query like 'create index%stepslock_v%' and wait_event_type = 'Lock'").Scan(&waits))
		return waits == 1
	}, 30*time.Second, time.Millisecond)
	_, err = tx.Exec("lock table stepslock in share update exclusive mode")
	require.NoError(t, err, "the other one was the victim")
	err = <-built
	requireUnknown(t, err, "40P01")
	var server *pgconn.PgError
	require.ErrorAs(t, err, &server)
	require.NoError(t, tx.Commit())
	var valid bool
	require.NoError(t, control.QueryRow("select indisvalid from pg_index where indexrelid = 'stepslock_v'::regclass").Scan(&valid))
	require.False(t, valid, "the index is left over")
}

// TestOtherStepsThatFail cuts statements short that wait between their steps for a
// transaction which still uses what they are about, and looks at what is left.
func TestOtherStepsThatFail(t *testing.T) {
	db, control := open(t), openPgx(t)
	for _, text := range []string{
		"drop table if exists stepsof cascade", "create table stepsof (v int) partition by list (v)",
		"create table stepsof_1 partition of stepsof for values in (1)",
		"create index stepsof_i on stepsof_1 (v)",
	} {
		_, err := control.Exec(text)
		require.NoError(t, err)
	}
	reader, err := control.Begin()
	require.NoError(t, err)
	defer reader.Rollback()
	_, err = reader.Exec("select from stepsof")
	require.NoError(t, err)
	for text, left := range map[string]string{
		"drop index concurrently stepsof_i":                           "select not indisvalid from pg_index where indexrelid = 'stepsof_i'::regclass",
		"alter table stepsof detach partition stepsof_1 concurrently": "select inhdetachpending from pg_inherits where inhrelid = 'stepsof_1'::regclass",
	} {
		failed := make(chan error, 1)
		go func() { // ends when the statement is cancelled
			_, err := db.ExecContext(t.Context(), text)
			failed <- err
		}()
		require.Eventually(t, func() bool { // it waits for the reader, who is in nobody's way before
			var cancelled int
			require.NoError(t, control.QueryRow("select count(pg_cancel_backend(pid)) from pg_stat_activity where query = $1 and wait_event_type = 'Lock'", text).Scan(&cancelled))
			return cancelled == 1
		}, 30*time.Second, time.Millisecond)
		requireUnknown(t, <-failed, "57014")
		var half bool
		require.NoError(t, control.QueryRow(left).Scan(&half))
		require.True(t, half, text)
	}
}
