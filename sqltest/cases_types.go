package sqltest

import (
	"bytes"
	"database/sql"
	"math"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

func typeCases() []Case {
	return []Case{
		{Name: "types/int2", run: func(s *scope) { roundTrip(s, "int2", nil, int16(0), -1, math.MinInt16, math.MaxInt16) }},
		{Name: "types/int4", run: func(s *scope) { roundTrip(s, "int4", nil, int32(0), 1, math.MinInt32, math.MaxInt32) }},
		{Name: "types/int8", run: func(s *scope) { roundTrip(s, "int8", nil, int64(0), 1<<53+1, math.MinInt64, math.MaxInt64) }},
		{Name: "types/integer out of range", run: integerOutOfRange},
		{Name: "types/float8", run: func(s *scope) {
			roundTrip(s, "float8", nil, 0, 1.5, -0.1, math.MaxFloat64, math.SmallestNonzeroFloat64, 1e-300, math.Pi)
		}},
		{Name: "types/float8 NaN and infinities", run: func(s *scope) {
			same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
			roundTrip(s, "float8", same, math.NaN(), math.Inf(1), math.Inf(-1))
		}},
		{Name: "types/float8 NaN is the greatest and equals itself", run: nanOrder},
		{Name: "types/numeric with scale", run: numericWithScale},
		{Name: "types/numeric unconstrained", run: func(s *scope) {
			roundTrip(s, "numeric", nil, "0", "-1", "123456789012345678901234567890.123456789", "0.000000000000000000001", "1.500", "NaN")
		}},
		{Name: "types/numeric overflow", run: func(s *scope) {
			t := s.table("v numeric(4,2)")
			s.failsOn(s.db, "22003", "insert into "+t+" values (100)")
			s.exec("insert into " + t + " values (99.99)")
		}},
		{Name: "types/text", run: func(s *scope) {
			roundTrip(s, "text", nil, "", " ", "a", "it's", `"quoted"`, `back\slash`, "line\nbreak\r\ttab", "$1 ? :x", "'; drop table x; --")
		}},
		{Name: "types/text unicode", run: func(s *scope) {
			roundTrip(s, "text", nil, "äöü", "日本語", "🙂", "e\u0301", "\u202eright to left", strings.Repeat("ж", 5000))
		}},
		{Name: "types/text literals", run: textLiterals},
		{Name: "types/text large", run: func(s *scope) { roundTrip(s, "text", nil, strings.Repeat("0123456789abcdef", 1<<15)) }},
	}
}

func moreTypeCases() []Case {
	return []Case{
		{Name: "types/varchar(n)", run: func(s *scope) { roundTrip(s, "varchar(3)", nil, "", "abc", "äöü", " a ") }},
		{Name: "types/varchar(n) too long", run: varcharTooLong},
		{Name: "types/bool", run: func(s *scope) { roundTrip(s, "bool", nil, true, false) }},
		{Name: "types/bytea", run: func(s *scope) {
			every := make([]byte, 256)
			for i := range every {
				every[i] = byte(i)
			}
			roundTrip(s, "bytea", bytes.Equal, []byte{}, []byte{0}, []byte(`\x00`), every, bytes.Repeat(every, 1<<11))
		}},
		{Name: "types/timestamptz zones", run: timestamptzZones},
		{Name: "types/timestamptz microseconds", run: func(s *scope) {
			at := func(micros int) time.Time { return time.Date(1999, 12, 31, 23, 59, 59, micros*1000, time.UTC) }
			roundTrip(s, "timestamptz", time.Time.Equal, at(0), at(1), at(999_999), at(500_000),
				time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC))
		}},
		{Name: "types/timestamptz literal with zone", run: func(s *scope) {
			got := one[time.Time](s, s.db, "select '2024-02-29 12:00:00+05:30'::timestamptz")
			require.True(s, got.Equal(time.Date(2024, 2, 29, 6, 30, 0, 0, time.UTC)), got)
		}},
		{Name: "types/date", run: func(s *scope) {
			day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
			roundTrip(s, "date", time.Time.Equal, day(2000, 1, 1), day(1999, 12, 31), day(2024, 2, 29), day(1900, 3, 1), day(9999, 12, 31))
		}},
		{Name: "types/date as text", run: func(s *scope) {
			require.Equal(s, "2024-02-29", one[string](s, s.db, "select ('2024-02-29'::date)::text"))
		}},
		{Name: "types/uuid", run: func(s *scope) {
			roundTrip(s, "uuid", nil, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
		}},
		{Name: "types/uuid forms", run: func(s *scope) {
			const want = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
			for _, form := range []string{"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11"} {
				require.Equal(s, want, one[string](s, s.db, "select ('"+form+"'::uuid)::text"), form)
			}
		}},
		{Name: "types/database type names", run: databaseTypeNames},
		{Name: "types/scan into other Go types", run: scanElsewhere},
	}
}

// roundTrip inserts values as parameters, reads them back and finds them equal.
func roundTrip[T any](s *scope, columnType string, equal func(a, b T) bool, values ...T) {
	s.Helper()
	t := s.table("id int primary key, v " + columnType)
	for i, v := range values {
		require.EqualValues(s, 1, s.exec("insert into "+t+" (id, v) values ($1, $2)", i, v))
	}
	for i, want := range values {
		got := one[T](s, s.db, "select v from "+t+" where id = $1", i)
		if equal == nil {
			require.Equal(s, want, got)
			continue
		}
		require.True(s, equal(want, got), "want %v, got %v", want, got)
	}
	require.Len(s, column[T](s, s.db, "select v from "+t+" order by id"), len(values))
}

func integerOutOfRange(s *scope) {
	t := s.table("a int2, b int4, c int8")
	s.failsOn(s.db, "22003", "insert into "+t+" (a) values (32768)")
	s.failsOn(s.db, "22003", "insert into "+t+" (b) values (2147483648)")
	s.failsOn(s.db, "22003", "insert into "+t+" (c) values (9223372036854775808)")
	s.failsOn(s.db, "22003", "select 2147483647 + 1")
	s.failsOn(s.db, "22003", "select 9223372036854775807 + 1")
	_, err := s.db.ExecContext(s.ctx, "insert into "+t+" (a) values ($1)", 32768)
	require.Error(s, err, "a parameter out of range")
	require.EqualValues(s, 0, one[int](s, s.db, "select count(*) from "+t))
}

func nanOrder(s *scope) {
	t := s.table("id int primary key, v float8")
	s.exec("insert into " + t + " values (1, 'NaN'), (2, 'Infinity'), (3, 1), (4, '-Infinity')")
	require.Equal(s, []int{4, 3, 2, 1}, column[int](s, s.db, "select id from "+t+" order by v"))
	require.Equal(s, []int{1}, column[int](s, s.db, "select id from "+t+" where v = 'NaN'"))
}

func numericWithScale(s *scope) {
	t := s.table("id int primary key, v numeric(10,2)")
	for i, c := range []struct{ in, want string }{
		{"1", "1.00"},
		{"1.005", "1.01"},
		{"-1.005", "-1.01"},
		{"0.004", "0.00"},
		{"99999999.99", "99999999.99"},
	} {
		s.exec("insert into "+t+" values ($1, $2)", i, c.in)
		require.Equal(s, c.want, one[string](s, s.db, "select v from "+t+" where id = $1", i), c.in)
	}
	require.Equal(s, "99999999.99", one[string](s, s.db, "select max(v) from "+t))
	require.Equal(s, "0.3", one[string](s, s.db, "select 0.1 + 0.2"))
}

func textLiterals(s *scope) {
	for _, c := range []struct{ literal, want string }{
		{"'it''s'", "it's"},
		{`'back\slash'`, `back\slash`},
		{`E'tab\tnewline\n\'quote\' \\'`, "tab\tnewline\n'quote' \\"},
		{"$$dollar 'quoted'$$", "dollar 'quoted'"},
		{"$x$with $$ in it$x$", "with $$ in it"},
		{`U&'\0061\00e4'`, "aä"},
		{"'two'\n  'parts'", "twoparts"},
	} {
		require.Equal(s, c.want, one[string](s, s.db, "select "+c.literal), c.literal)
	}
}

func varcharTooLong(s *scope) {
	t := s.table("v varchar(3)")
	s.failsOn(s.db, "22001", "insert into "+t+" values ('abcd')")
	s.failsOn(s.db, "22001", "insert into "+t+" values ($1)", "äöüß")
	s.exec("insert into " + t + " values ('ab    ')") // only blanks are cut off silently
	require.Equal(s, "ab ", one[string](s, s.db, "select v from "+t))
	require.Equal(s, "abc", one[string](s, s.db, "select 'abcd'::varchar(3)"), "an explicit cast cuts")
}

func timestamptzZones(s *scope) {
	t := s.table("id int primary key, v timestamptz")
	instant := time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)
	for i, hours := range []int{0, 2, -7, 14} {
		s.exec("insert into "+t+" values ($1, $2)", i, instant.In(time.FixedZone("", hours*3600)))
	}
	for _, got := range column[time.Time](s, s.db, "select v from "+t) {
		require.True(s, instant.Equal(got), got)
	}
	require.Equal(s, 4, one[int](s, s.db, "select count(*) from "+t+" where v = $1", instant))
	conn := s.conn()
	s.execOn(conn, "set timezone to 'UTC'")
	require.Equal(s, "2024-07-01 12:00:00+00", one[string](s, conn, "select v::text from "+t+" where id = 1"))
	s.execOn(conn, "reset timezone")
	require.NoError(s, conn.Close())
}

