package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
)

// listSim returns a data source name of some nodes, from 1, of a simulated cluster.
func listSim(sim *simnode.Sim, params string, nodes ...int) string {
	var addrs []string
	for _, i := range nodes {
		addrs = append(addrs, sim.Node(i).Addr())
	}
	return "postgres://postgres@" + strings.Join(addrs, ",") + "/postgres?sslmode=disable" + params
}

// openSome opens the driver on some nodes of a simulated cluster, in virtual time.
// What is warned of is a failure.
func openSome(t *testing.T, sim *simnode.Sim, params string, nodes ...int) (*sql.DB, *cluster.Cluster) {
	t.Helper()
	cfg, err := driver.ParseConfig(listSim(sim, params, nodes...))
	require.NoError(t, err)
	cfg.Seed, cfg.DialFunc = 1, sim.Dial
	cfg.Events.Warned = func(message string) { t.Error("warned:", message) }
	db := sql.OpenDB(driver.NewConnector(cfg))
	for i := range nodes {
		waitState(t, db, i, health.Up)
	}
	return db, clusterOf(t, db)
}

func config(t *testing.T, dsn string) driver.Config {
	t.Helper()
	cfg, err := driver.ParseConfig(dsn)
	require.NoError(t, err)
	return cfg
}

// addrs lists the nodes as Stats has them, with their notes.
func addrs(c *cluster.Cluster) []string {
	var out []string
	for _, n := range c.Stats().Nodes {
		line := n.Addr
		if n.Note != "" {
			line += ": " + n.Note
		}
		out = append(out, line)
	}
	return out
}

// insertions inserts rows from eight goroutines until stop is closed.
func insertions(t *testing.T, db *sql.DB, stop <-chan struct{}) (running *sync.WaitGroup, done *atomic.Int64) {
	running, done = &sync.WaitGroup{}, &atomic.Int64{}
	for range 8 {
		running.Go(func() { // ends when stop is closed
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				began := time.Now()
				_, err := db.ExecContext(t.Context(), "insert into rows (id) values ($1)", done.Add(1))
				if assert.NoError(t, err) {
					assert.Less(t, time.Since(began), 100*time.Millisecond)
				}
			}
		})
	}
	return running, done
}

// TestNodesAreExchangedUnderLoad: the nodes of a DB are replaced by others, one, all
// and back, while it is used. Nobody notices, and what runs on a node that is taken
// out goes on.
func TestNodesAreExchangedUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 5, InMemory: true})
		db, c := openSome(t, sim, "&min_idle=3", 1, 2, 3)
		defer func() { require.NoError(t, db.Close()) }()
		var mu sync.Mutex
		var log []string
		defer c.Listen(cluster.EventListener{NodesChanged: func(added, removed []string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprintf("+%d -%d", len(added), len(removed)))
		}})()
		_, err := db.ExecContext(t.Context(), "create table rows (id int primary key)")
		require.NoError(t, err)
		stop := make(chan struct{})
		running, inserted := insertions(t, db, stop)
		time.Sleep(time.Second)

		tx, err := db.BeginTx(driver.WithNode(t.Context(), sim.Node(1).Addr()), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "insert into rows (id) values (-1)")
		require.NoError(t, err)

		kept := c.Stats().Nodes[1]
		require.NoError(t, c.SetNodes(t.Context(), config(t, listSim(sim, "&min_idle=3", 4, 2, 3))))
		stats := c.Stats().Nodes
		require.GreaterOrEqual(t, stats[0].Conns, 3, "it was made ready before")
		require.Equal(t, kept.Opened, stats[1].Opened, "a node that stays keeps its connections")
		require.Equal(t, []string{
			sim.Node(4).Addr(), sim.Node(2).Addr(), sim.Node(3).Addr(),
			sim.Node(1).Addr() + ": has been taken out; what runs there goes on",
		}, addrs(c))
		time.Sleep(4 * time.Second)
		gone, share := c.Stats().Nodes[3], c.Stats().Nodes[0].Picks-stats[0].Picks
		require.Equal(t, 1, gone.Conns, "only the transaction's")
		require.Equal(t, 1, gone.InFlight)
		require.InDelta(t, 4*8*50/3, share, 4*8*50/10, "the new node has its share")

		_, err = tx.ExecContext(t.Context(), "insert into rows (id) values (-2)")
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		time.Sleep(time.Second)
		require.Len(t, addrs(c), 3, "the last to leave")
		_, err = db.ExecContext(driver.WithNode(t.Context(), sim.Node(1).Addr()), "select 1")
		require.ErrorContains(t, err, "no node has the address")

		require.NoError(t, c.SetNodes(t.Context(), config(t, listSim(sim, "&min_idle=3", 1, 5))))
		time.Sleep(time.Second)
		require.Equal(t, []string{sim.Node(1).Addr(), sim.Node(5).Addr()}, addrs(c))
		require.Contains(t, c.String(), sim.Node(5).Addr())
		require.NotContains(t, c.String(), sim.Node(2).Addr())
		close(stop)
		running.Wait()
		checkIdle(t, db)
		require.Equal(t, []string{"+1 -1", "+2 -3"}, log)
		var rows int64
		require.NoError(t, db.QueryRowContext(t.Context(), "select count(*) from rows").Scan(&rows))
		require.Equal(t, inserted.Load()+2, rows)
		for _, n := range c.Stats().Nodes {
			require.Zero(t, n.Errors, "%s", n.Addr)
		}
	})
}

