package sqltest

import (
	"context"
	"errors"
	"time"

	"github.com/stretchr/testify/require"
)

func poolCases() []Case {
	return []Case{
		{Name: "pool/one connection is enough", run: func(s *scope) {
			s.db.SetMaxOpenConns(1)
			t := s.table("id int primary key")
			for i := range 20 {
				s.exec("insert into "+t+" values ($1)", i)
				require.Equal(s, i+1, one[int](s, s.db, "select count(*) from "+t))
				_, err := s.db.ExecContext(s.ctx, "insert into "+t+" values ($1)", i)
				s.isState(err, "23505", "insert")
			}
			tx := s.begin(nil)
			s.execOn(tx, "delete from "+t)
			require.NoError(s, tx.Rollback())
			require.Equal(s, 20, one[int](s, s.db, "select count(*) from "+t))
			require.LessOrEqual(s, s.db.Stats().OpenConnections, 1)
		}},
		{Name: "pool/waiting for a connection honours the context", run: func(s *scope) {
			s.db.SetMaxOpenConns(1)
			tx := s.begin(nil)
			require.Equal(s, 1, one[int](s, tx, "select 1"))
			ctx, cancel := context.WithTimeout(s.ctx, 50*time.Millisecond)
			defer cancel()
			_, err := s.db.ExecContext(ctx, "select 1")
			require.ErrorIs(s, err, context.DeadlineExceeded)
			require.NoError(s, tx.Rollback())
		}},
		{Name: "pool/waiter gets the released connection", run: func(s *scope) {
			s.db.SetMaxOpenConns(1)
			tx := s.begin(nil)
			require.Equal(s, 1, one[int](s, tx, "select 1"))
			done := make(chan error, 1)
			go func() { done <- s.db.PingContext(s.ctx) }() // ends when the connection is free
			require.NoError(s, tx.Commit())
			require.NoError(s, <-done)
		}},
		{Name: "pool/rows hold a connection until they end", run: func(s *scope) {
			rows, err := s.db.QueryContext(s.ctx, "select g from generate_series(1, 3) g")
			require.NoError(s, err)
			require.Equal(s, 1, s.db.Stats().InUse)
			for rows.Next() {
			}
			require.NoError(s, rows.Err())
			require.Equal(s, 0, s.db.Stats().InUse)
			require.NoError(s, rows.Close())
		}},
	}
}

func poolLifeCases() []Case {
	return []Case{
		{Name: "pool/short lifetimes", run: func(s *scope) {
			s.db.SetConnMaxLifetime(time.Nanosecond)
			s.db.SetMaxIdleConns(1)
			for range 10 {
				s.usable()
			}
			tx := s.begin(nil)
			require.Equal(s, 1, one[int](s, tx, "select 1"))
			require.NoError(s, tx.Commit())
		}},
		{Name: "pool/mixed load", run: mixedLoad},
		{Name: "pool/ping", run: func(s *scope) {
			require.NoError(s, s.db.PingContext(s.ctx))
			require.NoError(s, s.db.PingContext(s.ctx))
		}},
		{Name: "pool/closed DB", run: func(s *scope) {
			// The scope's own DB must stay open for its cleanups.
			other := s.reopen()
			tx, err := other.BeginTx(s.ctx, nil)
			require.NoError(s, err)
			require.NoError(s, tx.Rollback())
			require.NoError(s, other.Close())
			require.NoError(s, other.Close())
			_, err = other.ExecContext(s.ctx, "select 1")
			require.ErrorContains(s, err, "closed")
			require.Error(s, other.PingContext(s.ctx))
			_, err = other.BeginTx(s.ctx, nil)
			require.Error(s, err)
		}},
		{Name: "pool/panic in a row loop leaks nothing", run: func(s *scope) {
			func() {
				defer func() { require.NotNil(s, recover()) }()
				rows, err := s.db.QueryContext(s.ctx, "select g from generate_series(1, 10) g")
				require.NoError(s, err)
				defer rows.Close()
				panic("the user's own")
			}()
		}},
	}
}

func mixedLoad(s *scope) {
	t := s.table("id int primary key, v int")
	s.db.SetMaxOpenConns(4)
	s.together(8, func(client int) error {
		for round := range 20 {
			if err := mixedRound(s, t, client*100+round); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(s, 80, one[int](s, s.db, "select count(*) from "+t))
}

// mixedRound inserts a row and, every second time, rolls back another way.
func mixedRound(s *scope, t string, id int) error {
	for {
		tx, err := s.db.BeginTx(s.ctx, nil)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(s.ctx, "insert into "+t+" values ($1, $2)", id, id)
		if err == nil && id%2 == 1 {
			return tx.Rollback()
		}
		if err == nil {
			err = tx.Commit()
		} else {
			err = errors.Join(err, tx.Rollback())
		}
		if isConflict(err) {
			continue
		}
		return err
	}
}
