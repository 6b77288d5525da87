package exec_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode/internal/exec"
	"github.com/anywriter/anywriter/simnode/internal/parse"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// The scripts in testdata are run twice, here and on a real PostgreSQL 15, and
// must give the same output to the letter. `sql` runs its statements one by one,
// with params=(…) given as text; `local` is for what only the simulated cluster
// answers so (0A000). Rewriting with
//
//	go test ./simnode/internal/exec -run TestScriptsOnPostgreSQL -rewrite
//
// takes PostgreSQL's answers as the truth.

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		c := newEngine(t).client()
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return script(d, func(sql string, params []string) (result, []string, error) {
				res, err := c.try(t, sql, params...)
				notices := c.notices
				c.notices = nil
				return res, notices, err
			})
		})
	})
}

func TestScriptsOnPostgreSQL(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	if server.Major() != 15 {
		t.Skipf("the scripts hold the answers of PostgreSQL 15, found %d", server.Major())
	}
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		conn, notices := connect(t, server.DSN())
		_, err := conn.Exec(t.Context(), "drop schema public cascade; create schema public; set timezone to 'UTC'").ReadAll()
		require.NoError(t, err)
		*notices = nil
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "local" {
				return d.Expected
			}
			return script(d, func(sql string, params []string) (result, []string, error) {
				*notices = nil
				res, err := onPostgreSQL(t.Context(), conn, sql, params)
				return res, *notices, err
			})
		})
	})
}

func connect(t *testing.T, dsn string) (*pgconn.PgConn, *[]string) {
	cfg, err := pgconn.ParseConfig(dsn)
	require.NoError(t, err)
	notices := new([]string)
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		*notices = append(*notices, noticeText(n.Severity, n.Message, n.Detail))
	}
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn, notices
}

// onPostgreSQL gives PostgreSQL's answer in the form of our own.
func onPostgreSQL(ctx context.Context, conn *pgconn.PgConn, sql string, params []string) (result, error) {
	d, err := conn.Prepare(ctx, "", sql, nil)
	if err != nil {
		return result{}, postgresError(err)
	}
	res := result{params: d.ParamOIDs}
	for _, f := range d.Fields {
		c := exec.Column{Name: f.Name, Type: f.DataTypeOID, TypMod: f.TypeModifier, Attr: int16(f.TableAttributeNumber)}
		res.columns = append(res.columns, c)
	}
	var values [][]byte
	for _, p := range params {
		if p == "NULL" {
			values = append(values, nil)
			continue
		}
		values = append(values, []byte(p))
	}
	got := conn.ExecPrepared(ctx, "", values, nil, nil).Read()
	if got.Err != nil {
		return res, postgresError(got.Err)
	}
	for _, r := range got.Rows {
		row := make(types.Row, len(r))
		for i, v := range r {
			if v != nil {
				row[i] = text(v)
			}
		}
		res.rows = append(res.rows, row)
	}
	res.tag = got.CommandTag.String()
	return res, nil
}

// text is a value that PostgreSQL has formatted already.
type text string

func postgresError(err error) error {
	e := (*pgconn.PgError)(nil)
	if !errors.As(err, &e) {
		return err
	}
	return &sqlerr.Error{
		Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint, Position: e.Position,
		Schema: e.SchemaName, Table: e.TableName, Column: e.ColumnName, Constraint: e.ConstraintName,
	}
}

// script runs the statements of one command and writes down what they gave.
func script(d *datadriven.TestData, run func(sql string, params []string) (result, []string, error)) string {
	var params []string
	for _, arg := range d.CmdArgs {
		if arg.Key == "params" {
			params = arg.Vals
		}
	}
	texts := []string{d.Input}
	if stmts, err := parse.Parse(d.Input); err == nil {
		texts = nil
		for _, s := range stmts {
			texts = append(texts, s.Text)
		}
	}
	var b strings.Builder
	for _, sql := range texts {
		res, notices, err := run(sql, params)
		for _, n := range notices {
			b.WriteString(n + "\n")
		}
		report(&b, res, err)
		if err != nil {
			break
		}
	}
	return b.String()
}

func noticeText(severity, message, detail string) string {
	s := severity + ": " + message
	if detail != "" {
		s += "\nDETAIL: " + detail
	}
	return s
}

func report(b *strings.Builder, res result, err error) {
	if err != nil {
		b.WriteString(errorText(err))
		return
	}
	if len(res.params) > 0 {
		names := make([]string, len(res.params))
		for i, p := range res.params {
			names[i] = types.FormatType(p, types.NoTypmod)
		}
		fmt.Fprintf(b, "params: %s\n", strings.Join(names, ", "))
	}
	if len(res.columns) > 0 {
		names := make([]string, len(res.columns))
		for i, c := range res.columns {
			names[i] = fmt.Sprintf("%s:%s", c.Name, types.FormatType(c.Type, c.TypMod))
			if c.Type != types.Numeric && c.Type != types.Varchar && c.TypMod != -1 {
				names[i] += fmt.Sprintf("/%d", c.TypMod)
			}
			if c.Attr != 0 {
				names[i] += fmt.Sprintf("@%d", c.Attr)
			}
		}
		fmt.Fprintf(b, "%s\n", strings.Join(names, " | "))
	}
	for _, row := range res.rows {
		parts := make([]string, len(row))
		for i, v := range row {
			switch v := v.(type) {
			case nil:
				parts[i] = "NULL"
			case text:
				parts[i] = string(v)
			default:
				parts[i] = types.FormatText(res.columns[i].Type, v, time.UTC)
			}
		}
		fmt.Fprintf(b, "%s\n", strings.Join(parts, " | "))
	}
	fmt.Fprintf(b, "%s\n", res.tag)
}

func errorText(err error) string {
	e := (*sqlerr.Error)(nil)
	if !errors.As(err, &e) {
		return fmt.Sprintf("ERROR: %v\n", err)
	}
	s := fmt.Sprintf("ERROR %s: %s", e.Code, e.Message)
	if e.Position != 0 {
		s += fmt.Sprintf(" @%d", e.Position)
	}
	s += "\n"
	if e.Detail != "" {
		s += "DETAIL: " + e.Detail + "\n"
	}
	if e.Hint != "" {
		s += "HINT: " + e.Hint + "\n"
	}
	for _, f := range []struct{ name, value string }{
		{"table", e.Table}, {"column", e.Column}, {"constraint", e.Constraint},
	} {
		if f.value != "" {
			s += f.name + ": " + f.value + "\n"
		}
	}
	return s
}
