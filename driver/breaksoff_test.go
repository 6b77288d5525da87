package driver_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/simnode"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// TestReadThatBreaksOff: a read whose connection breaks before its first row is tried
// again, and nobody notices. One whose row has come isn't, and says so.
func TestReadThatBreaksOff(t *testing.T) {
	for name, c := range map[string]struct {
		message byte
		body    string // part of it
		fails   bool
	}{"before its row": {'D', "\x00\x00\x00\x07", false}, "after its row": {'C', "SELECT 1", true}} {
		t.Run(name, func(t *testing.T) {
			sim := startSim(t, simnode.Config{Nodes: 1})
			proxy := startProxy(t, sim.Node(1).Addr())
			db := openDSN(t, "postgres://postgres@"+proxy.Addr().String()+"/postgres?sslmode=disable")
			var n int
			read := func() error { return db.QueryRowContext(t.Context(), "select 7 where 1 = $1", 1).Scan(&n) }
			require.NoError(t, read())
			n = 0
			reset := proxy.MustAdd(faultproxy.Rule{
				Direction: faultproxy.ToClient, Type: c.message, Action: faultproxy.Reset,
				Match: func(m faultproxy.Message) bool { return bytes.Contains(m.Body(), []byte(c.body)) },
			})
			err := read()
			require.Len(t, reset.Hits(), 1)
			require.Equal(t, 7, n)
			if c.fails {
				require.Error(t, err)
				require.NotEqual(t, driver.CommitSent, driver.OutcomeOf(err))
			} else {
				require.NoError(t, err)
			}
		})
	}
}
