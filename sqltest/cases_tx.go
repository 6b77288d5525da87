package sqltest

import (
	"context"
	"database/sql"

	"github.com/stretchr/testify/require"
)

func txCases() []Case {
	return []Case{
		{Name: "tx/commit is seen by others", run: func(s *scope) {
			t := s.table("id int primary key")
			tx := s.begin(nil)
			s.execOn(tx, "insert into "+t+" values (1)")
			require.Equal(s, 1, one[int](s, tx, "select count(*) from "+t), "own write")
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t), "not committed yet")
			require.NoError(s, tx.Commit())
			for range 5 {
				require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
			}
		}},
		{Name: "tx/rollback leaves nothing", run: func(s *scope) {
			t := s.table("id int primary key, v int")
			s.exec("insert into " + t + " values (1, 1), (2, 2)")
			tx := s.begin(nil)
			s.execOn(tx, "insert into "+t+" values (3, 3)")
			s.execOn(tx, "update "+t+" set v = 100 where id = 1")
			s.execOn(tx, "delete from "+t+" where id = 2")
			require.Equal(s, 103, one[int](s, tx, "select sum(v) from "+t))
			require.NoError(s, tx.Rollback())
			require.Equal(s, 3, one[int](s, s.db, "select sum(v) from "+t))
			s.exec("insert into " + t + " values (3, 3)")
		}},
		{Name: "tx/without statements", run: func(s *scope) {
			require.NoError(s, s.begin(nil).Commit())
			require.NoError(s, s.begin(nil).Rollback())
			require.NoError(s, s.begin(&sql.TxOptions{ReadOnly: true}).Commit())
		}},
		{Name: "tx/ended twice", run: func(s *scope) {
			tx := s.begin(nil)
			require.Equal(s, 1, one[int](s, tx, "select 1"))
			require.NoError(s, tx.Commit())
			require.ErrorIs(s, tx.Commit(), sql.ErrTxDone)
			require.ErrorIs(s, tx.Rollback(), sql.ErrTxDone)
			_, err := tx.ExecContext(s.ctx, "select 1")
			require.ErrorIs(s, err, sql.ErrTxDone)
		}},
	}
}

