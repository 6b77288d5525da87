package sqltest

import (
	"database/sql"
	"time"

	"github.com/stretchr/testify/require"
)

func expressionCases() []Case {
	return []Case{
		{Name: "expressions/arithmetic", run: texts(map[string]string{
			"1 + 2 * 3":                 "7",
			"(1 + 2) * 3":               "9",
			"-7 / 2":                    "-3",
			"-7 % 2":                    "-1",
			"7.0 / 2":                   "3.5000000000000000",
			"2 - 3 - 4":                 "-5",
			"- 2":                       "-2",
			"1 + 1.5":                   "2.5",
			"5::int8 * 2::int2":         "10",
			"1::float8 / 4":             "0.25",
			"'3'::int + '4'":            "7",
			"1e3 + 0":                   "1000",
			"0.1::float8 + 0.2::float8": "0.30000000000000004",
		})},
		{Name: "expressions/comparison", run: texts(map[string]string{
			"1 < 2":                         "true",
			"1 <> 1.0":                      "false",
			"2 >= 3":                        "false",
			"'a' < 'b'":                     "true",
			"'B' < 'a'":                     "true",
			"'a' = 'a '::text":              "false",
			"true > false":                  "true",
			"1 between 0 and 1":             "true",
			"2 not between 0 and 1":         "true",
			"1 in (3, 2, 1)":                "true",
			"'x' not in ('a', 'b')":         "true",
			"'abc' like 'a%'":               "true",
			"'abc' like '_b_'":              "true",
			`'\x01'::bytea < '\x02'::bytea`: "true",
		})},
		{Name: "expressions/logic precedence", run: texts(map[string]string{
			"true or false and false":         "true",
			"(true or false) and false":       "false",
			"not false and false":             "false",
			"not (false and false)":           "true",
			"1 = 1 or 1 / 0 = 1 and null":     "true",
			"1 + 1 = 2 and 'a' || 'b' = 'ab'": "true",
		})},
		{Name: "expressions/concatenation", run: texts(map[string]string{
			"'a' || 'b'":                    "ab",
			"'n=' || 5":                     "n=5",
			"5 || ' apples'":                "5 apples",
			"'a' || 1.50":                   "a1.50",
			"coalesce('a' || null, 'none')": "none",
			"'x' || true":                   "xtrue",
		})},
	}
}

func castCases() []Case {
	return []Case{
		{Name: "expressions/casts", run: texts(map[string]string{
			"'42'::int + 1":           "43",
			"cast(' 42 ' as int8)":    "42",
			"2.5::int":                "3",
			"3.5::int":                "4",
			"2.5::float8::int":        "2",
			"-2.5::numeric::int":      "-3",
			"'t'::bool":               "true",
			"'off'::bool":             "false",
			"1::bool":                 "true",
			"true::int":               "1",
			"12345.678::numeric(8,1)": "12345.7",
			"1.0::text":               "1.0",
			"1e20::float8::text":      "1e+20",
			"100000::float8::text":    "100000",
			"'NaN'::float8::text":     "NaN",
			`'\xDEAD'::bytea::text`:   `\xdead`,
			"'2024-1-5'::date::text":  "2024-01-05",
			"int '7'":                 "7",
		})},
		{Name: "expressions/coalesce", run: texts(map[string]string{
			"coalesce(null, null, 3)":      "3",
			"coalesce(1, 1 / 0)":           "1",
			"coalesce(null::text, 'none')": "none",
		})},
	}
}

