package sqltest

import (
	"database/sql"
	"time"

	"github.com/stretchr/testify/require"
)

func nullCases() []Case {
	return []Case{
		{Name: "null/sql.Null types", run: sqlNullTypes},
		{Name: "null/pointers", run: nullPointers},
		{Name: "null/nil parameter for each type", run: nilParameters},
		{Name: "null/scan into a plain value is an error", run: func(s *scope) {
			var v int
			require.Error(s, s.db.QueryRowContext(s.ctx, "select null::int").Scan(&v))
			require.Nil(s, one[any](s, s.db, "select null::int"))
			require.Nil(s, one[[]byte](s, s.db, "select null::bytea"))
		}},
		{Name: "null/comparison", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " values (1, null), (2, 0), (3, 5)")
			require.Equal(s, []int{1}, column[int](s, s.db, "select id from "+t+" where v is null"))
			require.Equal(s, []int{2, 3}, column[int](s, s.db, "select id from "+t+" where v is not null order by id"))
			require.Empty(s, column[int](s, s.db, "select id from "+t+" where v = null"))
			require.Equal(s, []int{3}, column[int](s, s.db, "select id from "+t+" where v <> 0"))
			require.Empty(s, column[int](s, s.db, "select id from "+t+" where v not in (0, null)"))
			require.Equal(s, []int{2}, column[int](s, s.db, "select id from "+t+" where v in (0, null)"))
			require.Equal(s, []int{-1, 0, 5}, column[int](s, s.db, "select coalesce(v, -1) from "+t+" order by id"))
		}},
		{Name: "null/three-valued logic", run: func(s *scope) {
			for expr, want := range map[string]sql.NullBool{
				"null and false":     {Bool: false, Valid: true},
				"null and true":      {},
				"null or true":       {Bool: true, Valid: true},
				"null or false":      {},
				"not null::bool":     {},
				"null::int + 1 > 0":  {},
				"null::int is null":  {Bool: true, Valid: true},
				"(1 = null) is null": {Bool: true, Valid: true},
			} {
				require.Equal(s, want, one[sql.NullBool](s, s.db, "select "+expr), expr)
			}
		}},
		{Name: "null/in aggregates", run: func(s *scope) {
			t := s.table("v int")
			require.Equal(s, sql.NullInt64{}, one[sql.NullInt64](s, s.db, "select sum(v) from "+t))
			s.exec("insert into " + t + " values (null), (2), (4), (null)")
			require.Equal(s, 4, one[int](s, s.db, "select count(*) from "+t))
			require.Equal(s, 2, one[int](s, s.db, "select count(v) from "+t))
			require.Equal(s, 6, one[int](s, s.db, "select sum(v) from "+t))
			require.Equal(s, 2, one[int](s, s.db, "select min(v) from "+t))
			require.InDelta(s, 3, one[float64](s, s.db, "select avg(v) from "+t), 0)
		}},
		{Name: "null/NOT NULL column", run: func(s *scope) {
			t := s.table("a int not null, b int not null default 7")
			s.failsOn(s.db, "23502", "insert into "+t+" (a) values (null)")
			s.failsOn(s.db, "23502", "insert into "+t+" (b) values (1)")
			s.failsOn(s.db, "23502", "insert into "+t+" (a, b) values (1, $1)", nil)
			s.exec("insert into " + t + " (a) values (1)")
			s.failsOn(s.db, "23502", "update "+t+" set a = null")
			require.Equal(s, 8, one[int](s, s.db, "select a + b from "+t))
		}},
	}
}

func sqlNullTypes(s *scope) {
	t := s.table("id int primary key, i int8, f float8, t text, b bool, at timestamptz, small int2")
	at := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	insert := "insert into " + t + " values ($1, $2, $3, $4, $5, $6, $7)"
	s.exec(insert, 1, sql.NullInt64{Int64: 5, Valid: true}, sql.NullFloat64{Float64: 1.5, Valid: true},
		sql.NullString{String: "x", Valid: true}, sql.NullBool{Bool: true, Valid: true},
		sql.NullTime{Time: at, Valid: true}, sql.Null[int16]{V: 3, Valid: true})
	s.exec(insert, 2, sql.NullInt64{}, sql.NullFloat64{}, sql.NullString{}, sql.NullBool{}, sql.NullTime{}, sql.Null[int16]{})
	for id := 1; id <= 2; id++ {
		var (
			i     sql.NullInt64
			f     sql.NullFloat64
			text  sql.NullString
			b     sql.NullBool
			when  sql.NullTime
			small sql.Null[int16]
		)
		row := s.db.QueryRowContext(s.ctx, "select i, f, t, b, at, small from "+t+" where id = $1", id)
		require.NoError(s, row.Scan(&i, &f, &text, &b, &when, &small))
		for _, valid := range []bool{i.Valid, f.Valid, text.Valid, b.Valid, when.Valid, small.Valid} {
			require.Equal(s, id == 1, valid)
		}
		if id == 1 {
			require.Equal(s, []any{int64(5), 1.5, "x", true, int16(3)}, []any{i.Int64, f.Float64, text.String, b.Bool, small.V})
			require.True(s, at.Equal(when.Time))
		}
	}
}

func nullPointers(s *scope) {
	t := s.table("id int primary key, v text")
	x := "x"
	s.exec("insert into "+t+" values (1, $1)", &x)
	s.exec("insert into "+t+" values (2, $1)", (*string)(nil))
	got := column[*string](s, s.db, "select v from "+t+" order by id")
	require.Equal(s, []*string{&x, nil}, got)
}

func nilParameters(s *scope) {
	types := []string{"int2", "int4", "int8", "float8", "numeric", "text", "varchar(5)", "bool", "bytea", "timestamptz", "date", "uuid"}
	for _, typ := range types {
		require.Nil(s, one[any](s, s.db, "select $1::"+typ, nil), typ)
		require.True(s, one[bool](s, s.db, "select $1::"+typ+" is null", nil), typ)
	}
}
