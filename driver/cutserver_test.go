package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// cutServer is what cuts are made in front of.
type cutServer struct {
	name    string
	cuts    int                       // in an ordinary run
	workers int                       // at the same time, each with its own proxy and its own DB: most of their time is spent waiting
	nodes   []string                  // addresses
	dsn     func(hosts string) string // of the way through proxies at these addresses
	truth   []string                  // DSNs of the ways around the proxies, by node
	fence   []string
	copies  bool
	forks   bool               // a connection costs it a process
	settled func(t *testing.T) // returns when no session of a cut is left

	// drop makes every node lose its answer to the next commit, until undone; nil
	// where a server can't.
	drop func(t *testing.T, point simnode.CommitPoint) (undo func())
}

// cutTraits are what a plan has to know of the server.
type cutTraits struct{ copies, fence, drops, forks bool }

func (s *cutServer) traits() cutTraits {
	return cutTraits{copies: s.copies, fence: s.fence != nil, drops: s.drop != nil, forks: s.forks}
}

func postgresCuts(t *testing.T) *cutServer {
	dsn := sharedServer(t)
	base := strings.Replace(dsn, "sslmode=disable", "application_name=cuts", 1)
	require.NotEqual(t, dsn, base)
	return &cutServer{
		// Every cut costs the server a process, and one more if the request to
		// cancel that pgx sends after it gets through, so there are fewer here.
		name: "postgres", cuts: 400, workers: 6, nodes: []string{shared.server.Addr()}, truth: []string{dsn}, copies: true, forks: true,
		dsn:   func(hosts string) string { return strings.Replace(base, shared.server.Addr(), hosts, 1) },
		fence: installFence(t, dsn, "fences.cuts"),
		settled: func(t *testing.T) {
			truth := openPgx(t)
			require.Eventually(t, func() bool {
				var n int
				require.NoError(t, truth.QueryRow("select count(*) from pg_stat_activity where application_name = 'cuts'").Scan(&n))
				return n == 0
			}, 30*time.Second, time.Millisecond)
		},
	}
}

// simulatorCuts has three nodes behind each DB: what is cut on one can be tried
// again on another.
func simulatorCuts(t *testing.T) *cutServer {
	sim := startSim(t, simnode.Config{MaxConnections: 1000})
	s := &cutServer{
		name: "simulator", cuts: 1_600, workers: 12,
		dsn: func(hosts string) string { return "postgres://postgres@" + hosts + "/postgres?connect_timeout=5" },
		settled: func(t *testing.T) {
			require.Eventually(t, func() bool {
				for _, n := range sim.Nodes() {
					if n.Status().Connections > 0 {
						return false
					}
				}
				return true
			}, 30*time.Second, time.Millisecond)
		},
		drop: func(t *testing.T, point simnode.CommitPoint) func() {
			var undos []simnode.Undo
			for _, n := range sim.Nodes() {
				undo, err := n.DropCommitReply(point, 1)
				if err != nil {
					t.Error(err)
					continue
				}
				undos = append(undos, undo)
			}
			return func() {
				for _, undo := range undos {
					undo()
				}
			}
		},
	}
	for _, n := range sim.Nodes() {
		s.nodes = append(s.nodes, n.Addr())
		s.truth = append(s.truth, s.dsn(n.Addr())+"&sslmode=disable")
	}
	s.fence = usableFence(t, s.truth[0], "fences.cuts")
	countDrops(t, sim)
	return s
}

// countDrops reports in the end how many answers to commits the simulator has
// lost.
func countDrops(t *testing.T, sim *simnode.Sim) {
	events, stop := sim.Watch()
	lost := 0
	var counting sync.WaitGroup
	counting.Go(func() { // ends when stop closes the channel
		for e := range events {
			if e.Kind == "cut" {
				lost++
			}
		}
	})
	t.Cleanup(func() {
		stop()
		counting.Wait()
		t.Logf("the simulator has lost %d answers to commits", lost)
	})
}

// usableFence installs a fence table and returns the parameters that use it, or
// nil if the server's catalog doesn't tell what the driver asks of it.
func usableFence(t *testing.T, dsn, table string) []string {
	params := installFence(t, dsn, table)
	db, err := sql.Open(driver.Name, patient(withParams(dsn, params...)))
	require.NoError(t, err)
	err = db.Ping()
	require.NoError(t, db.Close())
	var unusable *driver.FenceError
	if errors.As(err, &unusable) {
		t.Logf("without the commit fence: %v", err)
		return nil
	}
	require.NoError(t, err)
	return params
}

// numbers are those of the cuts of this run.
func (s *cutServer) numbers() (from, to int) {
	switch {
	case *cutOnly >= 0:
		return *cutOnly, *cutOnly + 1
	case *cutCount > 0:
		return 0, *cutCount
	case *long:
		return 0, 10 * s.cuts
	case os.Getenv(pgtest.RequireEnv) != "" && !raceEnabled:
		return 0, s.cuts
	default:
		return 0, s.cuts / 4 // enough for every message
	}
}

// prepare makes the tables.
func (s *cutServer) prepare(t *testing.T) {
	db, err := sql.Open("pgx", s.truth[0])
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, text := range cutSchema {
		_, err := db.Exec(text)
		require.NoError(t, err)
	}
	for slot := range s.workers {
		_, err := db.Exec("insert into cut_counters values ($1, 0)", slot)
		require.NoError(t, err)
	}
}

// readTruths reads what was written from every node. They must agree.
func (s *cutServer) readTruths(t *testing.T) []*cutTruth {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var truths []*cutTruth
	for i, dsn := range s.truth {
		db, err := sql.Open("pgx", dsn)
		require.NoError(t, err)
		truth, err := readTruth(ctx, db)
		require.NoError(t, err)
		require.NoError(t, db.Close())
		truths = append(truths, truth)
		if !reflect.DeepEqual(truth, truths[0]) {
			t.Errorf("nodes 0 and %d have different rows", i)
		}
	}
	return truths
}

// visits are the nodes that gave connections to the current work.
type visits struct {
	mu    sync.Mutex
	nodes []string
}

func (v *visits) add(node string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nodes = append(v.nodes, node)
}

func (v *visits) clear() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.nodes = nil
}

// routes translates the addresses of a proxy.
func (v *visits) routes(proxy *faultproxy.Proxy) (routes []int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, node := range v.nodes {
		for route, addr := range proxy.Addrs() {
			if addr.String() == node {
				routes = append(routes, route)
			}
		}
	}
	return routes
}