func failedBlockCases() []Case {
	return []Case{
		{Name: "tx/failed block refuses statements", run: func(s *scope) {
			t := s.table("id int primary key")
			tx := s.begin(nil)
			s.execOn(tx, "insert into "+t+" values (1)")
			s.failsOn(tx, "23505", "insert into "+t+" values (1)")
			s.failsOn(tx, "25P02", "insert into "+t+" values (2)")
			s.failsOn(tx, "25P02", "select $1::int", 1)
			s.failsOn(tx, "25P02", "select * from no_such_table_at_all")
			require.NoError(s, tx.Rollback())
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "tx/commit of a failed block is an error", run: func(s *scope) {
			t := s.table("id int primary key")
			tx := s.begin(nil)
			s.execOn(tx, "insert into "+t+" values (1)")
			s.failsOn(tx, "22012", "select 1 / 0")
			require.Error(s, tx.Commit(), "COMMIT was answered by ROLLBACK")
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "tx/savepoints", run: savepoints},
		{Name: "tx/savepoint recovers a failed block", run: func(s *scope) {
			t := s.table("id int primary key")
			tx := s.begin(nil)
			s.execOn(tx, "insert into "+t+" values (1)")
			s.execOn(tx, "savepoint a")
			s.failsOn(tx, "23505", "insert into "+t+" values (2), (1)")
			s.failsOn(tx, "25P02", "savepoint b")
			s.execOn(tx, "rollback to savepoint a")
			s.execOn(tx, "insert into "+t+" values (2)")
			s.execOn(tx, "release savepoint a")
			require.NoError(s, tx.Commit())
			require.Equal(s, 2, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "tx/unknown savepoint", run: func(s *scope) {
			tx := s.begin(nil)
			require.Equal(s, 1, one[int](s, tx, "select 1"))
			s.failsOn(tx, "3B001", "rollback to savepoint nope")
			require.NoError(s, tx.Rollback())
		}},
		{Name: "tx/statement is atomic inside", run: func(s *scope) {
			t := s.table("id int primary key")
			tx := s.begin(nil)
			s.execOn(tx, "insert into "+t+" values (5)")
			s.execOn(tx, "savepoint a")
			s.failsOn(tx, "23505", "insert into "+t+" select g from generate_series(1, 9) g")
			s.execOn(tx, "rollback to a")
			require.Equal(s, []int{5}, column[int](s, tx, "select id from "+t))
			require.NoError(s, tx.Commit())
		}},
	}
}

func ddlCases() []Case {
	return []Case{
		{Name: "tx/DDL is rolled back", run: func(s *scope) {
			t := s.name()
			s.dropAtEnd(t)
			tx := s.begin(nil)
			s.execOn(tx, "create table "+t+" (id int primary key)")
			s.execOn(tx, "insert into "+t+" values (1)")
			require.Equal(s, 1, one[int](s, tx, "select count(*) from "+t))
			require.NoError(s, tx.Rollback())
			s.failsOn(s.db, "42P01", "select * from "+t)
		}},
		{Name: "tx/DDL is committed with its rows", run: func(s *scope) {
			t := s.name()
			s.dropAtEnd(t)
			tx := s.begin(nil)
			s.execOn(tx, "create table "+t+" (id serial primary key, v text)")
			s.execOn(tx, "insert into "+t+" (v) values ('a'), ('b')")
			s.failsOn(s.db, "42P01", "select * from "+t)
			require.NoError(s, tx.Commit())
			require.Equal(s, 2, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "tx/DROP TABLE is rolled back", run: func(s *scope) {
			t := s.table("id int primary key")
			s.exec("insert into " + t + " values (1)")
			tx := s.begin(nil)
			s.execOn(tx, "drop table "+t)
			s.execOn(tx, "create table "+t+" (other text)")
			require.Equal(s, 0, one[int](s, tx, "select count(*) from "+t))
			require.NoError(s, tx.Rollback())
			require.Equal(s, 1, one[int](s, s.db, "select id from "+t))
		}},
	}
}

func txOptionCases() []Case {
	return []Case{
		{Name: "tx/read only", run: func(s *scope) {
			t := s.table("id int primary key")
			s.exec("insert into " + t + " values (1)")
			tx := s.begin(&sql.TxOptions{ReadOnly: true})
			require.Equal(s, 1, one[int](s, tx, "select count(*) from "+t))
			s.failsOn(tx, "25006", "insert into "+t+" values (2)")
			require.NoError(s, tx.Rollback())
			tx = s.begin(&sql.TxOptions{ReadOnly: true})
			s.failsOn(tx, "25006", "create table "+s.name()+" (id int)")
			require.NoError(s, tx.Rollback())
			s.exec("insert into " + t + " values (2)")
		}},
		{Name: "tx/cancelled context rolls back", run: func(s *scope) {
			t := s.table("id int primary key")
			ctx, cancel := context.WithCancel(s.ctx)
			defer cancel()
			tx, err := s.db.BeginTx(ctx, nil)
			require.NoError(s, err)
			s.execOn(tx, "insert into "+t+" values (1)")
			cancel()
			require.Error(s, tx.Commit())
			_ = tx.Rollback()                          // sql.ErrTxDone, or the context's error
			s.exec("insert into " + t + " values (1)") // waits for the rollback if it must
			require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "tx/prepared statement in a transaction", run: func(s *scope) {
			t := s.table("id int primary key")
			stmt, err := s.db.PrepareContext(s.ctx, "insert into "+t+" values ($1)")
			require.NoError(s, err)
			defer stmt.Close()
			tx := s.begin(nil)
			_, err = tx.StmtContext(s.ctx, stmt).ExecContext(s.ctx, 1)
			require.NoError(s, err)
			require.NoError(s, tx.Rollback())
			_, err = stmt.ExecContext(s.ctx, 1)
			require.NoError(s, err)
			require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "tx/queries must be read before the next statement or buffered", run: func(s *scope) {
			tx := s.begin(nil)
			require.Len(s, column[int](s, tx, "select g from generate_series(1, 100) g"), 100)
			rows, err := tx.QueryContext(s.ctx, "select g from generate_series(1, 5000) g")
			require.NoError(s, err)
			require.True(s, rows.Next())
			require.NoError(s, rows.Close())
			require.Equal(s, 1, one[int](s, tx, "select 1"))
			require.NoError(s, tx.Commit())
		}},
	}
}

func savepoints(s *scope) {
	t := s.table("id int primary key")
	tx := s.begin(nil)
	s.execOn(tx, "insert into "+t+" values (1)")
	s.execOn(tx, "savepoint a")
	s.execOn(tx, "insert into "+t+" values (2)")
	s.execOn(tx, "savepoint b")
	s.execOn(tx, "delete from "+t)
	require.Equal(s, 0, one[int](s, tx, "select count(*) from "+t))
	s.execOn(tx, "rollback to b")
	require.Equal(s, []int{1, 2}, column[int](s, tx, "select id from "+t+" order by id"))
	s.execOn(tx, "insert into "+t+" values (3)")
	s.execOn(tx, "rollback to b")
	s.execOn(tx, "release b")
	s.execOn(tx, "savepoint a") // hides the outer one of the same name
	s.execOn(tx, "insert into "+t+" values (4)")
	s.execOn(tx, "rollback to a")
	s.execOn(tx, "release a")
	require.Equal(s, []int{1, 2}, column[int](s, tx, "select id from "+t+" order by id"))
	s.execOn(tx, "rollback to a")
	require.Equal(s, []int{1}, column[int](s, tx, "select id from "+t))
	s.execOn(tx, "insert into "+t+" values (5)")
	require.NoError(s, tx.Commit())
	require.Equal(s, []int{1, 5}, column[int](s, s.db, "select id from "+t+" order by id"))
}
