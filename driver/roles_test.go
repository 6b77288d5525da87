package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
)

// listed returns a data source name that lists the servers.
func listed(nodes []*pgtest.Server, params ...string) string {
	addrs := make([]string, 0, len(nodes))
	for _, s := range nodes {
		addrs = append(addrs, s.Addr())
	}
	return withParams("postgres://postgres@"+strings.Join(addrs, ",")+"/postgres?sslmode=disable", params...)
}

// roleLog is a listener for changes of roles and for retries.
type roleLog struct {
	mu      sync.Mutex
	changes []string // "node role"
	whys    map[string]string
	retries map[string]int // by kind
	warned  []string
}

func (l *roleLog) listener() cluster.EventListener {
	l.whys, l.retries = map[string]string{}, map[string]int{}
	return cluster.EventListener{
		RoleChanged: func(node string, to cluster.Role, why string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			change := node + " " + to.String()
			l.changes = append(l.changes, change)
			l.whys[change] = why
		},
		Retried: func(_, kind string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.retries[kind]++
		},
		Warned: func(message string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.warned = append(l.warned, message)
		},
	}
}

// why returns the reason with which a node was given a role, and whether it was.
func (l *roleLog) why(node string, to cluster.Role) (string, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	why, found := l.whys[node+" "+to.String()]
	return why, found
}

func openRoles(t testing.TB, dsn string) (*sql.DB, *roleLog) {
	t.Helper()
	config, err := driver.ParseConfig(patient(dsn))
	require.NoError(t, err)
	log := &roleLog{}
	config.Events = log.listener()
	db := sql.OpenDB(driver.NewConnector(config))
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	require.Eventually(t, func() bool { return db.Ping() == nil }, 20*time.Second, time.Millisecond)
	return db, log
}

// waitRoles waits until the nodes have answered and have these roles.
func waitRoles(t testing.TB, db *sql.DB, want ...cluster.Role) {
	t.Helper()
	var got []cluster.Role
	require.Eventually(t, func() bool {
		got = got[:0]
		up := true
		for _, n := range clusterOf(t, db).Stats().Nodes {
			got = append(got, n.Role)
			up = up && n.State.Serving()
		}
		return up && slices.Equal(got, want)
	}, 20*time.Second, 2*time.Millisecond, "want %v", want)
}

// waitCut waits until connections of a node have been cut, which follows the news.
func waitCut(t testing.TB, db *sql.DB, node int) {
	t.Helper()
	c := clusterOf(t, db)
	require.Eventually(t, func() bool { return c.Stats().Nodes[node].Cuts > 0 }, 20*time.Second, time.Millisecond)
}

// control runs a statement on one server, past the driver.
func control(t testing.TB, s *pgtest.Server, sql string) string {
	t.Helper()
	got, err := tryControl(s, sql)
	require.NoError(t, err, sql)
	return got
}

func tryControl(s *pgtest.Server, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN()+"&synchronous_commit=local") // an old primary waits for no standby
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return "", err
	}
	values, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var v any
		err := row.Scan(&v)
		return fmt.Sprint(v), err
	})
	return strings.Join(values, " "), err
}

// replicated waits until a standby shows what a query gives on the primary.
func replicated(t testing.TB, standby *pgtest.Server, query, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		got, err := tryControl(standby, query)
		return err == nil && got == want
	}, 20*time.Second, 2*time.Millisecond)
}

// journal is a load of writes, each with a number of its own.
type journal struct {
	mu    sync.Mutex
	next  int
	acked []int        // committed, the driver says
	doubt map[int]bool // nobody knows
	first time.Time    // of the first success since it was last reset
	bad   []error      // that shouldn't have been
}

// write inserts a new number; what fails certainly and safely is fine while no
// node takes writes.
func (l *journal) write(db *sql.DB, outage bool) {
	l.mu.Lock()
	l.next++
	id := l.next
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var err error
	if id%2 == 0 {
		_, err = db.ExecContext(ctx, "insert into ledger values ($1)", id)
	} else {
		err = driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "insert into ledger values ($1)", id)
			return err
		})
	}
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	switch out := driver.OutcomeOf(err); {
	case err == nil:
		l.acked = append(l.acked, id)
		if l.first.IsZero() {
			l.first = now
		}
	case out == driver.CommitSent:
		l.doubt[id] = true
	case outage && (errors.Is(err, driver.ErrNoNode) || out.SafeToRepeat()):
	default:
		l.bad = append(l.bad, fmt.Errorf("write %d: %w", id, err))
	}
}