// TestExchangeOfTheWayIn: another user at the same addresses is another set of
// nodes, one server for one server. Neither is taken for a second name of the other.
func TestExchangeOfTheWayIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true})
		db, c := openSome(t, sim, "", 1, 2, 3)
		defer func() { require.NoError(t, db.Close()) }()
		_, err := db.ExecContext(t.Context(), "create table rows (id int primary key)")
		require.NoError(t, err)
		stop := make(chan struct{})
		running, _ := insertions(t, db, stop)
		before := c.Stats()
		for _, name := range []string{"first", "second"} {
			time.Sleep(time.Second)
			next := listSim(sim, "&application_name="+name, 1, 2, 3)
			require.NoError(t, c.SetNodes(t.Context(), config(t, next)))
			time.Sleep(time.Second)
			require.Len(t, addrs(c), 3)
			for i, n := range c.Stats().Nodes {
				require.Empty(t, n.Note)
				require.Equal(t, before.Nodes[i].Addr, n.Addr)
				require.Positive(t, n.Ops)
			}
			var app string
			require.NoError(t, db.QueryRowContext(t.Context(), "select current_setting('application_name')").Scan(&app))
			require.Equal(t, name, app)
		}
		close(stop)
		running.Wait()
	})
}

// TestExchangeThatFails: if a new node can't be made ready, nothing changes.
func TestExchangeThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 4, InMemory: true})
		db, c := openSome(t, sim, "", 1, 2, 3)
		defer func() { require.NoError(t, db.Close()) }()
		before := addrs(c)
		sim.Node(4).Kill()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		first := make(chan error, 1)
		go func() { // ends with ctx
			first <- c.SetNodes(ctx, config(t, listSim(sim, "", 2, 3, 4)))
		}()
		time.Sleep(time.Second)
		impatient, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		err := c.SetNodes(impatient, config(t, listSim(sim, "", 1, 2)))
		require.ErrorContains(t, err, "another change of the nodes is under way")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		err = <-first
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "nothing has changed, since node "+sim.Node(4).Addr()+" isn't ready: it Down")
		time.Sleep(time.Second)
		require.Equal(t, before, addrs(c))

		for want, dsn := range map[string]string{
			"Settings.MaxConnsPerNode can't be changed from 16 to 3": listSim(sim, "&max_conns_per_node=3", 1, 2, 3),
			"Settings.Balancer can't be changed from p2c to random":  listSim(sim, "&balancer=random", 1, 2, 3),
			"default_query_exec_mode can't be changed from":          listSim(sim, "&default_query_exec_mode=exec", 1, 2, 3),
			"default_transaction_read_only can't be changed":         listSim(sim, "&default_transaction_read_only=on", 1, 2, 3),
		} {
			require.ErrorContains(t, c.SetNodes(t.Context(), config(t, dsn)), want)
		}
		require.ErrorContains(t, c.SetNodes(t.Context(), driver.Config{}), "names no node")
		require.Equal(t, before, addrs(c))
	})
}

// TestFrozenNodeThatIsLeavingIsCut: a node that was taken out is watched as long as
// something runs there, so that nobody waits for it when it freezes.
func TestFrozenNodeThatIsLeavingIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{InMemory: true})
		db, c := openSome(t, sim, "", 1, 2, 3)
		defer func() { require.NoError(t, db.Close()) }()
		running := make(chan error, 1)
		go func() { // ends with the statement
			_, err := db.ExecContext(driver.WithNode(t.Context(), sim.Node(1).Addr()), "select pg_sleep(60)")
			running <- err
		}()
		time.Sleep(time.Second)
		require.NoError(t, c.SetNodes(t.Context(), config(t, listSim(sim, "", 2, 3))))
		frozen := sim.Node(1).Freeze()
		began := time.Now()
		require.Error(t, <-running)
		require.Less(t, time.Since(began), time.Second)
		time.Sleep(time.Second)
		require.Len(t, addrs(c), 2)
		frozen()
	})
}

