package availability_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/availability"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// nodes is the size of every cluster here; sick is the index of the one that is
// hurt: the first, which is the one that plain pgx uses of several.
const (
	nodes = 3
	sick  = 0
)

// target is a cluster under test.
type target struct {
	name string
	// virtual is true in testing/synctest: times don't depend on the machine, and are
	// free.
	virtual bool
	// dsn names all nodes; each has one DSN per node and addrs its address, by the way
	// that the load takes.
	dsn         string
	each, addrs []string
	// patience is what the driver is given besides: in real time a starved machine,
	// whose servers need more than a second for an answer, must not look like a failure.
	patience string
	open     func(t *testing.T) *sql.DB // the driver
	truth    []*sql.DB                  // all databases that hold a part of it
	sim      *simnode.Sim
	server   []*pgtest.Server
	proxy    []*faultproxy.Proxy // of servers, if the connections lead through proxies
}

// clusterOf returns the driver's cluster under a DB.
func clusterOf(t *testing.T, db *sql.DB) *cluster.Cluster {
	t.Helper()
	c, err := driver.FromDB(db)
	require.NoError(t, err)
	return c
}

// fenced is the DSN parameter that turns the commit fence on.
const fenced = "&commit_fence=table"

// simTarget starts a simulated cluster, over TCP or in memory; params are added to
// its DSN.
func simTarget(t *testing.T, inMemory bool, params string) *target {
	t.Helper()
	cfg := simnode.Config{InMemory: inMemory, Seed: 7}
	if inMemory {
		cfg.Latency = 100 * time.Microsecond // of links between nodes: a commit takes some time
	}
	sim, err := simnode.Start(context.Background(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	out := &target{name: "simulator", virtual: inMemory, dsn: sim.DSN(), sim: sim}
	for _, n := range sim.Nodes() {
		out.addrs = append(out.addrs, n.Addr())
		out.each = append(out.each, fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", n.Addr()))
	}
	if inMemory {
		out.name = "simulator in virtual time"
	} else {
		out.patience = patience()
	}
	config := func() driver.Config {
		cfg, err := driver.ParseConfig(sim.DSN() + params + out.patience)
		require.NoError(t, err)
		cfg.Seed = 1
		if inMemory {
			cfg.DialFunc = sim.Dial
		}
		return cfg
	}
	if params == fenced {
		require.NoError(t, cluster.InstallFence(context.Background(), config()))
	}
	out.open = func(t *testing.T) *sql.DB {
		t.Helper()
		db := sql.OpenDB(driver.NewConnector(config()))
		db.SetMaxIdleConns(availability.DefaultWorkers)
		return db
	}
	db := out.open(t)
	require.NoError(t, availability.Setup(context.Background(), db))
	require.NoError(t, db.Close())
	return out
}

// patience is what is added to a DSN in real time, but not for the report, which is
// about the defaults.
func patience() string {
	if *write {
		return ""
	}
	return "&acquire_timeout=20s"
}

// user is the role of the load on PostgreSQL: no superuser, so that limits hold
// for it.
const user = "availability"

// postgresServers starts three independent servers.
func postgresServers(t *testing.T) []*pgtest.Server {
	t.Helper()
	var servers []*pgtest.Server
	for range nodes {
		s := pgtest.Start(t, pgtest.Options{})
		admin(t, s, "create role "+user+" login; grant create on schema public to "+user)
		servers = append(servers, s)
	}
	return servers
}

// admin runs commands on one server as a superuser.
func admin(t *testing.T, s *pgtest.Server, commands string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	require.NoError(t, err)
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.PgConn().Exec(ctx, commands).ReadAll()
	require.NoError(t, err)
}

// postgresTarget prepares the servers for one cell.
func postgresTarget(t *testing.T, servers []*pgtest.Server, proxied bool) *target {
	t.Helper()
	out := &target{name: "PostgreSQL 15 × 3", server: servers, patience: patience()}
	for _, s := range servers {
		addr := s.Addr()
		db, err := sql.Open("pgx", fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", user, addr))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		require.NoError(t, availability.Setup(context.Background(), db))
		out.truth = append(out.truth, db)
		if proxied {
			cfg, err := faultproxy.TCP(addr)
			require.NoError(t, err)
			p, err := faultproxy.Start(cfg)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, p.Close()) })
			out.proxy = append(out.proxy, p)
			addr = p.Addr().String()
		}
		out.addrs = append(out.addrs, addr)
		out.each = append(out.each, fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", user, addr))
	}
	out.dsn = fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", user, strings.Join(out.addrs, ","))
	out.open = func(t *testing.T) *sql.DB {
		t.Helper()
		db, err := sql.Open(driver.Name, out.dsn+"&engine=independent"+out.patience)
		require.NoError(t, err)
		db.SetMaxIdleConns(availability.DefaultWorkers)
		return db
	}
	return out
}

// compare reads the truth.
func (g *target) compare(t *testing.T, r availability.Record) availability.Truth {
	t.Helper()
	dbs := g.truth
	if dbs == nil {
		db := g.open(t)
		defer func() { require.NoError(t, db.Close()) }()
		dbs = []*sql.DB{db}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	truth, err := availability.Compare(ctx, r, dbs...)
	require.NoError(t, err)
	return truth
}

// waitUp waits until all nodes serve.
func waitUp(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	require.Eventually(t, func() bool { return serving(c) == nodes }, 30*time.Second, 5*time.Millisecond, "not all nodes are up: %v", c.Stats())
}

// serving counts the nodes that are given work.
func serving(c *cluster.Cluster) int {
	n := 0
	for _, s := range c.Stats().Nodes {
		if s.State == health.Up || s.State == health.Recovering {
			n++
		}
	}
	return n
}

// statesInto returns a listener that notes the states in which nodes come.
func statesInto(mu *sync.Mutex, states *[]string) cluster.EventListener {
	return cluster.EventListener{StateChanged: func(_ string, to health.State, _ health.Reason) {
		mu.Lock()
		defer mu.Unlock()
		*states = append(*states, to.String())
	}}
}
