package types_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// allTypes is every type that a column can have.
var allTypes = []types.OID{
	types.Bool, types.Bytea, types.Name, types.Int8, types.Int2, types.Int4, types.Text, types.OidOID,
	types.Float8, types.Varchar, types.DateOID, types.Timestamptz, types.Numeric, types.UUID, types.CharOID,
}

// corpus is inputs for every type; each type's own come from samples.
var corpus = map[types.OID][]string{
	types.Bool: {
		"t", "true", "TRUE", "tru", "y", "yes", "on", "1", "f", "false", "fal", "n", "no", "of", "off", "0",
		" true ", "o", "", "2", "truee", "yess", "\ttrue\n",
	},
	types.Bytea: {
		`\x`, `\x00ff`, `\xDEADbeef`, `\x0 0`, `\x00 ff`, `\x0`, `\x0g`, `abc`, `a\\b`, `\000\377`, `\400`, `\`, `a\1`, ``, `\xä`,
	},
	types.Int2: {"0", "-0", "+5", " 7 ", "32767", "32768", "-32768", "-32769", "", " ", "x", "1x", "1.0", "1e3", "--1", "99999999999999999999"},
	types.Int4: {"2147483647", "2147483648", "-2147483648", "-2147483649", "\v12\f", "1 2", "0x1F", "1_000", "+", "-", "00012"},
	types.Int8: {
		"9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"99999999999999999999999", "18446744073709551616", "12 ", "- 1",
	},
	types.OidOID: {"0", "4294967295", "4294967296", "-1", "-2147483648", "-2147483649", "x", "", "1 ", "12a"},
	types.Float8: {
		"0", "-0", "1", "1.5", ".5", "5.", ".", "1e20", "1e15", "1e14", "123456789012345", "1234567890123456", "1e-4", "1e-5",
		"0.0001", "0.00001234", "1e308", "1e309", "-1e309", "1e-308", "5e-324", "1e-324", "1e-400", "0e999", "nan", "NaN", "-nan",
		"inf", "-inf", "+Infinity", "infinit", "1e", "1e+", "1_0", "0x1p4", "0x1F", "0x", " 1.25 ", "1.25x", "", "   ", "3.141592653589793238",
		"100000", "1e5", "99999999999999990000", "0.1", "0.3", "1.7976931348623157e308", "4.9406564584124654e-324", "1d5", "1f",
		"9007199254740993", "-1234.5678e-90", "1e+100", "1e-100",
	},
	types.Numeric: {
		"0", "-0", "-0.00", "1", "1.50", "0.000", "1e5", "1.5e3", "1.5e-3", "150e-1", "1e-5", ".5", "5.", ".", "+.5e1", "nan", "NaN", "+nan", "-nan",
		"inf", "-Infinity", "+inf", "infinit", "1e", "1e+", "1 e5", "1e 5", "--1", "1_0", "0x1f", "", " ", " 12.5 ", "12.5 x", "00012.500",
		"123456789012345678901234567890.123456789012345678901234567890", "1e1000", "1e131071", "1e131072", "1e-16383", "1e-16384", "1e-20000",
		"1e99999999999", "1e-99999999999", "0e99999999999", "0e-20", "0e-20000", "9999999999.99999", "1.0e0",
	},
	types.Text:    {"", "abc", " x ", "äöü", "'", `\`},
	types.Varchar: {"", "abc", "äöü  "},
	types.CharOID: {"", "a", "ab", " ", "~", "1", `\`, `\303`, `\101`, `\000`, `\400`, `\10`, `\1010`, `\18a`, "ä"},
	types.Name:    {"", "abc", strings.Repeat("ä", 40), strings.Repeat("x", 63), strings.Repeat("x", 64)},
	types.UUID: {
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "A0EEBC999C0B4EF8BB6D6BB9BD380A11", "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
		"a0ee-bc99-9c0b-4ef8-bb6d-6bb9-bd38-0a11", "a0e-ebc999c0b4ef8bb6d6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1", "",
		"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a112", "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
		" a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1-",
	},
	types.DateOID: {
		"2024-02-29", "2023-02-29", "2024-13-01", "2024-00-10", "2024-04-31", "2024-1-2", "1/8/1999", "1/18/1999", "18/1/1999", "01/02/03",
		"1999/01/08", "January 8, 1999", "Jan 8 1999", "8 Jan 1999", "8-Jan-1999", "1999-Jan-08", "Jan-08-1999", "Jan-08-99", "99-Jan-08", "08-Jan-99",
		"19990108", "990108", "2024-02-29 12:00:00", "2024-02-29T12:00:00Z", "2024-02-29 25:00:00", "infinity", "-infinity", "Infinity", "inf", "epoch",
		"0044-03-15 BC", "March 15, 44 BC", "0001-01-01", "0000-01-01", "0001-12-31 BC", "4713-11-24 BC", "4713-11-23 BC", "5874897-12-31", "5874898-01-01",
		"", " ", "x", "2024", "2024-02", "2024-02-29-01", "2024-02-2x", "20240229", "99-01-02", "70-01-01", "69-01-01", "Mon 2024-02-26", "2024-02-29 AD",
		"12345-01-01", "today x", "2024.02.29", "29.02.2024", "02.29.2024", "2024-02-29 +01", "Sept 5 2020", "2020-Sep-5",
		"13-Jan-08", "Jan-13-08", "2024-01-02-03:04", "2024-02-26 Mon", "Mon 26 Feb 2024", "Mon, 26 Feb 2024", "Tue 2/1/2024", "5 5 2024", "2024 5 5", "1 2 3",
		"Feb 30 2024", "Feb 2024", "2024 Feb", "99 Jan 08", "100 Jan 08", "Jan Feb 2024", "2024-02-29+05", "2024-02-29 BC", "BC 2024-02-29", "1-1-1 BC", "01-01-01 BC",
		"tomorrow x", "2024-02-29 now", "-2024-02-29", "+2024-02-29", "2024--02-29", "2024-02-", "2024/02-29", "99999999-01-01", "2024-02-290", "2024-0229",
	},
	types.Timestamptz: {
		"2024-01-02 03:04:05", "2024-01-02 03:04:05.123456", "2024-01-02 03:04:05.1234567", "2024-01-02 03:04:05.9999999", "2024-01-02 03:04", "2024-01-02",
		"2024-01-02T03:04:05Z", "2024-01-02T03:04:05+02:00", "2024-01-02 03:04:05+02", "2024-01-02 03:04:05-0330", "2024-01-02 03:04:05+05:30:15",
		"2024-01-02 03:04:05 UTC", "2024-01-02 03:04:05 EST", "2024-01-02 03:04:05 PDT", "2024-01-02 03:04:05 CEST", "2024-01-02 03:04:05 Europe/Berlin",
		"2024-07-02 03:04:05 America/New_York", "2024-01-02 03:04:05 Nowhere/Land", "2024-01-02 03:04:05 XYZ", "2024-03-31 02:30:00", "2024-10-27 02:30:00",
		"2024-03-10 02:30:00", "2024-11-03 01:30:00", "infinity", "-infinity", "epoch", "2024-01-02 24:00:00", "2024-01-02 24:00:01", "2024-01-02 23:59:60",
		"2024-01-02 23:59:61", "2024-01-02 23:60:00", "2024-01-02 3:4:5", "2024-01-02 03:04:05 PM", "2024-01-02 12:04:05 AM", "2024-01-02 13:04:05 PM",
		"0044-03-15 12:00:00 BC", "0044-03-15 12:00:00+00 BC", "294276-12-31 23:59:59.999999Z", "294277-01-01 00:00:00Z", "4714-11-24 00:00:00+00 BC",
		"4713-01-01 00:00:00+00 BC", "4714-11-23 23:59:59+00 BC", "20240102T030405Z", "20240102 030405", "1/8/1999 12:00", "Jan 8 1999 12:00:00 PST", "",
		"2024-01-02 03:04:05+16", "2024-01-02 03:04:05+15:59", "2024-01-02 03:04:05+15:60", "2024-01-02 03", "03:04:05", "2024-01-02 03:04:05 x", "1883-11-18 12:00:00",
		"1800-01-01 00:00:00", "2024-02-30 00:00:00", "2024-01-02 03:04:05.5 +1", "Tue Jan 02 03:04:05 2024", "Tue Jan 02 03:04:05 2024 PST", "2024-01-02 03:04:05.", "2024-01-02 03:04:5.5",
		"2024-01-02 03:04:05-08 America/New_York", "2024-01-02 03:04:05 -8", "2024-01-02 03:04:05+0", "2024-01-02 03:04:05+00000", "2024-01-02 03:04:05+2:3",
		"2024-01-02 03:04:05+1:2:3", "2024-01-02 -3:4", "2024-01-02 3", "2024-01-02 3 PM", "12:00 2024-01-02", "12:00:00 PST Jan 8 1999", "2024-01-02 :04", "2024-01-02 03:",
		"2024-01-02 03:04:05.123456789", "2024-01-02 03:04:05,5", "2024-01-02 0304", "2024-01-02T0304", "2024-01-02 T 03:04", "2024-01-02t03:04:05z", "2024-01-02 03:04:05 am am",
		"2024-01-02 00:00 AM", "2024-01-02 12:00 PM", "2024-01-02 12:30 BC", "2024-01-02 03:04:05 GMT+3", "2024-01-02 03:04:05 UTC+3", "99999-01-01 00:00:00", "300000-01-01",
	},
}

// different is inputs of odd form where PostgreSQL's answer is known to be another:
// the code of the error, and one form that only PostgreSQL reads.
var different = map[string]bool{
	"99 Jan 08": true, "BC 2024-02-29": true, "-2024-02-29": true, "+2024-02-29": true, "2024--02-29": true,
}

// server asks a real PostgreSQL. Questions are collected and put in one statement,
// for thousands of them.
type server struct {
	*testing.T
	conn      *pgconn.PgConn
	zone      *time.Location
	questions []question
}

// question is an expression, what we say it is, and how to name it.
type question struct{ sql, ours, label string }

// A statement that fails inside try gives its error as text.
const try = `create function pg_temp.try(sql text) returns text language plpgsql as $$
declare r text; m text; d text; c text;
begin
	execute sql into r;
	return coalesce('v ' || r, 'null');
exception when others then
	get stacked diagnostics m = message_text, d = pg_exception_detail, c = returned_sqlstate;
	return 'E ' || c || ' ' || m || case when d <> '' then ' (' || d || ')' else '' end;
end $$`

// TestAgainstPostgreSQL compares everything with one server of version 15.
func TestAgainstPostgreSQL(t *testing.T) {
	s := connect(t)
	for name, check := range map[string]func(*testing.T, *server){
		"text input and output":    checkTextInputAndOutput,
		"random numbers and times": checkRandomNumbersAndTimes,
		"binary forms":             checkBinaryForms,
		"cast contexts":            checkCastContexts,
		"casts":                    checkCasts,
		"typmods":                  checkTypmods,
		"type info":                checkTypeInfo,
		"order":                    checkOrder,
	} {
		t.Run(name, func(t *testing.T) {
			sub := *s
			sub.T = t
			sub.setZone("UTC")
			check(t, &sub)
		})
	}
}

func connect(t *testing.T) *server {
	s := pgtest.Start(t, pgtest.Options{})
	conn, err := pgconn.Connect(t.Context(), s.DSN())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	c := &server{T: t, conn: conn}
	c.exec(try)
	c.setZone("UTC")
	return c
}

func (s *server) exec(sql string) {
	s.Helper()
	_, err := s.conn.Exec(s.Context(), sql).ReadAll()
	require.NoError(s, err)
}

// setZone puts the questions so far and changes the time zone.
func (s *server) setZone(name string) {
	s.Helper()
	s.settle()
	loc, err := time.LoadLocation(name)
	require.NoError(s, err)
	s.zone = loc
	s.exec("set timezone = '" + name + "'")
}

func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// expect notes that PostgreSQL should say of an expression what we say.
func (s *server) expect(expression, ours, label string, args ...any) {
	s.statement("select format('%s', "+expression+")", ours, label, args...)
}

func (s *server) statement(sql, ours, label string, args ...any) {
	s.questions = append(s.questions, question{sql, ours, fmt.Sprintf(label, args...)})
}

// settle puts the questions and compares the answers.
func (s *server) settle() {
	s.Helper()
	if len(s.questions) == 0 {
		return
	}
	list := make([]string, len(s.questions))
	for i, q := range s.questions {
		list[i] = quote(q.sql)
	}
	sql := "select pg_temp.try(q) from unnest(array[" + strings.Join(list, ",") + "]) with ordinality as u(q, n) order by n"
	r := s.conn.ExecParams(s.Context(), sql, nil, nil, nil, nil).Read()
	require.NoError(s, r.Err)
	require.Len(s, r.Rows, len(s.questions))
	for i, q := range s.questions {
		assert.Equal(s, string(r.Rows[i][0]), q.ours, "%s", q.label)
	}
	s.Logf("%d answers compared", len(s.questions))
	s.questions = nil
}

func errorText(code, message, detail string) string {
	if detail != "" {
		detail = " (" + detail + ")"
	}
	return "E " + code + " " + message + detail
}

// ours gives our answer in the form of try.
func (s *server) ours(oid types.OID, d types.Datum, err error) string {
	var e *sqlerr.Error
	switch {
	case errors.As(err, &e):
		return errorText(e.Code, e.Message, e.Detail)
	case err != nil:
		return "not an SQL error: " + err.Error()
	case d == nil:
		return "null"
	}
	return "v " + types.FormatText(oid, d, s.zone)
}

func typeName(oid types.OID) string {
	info, _ := types.Lookup(oid)
	if oid == types.CharOID {
		return info.SQLName // the name alone is another type's
	}
	return info.Name
}

// inputs is a type's own corpus and everybody else's.
func inputs(oid types.OID) []string {
	var list []string
	for _, in := range corpus[oid] {
		if !different[in] {
			list = append(list, in)
		}
	}
	if oid == types.Int2 || oid == types.Int4 || oid == types.Int8 {
		list = append(append(append([]string{}, corpus[types.Int2]...), corpus[types.Int4]...), corpus[types.Int8]...)
	}
	return list
}

func checkTextInputAndOutput(t *testing.T, s *server) {
	for _, zone := range []string{"UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata"} {
		s.setZone(zone)
		for _, oid := range allTypes {
			if zone != "UTC" && oid != types.Timestamptz && oid != types.DateOID {
				continue
			}
			for _, in := range inputs(oid) {
				d, err := types.ParseTextIn(oid, types.NoTypmod, in, types.Env{Location: s.zone})
				s.expect(quote(in)+"::"+typeName(oid), s.ours(oid, d, err), "%s %q in %s", typeName(oid), in, zone)
			}
		}
	}
	s.settle()
}

func checkRandomNumbersAndTimes(t *testing.T, s *server) {
	s.setZone("Europe/Paris")
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		f := math.Float64frombits(rng.Uint64())
		if rng.IntN(2) == 0 {
			f = float64(rng.Int64N(1e9)) / math.Pow10(rng.IntN(20))
		}
		in := strconv.FormatFloat(f, 'g', -1, 64)
		d, err := types.ParseText(types.Float8, types.NoTypmod, in)
		s.expect(quote(in)+"::float8", s.ours(types.Float8, d, err), "float8 %s", in)
		n, err := types.Cast(d, types.Float8, types.Numeric, types.NoTypmod, types.Explicit, types.Env{})
		s.expect(quote(in)+"::float8::numeric", s.ours(types.Numeric, n, err), "float8 %s to numeric", in)

		digits := fmt.Sprintf("%d%d.%de%d", rng.Uint32(), rng.Uint32(), rng.Uint64(), rng.IntN(60)-30)
		d, err = types.ParseText(types.Numeric, types.NoTypmod, digits)
		s.expect(quote(digits)+"::numeric", s.ours(types.Numeric, d, err), "numeric %s", digits)

		day := types.Date(rng.Int32N(8_000_000) - 2_451_507)
		in = types.FormatText(types.DateOID, day, nil)
		s.expect("'2000-01-01'::date + "+strconv.Itoa(int(day)), "v "+in, "day %d", day)
		at := types.FromMicros(rng.Int64N(1<<53) - 1<<52)
		in = types.FormatText(types.Timestamptz, at, time.UTC)
		s.expect(quote(in)+"::timestamptz", "v "+types.FormatText(types.Timestamptz, at, s.zone), "time %s", in)
	}
	s.settle()
}

func checkBinaryForms(t *testing.T, s *server) {
	send := map[types.OID]string{
		types.Bool: "boolsend", types.Bytea: "byteasend", types.Name: "namesend", types.Int8: "int8send", types.Int2: "int2send",
		types.Int4: "int4send", types.Text: "textsend", types.OidOID: "oidsend", types.Float8: "float8send", types.Varchar: "varcharsend",
		types.DateOID: "date_send", types.Timestamptz: "timestamptz_send", types.Numeric: "numeric_send", types.UUID: "uuid_send", types.CharOID: "charsend",
	}
	for _, oid := range allTypes {
		for _, in := range inputs(oid) {
			d, err := types.ParseText(oid, types.NoTypmod, in)
			if err != nil {
				continue
			}
			b, err := types.AppendBinary(nil, oid, d)
			require.NoError(t, err)
			s.expect(fmt.Sprintf("%s(%s::%s)", send[oid], quote(in), typeName(oid)), fmt.Sprintf("v \\x%x", b), "%s %q", typeName(oid), in)
			back, err := types.DecodeBinary(oid, b)
			require.NoError(t, err)
			require.Equal(t, s.ours(oid, d, nil), s.ours(oid, back, nil))
		}
	}
	s.settle()
}

func checkCastContexts(t *testing.T, s *server) {
	names := map[types.Coercion]string{types.Implicit: "i", types.Assignment: "a", types.Explicit: "e", types.None: "none"}
	for _, from := range allTypes {
		for _, to := range allTypes {
			if from == to {
				continue
			}
			// What pg_cast does not name goes through the text forms (chapter
			// "CREATE CAST").
			s.statement(fmt.Sprintf(`select coalesce((select castcontext::text from pg_cast where castsource = %[1]d and casttarget = %[2]d),
				case when t.typcategory = 'S' then 'a' when f.typcategory = 'S' then 'e' else 'none' end)
				from pg_type f, pg_type t where f.oid = %[1]d and t.oid = %[2]d`, from, to),
				"v "+names[types.CastKind(from, to)], "%s to %s", typeName(from), typeName(to))
		}
	}
	s.settle()
}

func checkCasts(t *testing.T, s *server) {
	s.setZone("Europe/Paris")
	env := types.Env{Location: s.zone}
	check := func(in string, from, to types.OID) {
		d, err := types.ParseTextIn(from, types.NoTypmod, in, env)
		if err != nil {
			return
		}
		got, err := types.Cast(d, from, to, types.NoTypmod, types.Explicit, env)
		s.expect(fmt.Sprintf("(%s::%s)::%s", quote(in), typeName(from), typeName(to)), s.ours(to, got, err),
			"%q from %s to %s", in, typeName(from), typeName(to))
	}
	for _, from := range allTypes {
		for _, to := range allTypes {
			list := inputs(from)
			if types.CastKind(from, to) == types.None {
				list = list[:2] // the error is always the same
			}
			for _, in := range list {
				check(in, from, to)
			}
			if from == types.Text || from == types.Varchar || from == types.Name {
				for _, in := range inputs(to) {
					check(in, from, to)
				}
			}
		}
	}
	for _, in := range []string{"0.5", "1.5", "2.5", "-0.5", "-2.5", "2147483647.4", "2147483647.5", "9223372036854775807", "9223372036854775807.5", "32767.5"} {
		for _, to := range []types.OID{types.Int2, types.Int4, types.Int8, types.Numeric, types.Float8} {
			check(in, types.Float8, to)
			check(in, types.Numeric, to)
		}
	}
	s.settle()
}

func checkTypmods(t *testing.T, s *server) {
	s.exec("create temp table stored (v varchar(3), n numeric(5,2), m numeric(3,-2), o numeric(2,4), ts timestamptz(2))")
	typmod := func(p, sc int32) int32 {
		m, err := types.NumericTypmod(p, sc)
		require.NoError(t, err)
		return m
	}
	varchar3, err := types.VarcharTypmod(3)
	require.NoError(t, err)
	cases := []struct {
		column, name string
		oid          types.OID
		typmod       int32
		values       []string
	}{
		{"v", "varchar(3)", types.Varchar, varchar3, []string{"", "abc", "abcd", "abc  ", "äöü", "äöüx", "äöü ", "ab   x"}},
		{"n", "numeric(5,2)", types.Numeric, typmod(5, 2), []string{"0", "1.005", "999.994", "999.995", "-999.995", "1e3", "NaN", "Infinity", "0.001"}},
		{"m", "numeric(3,-2)", types.Numeric, typmod(3, -2), []string{"0", "49", "50", "12345", "99949", "99950", "-150"}},
		{"o", "numeric(2,4)", types.Numeric, typmod(2, 4), []string{"0", "0.0099", "0.00995", "0.001", "0.01", "1"}},
		{"ts", "timestamptz(2)", types.Timestamptz, 2, []string{
			"2024-01-02 03:04:05.125", "2024-01-02 03:04:05.995", "1999-12-31 23:59:59.995", "1969-12-31 23:59:59.005", "infinity",
		}},
	}
	for _, c := range cases {
		base := typeName(c.oid)
		for _, in := range c.values {
			d, err := types.ParseText(c.oid, types.NoTypmod, in)
			require.NoError(t, err)
			got, err := types.Cast(d, c.oid, c.oid, c.typmod, types.Explicit, types.Env{})
			s.expect(fmt.Sprintf("%s::%s::%s", quote(in), base, c.name), s.ours(c.oid, got, err), "explicit %q as %s", in, c.name)
			got, err = types.Cast(d, c.oid, c.oid, c.typmod, types.Assignment, types.Env{})
			s.statement(fmt.Sprintf("insert into stored (%s) values (%s::%s) returning %[1]s", c.column, quote(in), base),
				s.ours(c.oid, got, err), "stored %q as %s", in, c.name)
		}
		s.expect(fmt.Sprintf("format_type(%d, %d)", c.oid, c.typmod), "v "+types.FormatType(c.oid, c.typmod), "%s", c.name)
		s.statement("select atttypmod from pg_attribute where attrelid = 'stored'::regclass and attname = "+quote(c.column),
			fmt.Sprintf("v %d", c.typmod), "%s", c.name)
	}
	for _, p := range [][2]int32{{0, 0}, {1001, 0}, {5, 1001}, {5, -1001}} {
		_, err := types.NumericTypmod(p[0], p[1])
		s.expect(fmt.Sprintf("1::numeric(%d,%d)", p[0], p[1]), s.ours(types.Numeric, nil, err), "numeric%v", p)
	}
	for _, n := range []int32{0, 10485761} {
		_, err := types.VarcharTypmod(n)
		s.expect(fmt.Sprintf("1::varchar(%d)", n), s.ours(types.Varchar, nil, err), "varchar(%d)", n)
	}
	s.settle()
}

func checkTypeInfo(t *testing.T, s *server) {
	others := []types.OID{types.Unknown, types.VoidOID, types.AnyElement, types.AnyNonArray, types.Any, types.Int2Vector, types.NodeTree}
	for _, oid := range append(others, allTypes...) {
		info, ok := types.Lookup(oid)
		require.True(t, ok)
		s.statement(fmt.Sprintf("select format('%%s|%%s|%%s|%%s|%%s', typname, format_type(oid, null), typlen, typcategory, typispreferred) from pg_type where oid = %d", oid),
			fmt.Sprintf("v %s|%s|%d|%c|%.1s", info.Name, info.SQLName, info.Length, info.Category, fmt.Sprint(info.Preferred)), "%d", oid)
		if named, ok := types.ByName(info.Name); ok {
			require.Equal(t, oid, named)
			if oid != types.CharOID {
				named, _ = types.ByName(info.SQLName)
				require.Equal(t, oid, named)
			}
		}
	}
	s.settle()
}

func checkOrder(t *testing.T, s *server) {
	for _, oid := range allTypes {
		var values []string
		var data []types.Datum
		for _, in := range inputs(oid) {
			if d, err := types.ParseText(oid, types.NoTypmod, in); err == nil && len(in) < 100 {
				values = append(values, fmt.Sprintf("(%d, %s::%s)", len(data), quote(in), typeName(oid)))
				data = append(data, d)
			}
		}
		x, y := "a.x", "b.x"
		if oid == types.Text || oid == types.Varchar {
			x, y = `a.x collate "C"`, `b.x collate "C"`
		}
		var got strings.Builder
		for _, a := range data {
			for _, b := range data {
				got.WriteByte("<=>"[sign(types.Compare(a, b, oid))+1])
			}
		}
		s.statement(fmt.Sprintf(`with v(i, x) as (values %[1]s)
			select string_agg(case when %[2]s < %[3]s then '<' when %[2]s = %[3]s then '=' else '>' end, '' order by a.i, b.i) from v a, v b`,
			strings.Join(values, ", "), x, y), "v "+got.String(), "%s", typeName(oid))
	}
	s.settle()
}

func sign(v int) int {
	switch {
	case v < 0:
		return -1
	case v > 0:
		return 1
	}
	return 0
}
