package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// fenceParams switch a fence on whose table is the test's own.
func fenceParams(table string) []string {
	return []string{"commit_fence=table", "fence_table=" + url.QueryEscape(table)}
}

// installFence makes a fence table on a server and returns the parameters that
// use it.
func installFence(t testing.TB, dsn, table string) []string {
	t.Helper()
	params := fenceParams(table)
	cfg, err := driver.ParseConfig(patient(withParams(dsn, params...)))
	require.NoError(t, err)
	require.NoError(t, cluster.InstallFence(t.Context(), cfg))
	require.NoError(t, cluster.InstallFence(t.Context(), cfg), "installing again does no harm")
	return params
}

// fencedWrites are the kinds of work that the fence covers; each writes one row
// into fenced, whose trigger text marks the flush that commits it.
var fencedWrites = []struct {
	name, trigger string
	run           func(ctx context.Context, db *sql.DB, id int) error
}{
	{"autocommit", `"fences"."t"`, func(ctx context.Context, db *sql.DB, id int) error {
		_, err := db.ExecContext(ctx, "insert into fenced values ($1)", id)
		return err
	}},
	{"autocommit without arguments", `"fences"."t"`, func(ctx context.Context, db *sql.DB, id int) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("insert into fenced values (%d)", id))
		return err
	}},
	{"prepared", `"fences"."t"`, func(ctx context.Context, db *sql.DB, id int) error {
		stmt, err := db.PrepareContext(ctx, "insert into fenced values ($1)")
		if err != nil {
			return err
		}
		defer stmt.Close()
		_, err = stmt.ExecContext(ctx, id)
		return err
	}},
	{"transaction", `"fences"."t"`, func(ctx context.Context, db *sql.DB, id int) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(ctx, "insert into fenced values ($1)", id); err != nil {
			return err
		}
		return tx.Commit()
	}},
	{"RunTx", `"fences"."t"`, func(ctx context.Context, db *sql.DB, id int) error {
		return driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "insert into fenced values ($1)", id)
			return err
		})
	}},
}

// TestFenceDecides loses the commit, or the answer to it, of each kind of work
// and compares what the caller is told with the truth.
func TestFenceDecides(t *testing.T) {
	dsn := sharedServer(t)
	truth := openPgx(t)
	_, err := truth.Exec("drop table if exists fenced cascade; create table fenced (id int primary key)")
	require.NoError(t, err)
	params := installFence(t, dsn, "fences.t")
	db, proxy := throughProxy(t, dsn, shared.server.Addr(), params...)
	id := 0
	for _, w := range fencedWrites {
		for name, rule := range map[string]faultproxy.Rule{
			"before the commit": atSync(w.trigger, faultproxy.Reset, faultproxy.Before),
			"after the commit":  atSync(w.trigger, faultproxy.CutReply, faultproxy.After),
		} {
			t.Run(w.name+" "+name, func(t *testing.T) {
				id++
				armed := proxy.MustAdd(rule)
				err := w.run(t.Context(), db, id)
				require.Equal(t, 1, armed.Fired())
				armed.Remove()
				var rows int
				require.NoError(t, truth.QueryRow("select count(*) from fenced where id = $1", id).Scan(&rows))
				switch driver.OutcomeOf(err) {
				case driver.Committed:
					require.Equal(t, 1, rows)
				case driver.DefinitelyAborted:
					require.Equal(t, "transaction", w.name, "everything else is tried again: %v", err)
					require.Equal(t, 0, rows)
					require.True(t, driver.IsRetryable(err))
				default:
					t.Fatalf("outcome %v: %v", driver.OutcomeOf(err), err)
				}
			})
		}
	}
	checkIdle(t, db)
	var resolved int64
	for _, n := range clusterOf(t, db).Stats().Nodes {
		resolved += n.FoundAborted + n.FoundCommitted
		require.Zero(t, n.StayedUnknown)
	}
	require.EqualValues(t, 2*len(fencedWrites), resolved)
}

