package simnode_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

func exec(t *testing.T, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(context.Background(), sql, args...)
	require.NoError(t, err, sql)
}

// value reads one value as text.
func value(t *testing.T, conn *pgx.Conn, sql string) string {
	t.Helper()
	results, err := conn.PgConn().Exec(context.Background(), sql).ReadAll()
	require.NoError(t, err, sql)
	last := results[len(results)-1]
	require.Len(t, last.Rows, 1, sql)
	return string(last.Rows[0][0])
}

// fails runs a statement that must fail with a code, and gives the error.
func fails(t *testing.T, conn *pgx.Conn, code, sql string, args ...any) *pgconn.PgError {
	t.Helper()
	_, err := conn.Exec(context.Background(), sql, args...)
	return serverError(t, err, code)
}

func serverError(t *testing.T, err error, code string) *pgconn.PgError {
	t.Helper()
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, code, pg.Code, "%v (%s)", err, pg.Detail)
	return pg
}

// trio starts three nodes and connects to each.
func trio(t *testing.T, cfg simnode.Config) (sim *simnode.Sim, a, b, c *pgx.Conn) {
	t.Helper()
	sim = start(t, cfg)
	return sim, connect(t, sim, 1), connect(t, sim, 2), connect(t, sim, 3)
}

func TestEveryExecModeReadsWhatAnotherNodeWrote(t *testing.T) {
	sim := start(t, simnode.Config{InMemory: true})
	exec(t, connect(t, sim, 1), "create table m(id int primary key, n numeric, at timestamptz, raw bytea, ok bool, v text)")
	modes := []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	}
	at := time.Date(2024, 2, 29, 12, 30, 0, 123456000, time.UTC)
	for i, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			ctx := context.Background()
			writer, reader := connect(t, sim, 1+i%3), connect(t, sim, 1+(i+1)%3)
			exec(t, writer, "insert into m values ($1, $2::numeric, $3, $4, $5, $6)", mode, i, "12.50", at, []byte{0, 255}, true, "ü'\\")
			var (
				n, v string
				when time.Time
				raw  []byte
				ok   bool
			)
			row := reader.QueryRow(ctx, "select n::text, at, raw, ok, v from m where id = $1", mode, i)
			require.NoError(t, row.Scan(&n, &when, &raw, &ok, &v))
			require.Equal(t, "12.50", n)
			require.True(t, at.Equal(when), when)
			require.Equal(t, []byte{0, 255}, raw)
			require.True(t, ok)
			require.Equal(t, "ü'\\", v)
		})
	}
}

func TestOneQueryIsOneTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table q(id int primary key); insert into q values (1), (2); insert into q select 3")
		require.Equal(t, "3", value(t, b, "select count(*) from q"))
		fails(t, a, "23505", "create table gone(id int); insert into q values (4); insert into q values (1)")
		require.Equal(t, "3", value(t, b, "select count(*) from q"))
		fails(t, b, "42P01", "select * from gone")
		fails(t, a, "42P01", "drop table q; create table q(other text); insert into q values ('x'); select * from nosuch")
		require.Equal(t, "3", value(t, b, "select count(*) from q"))
	})
}

func TestStatementsPreparedOnOneNodeSeeDDLOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		ctx := context.Background()
		exec(t, a, "create table p(id int primary key, v text)")
		exec(t, a, "insert into p values (1, 'old')")
		_, err := b.Prepare(ctx, "one", "select * from p where id = $1")
		require.NoError(t, err)
		_, err = b.Prepare(ctx, "add", "insert into p(id) values ($1)")
		require.NoError(t, err)
		exec(t, a, "drop table p")
		_, err = b.Exec(ctx, "one", 1)
		serverError(t, err, "42P01")
		exec(t, a, "create table p(id int primary key, other bool default true)")
		_, err = b.Exec(ctx, "add", 1)
		require.NoError(t, err)
		_, err = b.Exec(ctx, "one", 1)
		serverError(t, err, "0A000") // cached plan must not change result type
		require.Equal(t, "t", value(t, a, "select other from p"))
	})
}

func TestSerialGivesEveryNodeItsOwnValues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, c := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table s(id serial primary key, v int)")
		for range 40 {
			for _, conn := range []*pgx.Conn{a, b, c} {
				exec(t, conn, "insert into s(v) values (1)")
			}
		}
		require.Equal(t, "120", value(t, a, "select count(*) from s"))
	})
}

