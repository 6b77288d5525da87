package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// TestLostReply loses the reply to an INSERT without arguments, again and
// again, through pgx's stdlib and through this driver. pgx 5.9 to 5.12 call the
// loss "safe to retry", stdlib turns that into driver.ErrBadConn, and
// database/sql then runs the INSERT a second time.
func TestLostReply(t *testing.T) {
	const rounds = 40
	truth := openPgx(t)
	lose := func(name string, wantTwice bool) (twice, errs int) {
		proxy := startLoser(t, shared.server.Addr())
		dsn := strings.Replace(sharedServer(t), shared.server.Addr(), proxy.addr(), 1)
		if name == "anywriter" {
			dsn = patient(dsn)
		}
		db, err := sql.Open(name, dsn)
		require.NoError(t, err)
		defer db.Close()
		table := "lost_" + name
		_, err = truth.Exec("drop table if exists " + table + "; create table " + table + " (v int)")
		require.NoError(t, err)
		insert := "insert into " + table + " values (1)"
		before := 0
		for range rounds {
			_, err := db.Exec(insert) // warm: the statement is prepared, the connection there
			require.NoError(t, err)
			before++
			armed := proxy.lose()
			_, err = db.Exec(insert)
			require.Equal(t, 1, armed.Fired())
			var count int
			require.NoError(t, truth.QueryRow("select count(*) from "+table).Scan(&count))
			switch count - before {
			case 2:
				twice++
			case 1:
			default:
				t.Fatalf("%s: %d rows written by one INSERT", name, count-before)
			}
			before = count
			if err != nil {
				errs++
				if name == "anywriter" {
					var unknown *driver.OutcomeUnknownError
					require.ErrorAs(t, err, &unknown)
					require.Equal(t, proxy.addr(), unknown.Node)
					require.Equal(t, driver.CommitSent, driver.OutcomeOf(err))
				}
			}
		}
		require.EqualValues(t, rounds, proxy.Stats().Cut)
		return twice, errs
	}
	twice, errs := lose("pgx", true)
	t.Logf("pgx stdlib: of %d lost replies %d rows written twice, %d errors", rounds, twice, errs)
	require.Positive(t, twice, "the control shows the defect; if this fails, pgx has been repaired")
	twice, errs = lose("anywriter", false)
	t.Logf("anywriter:  of %d lost replies %d rows written twice, %d errors", rounds, twice, errs)
	require.Zero(t, twice)
	require.Equal(t, rounds, errs)
}

func TestLostReplyOfRead(t *testing.T) {
	db, proxy := proxied(t)
	for range 10 {
		var one int
		require.NoError(t, db.QueryRow("select 1").Scan(&one))
		armed := proxy.lose()
		require.NoError(t, db.QueryRow("select 1").Scan(&one), "a read is tried again")
		require.Equal(t, 1, armed.Fired())
	}
}

func TestLostReplyOfIdempotentWrite(t *testing.T) {
	db, proxy := proxied(t)
	_, err := db.Exec("drop table if exists idem cascade; create table idem (id int primary key, n int); insert into idem values (1, 0)")
	require.NoError(t, err)
	ctx := driver.WithIdempotent(context.Background())
	set := "update idem set n = 5 where id = 1"
	_, err = db.ExecContext(ctx, set)
	require.NoError(t, err)
	armed := proxy.lose()
	_, err = db.ExecContext(ctx, set)
	require.NoError(t, err)
	require.Equal(t, 1, armed.Fired())
}

func TestLostReplyOfSeveralCommands(t *testing.T) {
	db, proxy := proxied(t)
	_, err := db.Exec("drop table if exists multi cascade; create table multi (v int)")
	require.NoError(t, err)
	proxy.lose()
	_, err = db.Exec("insert into multi values (1); insert into multi values (2)")
	require.Equal(t, driver.CommitSent, driver.OutcomeOf(err), "%v", err)
	var n int
	require.NoError(t, db.QueryRow("select count(*) from multi").Scan(&n))
	require.Equal(t, 2, n)
}