// TestFenceWithRows loses the answer to an INSERT … RETURNING: it is committed,
// and the caller is told so, but the rows are lost.
func TestFenceWithRows(t *testing.T) {
	dsn := sharedServer(t)
	_, err := openPgx(t).Exec("drop table if exists fencedrows cascade; create table fencedrows (id int primary key)")
	require.NoError(t, err)
	db, proxy := throughProxy(t, dsn, shared.server.Addr(), installFence(t, dsn, "fences.rows")...)
	proxy.MustAdd(atSync(`"fences"."rows"`, faultproxy.CutReply, faultproxy.After))
	var id int
	err = db.QueryRow("insert into fencedrows values (7) returning id").Scan(&id)
	require.Equal(t, driver.Committed, driver.OutcomeOf(err))
	require.ErrorContains(t, err, "rows are lost")
	require.False(t, driver.IsRetryable(err))
	require.NoError(t, db.QueryRow("select id from fencedrows").Scan(&id))

	proxy.MustAdd(atSync(`"fences"."rows"`, faultproxy.CutReply, faultproxy.After))
	res, err := db.Exec("insert into fencedrows values (8)")
	require.NoError(t, err)
	_, err = res.RowsAffected()
	require.ErrorIs(t, err, driver.ErrRowsUnknown)

	res, err = db.Exec("insert into fencedrows values (9)")
	require.NoError(t, err)
	n, err := res.RowsAffected()
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NoError(t, db.QueryRow("insert into fencedrows values (10) returning id").Scan(&id))
	require.Equal(t, 10, id)
	_, err = db.Exec("insert into fencedrows values (10)")
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "a duplicate key is the statement's own error: %v", err)
}

// TestFenceIgnoresCancellation cancels the caller's context while COMMIT is
// under way: the outcome is found out all the same.
func TestFenceIgnoresCancellation(t *testing.T) {
	dsn := sharedServer(t)
	truth := openPgx(t)
	_, err := truth.Exec("drop table if exists fencedcancel cascade; create table fencedcancel (id int primary key)")
	require.NoError(t, err)
	db, proxy := throughProxy(t, dsn, shared.server.Addr(), installFence(t, dsn, "fences.cancel")...)
	for id := range 4 {
		ctx, cancel := context.WithCancel(t.Context())
		rule := atSync(`"fences"."cancel"`, faultproxy.DropReply, faultproxy.After)
		inner := rule.Match
		rule.Match = func(m faultproxy.Message) bool {
			if !inner(m) {
				return false
			}
			cancel()
			return true
		}
		armed := proxy.MustAdd(rule)
		_, err := db.ExecContext(ctx, "insert into fencedcancel values ($1)", id)
		require.Equal(t, 1, armed.Fired())
		var rows int
		require.NoError(t, truth.QueryRow("select count(*) from fencedcancel where id = $1", id).Scan(&rows))
		switch driver.OutcomeOf(err) {
		case driver.Committed:
			require.Equal(t, 1, rows)
		case driver.DefinitelyAborted:
			require.Equal(t, 0, rows)
			require.ErrorIs(t, err, context.Canceled)
		default:
			t.Fatalf("outcome %v: %v", driver.OutcomeOf(err), err)
		}
		armed.Remove()
		cancel()
	}
}

// TestFenceStaysUnknown holds that nothing is made up where the fence can't be
// asked: the node is gone for longer than fence_resolve_timeout.
func TestFenceStaysUnknown(t *testing.T) {
	dsn := sharedServer(t)
	_, err := openPgx(t).Exec("drop table if exists fencedgone cascade; create table fencedgone (id int primary key)")
	require.NoError(t, err)
	params := append(installFence(t, dsn, "fences.gone"), "fence_resolve_timeout=50ms")
	db, proxy := throughProxy(t, dsn, shared.server.Addr(), params...)
	armed := proxy.MustAdd(atSync(`"fences"."gone"`, faultproxy.DropReply, faultproxy.After))
	ctx, cancel := context.WithCancel(t.Context())
	thaw := make(chan func(), 1)
	go func() { // ends when the rule has acted, which the test waits for
		<-armed.Done()
		thaw <- proxy.Freeze()
		cancel()
	}()
	began := time.Now()
	_, err = db.ExecContext(ctx, "insert into fencedgone values (1)")
	defer (<-thaw)()
	var unknown *driver.OutcomeUnknownError
	require.ErrorAs(t, err, &unknown)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "the commit fence gave no answer within 50ms")
	require.Less(t, time.Since(began), 20*time.Second)
}

