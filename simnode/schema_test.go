package simnode_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

func TestSchemasOnEveryNodeAndAfterRestarts(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		a, b := connect(t, sim, 1), connect(t, sim, 2)
		exec(t, a, "create schema app; create schema gone; create table app.t (id serial primary key, v text default 'x')")
		exec(t, b, "insert into app.t default values; drop schema gone; set search_path = app")
		require.Equal(t, "x", value(t, b, "select v from t where app.t.id = 1"))
		holds := func() {
			t.Helper()
			for n := range sim.Nodes() {
				conn := connect(t, sim, n+1)
				fails(t, conn, "42P06", "create schema app")
				fails(t, conn, "3F000", "drop schema gone")
				fails(t, conn, "2BP01", "drop schema app")
				require.Equal(t, "1", value(t, conn, "select count(*) from app.t"))
			}
			equalCaches(t, sim)
		}
		holds()
		for n := range sim.Nodes() {
			sim.Node(n + 1).Kill()()
			ready(t, sim)
			thaw := sim.Node(n + 1).Freeze()
			<-time.After(500 * time.Millisecond)
			thaw()
			ready(t, sim)
		}
		holds()
		var starts []simnode.Undo
		for _, n := range sim.Nodes() {
			starts = append(starts, n.Kill())
		}
		for _, start := range starts {
			start()
		}
		ready(t, sim)
		holds()
	})
}

// sqlState gives the SQLSTATE of a statement's error, "" without one, and the error
// itself if the server did not send it.
func sqlState(err error) string {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &pg):
		return pg.Code
	}
	return err.Error()
}

func TestTwoNodesCreateTheSame(t *testing.T) {
	for what, ddl := range map[string]string{
		"schema":       "create schema same",
		"table":        "create table app.same (id int primary key)",
		"table in one": "create schema if not exists same; create table same.t (id int primary key)",
	} {
		t.Run(what, func(t *testing.T) {
			virtual(t, simnode.Config{Latency: time.Millisecond}, func(t *testing.T, sim *simnode.Sim) {
				conns := []*pgx.Conn{connect(t, sim, 1), connect(t, sim, 2), connect(t, sim, 3)}
				exec(t, conns[0], "create schema app")
				for _, conn := range conns {
					exec(t, conn, "begin; "+ddl)
				}
				errs := make([]error, len(conns))
				var commits sync.WaitGroup
				for i, conn := range conns {
					// Ends with the answer to COMMIT.
					commits.Go(func() { _, errs[i] = conn.Exec(context.Background(), "commit") })
				}
				commits.Wait()
				won := 0
				for _, err := range errs {
					require.Contains(t, []string{"", "40001"}, sqlState(err))
					if err == nil {
						won++
					}
				}
				require.LessOrEqual(t, won, 1, "%v", errs)
				if won == 0 {
					exec(t, conns[2], ddl)
				}
				exec(t, conns[0], "begin")
				_, err := conns[0].Exec(context.Background(), ddl)
				require.Contains(t, []string{"42P06", "42P07"}, sqlState(err))
				equalCaches(t, sim)
			})
		})
	}
}

// A schema never goes while something is being made in it elsewhere, and nothing is
// ever in a schema that is gone.
func TestCreateInASchemaThatAnotherNodeDrops(t *testing.T) {
	for _, order := range []string{"create first", "drop first"} {
		for _, drop := range []string{"drop schema app", "drop schema app cascade"} {
			t.Run(order+", "+drop, func(t *testing.T) {
				virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
					creator, dropper := connect(t, sim, 1), connect(t, sim, 2)
					exec(t, creator, "create schema app")
					exec(t, creator, "begin; create table app.t (id int primary key); insert into app.t values (1)")
					exec(t, dropper, "begin; "+drop)
					first, second := creator, dropper
					if order == "drop first" {
						first, second = dropper, creator
					}
					exec(t, first, "commit")
					e := fails(t, second, "40001", "commit")
					require.Regexp(t, `Conflict on (schema "app"|relation with OID \d+)`, e.Detail)
					probe := connect(t, sim, 3)
					if order == "create first" {
						require.Equal(t, "1", value(t, probe, "select count(*) from app.t"))
					} else {
						fails(t, probe, "42P01", "select * from app.t")
						exec(t, probe, "create schema app; create table app.t (other int)")
					}
					equalCaches(t, sim)
				})
			})
		}
	}
}

func TestWritesInASchemaThatAnotherNodeDrops(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		writer, dropper := connect(t, sim, 1), connect(t, sim, 2)
		exec(t, writer, "create schema app; create table app.t (id int primary key)")
		exec(t, writer, "begin; insert into app.t values (1)")
		exec(t, dropper, "drop schema app cascade")
		fails(t, writer, "40001", "commit")
		fails(t, writer, "42P01", "insert into app.t values (1)")
		equalCaches(t, sim)
	})
}

