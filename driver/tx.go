package driver

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/cluster"
)

// tx is an explicit transaction of a handle's session.
type tx struct {
	conn *conn
	ctx  context.Context // the one that BeginTx was given
}

var _ driver.Tx = (*tx)(nil)

// Begin opens a transaction with the server's defaults.
func (c *conn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx opens a transaction. Nothing is sent: BEGIN travels with the first
// statement, so the snapshot starts there, and a transaction without
// statements costs nothing.
func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (_ driver.Tx, err error) {
	defer c.guard("beginning a transaction", &err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	level, err := isolation(sql.IsolationLevel(opts.Isolation))
	if err != nil {
		return nil, err
	}
	if err := c.session.Begin(ctx, cluster.TxOptions{Isolation: level, ReadOnly: opts.ReadOnly}); err != nil {
		return nil, err
	}
	c.tx = tx{conn: c, ctx: ctx}
	return &c.tx, nil
}

// isolation translates database/sql's level.
func isolation(level sql.IsolationLevel) (pgx.TxIsoLevel, error) {
	switch level {
	case sql.LevelDefault:
		return "", nil
	case sql.LevelReadUncommitted:
		return pgx.ReadUncommitted, nil
	case sql.LevelReadCommitted:
		return pgx.ReadCommitted, nil
	case sql.LevelRepeatableRead, sql.LevelSnapshot:
		return pgx.RepeatableRead, nil
	case sql.LevelSerializable:
		return pgx.Serializable, nil
	default:
		return "", &cluster.OpError{Outcome: cluster.NotSent, Attempts: 1, Err: fmt.Errorf("isolation level %v isn't supported; "+
			"PostgreSQL knows read uncommitted, read committed, repeatable read (or snapshot) and serializable", level)}
	}
}

// Commit ends the transaction. A nil error means that the server confirmed the
// commit, or that nothing had been sent.
func (t *tx) Commit() (err error) {
	defer t.conn.guard("committing", &err)
	return t.conn.session.Commit(t.ctx)
}

// Rollback ends the transaction without effect, also after its context has
// been cancelled.
func (t *tx) Rollback() error { return t.conn.session.Rollback() }
