package driver_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
)

// typedArguments are arguments of Go's and pgx's types, with a cast each.
func typedArguments() map[string][]any {
	at := time.Date(2024, 2, 29, 12, 34, 56, 789012000, time.FixedZone("x", 3*3600))
	seven := int32(7)
	text := "s"
	return map[string][]any{
		"int4":        {pgtype.Int4{Int32: 9, Valid: true}, pgtype.Int4{}, &seven, (*int32)(nil), uint8(3), "5", int64(math.MaxInt64), 1.5},
		"int8":        {uint64(math.MaxUint64), sql.Null[int64]{V: 4, Valid: true}, json.Number("12")},
		"float8":      {math.NaN(), math.Inf(-1), float32(0.5), pgtype.Float8{Float64: 2, Valid: true}},
		"numeric":     {pgtype.Numeric{Int: big.NewInt(12345), Exp: -2, Valid: true}, pgtype.Numeric{NaN: true, Valid: true}, "1e3", 2.25, int64(8)},
		"text":        {pgtype.Text{String: "t", Valid: true}, &text, (*string)(nil), []byte("b"), json.RawMessage("{}"), "\x00"},
		"bool":        {pgtype.Bool{Bool: true, Valid: true}, sql.NullBool{}, "t"},
		"bytea":       {[]byte{}, json.RawMessage("x"), "\\x01ff"},
		"uuid":        {pgtype.UUID{Bytes: [16]byte{1, 2}, Valid: true}, [16]byte{3}, pgtype.UUID{}, "not one"},
		"json":        {map[string]any{"a": []int{1}}, json.RawMessage(`[1]`), []byte(`{"b":2}`), struct{ A int }{4}, "{", nil},
		"jsonb":       {map[string]any{"a": nil}, json.RawMessage(`[1]`), `"s"`, []string{"x"}},
		"date":        {pgtype.Date{Time: at, Valid: true}, pgtype.Date{InfinityModifier: pgtype.Infinity, Valid: true}, "2024-02-30"},
		"timestamp":   {pgtype.Timestamp{Time: at.UTC(), Valid: true}, sql.NullTime{Time: at, Valid: true}, at},
		"timestamptz": {pgtype.Timestamptz{Time: at, Valid: true}, pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, at, &at},
		"time":        {pgtype.Time{Microseconds: 12345678, Valid: true}, "10:11:12.5"},
		"interval":    {pgtype.Interval{Months: 1, Days: 2, Microseconds: 3, Valid: true}, 90 * time.Minute},
		"inet":        {netip.MustParseAddr("10.0.0.1"), netip.MustParsePrefix("10.0.0.0/8"), "::1"},
		"int4[]":      {[]int32{1, 2}, []int32{}, []int32(nil), [][]int32{{1, 2}, {3, 4}}, []*int32{&seven, nil}, pgtype.FlatArray[int32]{5}, "{1,NULL}"},
		"text[]":      {[]string{"a", "", "NULL", `q"\`}, []sql.NullString{{}, {String: "v", Valid: true}}, [][]string{{"x"}, {"y"}}},
		"int4range": {
			pgtype.Range[pgtype.Int4]{Lower: pgtype.Int4{Int32: 1, Valid: true}, LowerType: pgtype.Inclusive, UpperType: pgtype.Unbounded, Valid: true},
			"[2,5)",
		},
		"point":       {pgtype.Point{P: pgtype.Vec2{X: 1, Y: 2}, Valid: true}},
		"varbit":      {pgtype.Bits{Bytes: []byte{0xa0}, Len: 4, Valid: true}},
		"value_mood":  {"happy", pgtype.Text{String: "sad", Valid: true}, "no mood", nil},
		"value_small": {42, 1000},
		"value_pair":  {"(1,x)", nil},
	}
}

// attemptRow is what a query with one argument shows: the row, the SQLSTATE, or
// that the argument was refused on this side.
func attemptRow(db *sql.DB, query string, arg any, targets ...any) string {
	if len(targets) == 0 {
		targets = []any{new(any)}
	}
	err := db.QueryRow(query, arg).Scan(targets...)
	var pgErr *pgconn.PgError
	switch {
	case errors.As(err, &pgErr):
		return pgErr.Code
	case err != nil:
		return "refused"
	}
	return describeValue(reflect.ValueOf(targets[0]).Elem().Interface())
}

var execModes = []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"}

// Every argument has the effect, or the error, that it has with pgx's stdlib in
// the same execution mode.
func TestTypedArgumentsAsStdlib(t *testing.T) {
	_, err := open(t, "acquire_timeout=10s").Exec(`drop type if exists value_pair, value_mood; drop domain if exists value_small;
		create type value_pair as (n int4, s text); create type value_mood as enum ('sad', 'happy');
		create domain value_small as int4 check (value < 100)`)
	require.NoError(t, err)
	for _, mode := range execModes {
		ours := open(t, "acquire_timeout=10s", "default_query_exec_mode="+mode)
		theirs, err := sql.Open("pgx", withParams(sharedServer(t), "default_query_exec_mode="+mode))
		require.NoError(t, err)
		theirs.SetMaxOpenConns(1)
		for cast, args := range typedArguments() {
			for i, arg := range args {
				query := fmt.Sprintf("select ($1::%s)::text", cast)
				require.Equal(t, attemptRow(theirs, query, arg), attemptRow(ours, query, arg), "%s: %s, argument %d: %T", mode, cast, i, arg)
			}
		}
		require.NoError(t, theirs.Close())
	}
}

// Every scan target gets what it gets from pgx's stdlib.
func TestScanTargetsAsStdlib(t *testing.T) {
	m := pgtype.NewMap()
	targets := map[string][]func() any{
		"7::int4":                            {func() any { return new(pgtype.Int4) }, func() any { return new(int8) }, func() any { return new(string) }, func() any { return new(*int) }, func() any { return new(sql.Null[int16]) }},
		"null::int4":                         {func() any { return new(pgtype.Int4) }, func() any { return new(*int) }, func() any { return new(int) }, func() any { return new(sql.NullInt32) }},
		"1.50::numeric":                      {func() any { return new(pgtype.Numeric) }, func() any { return new(float64) }, func() any { return new(string) }},
		"'2024-02-29 12:00+03'::timestamptz": {func() any { return new(pgtype.Timestamptz) }, func() any { return new(time.Time) }, func() any { return new(sql.NullTime) }, func() any { return new(string) }},
		"'infinity'::timestamptz":            {func() any { return new(pgtype.Timestamptz) }, func() any { return new(time.Time) }},
		"'2024-02-29'::date":                 {func() any { return new(pgtype.Date) }, func() any { return new(time.Time) }},
		"'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'::uuid": {func() any { return new(pgtype.UUID) }, func() any { return new(string) }, func() any { return new([]byte) }},
		"'{\"a\":1}'::jsonb":                           {func() any { return new([]byte) }, func() any { return new(json.RawMessage) }, func() any { return new(string) }},
		"'1 day 02:03'::interval":                      {func() any { return new(pgtype.Interval) }, func() any { return new(string) }},
		"'[1,5)'::int4range":                           {func() any { return new(pgtype.Range[pgtype.Int4]) }, func() any { return new(string) }},
		"'10.0.0.1/8'::inet":                           {func() any { return new(string) }},
		"'{1,2,NULL}'::int4[]":                         {func() any { return m.SQLScanner(&[]*int32{}) }, func() any { return m.SQLScanner(&[]int32{}) }, func() any { return new(string) }},
		"'\\x00ff'::bytea":                             {func() any { return new([]byte) }, func() any { return new(string) }},
		"B'1010'::varbit":                              {func() any { return new(pgtype.Bits) }},
		"'happy'::text":                                {func() any { return new(pgtype.Text) }, func() any { return new(sql.NullString) }, func() any { return new(int) }},
	}
	for _, mode := range execModes {
		ours := open(t, "acquire_timeout=10s", "default_query_exec_mode="+mode)
		theirs, err := sql.Open("pgx", withParams(sharedServer(t), "default_query_exec_mode="+mode))
		require.NoError(t, err)
		for expression, into := range targets {
			for i, target := range into {
				query := "select " + expression + " where $1::int = 1"
				a, b := target(), target()
				want, got := attemptRow(theirs, query, 1, a), attemptRow(ours, query, 1, b)
				if want == "refused" || reflect.TypeOf(a).Kind() != reflect.Pointer {
					require.Equal(t, want == "refused", got == "refused", "%s: %s into target %d", mode, expression, i)
					continue
				}
				require.Equal(t, a, b, "%s: %s into target %d", mode, expression, i)
			}
		}
		require.NoError(t, theirs.Close())
	}
}
