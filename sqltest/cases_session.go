package sqltest

import (
	"database/sql"

	"github.com/stretchr/testify/require"
)

func sessionCases() []Case {
	return []Case{
		{Name: "session/sql.Conn keeps one server session", run: func(s *scope) {
			conn := s.conn()
			pid := one[int](s, conn, "select pg_backend_pid()")
			for range 5 {
				require.Equal(s, pid, one[int](s, conn, "select pg_backend_pid()"))
			}
			tx, err := conn.BeginTx(s.ctx, nil)
			require.NoError(s, err)
			require.Equal(s, pid, one[int](s, tx, "select pg_backend_pid()"))
			require.NoError(s, tx.Commit())
			require.Equal(s, pid, one[int](s, conn, "select pg_backend_pid()"))
			require.NoError(s, conn.Close())
		}},
		{Name: "session/sql.Tx keeps one server session", run: func(s *scope) {
			tx := s.begin(nil)
			pid := one[int](s, tx, "select pg_backend_pid()")
			for range 5 {
				require.Equal(s, pid, one[int](s, tx, "select pg_backend_pid()"))
			}
			require.NoError(s, tx.Commit())
		}},
		{Name: "session/SET lasts in a sql.Conn", run: func(s *scope) {
			conn := s.conn()
			s.execOn(conn, "set application_name = 'conformance'")
			for range 3 {
				require.Equal(s, "conformance", one[string](s, conn, "show application_name"))
			}
			require.NotEqual(s, "conformance", one[string](s, s.db, "show application_name"))
			s.execOn(conn, "reset application_name")
			require.NotEqual(s, "conformance", one[string](s, conn, "show application_name"))
			require.NoError(s, conn.Close())
		}},
		{Name: "session/SET LOCAL ends with the transaction", run: func(s *scope) {
			conn := s.conn()
			tx, err := conn.BeginTx(s.ctx, nil)
			require.NoError(s, err)
			s.execOn(tx, "set local application_name = 'for now'")
			require.Equal(s, "for now", one[string](s, tx, "show application_name"))
			require.NoError(s, tx.Commit())
			require.NotEqual(s, "for now", one[string](s, conn, "show application_name"))
			require.NoError(s, conn.Close())
		}},
		{Name: "session/SET is rolled back", run: func(s *scope) {
			conn := s.conn()
			tx, err := conn.BeginTx(s.ctx, nil)
			require.NoError(s, err)
			s.execOn(tx, "set application_name = 'gone'")
			require.NoError(s, tx.Rollback())
			require.NotEqual(s, "gone", one[string](s, conn, "show application_name"))
			require.NoError(s, conn.Close())
		}},
	}
}

func connCases() []Case {
	return []Case{
		{Name: "session/BEGIN and COMMIT as statements in a sql.Conn", run: func(s *scope) {
			t := s.table("id int primary key")
			conn := s.conn()
			s.execOn(conn, "begin")
			s.execOn(conn, "insert into "+t+" values (1)")
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t))
			s.execOn(conn, "commit")
			require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
			s.execOn(conn, "begin isolation level repeatable read read only")
			s.failsOn(conn, "25006", "insert into "+t+" values (2)")
			s.execOn(conn, "rollback")
			require.Equal(s, 1, one[int](s, conn, "select count(*) from "+t))
			require.NoError(s, conn.Close())
		}},
		{Name: "session/closed sql.Conn", run: func(s *scope) {
			conn := s.conn()
			require.NoError(s, conn.PingContext(s.ctx))
			require.NoError(s, conn.Close())
			require.ErrorIs(s, conn.Close(), sql.ErrConnDone)
			_, err := conn.ExecContext(s.ctx, "select 1")
			require.ErrorIs(s, err, sql.ErrConnDone)
		}},
		{Name: "session/several transactions in one sql.Conn", run: func(s *scope) {
			t := s.table("id int primary key")
			conn := s.conn()
			for i := range 6 {
				tx, err := conn.BeginTx(s.ctx, nil)
				require.NoError(s, err)
				s.execOn(tx, "insert into "+t+" values ($1)", i)
				if i%2 == 0 {
					require.NoError(s, tx.Commit())
				} else {
					require.NoError(s, tx.Rollback())
				}
			}
			require.Equal(s, []int{0, 2, 4}, column[int](s, conn, "select id from "+t+" order by id"))
			require.NoError(s, conn.Close())
		}},
	}
}
