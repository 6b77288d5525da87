package driver_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

var (
	strikesSeed  = flag.Uint64("strikes.seed", 1, "seed of the strike matrix")
	strikesOnly  = flag.Int("strikes.only", 0, "run this strike of the matrix only")
	strikesCount = flag.Int("strikes.count", 0, "number of strikes per target; 0 means the usual one")
)

// strikeWorkers is how many strikes are under way at a time. Most of a strike is waiting.
const strikeWorkers = 8

// strikeMatrix runs strikes against one target and keeps the books.
type strikeMatrix struct {
	name   string
	target *strikeTarget
	kinds  []*strikeKind
	next   atomic.Int64
	last   int64

	mu       sync.Mutex
	failures []string
	outcomes map[string]map[driver.Outcome]int
	fired    [3][256]int
	seen     [3][256]int64
	rows     map[int64]int64 // by id
	counts   map[int64]int64 // by worker
}

// TestVerdicts cuts, resets and freezes connections at every message of every
// kind of write, and compares what the caller is told with what the server holds.
func TestVerdicts(t *testing.T) {
	t.Run("postgres", func(t *testing.T) { newMatrix("postgres", postgresTarget(t)).run(t, 200) })
	t.Run("postgres_fenced", func(t *testing.T) {
		target := postgresTarget(t, installFence(t, sharedServer(t), "fences.strikes")...)
		target.fenced = true
		newMatrix("postgres_fenced", target).run(t, 300)
	})
}

// postgresTarget is the shared PostgreSQL server.
func postgresTarget(t *testing.T, params ...string) *strikeTarget {
	dsn, addr := sharedServer(t), shared.server.Addr()
	truth := openPgx(t)
	createStrikeTables(t, truth)
	params = append(params, "min_idle=1", "max_conns_per_node=3", "acquire_timeout=20s", "fence_resolve_timeout=20s")
	return &strikeTarget{
		addrs: []string{addr}, truth: truth, postgres: true, reuse: 50,
		open: func(lane *strikeLane, addrs []string) (*sql.DB, error) {
			cfg, err := driver.ParseConfig(withParams(strings.Replace(dsn, addr, addrs[0], 1), params...))
			cfg.DialFunc = lane.wires.dial
			return sql.OpenDB(driver.NewConnector(cfg)), err
		},
		settle: func(ctx context.Context, lane *strikeLane) error { return sessionsEnd(ctx, truth, &lane.wires) },
	}
}

// createStrikeTables makes the tables. The log has no key, so that it can hold a
// row twice.
func createStrikeTables(t *testing.T, truth *sql.DB) {
	t.Helper()
	for _, text := range []string{
		"drop table if exists strike_log", "drop table if exists strike_counter",
		"create table strike_log (id bigint, part bigint)", "create index on strike_log (id)", "create table strike_counter (id bigint primary key, n bigint)",
	} {
		_, err := truth.Exec(text)
		require.NoError(t, err)
	}
	for worker := range int64(strikeWorkers) {
		_, err := truth.Exec("insert into strike_counter values ($1, 0), ($2, 0)", worker+1, -worker-1)
		require.NoError(t, err)
	}
}

// sessionsEnd waits until every request on the open connections is answered, and
// PostgreSQL has ended the sessions of the closed ones.
func sessionsEnd(ctx context.Context, truth *sql.DB, wires *strikeWires) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		quiet, ended := wires.quiet()
		running := 0
		if quiet && len(ended) > 0 {
			err := truth.QueryRowContext(ctx, "select count(*) from pg_stat_activity where pid = any($1)", ended).Scan(&running)
			if err != nil {
				return err
			}
		}
		if quiet && running == 0 {
			wires.forget(ended)
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("quiet: %v, %d sessions are left: %w", quiet, running, ctx.Err())
		}
	}
}

func newMatrix(name string, target *strikeTarget) *strikeMatrix {
	m := &strikeMatrix{
		name: name, target: target, outcomes: map[string]map[driver.Outcome]int{},
		rows: map[int64]int64{}, counts: map[int64]int64{},
	}
	for _, k := range strikeKinds() {
		if target.postgres || !k.postgres {
			m.kinds = append(m.kinds, k)
			m.outcomes[k.name] = map[driver.Outcome]int{}
		}
	}
	return m
}

// run runs the strikes: so many, ten times as many with -long, or one.
func (m *strikeMatrix) run(t *testing.T, strikes int) {
	if *long {
		strikes *= 10
	}
	if *strikesCount > 0 {
		strikes = *strikesCount
	}
	m.last = int64(strikes)
	if *strikesOnly > 0 {
		m.next.Store(int64(*strikesOnly) - 1)
		m.last = int64(*strikesOnly)
	}
	began := time.Now()
	var workers sync.WaitGroup
	for worker := range int64(strikeWorkers) {
		workers.Go(func() { m.work(worker + 1) }) // ends with the last strike
	}
	workers.Wait()
	m.report(t, time.Since(began))
	for _, text := range m.failures {
		t.Error(text)
	}
	m.recheck(t)
	if *strikesOnly == 0 && *strikesCount == 0 && !t.Failed() {
		m.checkCoverage(t)
	}
}