// run writes from several goroutines until stop is closed.
func (l *journal) run(db *sql.DB, stop <-chan struct{}) *sync.WaitGroup {
	l.doubt = map[int]bool{}
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() { // ends when stop is closed
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					l.write(db, true)
				}
			}
		})
	}
	return &running
}

func (l *journal) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// forget makes the next success the first.
func (l *journal) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.first = time.Time{}
}

func (l *journal) firstSuccess() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first
}

// acceptsWrites inserts on a server itself until that works, and returns when it
// did.
func acceptsWrites(s *pgtest.Server) (time.Time, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close(ctx)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; ; <-tick.C {
		_, err = conn.Exec(ctx, "insert into ledger values (-1)")
		var refused *pgconn.PgError
		if err == nil || !errors.As(err, &refused) || refused.Code != "25006" {
			return time.Now(), err
		}
	}
}

// probeInterval is that of the tests of roles: the default.
const probeInterval = 250 * time.Millisecond

// The primary dies under a load of writes, the standby is promoted, and the
// writes follow within one probe interval. The old primary comes back, takes
// writes as it always did, and gets none; not even when the new one dies.
func TestWritesFollowPromotion(t *testing.T) {
	checkGoroutines(t)
	var late time.Duration
	for i := range measurements {
		late = promotion(t)
		t.Logf("run %d: the first write through the driver ended %v after the first one on the promoted server itself", i+1, late)
		// One interval, and what the write itself and a busy machine take.
		if late <= probeInterval+longestWait/2 {
			return
		}
	}
	require.Fail(t, "writes follow a promotion too late", "%v in the best of %d runs", late, measurements)
}

// promotion returns how much later than the promoted server accepted writes the
// first write through the driver was done.
func promotion(t *testing.T) time.Duration {
	old := pgtest.Start(t, pgtest.Options{})
	promoted := old.Standby(t)
	nodes := []*pgtest.Server{old, promoted}
	control(t, old, "create table ledger (id int)")
	// What is acknowledged is on the standby, too, or it would rightly be lost.
	require.NoError(t, old.Set("synchronous_standby_names", "*"))
	require.Eventually(t, func() bool {
		got, err := tryControl(old, "select count(*) from pg_stat_replication where sync_state = 'sync'")
		return err == nil && got == "1"
	}, 20*time.Second, 5*time.Millisecond)
	db, log := openRoles(t, listed(nodes))
	waitRoles(t, db, cluster.RoleWriter, cluster.RoleReadOnly)
	why, _ := log.why(promoted.Addr(), cluster.RoleReadOnly)
	require.Equal(t, "it is a standby", why)

	l, stop := &journal{}, make(chan struct{})
	running := l.run(db, stop)
	halt := sync.OnceFunc(func() { close(stop); running.Wait() })
	defer halt()
	require.Eventually(t, func() bool { return l.count() >= 100 }, 20*time.Second, time.Millisecond)
	require.Zero(t, clusterOf(t, db).Stats().Nodes[1].Picks, "nothing was to be read, so the standby got nothing")
	require.NoError(t, old.Kill())
	waitState(t, db, 0, health.Down)
	l.forget()
	accepted := make(chan time.Time, 1)
	go func() { // ends when the server accepts writes
		at, err := acceptsWrites(promoted)
		if err != nil {
			t.Errorf("direct write: %v", err)
		}
		accepted <- at
	}()
	require.NoError(t, promoted.Promote())
	at := <-accepted
	require.Eventually(t, func() bool { return !l.firstSuccess().IsZero() }, 20*time.Second, time.Millisecond)

	oldPrimaryReturns(t, db, log, l, nodes)
	halt()
	require.Empty(t, l.bad)
	l.check(t, promoted)
	require.NoError(t, promoted.Kill())
	waitState(t, db, 1, health.Down)
	_, err := db.ExecContext(briefly(t), "insert into ledger values (0)")
	require.ErrorIs(t, err, driver.ErrNoNode, "a wrong primary isn't right because the right one is dead")
	require.ErrorContains(t, err, "old primary on timeline 1")
	require.Error(t, db.PingContext(briefly(t)))
	require.Equal(t, "0", control(t, old, "select count(*) from ledger where id = 0"))
	return max(0, l.firstSuccess().Sub(at))
}

