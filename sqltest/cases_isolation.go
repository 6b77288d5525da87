package sqltest

import (
	"database/sql"

	"github.com/stretchr/testify/require"
)

func isolationCases() []Case {
	return []Case{
		{Name: "isolation/read committed sees each commit", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " values (1, 1)")
			tx := s.begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
			require.Equal(s, 1, one[int](s, tx, "select v from "+t))
			s.exec("update " + t + " set v = 2")
			require.Equal(s, 2, one[int](s, tx, "select v from "+t))
			require.NoError(s, tx.Commit())
		}},
		{Name: "isolation/repeatable read keeps its snapshot", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " values (1, 1)")
			tx := s.begin(&sql.TxOptions{Isolation: sql.LevelRepeatableRead})
			require.Equal(s, 1, one[int](s, tx, "select sum(v) from "+t))
			s.exec("update " + t + " set v = 2")
			s.exec("insert into " + t + " values (2, 10)")
			require.Equal(s, 1, one[int](s, tx, "select sum(v) from "+t))
			require.NoError(s, tx.Commit())
			require.Equal(s, 12, one[int](s, s.db, "select sum(v) from "+t))
		}},
		{Name: "isolation/repeatable read keeps a dropped row", run: func(s *scope) {
			t := s.table("id int primary key")
			s.exec("insert into " + t + " select g from generate_series(1, 20) g")
			tx := s.begin(&sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
			require.Equal(s, 20, one[int](s, tx, "select count(*) from "+t))
			s.exec("delete from " + t)
			require.Equal(s, 20, one[int](s, tx, "select count(*) from "+t))
			require.Equal(s, 7, one[int](s, tx, "select id from "+t+" where id = 7"))
			require.NoError(s, tx.Commit())
		}},
		{Name: "isolation/level is the one asked for", run: func(s *scope) {
			for level, want := range map[sql.IsolationLevel]string{
				sql.LevelDefault:        "read committed",
				sql.LevelReadCommitted:  "read committed",
				sql.LevelRepeatableRead: "repeatable read",
			} {
				tx := s.begin(&sql.TxOptions{Isolation: level})
				require.Equal(s, want, one[string](s, tx, "show transaction_isolation"))
				require.NoError(s, tx.Commit())
			}
			require.Equal(s, "read committed", one[string](s, s.db, "show transaction_isolation"))
		}},
	}
}

func isolationConflictCases() []Case {
	return []Case{
		{Name: "isolation/write over a newer version is 40001 in repeatable read", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " values (1, 1), (2, 2)")
			for _, statement := range []string{
				"update " + t + " set v = v + 10 where id = 1",
				"delete from " + t + " where id = 1",
				"select v from " + t + " where id = 1 for update",
			} {
				tx := s.begin(&sql.TxOptions{Isolation: sql.LevelRepeatableRead})
				require.Equal(s, 2, one[int](s, tx, "select v from "+t+" where id = 2"))
				s.exec("update " + t + " set v = v + 1 where id = 1")
				_, err := tx.ExecContext(s.ctx, statement)
				if err == nil {
					err = tx.Commit() // where conflicts are found at COMMIT
				}
				s.isState(err, "40001", statement)
				_ = tx.Rollback() // done already if the error came from COMMIT
			}
			require.Equal(s, 4, one[int](s, s.db, "select v from "+t+" where id = 1"))
		}},
		{Name: "isolation/read committed updates the newest version", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " values (1, 1)")
			tx := s.begin(nil)
			require.Equal(s, 1, one[int](s, tx, "select v from "+t))
			s.exec("update " + t + " set v = v + 1")
			require.EqualValues(s, 1, s.execOn(tx, "update "+t+" set v = v + 10"))
			require.Equal(s, 12, one[int](s, tx, "select v from "+t))
			require.NoError(s, tx.Commit())
			require.Equal(s, 12, one[int](s, s.db, "select v from "+t))
		}},
		{Name: "isolation/unique key taken by a newer commit", run: func(s *scope) {
			t := s.table("id int primary key")
			tx := s.begin(&sql.TxOptions{Isolation: sql.LevelRepeatableRead})
			require.Equal(s, 0, one[int](s, tx, "select count(*) from "+t))
			s.exec("insert into " + t + " values (1)")
			_, err := tx.ExecContext(s.ctx, "insert into "+t+" values (1)")
			if err == nil {
				err = tx.Commit()
			}
			s.isState(err, "23505", "insert", "40001")
			_ = tx.Rollback()
			require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
		}},
	}
}
