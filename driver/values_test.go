package driver_test

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// expressions cover every result type that the conversion treats specially,
// and a good many that it doesn't.
var expressions = []string{
	"1::int2", "2::int4", "3::int8", "1.5::float4", "2.5::float8", "'NaN'::float8", "'Infinity'::float4",
	"123.450::numeric", "'NaN'::numeric", "12345678901234567890.123::numeric(40,3)",
	"'text'::text", "'vc'::varchar(10)", "'bp'::char(5)", "'c'::\"char\"", "'n'::name", "''::text",
	"true", "false", "'\\x00ff10'::bytea", "''::bytea",
	"'2024-02-29'::date", "'infinity'::date", "'0044-03-15 BC'::date",
	"'2024-02-29 12:34:56.789012'::timestamp", "'-infinity'::timestamp",
	"'2024-02-29 12:34:56.789012+03'::timestamptz", "'infinity'::timestamptz",
	"'12:34:56.5'::time", "'12:34:56+02'::timetz", "'1 year 2 mons 3 days 04:05:06'::interval",
	"'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'::uuid", "'{\"a\": [1, null]}'::json", "'{\"b\":2}'::jsonb", "'<x/>'::xml",
	"'{1,2,NULL}'::int4[]", "'{a,\"b c\",NULL}'::text[]", "'{{1,2},{3,4}}'::int8[]", "'{t,f}'::bool[]", "'{}'::uuid[]",
	"'10.0.0.1/8'::inet", "'10.0.0.0/8'::cidr", "'08:00:2b:01:02:03'::macaddr", "'(1,2)'::point", "'[1,5)'::int4range",
	"B'1010'::varbit", "42::oid", "'42'::xid", "'42'::cid", "'pg_class'::regclass", "row(1,'x')", "12.34::money",
	"null", "null::int4", "null::timestamptz", "null::bytea", "null::int4[]", "null::json",
}

func TestValuesAsStdlib(t *testing.T) {
	ours, theirs := open(t), openPgx(t)
	for _, mode := range []string{"", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		db := ours
		if mode != "" {
			db = open(t, "default_query_exec_mode="+mode)
		}
		for _, e := range expressions {
			query := "select " + e + " as v, 1 as one"
			require.Equal(t, readRows(t, theirs, query), readRows(t, db, query), "mode %q: %s", mode, e)
		}
	}
}

// readRows reads everything that database/sql shows of a result.
func readRows(t *testing.T, db *sql.DB, query string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(context.Background(), query, args...)
	require.NoError(t, err)
	defer rows.Close()
	var out []string
	types, err := rows.ColumnTypes()
	require.NoError(t, err)
	for _, ct := range types {
		length, okL := ct.Length()
		p, s, okP := ct.DecimalSize()
		out = append(out, fmt.Sprint(ct.Name(), ct.DatabaseTypeName(), ct.ScanType(), length, okL, p, s, okP))
	}
	for rows.Next() {
		values := make([]any, len(types))
		into := make([]any, len(types))
		for i := range values {
			into[i] = &values[i]
		}
		require.NoError(t, rows.Scan(into...))
		for _, v := range values {
			out = append(out, describeValue(v))
		}
	}
	require.NoError(t, rows.Err())
	return out
}

func describeValue(v any) string {
	if at, ok := v.(time.Time); ok {
		return fmt.Sprintf("time %v in %v", at.UnixNano(), at.Location())
	}
	return fmt.Sprintf("%T %v", v, v)
}

func TestArgumentsAsStdlib(t *testing.T) {
	ours, theirs := open(t), openPgx(t)
	at := time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.FixedZone("x", 3*3600))
	type named string
	cases := []struct {
		cast string
		arg  any
	}{
		{"int4", 7},
		{"int8", int64(-1)},
		{"int2", int8(3)},
		{"float8", 1.5},
		{"numeric", "12.50"},
		{"numeric", 3},
		{"text", "ä€\U0001F600"},
		{"text", named("typed")},
		{"bool", true},
		{"bytea", []byte{0, 1, 255}},
		{"bytea", []byte(nil)},
		{"timestamptz", at},
		{"timestamp", at},
		{"date", at},
		{"uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"},
		{"json", `{"a":1}`},
		{"jsonb", map[string]int{"a": 1}},
		{"int4[]", []int32{1, 2, 3}},
		{"text[]", []string{"a", "b,c", `"`}},
		{"text", nil},
		{"int4", sql.NullInt64{}},
		{"int4", sql.NullInt64{Int64: 5, Valid: true}},
		{"int4", pgtype.Int4{Int32: 9, Valid: true}},
		{"text", sql.NullString{String: "x", Valid: true}},
		{"interval", "1 day"},
		{"inet", "10.0.0.1"},
	}
	for _, c := range cases {
		query := "select $1::" + c.cast
		require.Equal(t, readRows(t, theirs, query, c.arg), readRows(t, ours, query, c.arg), "%s %T", c.cast, c.arg)
	}
}

func TestScanIntoGoTypes(t *testing.T) {
	db := open(t)
	var i int
	var s string
	var b []byte
	var at time.Time
	var f float64
	var ok bool
	require.NoError(t, db.QueryRow("select 1, 'x', '\\x01'::bytea, '2024-01-02 03:04:05+00'::timestamptz, 1.25::numeric, true").
		Scan(&i, &s, &b, &at, &f, &ok))
	require.Equal(t, []any{1, "x", []byte{1}, 1.25, true}, []any{i, s, b, f, ok})
	require.True(t, at.Equal(time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)))
}

func TestNextResultSet(t *testing.T) {
	db := open(t)
	rows, err := db.Query("create temp table r (a int); insert into r values (1), (2); select a from r order by a; " +
		"update r set a = 3; select 'x'::text as t, 5 as n; drop table r")
	require.NoError(t, err)
	defer rows.Close()
	var got []int
	for rows.Next() {
		var a int
		require.NoError(t, rows.Scan(&a))
		got = append(got, a)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, []int{1, 2}, got)
	require.True(t, rows.NextResultSet())
	names, err := rows.Columns()
	require.NoError(t, err)
	require.Equal(t, []string{"t", "n"}, names)
	require.True(t, rows.Next())
	var s string
	var n int
	require.NoError(t, rows.Scan(&s, &n))
	require.Equal(t, "x", s)
	require.False(t, rows.Next())
	require.False(t, rows.NextResultSet())
	require.NoError(t, rows.Err())
}

func TestNextResultSetErrorComesOut(t *testing.T) {
	db := open(t)
	rows, err := db.Query("select 1; select 1/0; select 2")
	require.NoError(t, err)
	defer rows.Close()
	require.True(t, rows.Next())
	require.False(t, rows.Next())
	require.False(t, rows.NextResultSet())
	require.ErrorContains(t, rows.Err(), "division by zero")
}

func TestColumnTypesOfEmptyResult(t *testing.T) {
	ours, theirs := open(t), openPgx(t)
	q := "select 1::int4 as a, 'x'::varchar(7) as b where false"
	require.True(t, reflect.DeepEqual(readRows(t, theirs, q), readRows(t, ours, q)))
}