func (m *strikeMatrix) work(worker int64) {
	var lane *strikeLane
	for {
		n := m.next.Add(1)
		if n > m.last {
			break
		}
		c := drawStrike(*strikesSeed, int(n), m.kinds)
		var res strikeResult
		var err error
		if lane == nil || lane.used >= m.target.reuse || c.state == strikeCold {
			err = lane.close()
			if lane = nil; err == nil {
				lane, err = openLane(m.target, worker)
			}
		}
		if err == nil {
			res, err = c.run(lane)
		}
		if err == nil {
			err = c.judge(res, m.target.fenced)
		}
		m.note(c, res, worker, err)
	}
	if err := lane.close(); err != nil {
		m.fail(fmt.Sprintf("close the last lane: %v", err))
	}
}

func (m *strikeMatrix) fail(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failures = append(m.failures, text)
}

// note keeps the books on a strike.
func (m *strikeMatrix) note(c *strike, res strikeResult, worker int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.failures = append(m.failures, fmt.Sprintf("%v: %v\n\treplay: go test ./driver -run '^TestVerdicts$/^%s$' -strikes.seed %d -strikes.only %d",
			c, err, m.name, c.seed, c.number))
	}
	if res.truth {
		m.rows[int64(c.number)] = res.rows
	}
	m.outcomes[c.kind.name][driver.OutcomeOf(res.err)]++
	m.counts[worker] += res.count
	for _, p := range res.fired {
		m.fired[p.dir][p.typ]++
	}
	for dir := range res.seen {
		for typ, n := range res.seen[dir] {
			m.seen[dir][typ] += n
		}
	}
}

// report logs what the strikes met.
func (m *strikeMatrix) report(t *testing.T, took time.Duration) {
	outcomes := []driver.Outcome{driver.Committed, driver.NotSent, driver.DefinitelyAborted, driver.CommitSent, driver.Unknown}
	t.Logf("seed %d, %d strikes in %v", *strikesSeed, len(m.rows), took.Round(time.Millisecond))
	for _, k := range m.kinds {
		line := fmt.Sprintf("%-26s", k.name)
		for _, out := range outcomes {
			line += fmt.Sprintf(" %v %4d", out, m.outcomes[k.name][out])
		}
		t.Log(line)
	}
	for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
		var counts []string
		for typ, n := range m.fired[dir] {
			if n > 0 || m.seen[dir][typ] > 0 {
				counts = append(counts, fmt.Sprintf("%s:%d/%d", faultproxy.TypeName(dir, byte(typ)), n, m.seen[dir][typ]))
			}
		}
		t.Logf("faults at messages %v, of those seen: %s", dir, strings.Join(counts, " "))
	}
}

// recheck reads everything once more: what was true after each strike must still be.
func (m *strikeMatrix) recheck(t *testing.T) {
	rows, err := m.target.truth.Query("select id, count(*) from strike_log where id > 0 group by id")
	require.NoError(t, err)
	defer rows.Close()
	found := map[int64]int64{}
	for rows.Next() {
		var id, n int64
		require.NoError(t, rows.Scan(&id, &n))
		found[id] = n
	}
	require.NoError(t, rows.Err())
	for id, n := range m.rows {
		require.Equal(t, n, found[id], "rows of strike %d have come or gone after its end", id)
	}
	for worker, n := range m.counts {
		var now int64
		require.NoError(t, m.target.truth.QueryRow("select n from strike_counter where id = $1", worker).Scan(&now))
		require.Equal(t, n, now, "counter of worker %d", worker)
	}
}

// checkCoverage holds that the matrix has met what it is for: a fault at every
// required type of message, and every outcome.
func (m *strikeMatrix) checkCoverage(t *testing.T) {
	toServer, toClient := requiredToServer, requiredToClient
	if m.target.postgres {
		toServer, toClient = toServer+"dc", toClient+"G"
	}
	for dir, types := range map[faultproxy.Direction]string{faultproxy.ToServer: toServer, faultproxy.ToClient: toClient} {
		for _, typ := range []byte(types) {
			require.Positive(t, m.fired[dir][typ], "no fault at any of %d messages %s %v", m.seen[dir][typ], faultproxy.TypeName(dir, typ), dir)
		}
	}
	wanted := []driver.Outcome{driver.Committed, driver.DefinitelyAborted, driver.CommitSent}
	for _, out := range wanted {
		require.True(t, slices.ContainsFunc(m.kinds, func(k *strikeKind) bool { return m.outcomes[k.name][out] > 0 }), "%v never occurred", out)
	}
}
