package driver_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The handles of this driver rely on how database/sql brackets a checkout,
// which isn't documented. The canary records the calls that a do-nothing
// driver gets, for each way in which a checkout can end, so that a Go release
// that changes the bracket is noticed here and not in production.
func TestBracketCanary(t *testing.T) {
	ctx := context.Background()
	cases := []struct {
		name string
		use  func(t *testing.T, db *sql.DB)
		want []string
	}{
		{"two statements", func(t *testing.T, db *sql.DB) {
			_, _ = db.ExecContext(ctx, "x")
			_, _ = db.ExecContext(ctx, "x")
		}, []string{"exec", "valid", "reset", "exec", "valid"}},
		{"rows", func(t *testing.T, db *sql.DB) {
			rows, err := db.QueryContext(ctx, "x")
			require.NoError(t, err)
			rows.Close()
		}, []string{"query", "rows.close", "valid"}},
		{"transaction", func(t *testing.T, db *sql.DB) {
			tx, err := db.BeginTx(ctx, nil)
			require.NoError(t, err)
			_, _ = tx.ExecContext(ctx, "x")
			require.NoError(t, tx.Commit())
		}, []string{"begin", "exec", "commit", "valid"}},
		{"conn with a transaction inside", func(t *testing.T, db *sql.DB) {
			conn, err := db.Conn(ctx)
			require.NoError(t, err)
			_, _ = conn.ExecContext(ctx, "x")
			tx, err := conn.BeginTx(ctx, nil)
			require.NoError(t, err)
			require.NoError(t, tx.Rollback())
			_, _ = conn.ExecContext(ctx, "x")
			require.NoError(t, conn.Close())
		}, []string{"exec", "begin", "rollback", "exec", "valid"}},
		{"raw that panics", func(t *testing.T, db *sql.DB) {
			conn, err := db.Conn(ctx)
			require.NoError(t, err)
			require.Panics(t, func() { _ = conn.Raw(func(any) error { panic("raw") }) })
		}, []string{"close"}},
		{"error ErrBadConn", func(t *testing.T, db *sql.DB) {
			conn, err := db.Conn(ctx)
			require.NoError(t, err)
			_ = conn.Raw(func(any) error { return driver.ErrBadConn })
		}, []string{"close"}},
		{"idle handle dropped", func(t *testing.T, db *sql.DB) {
			_, _ = db.ExecContext(ctx, "x")
			db.SetMaxIdleConns(-1)
		}, []string{"exec", "valid", "close"}},
		{"expired at return", func(t *testing.T, db *sql.DB) {
			db.SetConnMaxLifetime(1)
			_, _ = db.ExecContext(ctx, "x")
		}, []string{"exec", "valid", "close"}},
		{"DB closed in the middle", func(t *testing.T, db *sql.DB) {
			conn, err := db.Conn(ctx)
			require.NoError(t, err)
			require.NoError(t, db.Close())
			require.NoError(t, conn.Close())
		}, []string{"connector.close", "valid", "close"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			rec := &recorder{}
			db := sql.OpenDB(rec)
			c.use(t, db)
			require.Equal(t, c.want, rec.calls())
			require.NoError(t, db.Close())
		})
	}
}

// recorder is a driver that does nothing and writes down what it is asked.
type recorder struct {
	mu  sync.Mutex
	log []string
}

func (r *recorder) add(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, what)
}

func (r *recorder) calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.log...)
}

func (r *recorder) Connect(context.Context) (driver.Conn, error) { return &recordedConn{r}, nil }
func (r *recorder) Driver() driver.Driver                        { return nil }
func (r *recorder) Close() error                                 { r.add("connector.close"); return nil }

type recordedConn struct{ r *recorder }

func (c *recordedConn) Prepare(string) (driver.Stmt, error)      { return nil, errors.ErrUnsupported }
func (c *recordedConn) Close() error                             { c.r.add("close"); return nil }
func (c *recordedConn) Begin() (driver.Tx, error)                { return nil, errors.ErrUnsupported }
func (c *recordedConn) ResetSession(context.Context) error       { c.r.add("reset"); return nil }
func (c *recordedConn) IsValid() bool                            { c.r.add("valid"); return true }
func (c *recordedConn) Commit() error                            { c.r.add("commit"); return nil }
func (c *recordedConn) Rollback() error                          { c.r.add("rollback"); return nil }
func (c *recordedConn) CheckNamedValue(*driver.NamedValue) error { return nil }

func (c *recordedConn) BeginTx(context.Context, driver.TxOptions) (driver.Tx, error) {
	c.r.add("begin")
	return c, nil
}

func (c *recordedConn) ExecContext(context.Context, string, []driver.NamedValue) (driver.Result, error) {
	c.r.add("exec")
	return driver.RowsAffected(0), nil
}

func (c *recordedConn) QueryContext(context.Context, string, []driver.NamedValue) (driver.Rows, error) {
	c.r.add("query")
	return recordedRows{c.r}, nil
}

type recordedRows struct{ r *recorder }

func (recordedRows) Columns() []string         { return nil }
func (recordedRows) Next([]driver.Value) error { return io.EOF }
func (r recordedRows) Close() error            { r.r.add("rows.close"); return nil }
