// Package stdlib stands in for pgx's package of that name when pgx's own tests
// run through this driver. What this driver doesn't offer does nothing here, so
// that the tests of it fail and show up among the exceptions.
package stdlib

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/anywriter/anywriter/cluster"
	"github.com/anywriter/anywriter/driver"
)

// OptionOpenDB changes the configuration.
type OptionOpenDB func(*driver.Config)

// OptionBeforeConnect sets the hook of that name.
func OptionBeforeConnect(f func(context.Context, *pgx.ConnConfig) error) OptionOpenDB {
	return func(c *driver.Config) { c.BeforeConnect = f }
}

// OptionAfterConnect sets the hook of that name.
func OptionAfterConnect(f func(context.Context, *pgx.Conn) error) OptionOpenDB {
	return func(c *driver.Config) { c.AfterConnect = f }
}

// OptionResetSession has no counterpart.
func OptionResetSession(func(context.Context, *pgx.Conn) error) OptionOpenDB {
	return func(*driver.Config) {}
}

// ShouldPingParams has no counterpart.
type ShouldPingParams struct{}

// OptionShouldPing has no counterpart.
func OptionShouldPing(func(context.Context, ShouldPingParams) bool) OptionOpenDB {
	return func(*driver.Config) {}
}

// OpenDB opens a DB on the one server of a pgx configuration.
func OpenDB(config pgx.ConnConfig, opts ...OptionOpenDB) *sql.DB {
	c := driver.Config{Nodes: []cluster.NodeConfig{{
		Name: net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))), Conn: &config,
	}}}
	c.Settings.SessionReset = cluster.ResetOff
	for _, o := range opts {
		o(&c)
	}
	return sql.OpenDB(driver.NewConnector(c))
}

// OpenDBFromPool has no counterpart: the DB it returns opens nothing.
func OpenDBFromPool(*pgxpool.Pool) *sql.DB { return sql.OpenDB(driver.NewConnector(driver.Config{})) }

// RegisterConnConfig has no counterpart.
func RegisterConnConfig(*pgx.ConnConfig) string { return "" }

// UnregisterConnConfig has no counterpart.
func UnregisterConnConfig(string) {}

// RandomizeHostOrderFunc has no counterpart.
func RandomizeHostOrderFunc(context.Context, *pgx.ConnConfig) error {
	return errors.New("not offered")
}
