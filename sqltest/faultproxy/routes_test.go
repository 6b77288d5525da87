package faultproxy_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

// TestRoutes puts one proxy before three servers: each listener leads to its own
// server, and rules, numbers and faults go over all of them.
func TestRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fronts []*memory
		var servers []*canned
		var routes []faultproxy.Route
		var serving sync.WaitGroup
		for range 3 {
			front, server := newMemory(), &canned{}
			fronts, servers = append(fronts, front), append(servers, server)
			routes = append(routes, faultproxy.Route{Listener: front, Dial: func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				serving.Go(func() { server.serve(theirs) }) // ends with its connection
				return ours, nil
			}})
		}
		proxy, err := faultproxy.Start(faultproxy.Config{Listener: routes[0].Listener, Dial: routes[0].Dial, More: routes[1:]})
		require.NoError(t, err)
		require.Len(t, proxy.Addrs(), 3)
		require.Equal(t, proxy.Addr(), proxy.Addrs()[0])
		armed := proxy.MustAdd(faultproxy.Rule{
			Direction: faultproxy.ToServer, Type: 'Q', Nth: 3, Action: faultproxy.Cut,
			Match: func(m faultproxy.Message) bool { return m.Route > 0 }, // the first route's don't count
		})
		var clients []*pgproto3.Frontend
		for _, front := range fronts {
			conn, err := front.dial(t.Context())
			require.NoError(t, err)
			defer conn.Close()
			clients = append(clients, greet(t, conn))
		}
		for i, text := range []string{"a", "b", "c", "d"} {
			_, err := ask(clients[i%3], text)
			require.NoError(t, err)
		}
		_, err = ask(clients[1], "e")
		require.Error(t, err, "the third on the routes that count")
		_, err = ask(clients[2], "f")
		require.NoError(t, err, "the others go on")
		synctest.Wait()
		hits := armed.Hits()
		require.Len(t, hits, 1)
		require.Equal(t, 1, hits[0].Route)
		require.Equal(t, []string{"a", "d"}, servers[0].texts())
		require.Equal(t, []string{"b"}, servers[1].texts())
		require.Equal(t, []string{"c", "f"}, servers[2].texts())
		require.EqualValues(t, 3, proxy.Stats().Accepted)
		require.EqualValues(t, 2, proxy.Stats().Open)
		require.NoError(t, proxy.Close())
		for i, front := range fronts {
			_, err := front.dial(t.Context())
			require.ErrorIs(t, err, net.ErrClosed, i)
		}
		serving.Wait()
	})
}

func TestBadRoutes(t *testing.T) {
	_, err := faultproxy.TCP()
	require.ErrorContains(t, err, "at least one server")
	cfg, err := faultproxy.TCP("127.0.0.1:1", "127.0.0.1:2")
	require.NoError(t, err)
	require.Len(t, cfg.More, 1)
	require.NotEqual(t, cfg.Listener.Addr(), cfg.More[0].Listener.Addr())
	defer func() {
		require.NoError(t, cfg.Listener.Close())
		require.NoError(t, cfg.More[0].Listener.Close())
	}()
	bad := cfg
	bad.More = []faultproxy.Route{{Listener: cfg.More[0].Listener}}
	_, err = faultproxy.Start(bad)
	require.ErrorContains(t, err, "route 1 of Config needs a Listener and a Dial function")
}
