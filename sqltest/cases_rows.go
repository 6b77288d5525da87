package sqltest

import (
	"database/sql"
	"reflect"
	"time"

	"github.com/stretchr/testify/require"
)

func rowCases() []Case {
	return []Case{
		{Name: "rows/columns and types", run: columnsAndTypes},
		{Name: "rows/empty result has columns", run: func(s *scope) {
			t := s.table("a int, b text")
			rows, err := s.db.QueryContext(s.ctx, "select b, a as x from "+t)
			require.NoError(s, err)
			defer rows.Close()
			columns, err := rows.Columns()
			require.NoError(s, err)
			require.Equal(s, []string{"b", "x"}, columns)
			require.False(s, rows.Next())
			require.NoError(s, rows.Err())
		}},
		{Name: "rows/QueryRow without rows", run: func(s *scope) {
			t := s.table("a int")
			var v int
			require.ErrorIs(s, s.db.QueryRowContext(s.ctx, "select a from "+t).Scan(&v), sql.ErrNoRows)
			require.ErrorIs(s, s.db.QueryRowContext(s.ctx, "select a from "+t+" where a = $1", 1).Scan(&v), sql.ErrNoRows)
		}},
		{Name: "rows/QueryRow takes the first of many", run: func(s *scope) {
			require.Equal(s, 1, one[int](s, s.db, "select g from generate_series(1, 1000) g"))
		}},
		{Name: "rows/early close", run: func(s *scope) {
			for range 5 {
				rows, err := s.db.QueryContext(s.ctx, "select g, repeat('x', 100) from generate_series(1, 20000) g")
				require.NoError(s, err)
				require.True(s, rows.Next())
				require.NoError(s, rows.Close())
				require.NoError(s, rows.Close(), "a second Close is harmless")
				require.False(s, rows.Next())
			}
		}},
		{Name: "rows/many rows", run: func(s *scope) {
			got := column[int](s, s.db, "select g from generate_series(1, 20000) g")
			require.Len(s, got, 20000)
			for i, v := range got {
				require.Equal(s, i+1, v)
			}
		}},
	}
}

func rowEndCases() []Case {
	return []Case{
		{Name: "rows/error in the middle", run: func(s *scope) {
			rows, err := s.db.QueryContext(s.ctx, "select 10 / (5000 - g) from generate_series(1, 6000) g")
			if err == nil {
				for rows.Next() {
				}
				err = rows.Err()
				require.NoError(s, rows.Close())
			}
			s.isState(err, "22012", "division by zero in row 5000")
		}},
		{Name: "rows/NextResultSet after the only one", run: func(s *scope) {
			rows, err := s.db.QueryContext(s.ctx, "select g from generate_series(1, 3) g")
			require.NoError(s, err)
			defer rows.Close()
			require.True(s, rows.Next())
			require.False(s, rows.NextResultSet())
			require.False(s, rows.Next())
			require.NoError(s, rows.Err())
		}},
		{Name: "rows/several open at once", run: func(s *scope) {
			var open []*sql.Rows
			for i := range 4 {
				rows, err := s.db.QueryContext(s.ctx, "select g from generate_series($1::int, $1::int + 2) g", i)
				require.NoError(s, err)
				defer rows.Close()
				open = append(open, rows)
			}
			for step := range 3 {
				for i, rows := range open {
					var v int
					require.True(s, rows.Next())
					require.NoError(s, rows.Scan(&v))
					require.Equal(s, i+step, v)
				}
			}
		}},
		{Name: "rows/scan into the wrong number of values", run: func(s *scope) {
			var a, b int
			require.Error(s, s.db.QueryRowContext(s.ctx, "select 1, 2").Scan(&a))
			require.Error(s, s.db.QueryRowContext(s.ctx, "select 1").Scan(&a, &b))
		}},
	}
}

