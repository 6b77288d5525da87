package driver

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// PgxConn is what sql.Conn.Raw's function is given:
//
//	err := conn.Raw(func(dc any) error {
//		pc, err := dc.(driver.PgxConn).PgxConn(ctx)
//		...
//	})
//
// A type assertion to pgx's *stdlib.Conn can't work; dc also has stdlib's
// method Conn() *pgx.Conn.
type PgxConn interface {
	// PgxConn returns the server connection of the checkout, which it takes
	// first if need be. It must not be used after Raw's function has returned.
	// Whatever is done with it, the session's state is undone afterwards.
	PgxConn(ctx context.Context) (*pgx.Conn, error)
}

var _ PgxConn = (*conn)(nil)

// PgxConn implements PgxConn.
func (c *conn) PgxConn(ctx context.Context) (*pgx.Conn, error) { return c.session.Conn(ctx) }

// Conn is PgxConn with the signature of pgx's stdlib: it returns nil if no
// server connection can be had within acquire_timeout.
func (c *conn) Conn() *pgx.Conn {
	pc, err := c.session.Conn(context.Background())
	if err != nil {
		return nil
	}
	return pc
}