// pairs are the two ways in which concurrent writers meet.
func TestConflictNamesTableKeyAndWinner(t *testing.T) {
	for _, iso := range []string{"read committed", "repeatable read"} {
		t.Run(iso, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, a, b, _ := trio(t, simnode.Config{InMemory: true})
				exec(t, a, "create table k(id int, part text, n int, primary key (id, part))")
				exec(t, a, "insert into k values (1, 'x', 0)")
				for _, conn := range []*pgx.Conn{a, b} {
					exec(t, conn, "begin isolation level "+iso)
					exec(t, conn, "update k set n = n + 1 where id = 1")
				}
				exec(t, a, "commit")
				e := fails(t, b, "40001", "commit")
				require.Equal(t, "could not serialize access due to concurrent update", e.Message)
				require.Regexp(t, `^Conflict on table "k", key \(id, part\)=\(1, x\): transaction 1\.\d+/\d+ committed it at LSN \d+\.$`, e.Detail)
				require.Equal(t, byte('I'), b.PgConn().TxStatus())
				require.Equal(t, "1", value(t, b, "select n from k"))
			})
		})
	}
}

// TestConflictWithDrop holds that a conflict names the table also when the
// winner has dropped it.
func TestConflictWithDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		for _, loser := range []string{"insert into gone values (2)", "update gone set id = 3", "select * from gone for update"} {
			exec(t, a, "create table gone(id int primary key)")
			exec(t, a, "insert into gone values (1)")
			exec(t, b, "begin isolation level repeatable read")
			exec(t, b, loser)
			exec(t, a, "drop table gone")
			e := fails(t, b, "40001", "commit")
			require.Regexp(t, `^Conflict on (relation|table) "gone"(, key \(id\)=\(\d\))?: transaction 1\.\d+/\d+ committed it at LSN \d+\.$`, e.Detail, loser)
		}
	})
}

func TestUniqueKeyTakenOnAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table u(id int primary key, mail text unique)")
		exec(t, a, "insert into u values (1, 'x')")
		e := fails(t, b, "23505", "insert into u values (2, 'x')")
		require.Equal(t, "u_mail_key", e.ConstraintName)
		require.Equal(t, "Key (mail)=(x) already exists.", e.Detail)
		exec(t, a, "begin; insert into u values (3, 'y')")
		exec(t, b, "begin; insert into u values (4, 'y')")
		exec(t, a, "commit")
		e = fails(t, b, "40001", "commit")
		require.Contains(t, e.Detail, `table "u"`)
		require.Contains(t, e.Detail, `(mail)=(y)`)
		// A key that was given up on one node is free on another.
		exec(t, a, "delete from u where id = 3")
		exec(t, b, "insert into u values (4, 'y') on conflict (mail) do nothing")
		require.Equal(t, "4", value(t, a, "select id from u where mail = 'y'"))
	})
}

func TestReadCommittedSeesNewSnapshotsRepeatableReadDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table r(id int primary key, n int)")
		exec(t, a, "insert into r values (1, 0)")
		exec(t, b, "begin isolation level read committed")
		require.Equal(t, "0", value(t, b, "select n from r"))
		exec(t, a, "update r set n = 1")
		require.Equal(t, "1", value(t, b, "select n from r"), "READ COMMITTED takes a snapshot per statement")
		exec(t, b, "commit; begin isolation level repeatable read")
		require.Equal(t, "1", value(t, b, "select n from r"))
		exec(t, a, "update r set n = 2; insert into r values (2, 0)")
		require.Equal(t, "1", value(t, b, "select sum(n) from r"), "no phantom, no non-repeatable read")
		e := fails(t, b, "40001", "update r set n = 9 where id = 1")
		require.Equal(t, "could not serialize access due to concurrent update", e.Message)
		fails(t, b, "25P02", "select 1")
		exec(t, b, "rollback")
		// READ COMMITTED goes on with the newest version of a row that changed.
		exec(t, b, "begin; select 1")
		exec(t, a, "update r set n = 10 where id = 1")
		exec(t, b, "update r set n = n + 1 where id = 1; commit")
		require.Equal(t, "11", value(t, a, "select n from r where id = 1"))
	})
}

func TestForUpdateExcludesWritersOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table m(id int primary key, n int)")
		exec(t, a, "create table other(id int primary key)")
		exec(t, a, "insert into m values (1, 0)")
		for i, conn := range []*pgx.Conn{a, b} {
			exec(t, conn, "begin; select * from m where id = 1 for update")
			exec(t, conn, fmt.Sprintf("insert into other values (%d)", i))
		}
		exec(t, a, "commit")
		e := fails(t, b, "40001", "commit")
		require.Contains(t, e.Detail, `table "m", key (id)=(1)`)
		require.Equal(t, "1", value(t, b, "select count(*) from other"))
	})
}

func TestForUpdateOnOneNodeWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, a, _, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table w(id int primary key, n int); insert into w values (1, 0)")
		exec(t, a, "begin; select * from w for update")
		waiter := connect(t, sim, 1)
		fails(t, waiter, "55P03", "set lock_timeout = '20ms'; update w set n = 5")
		exec(t, waiter, "reset lock_timeout")
		done := make(chan error, 1)
		// Ends when the lock is free.
		go func() {
			_, err := waiter.Exec(context.Background(), "update w set n = n + 1")
			done <- err
		}()
		exec(t, a, "update w set n = 10; commit")
		require.NoError(t, <-done)
		require.Equal(t, "11", value(t, a, "select n from w"))
	})
}

func TestDeadlockOnOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, a, _, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table d(id int primary key, n int); insert into d values (1, 0), (2, 0)")
		b := connect(t, sim, 1)
		exec(t, a, "begin; update d set n = 1 where id = 1")
		exec(t, b, "begin; update d set n = 1 where id = 2")
		done := make(chan error, 1)
		// Ends when the deadlock is resolved.
		go func() {
			_, err := a.Exec(context.Background(), "update d set n = 2 where id = 2")
			done <- err
		}()
		_, errB := b.Exec(context.Background(), "update d set n = 2 where id = 1")
		if errB == nil {
			exec(t, b, "commit")
		} else {
			serverError(t, errB, "40P01")
			exec(t, b, "rollback")
		}
		errA := <-done
		require.NotEqual(t, errA == nil, errB == nil, "exactly one of them is the victim: %v, %v", errA, errB)
		if errA != nil {
			serverError(t, errA, "40P01")
		}
	})
}

func TestSavepointsAndFailedBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table s(id int primary key)")
		exec(t, a, "begin; insert into s values (1); savepoint p; insert into s values (2)")
		fails(t, a, "23505", "insert into s values (1)")
		fails(t, a, "25P02", "select 1")
		fails(t, a, "25P02", "savepoint q")
		exec(t, a, "rollback to p")
		exec(t, a, "insert into s values (3); release p; commit")
		require.Equal(t, "4", value(t, b, "select sum(id) from s"))
		// DDL goes back with its savepoint.
		exec(t, a, "begin; savepoint p; create table n(id int); drop table s; rollback to p; insert into s values (5); commit")
		require.Equal(t, "9", value(t, b, "select sum(id) from s"))
		fails(t, b, "42P01", "select * from n")
		// A COMMIT in a failed block says ROLLBACK.
		exec(t, a, "begin; insert into s values (7)")
		fails(t, a, "22012", "select 1/0")
		tag, err := a.Exec(context.Background(), "commit")
		require.NoError(t, err)
		require.Equal(t, "ROLLBACK", tag.String())
		require.Equal(t, "9", value(t, b, "select sum(id) from s"))
	})
}

func TestAFailedStatementLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table f(id int primary key, n int)")
		exec(t, a, "insert into f select g, g from generate_series(1, 10) g")
		fails(t, a, "22012", "update f set n = 10 / (id - 7)")
		fails(t, a, "23505", "insert into f select g, 0 from generate_series(20, 0, -1) g")
		require.Equal(t, "55", value(t, b, "select sum(n) from f"))
		require.Equal(t, "10", value(t, a, "select count(*) from f"))
	})
}

func TestCreateOfTheSameTableOnTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "begin; create table same(id int)")
		exec(t, b, "begin; create table same(id int)")
		exec(t, a, "commit")
		e := fails(t, b, "40001", "commit")
		require.Contains(t, e.Detail, "same")
		exec(t, b, "insert into same values (1)")
	})
}

func TestDropOfATableInUseOnAnotherNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table x(id int primary key)")
		exec(t, b, "begin; insert into x values (1)")
		exec(t, a, "drop table x; create table x(id int primary key, v text not null)")
		fails(t, b, "40001", "commit")
		require.Equal(t, "0", value(t, b, "select count(*) from x"))
	})
}