// TestPlacesOfNodesAreUsedAgain: nodes may come and go for ever, and weights may be
// others each time.
func TestPlacesOfNodesAreUsedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 4, InMemory: true})
		db, c := openSome(t, sim, "&balancer=weighted&weights=1,1", 1, 2)
		defer func() { require.NoError(t, db.Close()) }()
		for i := range 300 { // more than there are places
			a, b := 1+i%4, 1+(i+1)%4
			require.NoError(t, c.SetNodes(t.Context(), config(t, listSim(sim, "&balancer=weighted&weights=3,1", a, b))))
			require.NoError(t, db.PingContext(t.Context()))
		}
		time.Sleep(time.Second)
		require.Len(t, addrs(c), 2)
		before := c.Stats().Nodes
		for range 400 {
			_, err := db.ExecContext(t.Context(), "select 1")
			require.NoError(t, err)
		}
		after := c.Stats().Nodes
		require.InDelta(t, 300, after[0].Picks-before[0].Picks, 5)
		require.InDelta(t, 100, after[1].Picks-before[1].Picks, 5)
	})
}

// TestCloseEndsAnExchange: Close waits for nobody who waits for a new node.
func TestCloseEndsAnExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := startSim(t, simnode.Config{Nodes: 4, InMemory: true})
		db, c := openSome(t, sim, "", 1, 2, 3)
		sim.Node(4).Freeze()
		waiting := make(chan error, 1)
		go func() { // ends when the DB is closed
			waiting <- c.SetNodes(context.Background(), config(t, listSim(sim, "", 4)))
		}()
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(t, db.Close())
		require.ErrorIs(t, <-waiting, driver.ErrClosed)
		require.Less(t, time.Since(began), time.Second)
		require.ErrorIs(t, c.SetNodes(t.Context(), config(t, listSim(sim, "", 1))), driver.ErrClosed)
	})
}

// TestNewCredential: a DB goes over to another role while it is used. The sessions
// of the old one end by themselves; a wrong password changes nothing and is printed
// nowhere.
func TestNewCredential(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Password: "first"})
	control := openDSN(t, withParams(server.DSN(), "max_conns_per_node=2"))
	for _, sql := range []string{
		"create role app login password 'old secret'", "create role fresh login password 'new secret'",
		"create table rows (id int primary key)", "grant all on rows to app, fresh",
	} {
		_, err := control.ExecContext(t.Context(), sql)
		require.NoError(t, err)
	}
	as := func(role, password string) driver.Config {
		u, err := url.Parse(server.DSN())
		require.NoError(t, err)
		u.User = url.UserPassword(role, password)
		return config(t, withParams(u.String(), "min_idle=2", "acquire_timeout=10s"))
	}
	sessions := func(role string) (n int) {
		require.NoError(t, control.QueryRowContext(t.Context(),
			"select count(*) from pg_stat_activity where usename = $1", role).Scan(&n))
		return n
	}
	db := sql.OpenDB(driver.NewConnector(as("app", "old secret")))
	defer func() { require.NoError(t, db.Close()) }()
	require.NoError(t, db.PingContext(t.Context()))
	c := clusterOf(t, db)
	stop := make(chan struct{})
	var running sync.WaitGroup
	var done atomic.Int64
	for range 4 {
		running.Go(func() { // ends when stop is closed
			for {
				select {
				case <-stop:
					return
				default:
					_, err := db.ExecContext(context.Background(), "insert into rows (id) values ($1)", done.Add(1))
					assert.NoError(t, err)
				}
			}
		})
	}
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "insert into rows (id) values (-1)")
	require.NoError(t, err)

	err = c.SetNodes(t.Context(), as("fresh", "wrong secret"))
	require.ErrorContains(t, err, "nothing has changed, since node "+server.Addr()+" refuses this client")
	require.ErrorContains(t, err, "28P01")
	require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), "secret")
	require.Positive(t, sessions("app"))

	require.NoError(t, c.SetNodes(t.Context(), as("fresh", "new secret")))
	require.GreaterOrEqual(t, sessions("fresh"), 3, "two idle ones, and the prober's")
	require.Eventually(t, func() bool { return sessions("app") == 2 }, 10*time.Second, 10*time.Millisecond,
		"the transaction's, and the prober's")
	require.NoError(t, tx.Commit())
	require.Eventually(t, func() bool { return sessions("app") == 0 }, 10*time.Second, 10*time.Millisecond)
	close(stop)
	running.Wait()
	var rows int64
	require.NoError(t, db.QueryRowContext(t.Context(), "select count(*) from rows").Scan(&rows))
	require.Equal(t, done.Load()+1, rows)
	require.Empty(t, c.Stats().Nodes[0].Note)
}
