package availability_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/sqltest/availability"
)

// traffic counts for a peer what the driver counts itself: the connections opened to
// each node, cancel requests included, and the messages sent to it.
type traffic struct {
	of           *target
	opened, sent [nodes]atomic.Int64
}

// open opens a database over plain pgx: with a socket, or with the simulator's
// connections in memory.
func (c *traffic) open(t *testing.T, dsn string) plain {
	t.Helper()
	cfg, err := pgx.ParseConfig(dsn)
	require.NoError(t, err)
	dial := cfg.DialFunc
	if c.of.virtual {
		dial = c.of.sim.Dial
		// Addresses are names here; pgx's own look-up would ask the system.
		cfg.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	}
	cfg.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		i, err := c.of.nodeAt(addr)
		if err != nil {
			return nil, err
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c.opened[i].Add(1)
		return countedConn{Conn: conn, sent: &c.sent[i]}, nil
	}
	db := stdlib.OpenDB(*cfg)
	db.SetMaxIdleConns(availability.DefaultWorkers)
	return plain{db}
}

// plain is a database over plain pgx whose writes are judged fairly: one that found
// no connection had no effect, which pgx's error doesn't say by itself.
type plain struct{ *sql.DB }

// ExecContext runs a statement.
func (p plain) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	result, err := p.DB.ExecContext(ctx, query, args...)
	var connecting *pgconn.ConnectError
	if errors.As(err, &connecting) {
		err = unsentError{err}
	}
	return result, err
}

// unsentError is the error of a statement that wasn't sent.
type unsentError struct{ error }

func (unsentError) SafeToRetry() bool { return true }
func (e unsentError) Unwrap() error   { return e.error }

// nodeAt returns the index of the node with this address. In memory, a cancel
// request names it as the connection does.
func (g *target) nodeAt(addr string) (int, error) {
	if i := slices.Index(g.addrs, addr); i >= 0 {
		return i, nil
	}
	if g.sim != nil {
		for i, n := range g.sim.Nodes() {
			if n.String() == addr {
				return i, nil
			}
		}
	}
	return 0, fmt.Errorf("no node has the address %q, the addresses are %v", addr, g.addrs)
}

// countedConn counts what is sent: pgx writes each of its messages, or batch of
// them, at once.
type countedConn struct {
	net.Conn
	sent *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.sent.Add(1)
	return c.Conn.Write(p)
}
