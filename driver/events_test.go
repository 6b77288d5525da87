package driver_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
)

// lockedBuffer is a log that several goroutines write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestEventsAndLog(t *testing.T) {
	proxy := startLoser(t, addrOfShared(t))
	config, err := driver.ParseConfig(patient(strings.Replace(sharedServer(t), shared.server.Addr(), proxy.addr(), 1)))
	require.NoError(t, err)
	var mu sync.Mutex
	var states []health.State
	var retried []string
	picked := 0
	log := &lockedBuffer{}
	config.Logger = slog.New(slog.NewTextHandler(log, nil))
	config.Events.StateChanged = func(node string, to health.State, _ health.Reason) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, to)
	}
	config.Events.Retried = func(node, kind string) {
		mu.Lock()
		defer mu.Unlock()
		retried = append(retried, node+" "+kind)
	}
	config.Events.Picked = func(string) {
		mu.Lock()
		defer mu.Unlock()
		picked++
	}
	db := sql.OpenDB(driver.NewConnector(config))
	defer db.Close()
	require.NoError(t, db.Ping())
	var one int
	require.NoError(t, db.QueryRow("select 1").Scan(&one))
	proxy.lose()
	require.NoError(t, db.QueryRow("select 1").Scan(&one))
	mu.Lock()
	defer mu.Unlock()
	require.Contains(t, states, health.Up)
	require.Equal(t, []string{proxy.addr() + " Connection"}, retried)
	require.GreaterOrEqual(t, picked, 4)
	require.Contains(t, log.String(), "state=Up")
}

func addrOfShared(t *testing.T) string {
	t.Helper()
	sharedServer(t)
	return shared.server.Addr()
}

// A sql.Conn's Ping asks its own server, and its loss is no unknown outcome.
func TestPingOfLostConn(t *testing.T) {
	db, proxy := proxied(t)
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(context.Background(), "select 1")
	require.NoError(t, err)
	require.NoError(t, conn.PingContext(context.Background()))
	proxy.lose()
	err = conn.PingContext(context.Background())
	require.Error(t, err)
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
	require.ErrorIs(t, conn.PingContext(context.Background()), driver.ErrSessionLost)
}
