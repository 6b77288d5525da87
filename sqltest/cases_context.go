package sqltest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"
)

func contextCases() []Case {
	return []Case{
		{Name: "context/cancelled before", run: func(s *scope) {
			t := s.table("id int primary key")
			ctx, cancel := context.WithCancel(s.ctx)
			cancel()
			_, err := s.db.ExecContext(ctx, "insert into "+t+" values (1)")
			require.ErrorIs(s, err, context.Canceled)
			_, err = s.db.QueryContext(ctx, "select 1") //nolint:rowserrcheck,sqlclosecheck // there are none
			require.ErrorIs(s, err, context.Canceled)
			_, err = s.db.BeginTx(ctx, nil)
			require.ErrorIs(s, err, context.Canceled)
			_, err = s.db.Conn(ctx)
			require.ErrorIs(s, err, context.Canceled)
			_, err = s.db.PrepareContext(ctx, "select 1")
			require.ErrorIs(s, err, context.Canceled)
			require.ErrorIs(s, s.db.PingContext(ctx), context.Canceled)
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t))
		}},
		{Name: "context/cancelled during a statement", run: func(s *scope) {
			ctx, cancel := context.WithCancel(s.ctx)
			defer cancel()
			timer := time.AfterFunc(50*time.Millisecond, cancel)
			defer timer.Stop()
			start := time.Now()
			_, err := s.db.ExecContext(ctx, "select pg_sleep(20)")
			require.ErrorIs(s, err, context.Canceled)
			require.Less(s, time.Since(start), 10*time.Second)
		}},
		{Name: "context/deadline during a statement", run: func(s *scope) {
			ctx, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
			defer cancel()
			start := time.Now()
			_, err := s.db.ExecContext(ctx, "select pg_sleep($1)", 20)
			require.ErrorIs(s, err, context.DeadlineExceeded)
			require.Less(s, time.Since(start), 10*time.Second)
		}},
		{Name: "context/deadline during a query with rows", run: func(s *scope) {
			ctx, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
			defer cancel()
			rows, err := s.db.QueryContext(ctx, "select g, pg_sleep(0.01) from generate_series(1, 2000) g")
			if err == nil {
				for rows.Next() {
				}
				err = rows.Err()
				_ = rows.Close() // may repeat the error
			}
			require.ErrorIs(s, err, context.DeadlineExceeded)
		}},
	}
}

func txContextCases() []Case {
	return []Case{
		{Name: "context/cancelled while rows are open", run: func(s *scope) {
			ctx, cancel := context.WithCancel(s.ctx)
			defer cancel()
			rows, err := s.db.QueryContext(ctx, "select g, repeat('x', 1000) from generate_series(1, 100000) g")
			require.NoError(s, err)
			require.True(s, rows.Next())
			cancel()
			for rows.Next() {
			}
			require.ErrorIs(s, rows.Err(), context.Canceled)
			_ = rows.Close() // may repeat the error
		}},
		{Name: "context/statement's context inside a transaction", run: func(s *scope) {
			t := s.table("id int primary key")
			spoiled := func(limit time.Duration) bool {
				tx := s.begin(nil)
				s.execOn(tx, "insert into "+t+" values (1)")
				ctx, cancel := context.WithTimeout(s.ctx, limit)
				defer cancel()
				_, err := tx.ExecContext(ctx, "select pg_sleep(20)")
				require.ErrorIs(s, err, context.DeadlineExceeded)
				_, err = tx.ExecContext(s.ctx, "insert into "+t+" values (2)")
				_ = tx.Rollback() // an error if the connection is gone
				require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t))
				return err != nil
			}
			// A busy machine may not even send the statement in a short time.
			require.True(s, spoiled(30*time.Millisecond) || spoiled(300*time.Millisecond) || spoiled(3*time.Second),
				"the block has failed or its connection is gone")
		}},
		{Name: "context/cancelled write leaves nothing or all", run: func(s *scope) {
			t := s.table("id int primary key")
			ctx, cancel := context.WithTimeout(s.ctx, 40*time.Millisecond)
			defer cancel()
			_, err := s.db.ExecContext(ctx, "insert into "+t+" select g from generate_series(1, 3) g where pg_sleep(5) is not null")
			require.ErrorIs(s, err, context.DeadlineExceeded)
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t), "it was asleep when the deadline came")
		}},
		{Name: "context/many cancellations leave the DB usable", run: func(s *scope) {
			for i := range 10 {
				ctx, cancel := context.WithTimeout(s.ctx, time.Duration(1+i)*time.Millisecond)
				_, err := s.db.ExecContext(ctx, "select pg_sleep(20)")
				cancel()
				require.Error(s, err)
				s.usable()
			}
		}},
		{Name: "context/end of the transaction's context during a statement", run: func(s *scope) {
			t := s.table("id int primary key")
			ctx, cancel := context.WithCancel(s.ctx)
			defer cancel()
			tx, err := s.db.BeginTx(ctx, nil)
			require.NoError(s, err)
			_, err = tx.ExecContext(ctx, "insert into "+t+" values (1)")
			require.NoError(s, err)
			timer := time.AfterFunc(60*time.Millisecond, cancel)
			defer timer.Stop()
			_, err = tx.ExecContext(ctx, "select pg_sleep(20)")
			require.Error(s, err)
			require.Error(s, tx.Commit())
			require.Equal(s, 0, one[int](s, s.db, "select count(*) from "+t))
		}},
	}
}