// TestReadsAreNotFenced holds that a transaction which only reads leaves no row,
// and that losing its COMMIT is harmless.
func TestReadsAreNotFenced(t *testing.T) {
	dsn := sharedServer(t)
	db, proxy := throughProxy(t, dsn, shared.server.Addr(), installFence(t, dsn, "fences.reads")...)
	read := func(ctx context.Context, tx *sql.Tx) error {
		var one int
		return tx.QueryRowContext(ctx, "select 1").Scan(&one)
	}
	require.NoError(t, driver.RunTx(t.Context(), db, nil, read))
	var one int
	require.NoError(t, db.QueryRow("select 1").Scan(&one))
	armed := proxy.MustAdd(atSync("commit", faultproxy.CutReply, faultproxy.After))
	runs := 0
	require.NoError(t, driver.RunTx(t.Context(), db, nil, func(ctx context.Context, tx *sql.Tx) error {
		runs++
		return read(ctx, tx)
	}))
	require.Equal(t, 1, armed.Fired())
	require.Equal(t, 2, runs, "a transaction that only read is run again")
	status, err := clusterOf(t, db).FenceStatus(t.Context())
	require.NoError(t, err)
	require.Zero(t, status.Rows)
	require.True(t, status.Oldest.IsZero())
}

// TestFenceTableMustBeSound tries tables that decide nothing or that somebody
// else controls.
func TestFenceTableMustBeSound(t *testing.T) {
	dsn := sharedServer(t)
	truth := openPgx(t)
	for _, sql := range []string{
		"drop schema if exists sound cascade", "create schema sound",
		"do $$ begin if not exists (select from pg_roles where rolname = 'mallory') then create role mallory; end if; end $$",
		"create table sound.columns (id uuid primary key)",
		"create table sound.typ (id text primary key, aborted boolean not null)",
		"create table sound.nokey (id uuid not null, aborted boolean not null)",
		"create table sound.wide (id uuid not null, aborted boolean not null, primary key (id, aborted))",
		"create table sound.partial (id uuid not null, aborted boolean not null)",
		"create unique index on sound.partial (id) where aborted",
		"create table sound.deferred (id uuid not null unique deferrable, aborted boolean not null)",
		"create unlogged table sound.unlogged (id uuid primary key, aborted boolean not null)",
		"create view sound.view as select null::uuid as id, false as aborted",
		"create table sound.theirs (id uuid primary key, aborted boolean not null)", "alter table sound.theirs owner to mallory",
		"create table sound.rules (id uuid primary key, aborted boolean not null)",
		"create rule r as on insert to sound.rules where new.aborted do instead nothing",
		"create table sound.secured (id uuid primary key, aborted boolean not null)",
		"alter table sound.secured enable row level security",
		"create or replace function sound.f() returns trigger language plpgsql as 'begin return null; end'",
		"create table sound.triggers (id uuid primary key, aborted boolean not null)",
		"create trigger t before insert on sound.triggers for each row execute function sound.f()",
		"create table sound.covering (id uuid not null, aborted boolean not null)",
		"create unique index on sound.covering (id) include (aborted)",
		"drop schema if exists theirs cascade", "create schema theirs authorization mallory",
		"create table theirs.t (id uuid primary key, aborted boolean not null)",
	} {
		_, err := truth.Exec(sql)
		require.NoError(t, err, sql)
	}
	for table, want := range map[string]string{
		"sound.missing":  "anywriter fence install",
		"nowhere.fence":  "anywriter fence install",
		"sound.columns":  "no column aborted",
		"sound.typ":      "no column id of type uuid",
		"sound.nokey":    "unique index",
		"sound.wide":     "unique index",
		"sound.partial":  "unique index",
		"sound.deferred": "unique index",
		"sound.unlogged": "unlogged",
		"sound.view":     "relkind v",
		"sound.theirs":   "belongs to role mallory",
		"theirs.t":       "its schema belongs to role mallory",
		"sound.rules":    "rules",
		"sound.secured":  "row security",
		"sound.triggers": "triggers",
	} {
		db := openDSN(t, withParams(dsn, fenceParams(table)...))
		err := db.Ping()
		var fenceErr *driver.FenceError
		require.ErrorAs(t, err, &fenceErr, table)
		require.ErrorContains(t, err, want, table)
		_, err = db.Exec("select 1")
		require.ErrorContains(t, err, want, table)
		require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
	}
	for _, params := range [][]string{
		fenceParams("sound.covering"), append(fenceParams("sound.theirs"), "fence_owner=mallory"),
	} {
		require.NoError(t, openDSN(t, withParams(dsn, params...)).Ping())
	}
	err := openDSN(t, withParams(dsn, append(fenceParams("a.b"), "engine=mesh")...)).Ping()
	require.ErrorContains(t, err, "decides nothing with engine=mesh")
}