func TestCancelDuringSleepAndDuringLockWait(t *testing.T) {
	sim, a, b, _ := trio(t, simnode.Config{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err := a.Exec(ctx, "select pg_sleep(60)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	// By hand, on a connection that lives on.
	for _, sql := range []string{"select pg_sleep(60)", "update c set id = 2"} {
		exec(t, b, "create table if not exists c(id int); delete from c; insert into c values (1)")
		holder := connect(t, sim, 2)
		exec(t, holder, "begin; update c set id = 3")
		done := make(chan error, 1)
		// Ends by the cancel.
		go func() {
			_, err := b.Exec(context.Background(), sql)
			done <- err
		}()
		var got error
		for waiting := true; waiting; {
			require.NoError(t, b.PgConn().CancelRequest(context.Background()))
			select {
			case got = <-done:
				waiting = false
			case <-time.After(5 * time.Millisecond):
			}
		}
		e := serverError(t, got, "57014")
		require.Equal(t, "canceling statement due to user request", e.Message)
		exec(t, holder, "rollback")
		require.Equal(t, "1", value(t, b, "select id from c"))
	}
}

func TestWhatIsNotSupportedSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, _, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table n(id int primary key)")
		for _, sql := range []string{
			"select count(*) from n group by id", "select * from n a join n b on true", "create index on n(id)",
			"alter table n add v int", "with x as (select 1) select * from x", "create view v as select 1",
			"begin isolation level serializable", "copy n from stdin", "vacuum", "listen x",
			"select id from n union select 1", "alter schema public rename to p", "grant select on n to postgres",
			"select row_number() over () from n", "select '{1}'::int[]", "select '{}'::json", "declare c cursor for select 1",
			"lock table n", "do $$ begin end $$", "create function f() returns int language sql as 'select 1'", "explain select 1",
		} {
			_, err := a.PgConn().Exec(context.Background(), sql).ReadAll()
			require.Error(t, err, sql)
			e := serverError(t, err, "0A000")
			require.Contains(t, e.Message, "not supported", sql)
			require.Equal(t, byte('I'), a.PgConn().TxStatus(), sql)
		}
	})
}

func TestManyWritersOnAllNodesLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, a, _, _ := trio(t, simnode.Config{InMemory: true})
		exec(t, a, "create table acc(id int primary key, n int); insert into acc select g, 0 from generate_series(1, 5) g")
		type tally struct {
			done int
			err  error
		}
		results := make(chan tally)
		for w := range 6 {
			conn := connect(t, sim, 1+w%3)
			// Ends after its increments.
			go func() {
				var sum tally
				for i := 0; i < 25 && sum.err == nil; {
					_, err := conn.Exec(context.Background(), "update acc set n = n + 1 where id = $1", 1+(i+w)%5)
					var pg *pgconn.PgError
					switch {
					case err == nil:
						i++
						sum.done++
					case errors.As(err, &pg) && pg.Code == "40001":
					default:
						sum.err = err
					}
				}
				results <- sum
			}()
		}
		total := 0
		for range 6 {
			r := <-results
			require.NoError(t, r.err)
			total += r.done
		}
		require.Equal(t, fmt.Sprint(total), value(t, a, "select sum(n) from acc"))
	})
}

// TestConflictAtAStatementNamesItsKey changes a row on another node behind a
// REPEATABLE READ snapshot: the statement fails, not only the COMMIT, and says
// what stood in its way.
func TestConflictAtAStatementNamesItsKey(t *testing.T) {
	sim := start(t, simnode.Config{})
	ctx := t.Context()
	one, two := connect(t, sim, 1), connect(t, sim, 2)
	_, err := one.Exec(ctx, "create table seats (id int primary key, n int); insert into seats values (1, 0), (2, 0)")
	require.NoError(t, err)
	_, err = one.Exec(ctx, "begin isolation level repeatable read; select * from seats")
	require.NoError(t, err)
	_, err = two.Exec(ctx, "update seats set n = n + 1 where id = 2")
	require.NoError(t, err)
	_, err = one.Exec(ctx, "update seats set n = n + 1 where id = 2")
	var conflict *pgconn.PgError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, "40001", conflict.Code)
	require.Equal(t, "could not serialize access due to concurrent update", conflict.Message)
	require.Regexp(t, `^Conflict on table "seats", key \(id\)=\(2\): the transaction at LSN \d+ committed it`, conflict.Detail)
}