// On one node the second waits for the first, and then sees what it did.
func TestCreateAndDropOfASchemaOnOneNode(t *testing.T) {
	virtual(t, simnode.Config{}, func(t *testing.T, sim *simnode.Sim) {
		one, two := connect(t, sim, 1), connect(t, sim, 1)
		waits := func(conn *pgx.Conn, sql string) (wait func() error) {
			done := make(chan error, 1)
			// Ends with the statement.
			go func() {
				_, err := conn.Exec(context.Background(), sql)
				done <- err
			}()
			synctest.Wait()
			require.Empty(t, done, "%s must wait", sql)
			return func() error { return <-done }
		}
		exec(t, one, "create schema app")
		exec(t, one, "begin; create table app.t (id int)")
		dropped := waits(two, "drop schema app")
		exec(t, one, "commit")
		e := serverError(t, dropped(), "2BP01")
		require.Equal(t, "table app.t depends on schema app", e.Detail)

		exec(t, one, "begin; create table app.u (id int)")
		dropped = waits(two, "drop schema app cascade")
		exec(t, one, "commit")
		require.NoError(t, dropped())
		fails(t, one, "3F000", "create table app.u (id int)")

		exec(t, one, "create schema app")
		exec(t, one, "begin; drop schema app")
		created := waits(two, "create table app.t (id int)")
		exec(t, one, "commit")
		serverError(t, created(), "3F000")

		exec(t, one, "begin; create schema app")
		created = waits(two, "create schema app")
		exec(t, one, "rollback")
		require.NoError(t, created())
		exec(t, one, "begin; drop schema app; create schema app")
		created = waits(two, "create schema if not exists app; create table app.t (id int)")
		exec(t, one, "commit")
		// The drop and the new schema have committed behind its back.
		require.Contains(t, []string{"", "3F000", "40001"}, sqlState(created()))
		equalCaches(t, sim)
	})
}

// Clients on every node create and drop the same schemas and tables: what is left
// stands in a schema that is there, on every node alike.
func TestSchemaRace(t *testing.T) {
	for seed := uint64(1); seed <= 4; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			virtual(t, simnode.Config{Seed: seed, Latency: time.Millisecond, Jitter: time.Millisecond}, func(t *testing.T, sim *simnode.Sim) {
				schemaRace(t, sim, seed)
			})
		})
	}
}

func schemaRace(t *testing.T, sim *simnode.Sim, seed uint64) {
	var clients sync.WaitGroup
	done := make([]map[string]int, 6)
	for i := range done {
		conn, random := connect(t, sim, 1+i%3), rand.New(rand.NewPCG(seed, uint64(i)))
		done[i] = map[string]int{}
		// Ends after its statements.
		clients.Go(func() {
			for range 60 {
				schema, table := "s"+string(rune('a'+random.IntN(2))), "t"+string(rune('a'+random.IntN(2)))
				sql := []string{
					"create schema " + schema, "drop schema " + schema, "drop schema " + schema + " cascade",
					fmt.Sprintf("create table %s.%s (id serial primary key)", schema, table),
					fmt.Sprintf("drop table %s.%s", schema, table),
					fmt.Sprintf("insert into %s.%s default values", schema, table),
				}[random.IntN(6)]
				_, err := conn.Exec(context.Background(), sql)
				code := sqlState(err)
				switch code {
				case "", "40001", "42P06", "3F000", "2BP01", "42P07", "42P01", "40P01":
				default:
					t.Errorf("%s: %v", sql, err)
				}
				done[i][code]++
			}
		})
	}
	clients.Wait()
	total := map[string]int{}
	for _, counts := range done {
		for code, n := range counts {
			total[code] += n
		}
	}
	t.Logf("SQLSTATEs: %v (replay: go test ./simnode -run 'TestSchemaRace/seed=%d')", total, seed)
	require.Positive(t, total[""])
	require.Positive(t, total["40001"], "a race without a conflict is none")
	probe := connect(t, sim, 2)
	for _, schema := range []string{"sa", "sb"} {
		_, err := probe.Exec(context.Background(), "drop schema "+schema+" cascade")
		require.Contains(t, []string{"", "3F000"}, sqlState(err))
		for _, table := range []string{"ta", "tb"} {
			fails(t, probe, "42P01", fmt.Sprintf("select * from %s.%s", schema, table))
		}
		// Every name is free again: nothing was left behind without a schema.
		exec(t, probe, "create schema "+schema)
		for _, table := range []string{"ta", "tb"} {
			exec(t, probe, fmt.Sprintf("create table %s.%s (id serial primary key)", schema, table))
		}
	}
	equalCaches(t, sim)
}
