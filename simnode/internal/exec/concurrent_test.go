package exec_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// pending is a statement that runs in a goroutine of its own.
type pending struct {
	done chan struct{}
	res  result
	err  error
}

// start runs a statement that may wait for a lock. Inside synctest, synctest.Wait
// then tells whether it does.
func (c *client) start(t *testing.T, sql string) *pending {
	p := &pending{done: make(chan struct{})}
	go func() { // ends with the statement
		defer close(p.done)
		p.res, p.err = c.try(t, sql)
	}()
	synctest.Wait()
	return p
}

func (p *pending) waiting() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// two gives two sessions over t(id, a, b) with rows 1 to 3.
func two(t *testing.T) (a, b *client) {
	e := newEngine(t)
	a, b = e.client(), e.client()
	a.must(t, "create table t (id int primary key, a int, b text unique)")
	a.must(t, "insert into t values (1, 10, 'x'), (2, 20, 'y'), (3, 30, 'z')")
	return a, b
}

// A statement that waited for a row looks at its newest state: at the condition
// and at the values it computes with.
func TestReadCommittedLooksAgain(t *testing.T) {
	for _, c := range []struct{ first, second, tag, want string }{
		{"update t set a = a + 1 where id = 1", "update t set a = a * 2 where id = 1", "UPDATE 1", "22"},
		{"update t set a = 99 where id = 1", "update t set a = 0 where a = 10", "UPDATE 0", "99"},
		{"update t set a = 99 where id = 1", "delete from t where a < 50 and id = 1", "DELETE 0", "99"},
		{"delete from t where id = 1", "update t set a = 0 where id = 1", "UPDATE 0", ""},
		{"update t set id = 7 where id = 1", "update t set a = 0 where id = 1", "UPDATE 0", ""},
		{"update t set a = 99 where id = 1", "delete from t where a > 50 or id = 1", "DELETE 1", ""},
		{"update t set a = 11 where id = 1", "insert into t values (1, 5) on conflict (id) do update set a = t.a + excluded.a", "INSERT 0 1", "16"},
		{"delete from t where id = 1", "insert into t values (1, 5) on conflict (id) do update set a = 0", "INSERT 0 1", "5"},
		{"update t set a = 11 where id = 1", "insert into t values (1, 5) on conflict do nothing", "INSERT 0 0", "11"},
		{"update t set b = 'new' where id = 1", "insert into t values (9, 9, 'x') on conflict (b) do nothing", "INSERT 0 1", "10"},
	} {
		t.Run(c.first+"/"+c.second, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, b := two(t)
				a.must(t, "begin; "+c.first)
				p := b.start(t, c.second)
				require.True(t, p.waiting())
				a.must(t, "commit")
				<-p.done
				require.NoError(t, p.err)
				require.Equal(t, c.tag, p.res.tag)
				rows := a.must(t, "select a from t where id = 1").rows
				if c.want == "" {
					require.Empty(t, rows)
					return
				}
				require.Equal(t, c.want, fmt.Sprint(rows[0][0]))
			})
		})
	}
}

// After a rollback the one that waited goes on with the old state.
func TestRollbackReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two(t)
		a.must(t, "begin; update t set a = 99 where id = 1")
		p := b.start(t, "update t set a = a + 1 where a = 10 returning a")
		require.True(t, p.waiting())
		a.must(t, "rollback")
		<-p.done
		require.Equal(t, []types.Row{{int32(11)}}, p.res.rows)
	})
}

func TestRepeatableReadFailsOnChange(t *testing.T) {
	for _, second := range []string{
		"update t set a = a + 1 where id = 1", "delete from t where id = 1",
		"select * from t where id = 1 for update",
		"insert into t values (1, 5) on conflict (id) do update set a = 0",
	} {
		synctest.Test(t, func(t *testing.T) {
			a, b := two(t)
			b.must(t, "begin isolation level repeatable read; select count(*) from t")
			a.must(t, "update t set a = 99 where id = 1")
			require.Equal(t, []types.Row{{int32(10)}}, b.must(t, "select a from t where id = 1").rows)
			_, err := b.try(t, second)
			require.Equal(t, "40001", code(err), second)
			_, err = b.try(t, "select 1")
			require.Equal(t, "25P02", code(err))
			b.must(t, "rollback")
		})
	}
}

// A row inserted after the snapshot is in the way of ON CONFLICT DO NOTHING, which
// may not be silent about it in REPEATABLE READ.
func TestRepeatableReadDoNothing(t *testing.T) {
	a, b := two(t)
	b.must(t, "begin isolation level repeatable read; select count(*) from t")
	a.must(t, "insert into t values (4, 40, 'w')")
	_, err := b.try(t, "insert into t values (4, 0, 'v') on conflict do nothing")
	require.Equal(t, "40001", code(err))
}

func TestForUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two(t)
		a.must(t, "begin; select * from t where id = 1 for update")
		_, err := b.try(t, "select * from t where id = 1 for update nowait")
		require.Equal(t, "55P03", code(err))
		rows := b.must(t, "select id from t order by id for update skip locked").rows
		require.Equal(t, []types.Row{{int32(2)}, {int32(3)}}, rows)
		p := b.start(t, "select a from t where id = 1 and a < 50 for update")
		require.True(t, p.waiting())
		a.must(t, "update t set a = 99 where id = 1; commit")
		<-p.done
		require.NoError(t, p.err)
		require.Empty(t, p.res.rows, "the new state does not meet the condition")
		require.Equal(t, []types.Row{{int32(10), "x"}},
			b.must(t, "update t set a = 10 where id = 1 returning a, b").rows)
	})
}

