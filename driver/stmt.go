package driver

import (
	"context"
	"database/sql/driver"
	"errors"
)

// stmt is a statement text. database/sql keeps it per handle over many
// checkouts and closes it under its own lock, outside any checkout, so it owns
// nothing: server-side statements live with each server connection.
type stmt struct {
	conn *conn
	text string
}

var (
	_ driver.Stmt             = (*stmt)(nil)
	_ driver.StmtExecContext  = (*stmt)(nil)
	_ driver.StmtQueryContext = (*stmt)(nil)
)

var errUseContext = errors.New("anywriter: this method is superseded; database/sql calls the one that takes a context")

// Close does nothing: there is nothing to close.
func (s *stmt) Close() error { return nil }

// NumInput returns -1: the number of parameters is known to the server only.
func (s *stmt) NumInput() int { return -1 }

// Exec is never called by database/sql, which prefers ExecContext.
func (s *stmt) Exec([]driver.Value) (driver.Result, error) { return nil, errUseContext }

// Query is never called by database/sql, which prefers QueryContext.
func (s *stmt) Query([]driver.Value) (driver.Rows, error) { return nil, errUseContext }

// ExecContext runs the statement and returns its command tag's row count.
func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	return s.conn.ExecContext(ctx, s.text, args)
}

// QueryContext runs the statement and returns its rows.
func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return s.conn.QueryContext(ctx, s.text, args)
}
