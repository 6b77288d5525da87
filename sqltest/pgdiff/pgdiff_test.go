package pgdiff_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/sqltest/pgdiff"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func connect(s *pgtest.Server) pgdiff.Connect {
	return func(ctx context.Context) (*pgconn.PgConn, error) { return pgconn.Connect(ctx, s.DSN()) }
}

const script = `create table t (id int primary key, v varchar(5), n numeric(6,2))

insert into t values (1, 'a', 1.5), (2, null, 2.25)

-- unordered
select * from t

-- arg 2
-- arg-null
select id + $1::int as next, $2::text is null from t order by id

select 1 / (id - 2) from t order by id

-- session b
begin; select count(*) from t; insert into t values (1, 'dup', 0)

select 1

rollback

-- a comment that is no directive
insert into t values (3, 'too long', 0)

-- session
select nope from t

drop table t`

func TestEqualServersHaveNoDifferences(t *testing.T) {
	a, b := pgtest.Start(t, pgtest.Options{}), pgtest.Start(t, pgtest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found, err := pgdiff.Diff(ctx, connect(a), connect(b), script, pgdiff.Options{Messages: true})
	require.NoError(t, err)
	require.Empty(t, found)
	extended := strings.Replace(script, "begin; select count(*) from t; insert", "insert", 1)
	found, err = pgdiff.Diff(ctx, connect(a), connect(b), extended, pgdiff.Options{Protocol: pgdiff.Extended, Messages: true})
	require.NoError(t, err)
	require.Empty(t, found)

	// The same script again, after a change on one side only.
	steps, err := pgdiff.Parse("create table t (id int8, v text)\n\ninsert into t values (9, 'x')")
	require.NoError(t, err)
	_, err = pgdiff.Run(ctx, connect(b), pgdiff.Simple, steps)
	require.NoError(t, err)
	found, err = pgdiff.Diff(ctx, connect(a), connect(b), script, pgdiff.Options{})
	require.NoError(t, err)
	what := map[string]bool{}
	for _, d := range found {
		what[d.What] = true
	}
	require.Equal(t, map[string]bool{"results": true, "sqlstate": true, "tag": true, "columns": true, "rows": true}, what)
}

func TestOutcomes(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	steps, err := pgdiff.Parse(script)
	require.NoError(t, err)
	outcomes, err := pgdiff.Run(ctx, connect(s), pgdiff.Simple, steps)
	require.NoError(t, err)
	require.Len(t, outcomes, len(steps))
	require.Equal(t, "CREATE TABLE", outcomes[0].Results[0].Tag)
	require.Equal(t, "INSERT 0 2", outcomes[1].Results[0].Tag)
	rows := outcomes[2].Results[0]
	require.Equal(t, []pgdiff.Column{{"id", 23, -1}, {"v", 1043, 9}, {"n", 1700, 6<<16 + 2 + 4}}, rows.Columns)
	require.Equal(t, "1.50", *rows.Rows[0][2])
	require.Nil(t, rows.Rows[1][1])
	require.Equal(t, "3", *outcomes[3].Results[0].Rows[0][0])
	require.Equal(t, "22012", outcomes[4].Results[0].SQLState)
	block := outcomes[5]
	require.Equal(t, byte('E'), block.TxStatus)
	require.Len(t, block.Results, 3)
	require.Equal(t, "BEGIN", block.Results[0].Tag)
	require.Equal(t, "SELECT 1", block.Results[1].Tag)
	require.Equal(t, "23505", block.Results[2].SQLState)
	require.Equal(t, "25P02", outcomes[6].Results[0].SQLState)
	require.Equal(t, byte('I'), outcomes[7].TxStatus)
	require.Equal(t, "22001", outcomes[8].Results[0].SQLState)
	require.Equal(t, "42703", outcomes[9].Results[0].SQLState)
	require.Equal(t, "", steps[9].Session)
	require.Equal(t, "b", steps[8].Session)
}

// TestCompareFindsEachDifference plants one difference of each kind.
func TestCompareFindsEachDifference(t *testing.T) {
	x, y := "x", "y"
	base := func() []pgdiff.Outcome {
		return []pgdiff.Outcome{{TxStatus: 'I', Results: []pgdiff.Result{{
			Columns: []pgdiff.Column{{Name: "v", TypeOID: 25, TypeMod: -1}},
			Rows:    [][]*string{{&x}, {&y}, {nil}}, Tag: "SELECT 3",
		}}}}
	}
	for what, plant := range map[string]func(o *pgdiff.Outcome){
		"":            func(*pgdiff.Outcome) {},
		"transaction": func(o *pgdiff.Outcome) { o.TxStatus = 'T' },
		"tag":         func(o *pgdiff.Outcome) { o.Results[0].Tag = "SELECT 2" },
		"columns":     func(o *pgdiff.Outcome) { o.Results[0].Columns[0].TypeOID = 1043 },
		"rows":        func(o *pgdiff.Outcome) { o.Results[0].Rows[2][0] = &x },
		"message":     func(o *pgdiff.Outcome) { o.Results[0].Message = "other" },
		"position":    func(o *pgdiff.Outcome) { o.Results[0].Position = 5 },
		"results":     func(o *pgdiff.Outcome) { o.Results = append(o.Results, pgdiff.Result{}) },
	} {
		right := base()
		plant(&right[0])
		found := pgdiff.Compare([]pgdiff.Step{{SQL: "select v", Line: 3}}, base(), right, pgdiff.Options{Messages: true})
		if what == "" {
			require.Empty(t, found)
			continue
		}
		require.Len(t, found, 1, what)
		require.Equal(t, what, found[0].What)
		require.Contains(t, found[0].String(), "line 3: "+what)
	}
	right := base()
	rows := right[0].Results[0].Rows
	rows[0], rows[1] = rows[1], rows[0]
	require.Len(t, pgdiff.Compare([]pgdiff.Step{{}}, base(), right, pgdiff.Options{}), 1)
	require.Empty(t, pgdiff.Compare([]pgdiff.Step{{Unordered: true}}, base(), right, pgdiff.Options{}))
}

func TestParse(t *testing.T) {
	_, err := pgdiff.Parse("-- unordered\n\nselect 1")
	require.ErrorContains(t, err, "line 1")
	steps, err := pgdiff.Parse("\n\nselect 1\n -- unordered\n, 2\n\n\n-- arg a b\nselect $1\n")
	require.NoError(t, err)
	require.Len(t, steps, 2)
	require.Equal(t, 3, steps[0].Line)
	require.Equal(t, "select 1\n -- unordered\n, 2", steps[0].SQL)
	require.False(t, steps[0].Unordered)
	require.Equal(t, "a b", *steps[1].Args[0])
	require.Equal(t, "extended", pgdiff.Extended.String())
	_, err = pgdiff.Run(t.Context(), func(context.Context) (*pgconn.PgConn, error) { return nil, context.Canceled }, pgdiff.Simple, steps)
	require.ErrorIs(t, err, context.Canceled)
}