// ORDER BY and LIMIT are applied before rows are locked, so that only those that
// come out are.
func TestForUpdateLocksWhatComesOut(t *testing.T) {
	a, b := two(t)
	a.must(t, "begin; select id from t order by a desc limit 1 for update")
	require.Equal(t, []types.Row{{int32(1)}, {int32(2)}},
		b.must(t, "select id from t order by id for update skip locked").rows)
}

func TestUniqueKeyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two(t)
		a.must(t, "begin; insert into t values (4, 40, 'w')")
		p := b.start(t, "insert into t values (5, 50, 'w')")
		require.True(t, p.waiting())
		a.must(t, "rollback")
		<-p.done
		require.NoError(t, p.err)
		a.must(t, "begin; insert into t values (6, 60, 'v')")
		p = b.start(t, "insert into t values (7, 70, 'v')")
		a.must(t, "commit")
		<-p.done
		require.Equal(t, "23505", code(p.err))
		require.Equal(t, "t_b_key", p.err.(*sqlerr.Error).Constraint) //nolint:errorlint // ours
	})
}

func TestDeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two(t)
		a.must(t, "begin; update t set a = 1 where id = 1")
		b.must(t, "begin; update t set a = 2 where id = 2")
		p := a.start(t, "update t set a = 1 where id = 2")
		require.True(t, p.waiting())
		_, err := b.try(t, "update t set a = 2 where id = 1")
		require.Equal(t, "40P01", code(err))
		b.must(t, "rollback")
		<-p.done
		require.NoError(t, p.err)
		a.must(t, "commit")
	})
}

// A failed statement leaves nothing behind, and what stood before it in the block
// stays.
func TestStatementAtomicity(t *testing.T) {
	for _, bad := range []string{
		"insert into t values (4, 1, 'q'), (5, 1, 'r'), (1, 1, 's')",
		"insert into t select id + 10, a / (30 - a), null from t",
		"update t set a = 100 / (a - 30)",
		"update t set id = id + 1 where id in (1, 2)",
		"insert into t values (8, 1, 'm'), (9, null, 'm')",
		"delete from t where 1 / (a - 30) > -1",
	} {
		a, b := two(t)
		a.must(t, "begin; insert into t values (100, 1, 'kept'); savepoint s")
		_, err := a.try(t, bad)
		require.Error(t, err, bad)
		a.must(t, "rollback to s")
		require.Equal(t, int64(4), a.must(t, "select count(*) from t").rows[0][0], bad)
		a.must(t, "commit")
		require.Equal(t, []types.Row{{int64(4), int64(61)}}, b.must(t, "select count(*), sum(a) from t").rows, bad)
	}
}

// A statement does not see its own writes.
func TestNoHalloween(t *testing.T) {
	a, _ := two(t)
	require.Equal(t, "UPDATE 3", a.must(t, "update t set id = id + 10, a = a + 1").tag)
	require.Equal(t, "INSERT 0 3", a.must(t, "insert into t select id + 100, a, null from t").tag)
	require.Equal(t, "UPDATE 6", a.must(t, "update t set a = a + 1 where a < 1000").tag)
	require.Equal(t, int64(6), a.must(t, "select count(*) from t").rows[0][0])
}

func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := two(t)
		cause := sqlerr.New("57014", "canceling statement due to user request")
		ctx, cancel := context.WithCancelCause(t.Context())
		a.must(t, "begin; update t set a = 99 where id = 1")
		stmts, err := b.e.parser.Parse("update t set a = 0 where id = 1")
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { // ends when the statement is cancelled
			_, err := b.exec(ctx, stmts[0], nil)
			done <- err
		}()
		synctest.Wait()
		cancel(cause)
		require.Equal(t, "57014", code(<-done))
		a.must(t, "commit")
	})
	e := newEngine(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stop"))
	stmts, err := e.parser.Parse("select count(*) from generate_series(1, 1000000000)")
	require.NoError(t, err)
	_, err = e.client().exec(ctx, stmts[0], nil)
	require.EqualError(t, err, "stop")
}

// One Program may be run by many sessions at once, and is invalid once its table
// is another.
func TestProgramShared(t *testing.T) {
	a, _ := two(t)
	p, env := a.prepare(t, "select a, $1 in (1, 2), case $1 when 1 then 'x' else 'y' end from t where id = $1")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() { // ends after 100 runs
			tx := a.e.store.Begin(1, false)
			defer tx.Finish()
			own := *env
			for range 100 {
				id := int32(i%3 + 1)
				_, err := p.Run(t.Context(), &own, tx, []types.Datum{id}, func(r types.Row) error {
					if r[0] != id*10 || r[1] != (id < 3) {
						return fmt.Errorf("id %d gave %v", id, r)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	tx := a.e.store.Begin(1, false)
	require.True(t, p.Valid(env, tx))
	elsewhere := *env
	elsewhere.Path = catalog.Path{"other", "public"}
	require.False(t, p.Valid(&elsewhere, tx), "another path may lead to another table")
	tx.Finish()
	a.must(t, "drop table t; create table t (id int primary key)")
	tx = a.e.store.Begin(1, false)
	require.False(t, p.Valid(env, tx))
	tx.Finish()
}