func databaseTypeNames(s *scope) {
	rows, err := s.db.QueryContext(s.ctx, `select 1::int2, 1::int4, 1::int8, 1::float8, 1::numeric, 'a'::text, 'a'::varchar,
		true, '\x00'::bytea, now(), now()::date, '00000000-0000-0000-0000-000000000000'::uuid`)
	require.NoError(s, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(s, err)
	var names []string
	for _, typ := range types {
		names = append(names, typ.DatabaseTypeName())
	}
	require.Equal(s, []string{
		"INT2", "INT4", "INT8", "FLOAT8", "NUMERIC", "TEXT", "VARCHAR",
		"BOOL", "BYTEA", "TIMESTAMPTZ", "DATE", "UUID",
	}, names)
}

func scanElsewhere(s *scope) {
	require.Equal(s, "42", one[string](s, s.db, "select 42"))
	require.Equal(s, int64(42), one[int64](s, s.db, "select 42::int2"))
	require.InDelta(s, 42, one[float64](s, s.db, "select 42"), 0)
	require.InDelta(s, 1.25, one[float64](s, s.db, "select 1.25"), 0)
	require.Equal(s, "true", one[string](s, s.db, "select true"))
	require.Equal(s, []byte("abc"), one[[]byte](s, s.db, "select 'abc'"))
	require.Equal(s, any(int64(7)), one[any](s, s.db, "select 7"))
	require.Equal(s, any("x"), one[any](s, s.db, "select 'x'::text"))
	var small int8
	err := s.db.QueryRowContext(s.ctx, "select 300").Scan(&small)
	require.ErrorContains(s, err, "out of range")
	var raw int
	rows, err := s.db.QueryContext(s.ctx, "select 'abc'")
	require.NoError(s, err)
	require.True(s, rows.Next())
	require.Error(s, rows.Scan(&raw))
	var bytes sql.RawBytes
	require.NoError(s, rows.Scan(&bytes))
	require.Equal(s, "abc", string(bytes))
	require.NoError(s, rows.Close())
}