// oldPrimaryReturns starts the killed primary again, which has heard nothing of a
// promotion, and sees it left alone.
func oldPrimaryReturns(t *testing.T, db *sql.DB, log *roleLog, l *journal, nodes []*pgtest.Server) {
	t.Helper()
	require.NoError(t, nodes[0].Restart())
	count := "select count(*) from ledger where id > 0"
	require.Equal(t, "1", control(t, nodes[0], "insert into ledger values (-2) returning 1"),
		"it takes writes")
	before, picks := control(t, nodes[0], count), clusterOf(t, db).Stats().Nodes[0].Picks
	waitRoles(t, db, cluster.RoleSuperseded, cluster.RoleWriter)
	why, said := log.why(nodes[0].Addr(), cluster.RoleSuperseded)
	require.True(t, said, "an event says so")
	require.Contains(t, why, "old primary on timeline 1")
	require.Contains(t, why, nodes[1].Addr()+" has been promoted to timeline 2")
	require.Contains(t, clusterOf(t, db).Stats().Nodes[0].Note, "old primary")
	acked := l.count()
	require.Eventually(t, func() bool { return l.count() > acked+200 }, 20*time.Second, time.Millisecond)
	require.Equal(t, picks, clusterOf(t, db).Stats().Nodes[0].Picks, "nothing goes to it")
	require.Equal(t, before, control(t, nodes[0], count))
	_, err := db.ExecContext(driver.WithNode(briefly(t), nodes[0].Addr()), "select 1")
	require.ErrorIs(t, err, driver.ErrNoNode, "not even what asks for it")
}

// check holds the acknowledged writes to what a server has.
func (l *journal) check(t *testing.T, s *pgtest.Server) {
	t.Helper()
	have := map[string]int{}
	for _, id := range strings.Fields(control(t, s, "select id from ledger where id > 0")) {
		have[id]++
	}
	for _, id := range l.acked {
		require.Equal(t, 1, have[fmt.Sprint(id)], "write %d was acknowledged", id)
		delete(have, fmt.Sprint(id))
	}
	for id, n := range have {
		require.Equal(t, 1, n, id)
		require.True(t, l.doubt[mustInt(t, id)], "write %s was reported as failed for certain", id)
	}
	t.Logf("%d writes acknowledged, %d in doubt", len(l.acked), len(l.doubt))
}

func mustInt(t *testing.T, s string) int {
	t.Helper()
	var n int
	_, err := fmt.Sscan(s, &n)
	require.NoError(t, err)
	return n
}

