package driver

import (
	"context"
	"database/sql/driver"

	"github.com/anywriter/anywriter/cluster"
)

// conn is the handle that database/sql pools. It owns no server connection:
// the first statement of a checkout makes its session take one on a picked
// node, and IsValid and Close, one of which ends every checkout, give it back.
// database/sql lets one goroutine at a time use it.
type conn struct {
	cluster *cluster.Cluster
	session *cluster.Session
	owned   *Connector // closed with the handle; nil for handles of a sql.DB
	tx      tx         // of the current checkout; database/sql has one at a time
	args    []any      // memory for the arguments of a call
	rows    rows       // and for a result, see QueryContext
	scratch scratch    // and for the values in it
}

var (
	_ driver.Conn               = (*conn)(nil)
	_ driver.ConnPrepareContext = (*conn)(nil)
	_ driver.ConnBeginTx        = (*conn)(nil)
	_ driver.ExecerContext      = (*conn)(nil)
	_ driver.QueryerContext     = (*conn)(nil)
	_ driver.NamedValueChecker  = (*conn)(nil)
	_ driver.Pinger             = (*conn)(nil)
	_ driver.SessionResetter    = (*conn)(nil)
	_ driver.Validator          = (*conn)(nil)
)

// ResetSession does nothing. database/sql doesn't call it on a handle's first
// checkout and ignores most of its errors, so nothing may depend on it.
func (c *conn) ResetSession(context.Context) error { return nil }

// IsValid is called when a checkout ends. It gives the server connection back;
// the handle itself never goes bad.
func (c *conn) IsValid() bool {
	c.session.Release()
	return true
}

// Close gives the server connection back, for the checkouts that end without
// IsValid.
func (c *conn) Close() error {
	c.session.Release()
	if c.owned != nil {
		return c.owned.Close()
	}
	return nil
}

// Prepare keeps the text; see stmt.
func (c *conn) Prepare(query string) (driver.Stmt, error) { return &stmt{conn: c, text: query}, nil }

// PrepareContext keeps the text; see stmt. A mistake in it is reported by its
// first execution.
func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.Prepare(query)
}

// guard turns a panic in code of the application that runs inside a call (a
// context's methods, an event listener) into an error: database/sql would lose
// the handle, or block for ever in the transaction's Rollback. It must be
// deferred directly.
func (c *conn) guard(while string, err *error) {
	if v := recover(); v != nil {
		*err = &cluster.PanicError{While: while, Value: v}
		c.session.Break(*err)
	}
}

// ExecContext runs a statement.
func (c *conn) ExecContext(ctx context.Context, query string, named []driver.NamedValue) (_ driver.Result, err error) {
	defer c.guard("executing a statement", &err)
	tag, err := c.session.Exec(ctx, query, c.plain(named))
	clear(c.args)
	if err != nil {
		return nil, err
	}
	if tag.String() == cluster.TagResolved {
		return committedUnheard{}, nil
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

// committedUnheard is the result of a statement that the commit fence found
// committed after its answer had been lost.
type committedUnheard struct{}

// LastInsertId fails: PostgreSQL has no such thing.
func (committedUnheard) LastInsertId() (int64, error) { return driver.RowsAffected(0).LastInsertId() }

// RowsAffected fails with ErrRowsUnknown.
func (committedUnheard) RowsAffected() (int64, error) { return 0, ErrRowsUnknown }

// QueryContext runs a statement that returns rows.
func (c *conn) QueryContext(ctx context.Context, query string, named []driver.NamedValue) (_ driver.Rows, err error) {
	defer c.guard("executing a query", &err)
	r, values := &c.rows, &c.scratch
	if r.used { // its rows were all read ahead, or this query is going to fail
		r, values = new(rows), new(scratch)
	}
	r.scratch, r.used = values, true
	err = c.session.QueryInto(ctx, &r.rows, query, c.plain(named))
	clear(c.args)
	if err != nil {
		*r = rows{}
		return nil, err
	}
	r.fields = r.rows.Fields()
	return r, nil
}

// Ping returns nil if a node that takes writes answers; in a checkout that
// holds a server connection already, if that one does.
func (c *conn) Ping(ctx context.Context) (err error) {
	defer c.guard("pinging", &err)
	return c.session.Ping(ctx)
}
