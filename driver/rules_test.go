package driver_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A function of the application's own may change the session without the text
// showing it: only session_reset=strict undoes that.
func TestStrictResetSeesUnknownFunctions(t *testing.T) {
	for mode, want := range map[string]string{"auto": "66s", "strict": "0", "off": "66s"} {
		db := open(t, "session_reset="+mode, "max_conns_per_node=1", "min_idle=1")
		_, err := db.Exec(`create or replace function leave_setting() returns text language sql as
			$$ select set_config('statement_timeout', '66s', false) $$`)
		require.NoError(t, err)
		_, err = db.Exec("select leave_setting()")
		require.NoError(t, err)
		var got string
		require.NoError(t, db.QueryRow("select current_setting('statement_timeout')").Scan(&got))
		if got == "66000ms" || got == "66s" || got == "1min 6s" {
			got = "66s"
		}
		require.Equal(t, want, got, mode)
	}
}

// With session_reset=off statements in a row meet the same server session, as
// with plain pgx, also when there are others in the pool.
func TestOffMeetsTheSameSession(t *testing.T) {
	db := open(t, "session_reset=off", "min_idle=4")
	require.Eventually(t, func() bool { return clusterOf(t, db).Stats().Nodes[0].Idle >= 4 }, 20*time.Second, time.Millisecond)
	_, err := db.Exec("set statement_timeout = '70s'")
	require.NoError(t, err)
	first := pid(t, db)
	for range 20 {
		require.Equal(t, first, pid(t, db))
	}
}

// Server connections are limited and kept warm per node, whatever the limits of
// the sql.DB are.
func TestConnectionsPerNode(t *testing.T) {
	db := open(t, "max_conns_per_node=3", "min_idle=2", "acquire_timeout=10s")
	db.SetMaxOpenConns(0)
	node := func() (conns, idle int) {
		n := clusterOf(t, db).Stats().Nodes[0]
		return n.Conns, n.Idle
	}
	require.Eventually(t, func() bool { _, idle := node(); return idle == 2 }, 20*time.Second, time.Millisecond, "warm before the first statement")
	var running sync.WaitGroup
	for range 20 {
		running.Go(func() { // ends with its statement
			if _, err := db.Exec("select pg_sleep(0.01)"); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
	conns, _ := node()
	require.LessOrEqual(t, conns, 3)
	checkIdle(t, db)
}
