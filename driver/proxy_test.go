package driver_test

import (
	"bytes"
	"database/sql"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// loser is a proxy in front of one server that can lose the reply to the next
// statement.
type loser struct {
	*faultproxy.Proxy
	probers connSet // the health prober's connections
}

// connSet is a set of a proxy's connections, by number.
type connSet struct {
	mu  sync.Mutex
	set map[int64]bool
}

func (s *connSet) add(conn int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set == nil {
		s.set = map[int64]bool{}
	}
	s.set[conn] = true
}

func (s *connSet) has(conn int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set[conn]
}

// probeTexts are in the first statement of a prober's connection, on PostgreSQL
// and on the simulator.
var probeTexts = [][]byte{[]byte("pg_control_system"), []byte("show simnode.role")}

// watchProbers makes a proxy note which connections are a prober's. The rule
// never acts: its Match only looks.
func watchProbers(proxy *faultproxy.Proxy, into *connSet) {
	proxy.MustAdd(faultproxy.Rule{
		Direction: faultproxy.ToServer, Type: 'P', Action: faultproxy.Observe,
		Match: func(m faultproxy.Message) bool {
			for _, text := range probeTexts {
				if bytes.Contains(m.Body(), text) {
					into.add(m.Conn)
				}
			}
			return false
		},
	})
}

func startProxy(t testing.TB, target string) *faultproxy.Proxy {
	t.Helper()
	cfg, err := faultproxy.TCP(target)
	require.NoError(t, err)
	proxy, err := faultproxy.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	return proxy
}

func startLoser(t testing.TB, target string) *loser {
	t.Helper()
	p := &loser{Proxy: startProxy(t, target)}
	watchProbers(p.Proxy, &p.probers)
	return p
}

func (p *loser) addr() string { return p.Addr().String() }

// lose makes the proxy lose the reply to the next statement of either protocol:
// the server does it, answers, and the connection is cut instead. Only the
// messages that a server answers with ReadyForQuery count, and no prober's: a
// farewell, or the request to cancel that pgx sends after an earlier loss, comes
// at any time.
func (p *loser) lose() *faultproxy.Armed {
	return p.MustAdd(faultproxy.Rule{
		Direction: faultproxy.ToServer, Action: faultproxy.CutReply,
		Match: func(m faultproxy.Message) bool {
			return (m.Type == 'S' || m.Type == 'Q') && !p.probers.has(m.Conn)
		},
	})
}

// proxied opens a DB behind a loser on the shared server.
func proxied(t *testing.T, params ...string) (*sql.DB, *loser) {
	t.Helper()
	dsn := sharedServer(t)
	proxy := startLoser(t, shared.server.Addr())
	return openDSN(t, withParams(strings.Replace(dsn, shared.server.Addr(), proxy.addr(), 1), params...)), proxy
}

// throughProxy opens a DB on a server behind a proxy.
func throughProxy(t testing.TB, dsn, addr string, params ...string) (*sql.DB, *faultproxy.Proxy) {
	t.Helper()
	proxy := startProxy(t, addr)
	db := openDSN(t, withParams(strings.Replace(dsn, addr, proxy.Addr().String(), 1), params...))
	require.NoError(t, db.Ping())
	return db, proxy
}

// atSync returns a rule that acts at the Sync behind the first message to the
// server that contains text, or at that message if it is a simple query.
func atSync(text string, action faultproxy.Action, place faultproxy.Place) faultproxy.Rule {
	var seen connSet
	return faultproxy.Rule{
		Direction: faultproxy.ToServer, Action: action, Place: place,
		Match: func(m faultproxy.Message) bool {
			if bytes.Contains(m.Body(), []byte(text)) {
				seen.add(m.Conn)
			}
			return (m.Type == 'S' || m.Type == 'Q') && seen.has(m.Conn)
		},
	}
}