func setCases() []Case {
	return []Case{
		{Name: "expressions/generate_series", run: func(s *scope) {
			for from, want := range map[string][]int{
				"generate_series(1, 3) g":         {1, 2, 3},
				"generate_series(3, 1) g":         {},
				"generate_series(1, 10, 4) g":     {1, 5, 9},
				"generate_series(3, 1, -1) as g":  {3, 2, 1},
				"generate_series(-1, 1) as t (g)": {-1, 0, 1},
			} {
				require.Equal(s, want, column[int](s, s.db, "select g from "+from), from)
			}
			require.Equal(s, []int{2, 3}, column[int](s, s.db, "select g from generate_series($1::int, $2::int) g where g > 1", 1, 3))
			s.failsOn(s.db, "22023", "select * from generate_series(1, 2, 0)")
		}},
		{Name: "expressions/aggregates", run: aggregates},
		{Name: "expressions/aggregates of nothing", run: func(s *scope) {
			t := s.table("v int")
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t))
			for _, aggregate := range []string{"sum(v)", "min(v)", "max(v)", "avg(v)"} {
				require.Nil(s, one[any](s, s.db, "select "+aggregate+" from "+t), aggregate)
			}
			require.Equal(s, 5, one[int](s, s.db, "select coalesce(sum(v), 5) from "+t+" where v > 0"))
		}},
		{Name: "expressions/now is the transaction's start", run: nowIsStable},
		{Name: "expressions/current database and user", run: func(s *scope) {
			require.NotEmpty(s, one[string](s, s.db, "select current_database()"))
			require.NotEmpty(s, one[string](s, s.db, "select current_user"))
		}},
		{Name: "expressions/where uses an index and other conditions", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " select g, g % 10 from generate_series(1, 500) g")
			for where, want := range map[string]int{
				"id = 77":                       1,
				"id = 77 and v = 8":             0,
				"id in (1, 2, 3, 1000)":         3,
				"id > 490":                      10,
				"id >= 10 and id < 20":          10,
				"id between 10 and 20 or v = 0": 59,
				"v = 3 and not id > 100":        10,
				"id = 1 + 1":                    1,
				"id > 10 and id < 5":            0,
				"true":                          500,
				"null":                          0,
			} {
				require.Equal(s, want, one[int](s, s.db, "select count(*) from "+t+" where "+where), where)
			}
			require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t+" where id = $1 and v = $2", 77, 7))
		}},
	}
}

// texts compares expressions with the text that PostgreSQL 15 gives for them.
func texts(want map[string]string) func(*scope) {
	return func(s *scope) {
		for expr, text := range want {
			require.Equal(s, text, one[string](s, s.db, "select ("+expr+")::text"), expr)
		}
	}
}

func aggregates(s *scope) {
	t := s.table("i int, b int8, f float8, n numeric(10,2), t text, at timestamptz")
	s.exec("insert into " + t + ` values (1, 10, 0.5, 1.10, 'b', '2024-01-01Z'), (2, 20, 1.5, 2.25, 'a', '2024-06-01Z'),
		(3, 9000000000000000000, 2.5, -0.05, 'c', '2023-01-01Z'), (-1, 9000000000000000000, 0, 0, 'B', null)`)
	for expr, want := range map[string]string{
		"count(*)":                "4",
		"count(at)":               "3",
		"sum(i)":                  "5",
		"sum(b)":                  "18000000000000000030",
		"sum(f)":                  "4.5",
		"sum(n)":                  "3.30",
		"avg(i)":                  "1.2500000000000000",
		"avg(f)":                  "1.125",
		"min(i)":                  "-1",
		"max(i) - min(i)":         "4",
		"min(t) || max(t)":        "Bc",
		"max(n)":                  "2.25",
		"sum(i * 2 + 1)":          "14",
		"count(*) * 100 + sum(i)": "405",
		"coalesce(sum(i), 0) > 4": "true",
	} {
		require.Equal(s, want, one[string](s, s.db, "select ("+expr+")::text from "+t), expr)
	}
	require.Equal(s, "INT8", typeOf(s, "select sum(i) from "+t))
	require.Equal(s, "NUMERIC", typeOf(s, "select sum(b) from "+t))
	require.Equal(s, "NUMERIC", typeOf(s, "select avg(i) from "+t))
	require.Equal(s, "FLOAT8", typeOf(s, "select avg(f) from "+t))
	s.failsOn(s.db, "42803", "select i, count(*) from "+t)
	s.failsOn(s.db, "42803", "select i from "+t+" where count(*) > 1")
}

func typeOf(s *scope, query string) string {
	s.Helper()
	rows, err := s.db.QueryContext(s.ctx, query)
	require.NoError(s, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(s, err)
	return types[0].DatabaseTypeName()
}

func nowIsStable(s *scope) {
	tx := s.begin(nil)
	first := one[time.Time](s, tx, "select now()")
	s.execOn(tx, "select pg_sleep(0.01)")
	require.True(s, first.Equal(one[time.Time](s, tx, "select now()")))
	require.True(s, one[bool](s, tx, "select clock_timestamp() > now()"))
	require.NoError(s, tx.Commit())
	require.True(s, one[time.Time](s, s.db, "select now()").After(first))
	tx = s.begin(&sql.TxOptions{Isolation: sql.LevelRepeatableRead})
	require.True(s, one[bool](s, tx, "select now() <= clock_timestamp()"))
	require.NoError(s, tx.Rollback())
}