func resultCases() []Case {
	return []Case{
		{Name: "rows/RowsAffected of each verb", run: rowsAffected},
		{Name: "rows/LastInsertId is an error", run: func(s *scope) {
			t := s.table("id serial primary key, v int")
			result, err := s.db.ExecContext(s.ctx, "insert into "+t+" (v) values (1)")
			require.NoError(s, err)
			_, err = result.LastInsertId()
			require.Error(s, err)
		}},
		{Name: "rows/RETURNING", run: returning},
		{Name: "rows/Exec of a query discards its rows", run: func(s *scope) {
			require.EqualValues(s, 50, s.exec("select g from generate_series(1, 50) g"))
			require.EqualValues(s, 2, s.exec("select g from generate_series($1::int, 2) g", 1))
		}},
		{Name: "rows/Query of a statement without rows", run: func(s *scope) {
			t := s.table("a int")
			rows, err := s.db.QueryContext(s.ctx, "insert into "+t+" values ($1)", 1)
			require.NoError(s, err)
			require.False(s, rows.Next())
			require.NoError(s, rows.Err())
			require.NoError(s, rows.Close())
			require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "rows/empty query", run: func(s *scope) {
			require.EqualValues(s, 0, s.exec(""))
			require.EqualValues(s, 0, s.exec("-- nothing"))
			require.EqualValues(s, 0, s.exec(" ; "))
		}},
		{Name: "rows/wide row", run: func(s *scope) {
			query := "select 0"
			for range 199 {
				query += ", 1"
			}
			rows, err := s.db.QueryContext(s.ctx, query)
			require.NoError(s, err)
			defer rows.Close()
			columns, err := rows.Columns()
			require.NoError(s, err)
			require.Len(s, columns, 200)
			require.Equal(s, "?column?", columns[199])
		}},
	}
}

func columnsAndTypes(s *scope) {
	t := s.table(`id int primary key, big int8, f float8, t text, v varchar(7), b bool, raw bytea, at timestamptz, "Mixed Case" uuid`)
	rows, err := s.db.QueryContext(s.ctx, "select *, 1 + 1, 1::int8 over_all, now() from "+t)
	require.NoError(s, err)
	defer rows.Close()
	types, err := rows.ColumnTypes()
	require.NoError(s, err)
	var names []string
	var scans []reflect.Type
	for _, typ := range types {
		names = append(names, typ.Name())
		scans = append(scans, typ.ScanType())
	}
	require.Equal(s, []string{"id", "big", "f", "t", "v", "b", "raw", "at", "Mixed Case", "?column?", "over_all", "now"}, names)
	require.Equal(s, []reflect.Type{
		reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[float64](), reflect.TypeFor[string](),
		reflect.TypeFor[string](), reflect.TypeFor[bool](), reflect.TypeFor[[]byte](), reflect.TypeFor[time.Time](),
		reflect.TypeFor[string](), reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[time.Time](),
	}, scans)
	length, ok := types[4].Length()
	require.True(s, ok)
	require.EqualValues(s, 7, length)
}

func rowsAffected(s *scope) {
	t := s.table("id int primary key, v int")
	require.EqualValues(s, 3, s.exec("insert into "+t+" values (1, 1), (2, 2), (3, 3)"))
	require.EqualValues(s, 5, s.exec("insert into "+t+" select g, g from generate_series(11, 15) g"))
	require.EqualValues(s, 0, s.exec("insert into "+t+" values (1, 1) on conflict do nothing"))
	require.EqualValues(s, 2, s.exec("update "+t+" set v = v + 1 where id <= 2"))
	require.EqualValues(s, 0, s.exec("update "+t+" set v = 0 where id = $1", 99))
	require.EqualValues(s, 8, s.exec("update "+t+" set v = v"), "rows count also if nothing changes in them")
	require.EqualValues(s, 1, s.exec("delete from "+t+" where id = $1", 1))
	require.EqualValues(s, 0, s.exec("delete from "+t+" where id = $1", 1))
	require.EqualValues(s, 7, s.exec("delete from "+t))
	other := s.name()
	require.EqualValues(s, 0, s.exec("create table "+other+" (id int)"))
	require.EqualValues(s, 0, s.exec("drop table "+other))
}

func returning(s *scope) {
	t := s.table("id serial primary key, v int")
	require.Equal(s, []int{1, 2, 3}, column[int](s, s.db, "insert into "+t+" (v) values (10), (20), (30) returning v / 10"))
	id := one[int](s, s.db, "insert into "+t+" (v) values ($1) returning id", 40)
	require.Equal(s, 40, one[int](s, s.db, "select v from "+t+" where id = $1", id))
	require.Equal(s, 41, one[int](s, s.db, "update "+t+" set v = v + 1 where id = $1 returning v", id))
	require.ElementsMatch(s, []int{10, 20, 30, 41}, column[int](s, s.db, "delete from "+t+" returning v"))
	require.EqualValues(s, 2, s.exec("insert into "+t+" (v) values (1), (2) returning id"), "Exec counts the rows")
	var v int
	err := s.db.QueryRowContext(s.ctx, "update "+t+" set v = 1 where id = $1 returning v", -1).Scan(&v)
	require.ErrorIs(s, err, sql.ErrNoRows)
	a, b := 0, ""
	require.NoError(s, s.db.QueryRowContext(s.ctx, "insert into "+t+" values (1000, 5) returning id, 'x' || v").Scan(&a, &b))
	require.Equal(s, []any{1000, "x5"}, []any{a, b})
}
