package simnode_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/simnode"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg simnode.Config) *simnode.Sim {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	sim, err := simnode.Start(ctx, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sim.Close()) })
	return sim
}

func connect(t *testing.T, sim *simnode.Sim, node int) *pgx.Conn {
	t.Helper()
	conn, err := open(sim, node)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// open is connect for goroutines, which may not end the test. The caller closes.
func open(sim *simnode.Sim, node int) (*pgx.Conn, error) {
	cfg, err := pgx.ParseConfig("postgres://postgres@" + sim.Node(node).Addr() + "/postgres?sslmode=disable")
	if err != nil {
		return nil, err
	}
	cfg.DialFunc = sim.Dial
	return pgx.ConnectConfig(context.Background(), cfg)
}

// writeThenRead writes on one node and reads it on all others.
func writeThenRead(t *testing.T, sim *simnode.Sim) {
	ctx := context.Background()
	writer := connect(t, sim, 1)
	_, err := writer.Exec(ctx, "create table t(id int primary key, v text)")
	require.NoError(t, err)
	_, err = writer.Exec(ctx, "insert into t values ($1, $2)", 1, "hello")
	require.NoError(t, err)
	for n := range sim.Nodes() {
		var v string
		require.NoError(t, connect(t, sim, n+1).QueryRow(ctx, "select v from t where id = $1", 1).Scan(&v))
		require.Equal(t, "hello", v)
	}
}

func TestWriteOnOneNodeReadOnAll(t *testing.T) {
	writeThenRead(t, start(t, simnode.Config{}))
}

func TestInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writeThenRead(t, start(t, simnode.Config{InMemory: true, Latency: time.Millisecond}))
	})
}
