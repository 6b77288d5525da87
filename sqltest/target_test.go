package sqltest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/sqltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestControl runs every case through plain pgx on a real PostgreSQL: what that
// gives defines right.
func TestControl(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	var ran atomic.Int64
	sqltest.Run(t, sqltest.Target{
		Name: "pgx",
		Open: func(t *testing.T) *sql.DB {
			db, err := sql.Open("pgx", server.DSN())
			require.NoError(t, err)
			return db
		},
		Capabilities: sqltest.Capabilities{FullSQL: true, Arrays: true, JSON: true, Serializable: true, RowLocks: true},
		Around:       func(t *testing.T, run func(t *testing.T)) { ran.Add(1); run(t) },
		Skip:         map[string]string{"types/text large": "shows that a case can be left out"},
	})
	require.EqualValues(t, len(sqltest.Cases())-3, ran.Load(), "all but the skipped one and two that plain pgx cannot do")
}

func TestCasesHaveDistinctNames(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range sqltest.Cases() {
		require.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
	}
	require.GreaterOrEqual(t, len(seen), 90)
}

// TestSabotageIsFound runs the cases over a driver that breaks one promise, in
// another process, and sees the right ones fail: the suite can fail.
func TestSabotageIsFound(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{Settings: map[string]string{"lock_timeout": "2s"}})
	for sabotage, c := range map[string]struct {
		group, pass string
		fail        []string
	}{
		"lost commit":  {"tx", "rollback_leaves_nothing", []string{"commit_is_seen_by_others", "savepoints", "DDL_is_committed_with_its_rows"}},
		"mute errors":  {"errors", "BeginTx_with_an_unknown_isolation_level", []string{"23505_unique_violation", "22012_division_by_zero", "42601_syntax_error"}},
		"no isolation": {"isolation", "read_committed_sees_each_commit", []string{"repeatable_read_keeps_its_snapshot", "level_is_the_one_asked_for"}},
		"lost row":     {"rows", "early_close", []string{"RETURNING", "many_rows"}},
	} {
		t.Run(sabotage, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestSabotaged$/^"+c.group+"$")
			cmd.Env = append(os.Environ(), "SQLTEST_SABOTAGE="+sabotage, "SQLTEST_DSN="+server.DSN())
			out, err := cmd.CombinedOutput()
			require.Error(t, err)
			for _, name := range c.fail {
				require.Contains(t, string(out), "--- FAIL: TestSabotaged/"+c.group+"/"+name)
			}
			require.Contains(t, string(out), "--- PASS: TestSabotaged/"+c.group+"/"+c.pass)
		})
	}
}

// TestSabotaged is the body of the process that TestSabotageIsFound starts.
func TestSabotaged(t *testing.T) {
	sabotage := os.Getenv("SQLTEST_SABOTAGE")
	if sabotage == "" {
		t.Skip("runs only as a child of TestSabotageIsFound")
	}
	config, err := pgx.ParseConfig(os.Getenv("SQLTEST_DSN"))
	require.NoError(t, err)
	sqltest.Run(t, sqltest.Target{
		Open: func(*testing.T) *sql.DB { return sql.OpenDB(saboteur{stdlib.GetConnector(*config), sabotage}) },
	})
}

// saboteur is a connector of plain pgx whose connections break one promise.
type saboteur struct {
	driver.Connector
	sabotage string
}

func (s saboteur) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &badConn{conn.(*stdlib.Conn), s.sabotage}, nil
}

type badConn struct {
	*stdlib.Conn
	sabotage string
}

func (c *badConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	if c.sabotage == "no isolation" {
		opts = driver.TxOptions{}
	}
	tx, err := c.Conn.BeginTx(ctx, opts)
	if c.sabotage == "lost commit" && err == nil {
		return lostCommit{tx}, nil
	}
	return tx, err
}

func (c *badConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	result, err := c.Conn.ExecContext(ctx, query, args)
	if c.sabotage == "mute errors" && err != nil {
		return driver.RowsAffected(0), nil
	}
	return result, err
}

func (c *badConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, query, args)
	if c.sabotage == "lost row" && err == nil {
		return &lostRow{Rows: rows.(*stdlib.Rows)}, nil
	}
	return rows, err
}

type lostCommit struct{ driver.Tx }

func (tx lostCommit) Commit() error { return tx.Rollback() }

// lostRow leaves out the third row of a result.
type lostRow struct {
	*stdlib.Rows
	row int
}

func (r *lostRow) Next(dest []driver.Value) error {
	if r.row++; r.row == 3 {
		if err := r.Rows.Next(dest); err != nil {
			return err
		}
	}
	return r.Rows.Next(dest)
}