// TestFenceHeals makes the table while the driver is complaining about it.
func TestFenceHeals(t *testing.T) {
	dsn := sharedServer(t)
	_, err := openPgx(t).Exec("drop schema if exists heals cascade")
	require.NoError(t, err)
	db := openDSN(t, withParams(dsn, append(fenceParams("heals.t"), "probe_interval=10ms")...))
	require.ErrorContains(t, db.Ping(), "doesn't exist")
	installFence(t, dsn, "heals.t")
	require.Eventually(t, func() bool { return db.Ping() == nil }, 10*time.Second, 10*time.Millisecond)
}

func TestFencePurge(t *testing.T) {
	dsn := sharedServer(t)
	truth := openPgx(t)
	_, err := truth.Exec("drop table if exists purged cascade; create table purged (n int); drop schema if exists purges cascade")
	require.NoError(t, err)
	db := openDSN(t, withParams(dsn, installFence(t, dsn, "purges.t")...))
	for range 3 {
		_, err := db.Exec("insert into purged values (1)")
		require.NoError(t, err)
	}
	_, err = truth.Exec("insert into purges.t select gen_random_uuid(), n % 2 = 0, now() - interval '25 hours' from generate_series(1, 5000) n")
	require.NoError(t, err)
	c := clusterOf(t, db)
	status, err := c.FenceStatus(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 5003, status.Rows)
	require.EqualValues(t, 2500, status.Marks)
	require.InDelta(t, 25*time.Hour, time.Since(status.Oldest), float64(time.Minute))
	_, err = c.PurgeFence(t.Context(), time.Minute)
	require.ErrorContains(t, err, "younger than 1h0m0s")
	deleted, err := c.PurgeFence(t.Context(), 24*time.Hour)
	require.NoError(t, err)
	// The purge's own statements leave their rows: they are writes.
	require.EqualValues(t, 5000, deleted)
	status, err = c.FenceStatus(t.Context())
	require.NoError(t, err)
	require.Zero(t, status.Marks)
	require.Less(t, status.Rows, int64(20))
}

// TestFenceSurvivesBrokenExamination breaks the connection on which the fence is
// examined: what was seen before still holds, and autocommit writes stay fenced.
func TestFenceSurvivesBrokenExamination(t *testing.T) {
	dsn := sharedServer(t)
	_, err := openPgx(t).Exec("drop table if exists fencedbroken cascade; create table fencedbroken (id int primary key)")
	require.NoError(t, err)
	db, proxy := throughProxy(t, dsn, shared.server.Addr(), installFence(t, dsn, "fences.broken")...)
	c := clusterOf(t, db)
	armed := proxy.MustAdd(faultproxy.Rule{
		Direction: faultproxy.ToServer, Type: 'P', Action: faultproxy.Reset,
		Match: func(m faultproxy.Message) bool { return strings.Contains(string(m.Body()), "select 1/0") },
	})
	nodes, err := c.CheckFence(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, armed.Fired())
	require.Error(t, nodes[0].Err)
	require.True(t, nodes[0].Autocommit)

	proxy.MustAdd(atSync(`"fences"."broken"`, faultproxy.CutReply, faultproxy.After))
	_, err = db.Exec("insert into fencedbroken values (1)")
	require.NoError(t, err, "resolved by the fence")
}
