package simnode_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode"
)

// TestAbsentIsNamed compares calls with a real PostgreSQL: what it carries out is
// carried out here too, or is 0A000; what it refuses is refused with its code.
func TestAbsentIsNamed(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	real, err := pgx.Connect(t.Context(), server.DSN())
	require.NoError(t, err)
	defer real.Close(context.Background())
	_, ours, _, _ := trio(t, simnode.Config{InMemory: true})
	absent := 0
	for _, call := range []string{
		"* from generate_series(now(), now(), '1 day')",
		"* from generate_series(now(), now(), 1)",
		"* from generate_series('2026-01-01'::date, '2026-01-02'::date, '1 day')",
		"* from generate_series(1.5, 3)", "* from generate_series('x'::text, 'y'::text)", "* from generate_series(1, 2, 3, 4)",
		"now() - now()", "now() - '2026-01-01'", "now() + now()", "'2026-01-01'::date - '2026-01-01'::date",
		"'2026-01-01'::date + now()", "'2026-01-01'::date - now()", "now() - '2026-01-01'::date", "now() + 1",
		"sum(now())", "avg('2026-01-01'::date)", "sum('a'::text)", "max(true)", "min('a'::bytea)", "max(1::oid)", "count(1, 2)",
		"round(1.5::float8, 2)", "round(1.55, 1)", "round('a'::text)", "round(true)", "abs('1'::text)", "abs('x')",
		"length(1)", "length('a'::bytea)", "length('a'::bytea, 'utf8')", "substr('a'::bytea, 1)", "substr(1, 1)",
		"substring('abc', 'b')", "substring('abc'::bytea, 1)", "substring('abc', 1, 2, 3)", "overlay('abc', 'x', 1)",
		"upper(1)", "lower('a'::bytea)", "concat(1, true, null)", "concat()", "concat_ws(',', 1)", "replace('a', 'b')", "replace(1, 2, 3)",
		"pg_sleep(now())", "pg_sleep_for('0')", "coalesce(1, 2)", "power(2, 3)", "power('a'::text, 1)", "sqrt(true)", "mod(5, 2)", "mod(5.5::float8, 2)",
		"div(7, 2)", "floor('2026-01-01'::date)", "md5('a')", "md5('a'::bytea)", "md5(1)", "encode('a', 'hex')", "encode('a'::text, 'hex')",
		"date_trunc('day', now())", "date_trunc('day', now(), 'UTC')", "extract(epoch from now())", "to_char(1, '9')", "to_char(now(), 'YYYY')",
		"1 << 2", "1 # 2", "'a' ~ 'b'", "true + false", "1 + true", "'a'::text + 1", "'a'::text * 2", "-'a'::text", "-true", "@ -1", "|/ 4",
		"true || false", "1 || 2", "'a' || 1", "'a'::bytea || 'b'::bytea", "'a'::bytea || 'b'::text", "gen_random_uuid() + 1",
		"interval('1 day'::text)", "int4range('[1,2)')", "isfinite(now())", "to_tsvector('a')",
		"width_bucket(1, 2, 3, 4)", "regexp_replace('a', 'b', 'c')", "regexp_replace(1, 2, 3)", "json_typeof(1)", "pg_typeof(1)",
		"1 && 2", "now() <-> now()", "1 -> 2", "'a'::text -> 'b'",
		"nosuch(1)", "1 nosuch 2", "pg_catalog.nosuch()", "array_agg(1)", "string_agg('a', ',')", "json_build_object('a', 1)", "random(1)",
	} {
		_, refusal := real.Exec(t.Context(), "select "+call)
		_, err := ours.Exec(t.Context(), "select "+call)
		want, got := codeOf(refusal), codeOf(err)
		if want == "" && got == "0A000" {
			absent++
			continue
		}
		assert.Equal(t, want, got, "%s: PostgreSQL says %v, the simulator %v", call, refusal, err)
	}
	require.Greater(t, absent, 10)
}

// codeOf is the SQLSTATE of an error, or "".
func codeOf(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}
