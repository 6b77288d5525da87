package sqltest

import (
	"database/sql"
	"fmt"

	"github.com/stretchr/testify/require"
)

func preparedCases() []Case {
	return []Case{
		{Name: "prepared/reuse", run: func(s *scope) {
			stmt := s.prepare("select $1::int * 2")
			for i := range 50 {
				var v int
				require.NoError(s, stmt.QueryRowContext(s.ctx, i).Scan(&v))
				require.Equal(s, 2*i, v)
			}
		}},
		{Name: "prepared/concurrent use", run: func(s *scope) {
			stmt := s.prepare("select $1::int + $2::int")
			s.together(8, func(client int) error {
				for i := range 25 {
					var v int
					err := stmt.QueryRowContext(s.ctx, client, i).Scan(&v)
					if err == nil && v != client+i {
						err = fmt.Errorf("%d + %d gave %d", client, i, v)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		}},
		{Name: "prepared/parameter types follow the column", run: func(s *scope) {
			t := s.table("i int2, f float8, n numeric, t text, b bool, u uuid")
			const uuid = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
			stmt := s.prepare("insert into " + t + " values ($1, $2, $3, $4, $5, $6)")
			_, err := stmt.ExecContext(s.ctx, 7, 2.5, "1.10", "x", true, uuid)
			require.NoError(s, err)
			_, err = stmt.ExecContext(s.ctx, "7", "2.5", 1.1, "y", "true", uuid)
			require.NoError(s, err)
			require.Equal(s, 2, one[int](s, s.db, "select count(*) from "+t+" where i = $1 and f = $2 and n = $3 and b = $4 and u = $5",
				7, 2.5, "1.1", true, uuid))
		}},
		{Name: "prepared/parameter types follow the expression", run: func(s *scope) {
			require.Equal(s, 3, one[int](s, s.db, "select 1 + $1", 2))
			require.Equal(s, "ab", one[string](s, s.db, "select 'a' || $1", "b"))
			require.Equal(s, "x", one[string](s, s.db, "select coalesce($1, 'x')", nil))
			require.Equal(s, "t", one[string](s, s.db, "select $1", "t"), "without a hint it is text")
			require.True(s, one[bool](s, s.db, "select $1 in (1, 2)", 2))
			require.Equal(s, 2, one[int](s, s.db, "select count(*) from generate_series(1, 3) g where g <= $1", 2))
			require.Len(s, column[int](s, s.db, "select g from generate_series(1, 9) g order by g limit $1 offset $2", 3, 2), 3)
		}},
		{Name: "prepared/one parameter twice", run: func(s *scope) {
			require.Equal(s, 25, one[int](s, s.db, "select $1::int * $1", 5))
			require.Equal(s, 12, one[int](s, s.db, "select $2::int - $1::int", 3, 15))
		}},
	}
}

func staleStatementCases() []Case {
	return []Case{
		{Name: "prepared/wrong number of arguments", run: func(s *scope) {
			stmt := s.prepare("select $1::int + $2::int")
			for _, args := range [][]any{{}, {1}, {1, 2, 3}} {
				_, err := stmt.ExecContext(s.ctx, args...)
				require.Error(s, err, "%d arguments", len(args))
			}
			_, err := s.db.ExecContext(s.ctx, "select $1::int", 1, 2)
			require.Error(s, err)
			_, err = s.db.ExecContext(s.ctx, "select $1::int + $2::int", 1)
			require.Error(s, err)
			var v int
			require.NoError(s, stmt.QueryRowContext(s.ctx, 1, 2).Scan(&v))
			require.Equal(s, 3, v)
		}},
		{Name: "prepared/after its table was made anew", run: func(s *scope) {
			t := s.table("a int")
			s.exec("insert into " + t + " values (1)")
			query := "select * from " + t + " where a = $1"
			require.Equal(s, "1", one[string](s, s.db, query, 1))
			s.exec("drop table " + t)
			s.exec("create table " + t + " (a int, b text)")
			s.exec("insert into " + t + " values (1, 'new')")
			var a int
			var b string
			var err error
			// A connection may refuse its old plan once (0A000); then it must work.
			for range 3 {
				if err = s.db.QueryRowContext(s.ctx, query, 1).Scan(&a, &b); err == nil {
					break
				}
				s.isState(err, "0A000", query)
			}
			require.NoError(s, err)
			require.Equal(s, "new", b)
		}},
		{Name: "prepared/table dropped", run: func(s *scope) {
			t := s.table("a int")
			stmt := s.prepare("select count(*) from " + t)
			var v int
			require.NoError(s, stmt.QueryRowContext(s.ctx).Scan(&v))
			s.exec("drop table " + t)
			s.isState(stmt.QueryRowContext(s.ctx).Scan(&v), "42P01", "dropped table")
		}},
	}
}

func statementLifeCases() []Case {
	return []Case{
		{Name: "prepared/syntax error", run: func(s *scope) {
			stmt, err := s.db.PrepareContext(s.ctx, "selec $1")
			if err == nil { // where Prepare sends nothing
				_, err = stmt.ExecContext(s.ctx, 1)
				require.NoError(s, stmt.Close())
			}
			s.isState(err, "42601", "selec $1")
		}},
		{Name: "prepared/many statements", run: func(s *scope) {
			for i := range 600 { // more than any driver's statement cache
				require.Equal(s, i+1, one[int](s, s.db, fmt.Sprintf("select %d + $1::int", i), 1))
			}
			require.Equal(s, 1, one[int](s, s.db, "select 0 + $1::int", 1))
		}},
		{Name: "prepared/closed", run: func(s *scope) {
			stmt, err := s.db.PrepareContext(s.ctx, "select 1")
			require.NoError(s, err)
			require.NoError(s, stmt.Close())
			require.NoError(s, stmt.Close())
			_, err = stmt.ExecContext(s.ctx)
			require.Error(s, err)
		}},
		{Name: "prepared/with RETURNING", run: func(s *scope) {
			t := s.table("id serial primary key, v text")
			stmt := s.prepare("insert into " + t + " (v) values ($1) returning v || '!'")
			for _, v := range []string{"a", "b"} {
				var got string
				require.NoError(s, stmt.QueryRowContext(s.ctx, v).Scan(&got))
				require.Equal(s, v+"!", got)
			}
		}},
		{Name: "prepared/error and then success", run: func(s *scope) {
			stmt := s.prepare("select 10 / $1::int")
			var v int
			s.isState(stmt.QueryRowContext(s.ctx, 0).Scan(&v), "22012", "division")
			require.NoError(s, stmt.QueryRowContext(s.ctx, 5).Scan(&v))
			require.Equal(s, 2, v)
		}},
	}
}

func (s *scope) prepare(query string) *sql.Stmt {
	s.Helper()
	stmt, err := s.db.PrepareContext(s.ctx, query)
	require.NoError(s, err, query)
	s.Cleanup(func() { _ = stmt.Close() }) // an error if the DB is closed first
	return stmt
}
