package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/internal/pgtest"
)

func TestBadDSN(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u:topsecret@h:1/db?blancer=p2c",
		"postgres://u:topsecret@h:notaport/db",
		"postgres://u:topsecret@h:1,h:2,h:3:4/db",
		"host=h password=topsecret max_conns_per_node=none",
		"postgres://u:topsecret@h:1/db?target_session_attrs=standby",
	} {
		_, err := sql.Open("anywriter", dsn)
		require.Error(t, err, dsn)
		require.NotContains(t, err.Error(), "topsecret")
	}
	_, err := sql.Open("anywriter", "postgres://h/db?blancer=p2c")
	require.ErrorContains(t, err, "balancer", "the nearest key is named")
	db := sql.OpenDB(driver.NewConnector(driver.Config{}))
	require.ErrorContains(t, db.Ping(), "DSNs or Nodes")
	require.NoError(t, db.Close())
}

func TestWrongPassword(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{Password: "right horse"})
	checkGoroutines(t)
	wrong := strings.Replace(s.DSN(), "right", "topsecret", 1)
	require.NotEqual(t, s.DSN(), wrong)
	db := openDSN(t, wrong)
	for range 3 {
		began := time.Now()
		_, err := db.Exec("select 1")
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
		require.Equal(t, "28P01", pgErr.Code)
		require.NotContains(t, err.Error(), "topsecret")
		require.Contains(t, err.Error(), s.Addr())
		require.Less(t, time.Since(began), 10*time.Second, "it doesn't wait for acquire_timeout")
		require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
	}
	require.NoError(t, openDSN(t, s.DSN()).Ping())
}

func TestNobodyThere(t *testing.T) {
	checkGoroutines(t)
	db := openDSN(t, "postgres://u:topsecret@127.0.0.1:1,127.0.0.1:2/db?sslmode=disable&acquire_timeout=300ms")
	began := time.Now()
	_, err := db.Exec("select 1")
	require.ErrorIs(t, err, driver.ErrNoNode)
	require.Equal(t, driver.NotSent, driver.OutcomeOf(err))
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 3, err.Error())
	require.Contains(t, lines[1], "127.0.0.1:1:")
	require.Contains(t, lines[2], "refused")
	require.NotContains(t, err.Error(), "topsecret")
	require.Less(t, time.Since(began), 20*time.Second)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	err = db.PingContext(ctx)
	require.ErrorIs(t, err, driver.ErrNoNode)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// A peer that isn't PostgreSQL answers something else, or nothing at all.
func TestStrangePeer(t *testing.T) {
	for name, answer := range map[string]string{"http": "HTTP/1.1 400 Bad Request\r\n\r\n", "silent": ""} {
		t.Run(name, func(t *testing.T) {
			checkGoroutines(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer l.Close()
			go func() { // ends when the listener is closed
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					if answer != "" {
						_, _ = c.Write([]byte(answer))
						_ = c.Close()
					} else {
						t.Cleanup(func() { c.Close() })
					}
				}
			}()
			db := openDSN(t, "postgres://u@"+l.Addr().String()+"/db?sslmode=disable&acquire_timeout=400ms")
			began := time.Now()
			err = db.Ping()
			require.ErrorIs(t, err, driver.ErrNoNode)
			require.Contains(t, err.Error(), l.Addr().String())
			if answer == "" {
				require.ErrorContains(t, err, "accepted a connection, but not answered yet")
			}
			require.Less(t, time.Since(began), 20*time.Second)
			require.NoError(t, db.Close())
		})
	}
}

func TestOneServerTwice(t *testing.T) {
	sharedServer(t)
	ctx := context.Background()

	// One server under two names: one node and a warning.
	_, port, err := net.SplitHostPort(shared.server.Addr())
	require.NoError(t, err)
	warned := make(chan string, 10)
	config, err := driver.ParseConfig("postgres://postgres@127.0.0.1:" + port + ",localhost:" + port + "/postgres?sslmode=disable&acquire_timeout=20s")
	require.NoError(t, err)
	config.Events.Warned = func(m string) { warned <- m }
	twice := sql.OpenDB(driver.NewConnector(config))
	defer twice.Close()
	require.NoError(t, twice.PingContext(ctx))
	require.Contains(t, <-warned, "same server")
	for range 10 {
		_, err := twice.Exec("select 1")
		require.NoError(t, err)
	}
	used := 0
	for _, n := range clusterOf(t, twice).Stats().Nodes {
		if n.Ops > 0 {
			used++
		}
	}
	require.Equal(t, 1, used)
}

// TestNothingPrintsAPassword prints whatever holds a configuration, in every way.
func TestNothingPrintsAPassword(t *testing.T) {
	cfg, err := driver.ParseConfig("postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable")
	require.NoError(t, err)
	c, err := cluster.Open(t.Context(), cfg)
	require.NoError(t, err)
	defer c.Close()
	connector := driver.NewConnector(cfg)
	db := sql.OpenDB(connector)
	defer func() { require.NoError(t, db.Close()) }()
	for _, v := range []any{cfg, &cfg, connector, c, db.Driver()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			require.NotContains(t, fmt.Sprintf(verb, v), "hunter2", "%T with %s", v, verb)
		}
	}
}

// TestEnvironmentDoesNotMatter gives a complete name and an environment that makes
// no sense: only what the name leaves out is taken from it.
func TestEnvironmentDoesNotMatter(t *testing.T) {
	dsn := sharedServer(t)
	t.Setenv("PGPORT", "abc")
	require.NoError(t, openDSN(t, dsn).Ping())
}
