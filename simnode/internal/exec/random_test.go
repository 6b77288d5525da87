package exec_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

var (
	seedFlag  = flag.Uint64("seed", 1, "seed of the randomised tests")
	countFlag = flag.Int("count-random", 400, "statements of each randomised test")
)

// generator makes random SQL over the table r.
type generator struct{ *rand.Rand }

const randomTable = `create table r (id int primary key, a int, b text, c int8 unique, d varchar(5), e numeric, f float8, g bool, unique (a, b), unique (d));
insert into r values (1, 1, 'x', 10, 'aa', 1.5, 1.5, true), (2, 1, 'y', 20, 'bb', -2, 0, false), (3, 2, 'x', null, 'cc', null, null, null),
 (4, null, null, 40, null, 0, -1, true), (5, 3, '', -5, '', 100.25, 'NaN', false), (-1, -1, '3', 0, '3', 3, 3, null), (7, 2, null, 7000000000, '2', 2.0, 2, true)`

func (g generator) pick(options ...string) string { return options[g.IntN(len(options))] }

// value is a literal or column, mostly of a fitting type.
func (g generator) value() string {
	return g.pick("id", "a", "c", "e", "f", "b", "d", "1", "2", "3", "-1", "0", "20", "7000000000", "1.5", "2.0", "'x'", "'3'", "'2'",
		"true", "2::int8", "1::int2", "'y'::text", "'cc'::varchar", "1.5::float8", "2::numeric")
}

func (g generator) scalar(depth int) string {
	if depth == 0 || g.IntN(3) == 0 {
		return g.value()
	}
	x, y := g.scalar(depth-1), g.scalar(depth-1)
	switch g.IntN(12) {
	case 0, 1, 2:
		return fmt.Sprintf("(%s %s %s)", x, g.pick("+", "-", "*", "/", "%"), y)
	case 3, 4:
		return fmt.Sprintf("(%s || %s)", x, y)
	case 5:
		return fmt.Sprintf("coalesce(%s, %s)", x, y)
	case 6:
		return fmt.Sprintf("nullif(%s, %s)", x, y)
	case 7:
		return fmt.Sprintf("%s(%s, %s)", g.pick("greatest", "least"), x, y)
	case 8:
		return fmt.Sprintf("case when %s then %s else %s end", g.cond(depth-1), x, y)
	case 9:
		return fmt.Sprintf("cast(%s as %s)", x, g.pick("int", "int8", "int2", "text", "numeric", "float8", "varchar(2)", "bool", "numeric(6,2)"))
	case 10:
		return fmt.Sprintf("%s(%s)", g.pick("abs", "length", "upper", "round", "floor", "-", "lower"), x)
	default:
		return fmt.Sprintf("case %s when %s then %s end", g.value(), x, y)
	}
}

func (g generator) cond(depth int) string {
	x, y := g.scalar(depth/2), g.scalar(depth/2)
	if depth > 0 && g.IntN(3) > 0 {
		p, q := g.cond(depth-1), g.cond(depth-1)
		switch g.IntN(5) {
		case 0, 1, 2:
			return fmt.Sprintf("(%s %s %s)", p, g.pick("and", "and", "or"), q)
		case 3:
			return fmt.Sprintf("(not %s)", p)
		default:
			return fmt.Sprintf("(%s is %s%s)", p, g.pick("", "not "), g.pick("true", "false", "null", "unknown"))
		}
	}
	if g.IntN(2) == 0 {
		return g.indexable()
	}
	switch g.IntN(5) {
	case 0, 1:
		return fmt.Sprintf("(%s %s %s)", x, g.pick("=", "<>", "<", "<=", ">", ">="), y)
	case 2:
		return fmt.Sprintf("(%s %sin (%s, %s))", x, g.pick("", "not "), y, g.value())
	case 3:
		return fmt.Sprintf("(%s %sbetween %s and %s)", x, g.pick("", "not "), y, g.value())
	default:
		return fmt.Sprintf("(%s is %sdistinct from %s)", x, g.pick("", "not "), y)
	}
}