// One of two independent servers is made read-only by its configuration. The
// first refused write says so, long before the next probe; no write fails. It
// goes on reading only where nothing else does, and gets writes again when it
// takes them.
func TestServerIsMadeReadOnly(t *testing.T) {
	checkGoroutines(t)
	nodes, dsn := servers(t, 2)
	for _, s := range nodes {
		control(t, s, "create table ledger (id int)")
	}
	db, log := openRoles(t, dsn+"&balancer=round_robin&probe_interval=1m")
	waitRoles(t, db, cluster.RoleWriter, cluster.RoleWriter)
	require.NoError(t, nodes[0].Set("default_transaction_read_only", "on"))
	require.Eventually(t, func() bool {
		on, err := tryControl(nodes[0], "show default_transaction_read_only")
		return err == nil && on == "on"
	}, 20*time.Second, time.Millisecond)
	refused := func() int {
		log.mu.Lock()
		defer log.mu.Unlock()
		return log.retries["NotWritable"]
	}
	require.Eventually(t, func() bool { // backends read their configuration when they next wait for a command
		_, err := db.Exec("insert into ledger values (1)")
		require.NoError(t, err)
		return refused() > 0
	}, 20*time.Second, time.Millisecond)
	waitRoles(t, db, cluster.RoleReadOnly, cluster.RoleWriter)
	require.Eventually(t, func() bool { // the probe that the refusal asked for has the last word
		why, _ := log.why(nodes[0].Addr(), cluster.RoleReadOnly)
		return why == "default_transaction_read_only is on in its configuration"
	}, 20*time.Second, time.Millisecond)
	log.mu.Lock()
	require.ElementsMatch(t, []string{nodes[0].Addr() + " Writer", nodes[1].Addr() + " Writer"}, log.changes[:2])
	require.Empty(t, log.warned, "independent servers aren't compared")
	log.mu.Unlock()
	found, before := refused(), control(t, nodes[0], "select count(*) from ledger")
	require.Equal(t, []int64{0, 50}, picksDuring(t, db, func() {
		for i := range 50 {
			query := "insert into ledger values (2)"
			if i%2 == 0 {
				query = "select count(*) from ledger"
			}
			_, err := db.Exec(query)
			require.NoError(t, err)
		}
	}), "neither writes nor, with read_from=writers, reads")
	require.Equal(t, found, refused(), "one write found it out for all")
	require.Equal(t, before, control(t, nodes[0], "select count(*) from ledger"))

	other, _ := openRoles(t, dsn+"&balancer=round_robin")
	waitRoles(t, other, cluster.RoleReadOnly, cluster.RoleWriter)
	require.NoError(t, nodes[1].Set("default_transaction_read_only", "on"))
	waitRoles(t, other, cluster.RoleReadOnly, cluster.RoleReadOnly)
	require.Equal(t, []int64{10, 10}, picksDuring(t, other, func() {
		for range 20 {
			portOf(t, other)
		}
	}), "they are as current as before, and nobody else is there to read from")
	_, err := other.ExecContext(briefly(t), "insert into ledger values (3)")
	require.ErrorIs(t, err, driver.ErrNoNode)
	require.NoError(t, nodes[0].Set("default_transaction_read_only", "off"))
	waitRoles(t, other, cluster.RoleWriter, cluster.RoleReadOnly)
	_, err = other.Exec("insert into ledger values (4)")
	require.NoError(t, err)
	require.Equal(t, "1", control(t, nodes[0], "select count(*) from ledger where id = 4"))
}

