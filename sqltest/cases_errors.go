package sqltest

import (
	"database/sql"
	"strings"

	"github.com/stretchr/testify/require"
)

// failing is a statement that must fail; %t stands for the table of
// errorCases.
type failing struct {
	name, state, query string
	args               []any
}

func failures() []failing {
	return []failing{
		{name: "unique violation", state: "23505", query: "insert into %t (id, n) values (1, 1)"},
		{name: "unique violation with parameters", state: "23505", query: "insert into %t (id, n) values ($1, $2)", args: []any{1, 1}},
		{name: "not-null violation", state: "23502", query: "insert into %t (id) values (2)"},
		{name: "undefined table", state: "42P01", query: "select * from no_such_table_at_all"},
		{name: "undefined column", state: "42703", query: "select nope from %t"},
		{name: "undefined column in insert", state: "42703", query: "insert into %t (nope) values (1)"},
		{name: "undefined function", state: "42883", query: "select no_such_function(1)"},
		{name: "undefined operator", state: "42883", query: "select true + 1"},
		{name: "syntax error", state: "42601", query: "selec 1"},
		{name: "syntax error with parameters", state: "42601", query: "select $1 from where", args: []any{1}},
		{name: "unterminated string", state: "42601", query: "select 'abc"},
		{name: "more values than columns", state: "42601", query: "insert into %t (id) values (1, 2)"},
		{name: "division by zero", state: "22012", query: "select 1 / 0"},
		{name: "division by a parameter of zero", state: "22012", query: "select 1 / $1::int", args: []any{0}},
		{name: "numeric out of range", state: "22003", query: "select 2147483647::int4 + 1::int4"},
		{name: "invalid text for int", state: "22P02", query: "select 'abc'::int"},
		{name: "invalid text for uuid", state: "22P02", query: "select 'abc'::uuid"},
		{name: "invalid text for bool", state: "22P02", query: "select 'maybe'::bool"},
		{name: "invalid date", state: "22008", query: "select '2024-02-30'::date"},
		{name: "invalid date format", state: "22007", query: "select 'not a date'::date"},
		{name: "string too long", state: "22001", query: "insert into %t (id, n, short) values (2, 1, 'abcd')"},
		{name: "wrong type for a column", state: "42804", query: "insert into %t (id, n) values (2, true)"},
		{name: "wrong type for WHERE", state: "42804", query: "select 1 where 5"},
		{name: "duplicate table", state: "42P07", query: "create table %t (id int)"},
		{name: "duplicate column", state: "42701", query: "create table %t_x (a int, a int)"},
		{name: "unknown type", state: "42704", query: "create table %t_x (a no_such_type)"},
		{name: "negative limit", state: "2201W", query: "select 1 limit -1"},
		{name: "unknown setting", state: "42704", query: "set no_such_setting_here = 1"},
		{name: "savepoint outside a transaction", state: "25P01", query: "savepoint a"},
		{name: "cast that does not exist", state: "42846", query: "select true::date"},
	}
}

func errorCases() []Case {
	var cases []Case
	for _, f := range failures() {
		cases = append(cases, Case{Name: "errors/" + f.state + " " + f.name, run: f.check})
	}
	return append(cases,
		Case{Name: "errors/through Query", run: func(s *scope) {
			rows, err := s.db.QueryContext(s.ctx, "select * from no_such_table_at_all")
			if err == nil {
				require.False(s, rows.Next())
				err = rows.Err()
				require.NoError(s, rows.Close())
			}
			s.isState(err, "42P01", "Query")
			var v int
			s.isState(s.db.QueryRowContext(s.ctx, "select 1 / $1::int", 0).Scan(&v), "22012", "QueryRow")
		}},
		Case{Name: "errors/message and state", run: func(s *scope) {
			_, err := s.db.ExecContext(s.ctx, "select nope_column")
			s.isState(err, "42703", "select nope_column")
			require.ErrorContains(s, err, "nope_column")
			require.ErrorContains(s, err, "42703")
		}},
		Case{Name: "errors/parameters that fit no type", run: func(s *scope) {
			_, err := s.db.ExecContext(s.ctx, "select $1::int", "abc")
			require.Error(s, err)
			_, err = s.db.ExecContext(s.ctx, "select $1::int", struct{ A int }{1})
			require.Error(s, err)
			_, err = s.db.ExecContext(s.ctx, "select $1::int", make(chan int))
			require.Error(s, err)
		}},
		Case{Name: "errors/BeginTx with an unknown isolation level", run: func(s *scope) {
			_, err := s.db.BeginTx(s.ctx, &sql.TxOptions{Isolation: sql.LevelLinearizable})
			require.Error(s, err)
		}},
	)
}

// check runs the statement on the DB, on a connection and in a transaction, and
// sees that each is usable after it.
func (f failing) check(s *scope) {
	t := s.table("id int primary key, n int not null, short varchar(3)")
	s.exec("insert into " + t + " values (1, 1)")
	query := strings.ReplaceAll(f.query, "%t", t)
	s.failsOn(s.db, f.state, query, f.args...)
	s.usable()

	conn := s.conn()
	s.failsOn(conn, f.state, query, f.args...)
	require.Equal(s, 1, one[int](s, conn, "select 1"))
	require.NoError(s, conn.Close())

	if f.state != "25P01" { // there it isn't an error inside a transaction
		tx := s.begin(nil)
		s.failsOn(tx, f.state, query, f.args...)
		require.NoError(s, tx.Rollback())
	}
	require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
}