// indexable is a condition that an index can answer.
func (g generator) indexable() string {
	column := g.pick("id", "id", "a", "c")
	constant := func() string {
		return g.pick("1", "2", "3", "-1", "20", "40", "7000000000", "-7000000000", "1::int8", "2::int2", "null", "'2'", "1+1")
	}
	switch g.IntN(6) {
	case 0, 1:
		return fmt.Sprintf("%s = %s", column, constant())
	case 2:
		return fmt.Sprintf("%s %s %s", column, g.pick("<", "<=", ">", ">="), constant())
	case 3:
		return fmt.Sprintf("%s in (%s, %s, %s)", column, constant(), constant(), constant())
	case 4:
		return fmt.Sprintf("%s between %s and %s", column, constant(), constant())
	default:
		return fmt.Sprintf("%s %s '%s'", g.pick("b", "d"), g.pick("=", "<", ">"), g.pick("x", "y", "aa", "", "3"))
	}
}

// Whatever path a condition takes, it gives the rows for which it is true when it is
// evaluated on every row.
func TestPathsAgreeWithScan(t *testing.T) {
	c := newEngine(t).client()
	c.must(t, randomTable)
	g := generator{rand.New(rand.NewPCG(*seedFlag, 1))}
	checked := 0
	for range *countFlag * 3 {
		cond := g.indexable()
		for range g.IntN(3) {
			cond += g.pick(" and ", " and ", " or ") + g.indexable()
		}
		order := g.pick("id", "id desc", "a, b, id", "a desc, b desc, id desc", "c, id", "c desc, id", "d nulls first, id")
		full, err := c.try(t, fmt.Sprintf("select id, (%s) from r order by %s", cond, order))
		if err != nil {
			continue
		}
		want := []types.Row{}
		for _, row := range full.rows {
			if row[1] == true {
				want = append(want, row[:1])
			}
		}
		sql := fmt.Sprintf("select id from r where %s order by %s", cond, order)
		require.Equal(t, want, append([]types.Row{}, c.must(t, sql).rows...), "%s (-seed %d)", sql, *seedFlag)
		n := g.IntN(4)
		some := append([]types.Row{}, c.must(t, fmt.Sprintf("%s limit %d", sql, n)).rows...)
		require.Equal(t, want[:min(n, len(want))], some, "%s limit %d", sql, n)
		checked++
	}
	require.Greater(t, checked, *countFlag)
}

// Random expressions mean here what they mean on PostgreSQL: the same types, rows
// and SQLSTATEs. Replay with -seed.
func TestRandomOnPostgreSQL(t *testing.T) {
	server := pgtest.Start(t, pgtest.Options{})
	conn, _ := connect(t, server.DSN())
	_, err := conn.Exec(t.Context(), randomTable).ReadAll()
	require.NoError(t, err)
	c := newEngine(t).client()
	c.must(t, randomTable)
	g := generator{rand.New(rand.NewPCG(*seedFlag, 2))}
	succeeded := 0
	for range *countFlag {
		sql := "select id, " + g.scalar(2) + ", " + g.scalar(1) + " from r where " + g.cond(2) + " order by id"
		if g.IntN(3) == 0 {
			sql = "select " + g.scalar(3) + " as x from r order by x nulls first, id limit 3"
		}
		var ours, theirs strings.Builder
		res, err := c.try(t, sql)
		if code(err) == "0A000" {
			continue
		}
		succeeded += len(res.rows)
		outline(&ours, res, err)
		res, err = onPostgreSQL(t.Context(), conn, sql, nil)
		outline(&theirs, res, err)
		require.Equal(t, theirs.String(), ours.String(), "%s\n(-seed %d)", sql, *seedFlag)
	}
	require.Positive(t, succeeded)
}

// outline is report without the texts of errors, whose order within a statement is
// not promised.
func outline(b *strings.Builder, res result, err error) {
	if err != nil {
		b.WriteString("ERROR " + code(err))
		if strings.HasPrefix(code(err), "22") {
			// Which row fails first is the order of the scan, which is nobody's promise.
			b.Reset()
			b.WriteString("ERROR 22")
		}
		return
	}
	report(b, res, nil)
}
