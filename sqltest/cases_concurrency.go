package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"
)

func concurrencyCases() []Case {
	return []Case{
		{Name: "concurrency/FOR UPDATE prevents lost updates", run: func(s *scope) {
			t := s.table("id int primary key, v int not null")
			s.exec("insert into " + t + " values (1, 0)")
			s.race(6, 8, nil, func(tx *sql.Tx) error {
				var v int
				if err := tx.QueryRowContext(s.ctx, "select v from "+t+" where id = 1 for update").Scan(&v); err != nil {
					return err
				}
				_, err := tx.ExecContext(s.ctx, "update "+t+" set v = $1 where id = 1", v+1)
				return err
			})
			require.Equal(s, 48, one[int](s, s.db, "select v from "+t))
		}},
		{Name: "concurrency/increments in one statement", run: func(s *scope) {
			t := s.table("id int primary key, v int not null")
			s.exec("insert into " + t + " values (1, 0)")
			s.race(6, 8, nil, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(s.ctx, "update "+t+" set v = v + 1 where id = 1")
				return err
			})
			require.Equal(s, 48, one[int](s, s.db, "select v from "+t))
		}},
		{Name: "concurrency/repeatable read prevents lost updates", run: func(s *scope) {
			t := s.table("id int primary key, v int not null")
			s.exec("insert into " + t + " values (1, 0)")
			s.race(4, 8, &sql.TxOptions{Isolation: sql.LevelRepeatableRead}, func(tx *sql.Tx) error {
				var v int
				if err := tx.QueryRowContext(s.ctx, "select v from "+t+" where id = 1").Scan(&v); err != nil {
					return err
				}
				_, err := tx.ExecContext(s.ctx, "update "+t+" set v = $1 where id = 1", v+1)
				return err
			})
			require.Equal(s, 32, one[int](s, s.db, "select v from "+t))
		}},
	}
}

func keyRaceCases() []Case {
	return []Case{
		{Name: "concurrency/one of two inserts of a key wins", run: uniqueConflict},
		{Name: "concurrency/second insert succeeds after a rollback", run: func(s *scope) {
			t := s.table("id int primary key, who text")
			first := s.begin(nil)
			s.execOn(first, "insert into "+t+" values (1, 'first')")
			done := make(chan error, 1)
			go func() { // ends when the first transaction does, at the latest with s.ctx
				_, err := s.db.ExecContext(s.ctx, "insert into "+t+" values (1, 'second')")
				done <- err
			}()
			require.NoError(s, first.Rollback())
			require.NoError(s, <-done)
			require.Equal(s, "second", one[string](s, s.db, "select who from "+t))
		}},
		{Name: "concurrency/opposite lock order ends", run: oppositeOrder},
		{Name: "concurrency/ON CONFLICT from many sides", run: func(s *scope) {
			t := s.table("id int primary key, v int not null")
			s.race(6, 5, nil, func(tx *sql.Tx) error {
				_, err := tx.ExecContext(s.ctx, "insert into "+t+" as old values (1, 1) on conflict (id) do update set v = old.v + 1")
				return err
			})
			require.Equal(s, 30, one[int](s, s.db, "select v from "+t))
		}},
		{Name: "concurrency/a sum is never torn", run: tornSum},
		{
			Name: "concurrency/FOR UPDATE makes others wait", needs: func(c Capabilities) bool { return c.RowLocks },
			run: func(s *scope) {
				t := s.table("id int primary key")
				s.exec("insert into " + t + " values (1)")
				tx := s.begin(nil)
				s.execOn(tx, "select * from "+t+" for update")
				ctx, cancel := context.WithTimeout(s.ctx, 100*time.Millisecond)
				defer cancel()
				_, err := s.db.ExecContext(ctx, "update "+t+" set id = 2")
				require.ErrorIs(s, err, context.DeadlineExceeded)
				s.failsOn(s.db, "55P03", "select * from "+t+" for update nowait")
				require.NoError(s, tx.Commit())
				s.exec("update " + t + " set id = 2")
			},
		},
	}
}

// race has clients run fn rounds times each, again after conflicts, and returns
// when all have committed all.
func (s *scope) race(clients, rounds int, opts *sql.TxOptions, fn func(tx *sql.Tx) error) {
	s.Helper()
	s.together(clients, func(client int) error {
		for range rounds {
			if err := s.untilCommitted(client, opts, fn); err != nil {
				return err
			}
		}
		return nil
	})
}

// untilCommitted waits a little longer after each conflict, and each client
// differently, so that those whose conflicts are found at COMMIT get out of each
// other's way.
func (s *scope) untilCommitted(client int, opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	for conflicts := 0; ; conflicts++ {
		err := s.attempt(opts, fn)
		if !isConflict(err) {
			return err
		}
		pause := time.NewTimer(time.Duration((client+1)*min(conflicts, 10)) * 300 * time.Microsecond)
		select {
		case <-pause.C:
		case <-s.ctx.Done():
			pause.Stop()
			return errors.Join(s.ctx.Err(), err)
		}
	}
}

func (s *scope) attempt(opts *sql.TxOptions, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(s.ctx, opts)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // sql.ErrTxDone after a commit
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit()
}

func uniqueConflict(s *scope) {
	t := s.table("id int primary key, who int")
	var won, lost atomic.Int32
	s.together(6, func(client int) error {
		// Where conflicts are found at COMMIT, those who meet may all lose.
		err := s.untilCommitted(client, nil, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(s.ctx, "insert into "+t+" values (1, $1)", client)
			return err
		})
		switch state := sqlState(err); {
		case err == nil:
			won.Add(1)
		case state == "23505":
			lost.Add(1)
		default:
			return err
		}
		return nil
	})
	require.EqualValues(s, 1, won.Load())
	require.EqualValues(s, 5, lost.Load())
	require.Equal(s, 1, one[int](s, s.db, "select count(*) from "+t))
}

func oppositeOrder(s *scope) {
	t := s.table("id int primary key, v int not null")
	s.exec("insert into " + t + " values (1, 0), (2, 0)")
	var turn atomic.Int32
	s.race(2, 6, nil, func(tx *sql.Tx) error {
		a := 1 + int(turn.Add(1))%2
		for _, id := range []int{a, 3 - a} {
			if _, err := tx.ExecContext(s.ctx, "update "+t+" set v = v + 1 where id = $1", id); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(s, []int{12, 12}, column[int](s, s.db, "select v from "+t+" order by id"))
}

func tornSum(s *scope) {
	t := s.table("id int primary key, v int not null")
	s.exec("insert into " + t + " select g, 100 from generate_series(1, 10) g")
	stop := make(chan struct{})
	reader := make(chan error, 1)
	go func() { // ends when the writers have ended
		defer close(reader)
		for {
			select {
			case <-stop:
				return
			default:
			}
			var sum int
			err := s.db.QueryRowContext(s.ctx, "select sum(v) from "+t).Scan(&sum)
			if err == nil && sum != 1000 {
				err = errors.New("a sum was not 1000")
			}
			if err != nil {
				reader <- err
				return
			}
		}
	}()
	var next atomic.Int32
	s.race(3, 10, nil, func(tx *sql.Tx) error {
		n := int(next.Add(1))
		low, high := 1+n%5, 6+n%5 // always in this order: no deadlocks
		if _, err := tx.ExecContext(s.ctx, "update "+t+" set v = v - 7 where id = $1", low); err != nil {
			return err
		}
		_, err := tx.ExecContext(s.ctx, "update "+t+" set v = v + 7 where id = $1", high)
		return err
	})
	close(stop)
	require.NoError(s, <-reader)
}