// A role of the database that begins every transaction as read-only has chosen
// that: all nodes stay writers, and the refusal is the statement's.
func TestReadOnlyRoleIsNoReadOnlyServer(t *testing.T) {
	nodes, dsn := servers(t, 2)
	for _, s := range nodes {
		control(t, s, "create table ledger (id int)")
		control(t, s, "create role report login")
		control(t, s, "alter role report set default_transaction_read_only = on")
		control(t, s, "grant all on ledger to report")
	}
	db, log := openRoles(t, strings.Replace(dsn, "postgres@", "report@", 1))
	waitRoles(t, db, cluster.RoleWriter, cluster.RoleWriter)
	for range 10 {
		_, err := db.Exec("insert into ledger values (1)")
		var op *driver.OpError
		require.ErrorAs(t, err, &op)
		require.Equal(t, []any{"25006", 1, driver.DefinitelyAborted}, []any{op.SQLState, op.Attempts, op.Outcome})
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	require.Len(t, log.changes, 2)
}

// The commit fence isn't examined on a standby, where it couldn't be, but before
// the promoted one gets its first write.
func TestFenceFollowsPromotion(t *testing.T) {
	old := pgtest.Start(t, pgtest.Options{})
	control(t, old, "create table ledger (id int)")
	promoted := old.Standby(t)
	dsn := listed([]*pgtest.Server{old, promoted}, "commit_fence=table", "fence_table=public.fence")
	control(t, old, "create table fence (id uuid primary key, aborted boolean not null default false, "+
		"at timestamptz not null default clock_timestamp())")
	db, _ := openRoles(t, dsn)
	waitRoles(t, db, cluster.RoleWriter, cluster.RoleReadOnly)
	_, err := db.Exec("insert into ledger values (1)")
	require.NoError(t, err)
	replicated(t, promoted, "select count(*) from fence", "1")
	require.NoError(t, old.Kill())
	require.NoError(t, promoted.Promote())
	require.Eventually(t, func() bool {
		_, err := db.Exec("insert into ledger values (2)")
		return err == nil
	}, 20*time.Second, time.Millisecond)
	require.Equal(t, "2", control(t, promoted, "select count(*) from fence"), "fenced there, too")
}

// A server that doesn't tell its timeline is used as before, and a warning says
// what can't be noticed.
func TestTimelineMayBeSecret(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	control(t, s, "create role plain login")
	control(t, s, "create table ledger (id int)")
	control(t, s, "grant all on ledger to plain")
	plain := strings.Replace(listed([]*pgtest.Server{s}, "probe_interval=10ms"), "postgres@", "plain@", 1)
	warnings := func() []string {
		db, log := openRoles(t, plain)
		for range 20 {
			_, err := db.Exec("insert into ledger values (1)")
			require.NoError(t, err)
		}
		log.mu.Lock()
		defer log.mu.Unlock()
		return slices.Clone(log.warned)
	}
	require.Empty(t, warnings())
	control(t, s, "revoke execute on function pg_control_checkpoint() from public")
	said := warnings()
	require.Len(t, said, 1)
	require.Contains(t, said[0], "doesn't tell its timeline")
}

// An engine whose probe doesn't tell the role: what the node refused is all that
// is known, and counts for a while.
func TestRefusalIsAllThatIsKnown(t *testing.T) {
	nodes, dsn := servers(t, 2)
	for _, s := range nodes {
		control(t, s, "create table ledger (id int)")
	}
	require.NoError(t, nodes[0].Set("default_transaction_read_only", "on"))
	require.Eventually(t, func() bool {
		on, err := tryControl(nodes[0], "show default_transaction_read_only")
		return err == nil && on == "on"
	}, 20*time.Second, time.Millisecond)
	db, log := openRoles(t, strings.Replace(dsn, "engine=independent", "engine=cockroachdb", 1)+"&balancer=round_robin&probe_interval=10ms")
	waitRoles(t, db, cluster.RoleWriter, cluster.RoleWriter)
	for i := range 50 {
		_, err := db.Exec("insert into ledger values ($1)", i)
		require.NoError(t, err)
	}
	why, found := log.why(nodes[0].Addr(), cluster.RoleReadOnly)
	require.True(t, found)
	require.Equal(t, "it has refused a write (25006)", why)
	log.mu.Lock()
	defer log.mu.Unlock()
	require.Less(t, log.retries["NotWritable"], 5, "one in five seconds, not each second write")
}

// A standby is promoted while its primary lives on: the old one is left at once,
// and what was open there can't be committed any more.
func TestPromotionBesideALivingPrimary(t *testing.T) {
	old := pgtest.Start(t, pgtest.Options{})
	control(t, old, "create table ledger (id int)")
	promoted := old.Standby(t)
	db, _ := openRoles(t, listed([]*pgtest.Server{old, promoted}))
	waitRoles(t, db, cluster.RoleWriter, cluster.RoleReadOnly)
	replicated(t, promoted, "select count(*) from ledger", "0")
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("insert into ledger values (1)")
	require.NoError(t, err)
	require.NoError(t, promoted.Promote())
	waitRoles(t, db, cluster.RoleSuperseded, cluster.RoleWriter)
	waitCut(t, db, 0) // a COMMIT on its way before that is in doubt
	err = tx.Commit()
	require.Error(t, err, "it would be lost")
	require.Equal(t, "0", control(t, old, "select count(*) from ledger"))
	for range 20 {
		_, err = db.Exec("insert into ledger values (2)")
		require.NoError(t, err)
	}
	require.Equal(t, "20", control(t, promoted, "select count(*) from ledger where id = 2"))
	require.Equal(t, "0", control(t, old, "select count(*) from ledger"))
	checkIdle(t, db)
}