func TestLostReplyInTransaction(t *testing.T) {
	db, proxy := proxied(t)
	_, err := db.Exec("drop table if exists intx cascade; create table intx (v int)")
	require.NoError(t, err)
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("insert into intx values ($1)", 1)
	require.NoError(t, err)
	proxy.lose()
	_, err = tx.Exec("insert into intx values ($1)", 2)
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err), "%v", err)
	require.True(t, driver.IsRetryable(err))
	err = tx.Commit()
	require.ErrorIs(t, err, driver.ErrTxAborted)
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
	var n int
	require.NoError(t, db.QueryRow("select count(*) from intx").Scan(&n))
	require.Zero(t, n)
	checkIdle(t, db)
}

func TestLostReplyOfCommit(t *testing.T) {
	db, proxy := proxied(t)
	_, err := db.Exec("drop table if exists lostcommit cascade; create table lostcommit (v int)")
	require.NoError(t, err)
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("insert into lostcommit values (1)")
	require.NoError(t, err)
	proxy.lose()
	err = tx.Commit()
	var unknown *driver.OutcomeUnknownError
	require.ErrorAs(t, err, &unknown)
	require.True(t, unknown.Ambiguous())
	require.False(t, driver.IsRetryable(err))

	// RunTx doesn't run the closure again.
	runs := 0
	err = driver.RunTx(context.Background(), db, nil, func(_ context.Context, tx *sql.Tx) error {
		runs++
		_, err := tx.Exec("insert into lostcommit values (2)")
		proxy.lose()
		return err
	})
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, 1, runs)
}

func TestCommitOfFailedTransaction(t *testing.T) {
	db := open(t)
	tx, err := db.Begin()
	require.NoError(t, err)
	_, err = tx.Exec("select 1/0")
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "22012", pgErr.Code)
	_, err = tx.Exec("select 1")
	require.ErrorContains(t, err, "division by zero", "25P02 names the first error")
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "25P02", pgErr.Code)
	err = tx.Commit()
	require.ErrorIs(t, err, driver.ErrTxAborted)
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
	require.False(t, driver.IsRetryable(err))
	checkIdle(t, db)
}

// A deferred constraint fails after CommandComplete, at the implicit commit.
func TestLateErrorOfAutocommit(t *testing.T) {
	db := open(t)
	_, err := db.Exec(`drop table if exists late cascade; create table late (id int primary key, ref int references late deferrable initially deferred)`)
	require.NoError(t, err)
	_, err = db.Exec("insert into late values (1, 99)")
	require.ErrorContains(t, err, "foreign key")
	require.Equal(t, driver.DefinitelyAborted, driver.OutcomeOf(err))
	// The row is read ahead: the error is known before any of it is given out.
	_, err = db.Query("insert into late values (1, 99) returning id")
	require.ErrorContains(t, err, "foreign key")
	// In a session that has been used rows aren't read ahead: it comes last.
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	_, err = conn.ExecContext(context.Background(), "select 1")
	require.NoError(t, err)
	rows, err := conn.QueryContext(context.Background(), "insert into late values (1, 99) returning id")
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.False(t, rows.Next())
	require.ErrorContains(t, rows.Err(), "foreign key")
	require.NoError(t, conn.Close())
	require.Error(t, db.QueryRow("insert into late values (1, 99) returning id").Scan(new(int)))
	checkIdle(t, db)
}

func TestConflictIsRetried(t *testing.T) {
	db := open(t, "default_transaction_isolation=serializable", "retry_max_attempts=100")
	_, err := db.Exec("drop table if exists conf cascade; create table conf (id int primary key, n int); insert into conf values (1, 0)")
	require.NoError(t, err)
	const workers, each = 8, 20
	increment := func() error {
		_, err := db.Exec("update conf set n = n + 1 where id = 1")
		return err
	}
	readAndWrite := func() error {
		return driver.RunTx(context.Background(), db, &driver.TxOptions{MaxAttempts: 200}, func(ctx context.Context, tx *sql.Tx) error {
			var n int
			if err := tx.QueryRowContext(ctx, "select n from conf where id = 1").Scan(&n); err != nil {
				return errors.New("hidden: " + err.Error())
			}
			_, err := tx.ExecContext(ctx, "update conf set n = $1 where id = 1", n+1)
			return err
		})
	}
	errs := make(chan error, 2*workers*each)
	for i := range 2 * workers {
		work := []func() error{increment, readAndWrite}[i%2]
		go func() { // ends after its rounds
			for range each {
				errs <- work()
			}
		}()
	}
	done := 0
	for range 2 * workers * each {
		err := <-errs
		if err == nil {
			done++
			continue
		}
		// The retry budget ends some on a machine where conflicts are many; what
		// it ends has certainly left nothing.
		require.True(t, driver.IsRetryable(err) || strings.Contains(err.Error(), "hidden: "), "%v", err)
		require.ErrorContains(t, err, "40001")
	}
	require.Greater(t, done, workers*each)
	var n int
	require.NoError(t, db.QueryRow("select n from conf").Scan(&n))
	require.Equal(t, done, n)
	s := clusterOf(t, db).Stats().Nodes[0]
	require.Positive(t, s.Conflicts)
	require.Positive(t, s.Retries)
	checkIdle(t, db)
}

// An autocommit INSERT … RETURNING whose commit fails with a conflict after its
// row has been sent is still tried again, because the row isn't given out
// before the end of the exchange is known.
func TestConflictAfterRows(t *testing.T) {
	db := open(t, "default_transaction_isolation=serializable")
	_, err := db.Exec(`drop table if exists after_rows cascade; create table after_rows (id serial primary key, v int);
		drop function if exists clash cascade; drop sequence if exists clash_count;
		create function clash() returns trigger language plpgsql as $$
		begin
			if nextval('clash_count') < 3 then
				raise exception 'clash' using errcode = '40001';
			end if;
			return null;
		end $$;
		create sequence clash_count;
		create constraint trigger clash after insert on after_rows deferrable initially deferred
			for each row execute function clash()`)
	require.NoError(t, err)
	var id int
	require.NoError(t, db.QueryRow("insert into after_rows (v) values ($1) returning id", 1).Scan(&id))
	require.Equal(t, 3, id)
	rows, err := db.Query("insert into after_rows (v) select g from generate_series(1, 3) g returning v, null::text, ''::text")
	require.NoError(t, err)
	var got []any
	for rows.Next() {
		var v int
		var null, empty sql.NullString
		require.NoError(t, rows.Scan(&v, &null, &empty))
		got = append(got, v, null.Valid, empty.Valid)
	}
	require.NoError(t, rows.Err())
	require.Equal(t, []any{1, false, true, 2, false, true, 3, false, true}, got)
	var n int
	require.NoError(t, db.QueryRow("select count(*) from after_rows").Scan(&n))
	require.Equal(t, 4, n)
	// More than is read ahead comes through all the same.
	rows, err = db.Query("insert into after_rows (v) select g from generate_series(1, 50000) g returning v")
	require.NoError(t, err)
	n = 0
	for rows.Next() {
		n++
	}
	require.NoError(t, rows.Err())
	require.Equal(t, 50000, n)
	checkIdle(t, db)
}

// A text that commits several times may have left something behind when it
// fails; one that is a single implicit transaction can't.
func TestErrorAfterInnerCommit(t *testing.T) {
	db := open(t)
	_, err := db.Exec("drop table if exists inner_commit cascade; create table inner_commit (v int)")
	require.NoError(t, err)
	for text, want := range map[string]driver.Outcome{
		"begin; insert into inner_commit values (1); commit; select 1/0":                           driver.CommitSent,
		"do $$ begin insert into inner_commit values (2); commit; perform 1/0; end $$":             driver.CommitSent,
		"insert into inner_commit values (3); select 1/0":                                          driver.DefinitelyAborted,
		"begin; insert into inner_commit values (4); commit; selec":                                driver.DefinitelyAborted,
		"/* call */ insert into inner_commit values (5) returning 1/(v-5)":                         driver.DefinitelyAborted,
		"do $$ begin raise exception 'conflict' using errcode = '40001'; end $$":                   driver.CommitSent,
		"insert into inner_commit select 1/0 from inner_commit union all select 1/0 from pg_class": driver.DefinitelyAborted,
	} {
		_, err = db.Exec(text)
		require.Error(t, err, text)
		require.Equal(t, want, driver.OutcomeOf(err), text)
	}
}
