package driver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// TestRaisedConnectionError holds that an error of class 08 which a function raises,
// as foreign servers do whose own connection fails, is the statement's own: nothing of
// it is left, and the node isn't suspected.
func TestRaisedConnectionError(t *testing.T) {
	for _, mode := range []string{"cache_statement", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			db := open(t, "default_query_exec_mode="+mode)
			for _, text := range []string{
				"drop table if exists raised cascade", "create table raised (v int)",
				`create or replace function raise08() returns trigger language plpgsql as $$ begin
					raise exception 'a foreign server is gone' using errcode = tg_argv[0]; end $$`,
				"create trigger now before insert on raised for each row when (new.v < 2) execute function raise08('08006')",
				"create constraint trigger late after insert on raised deferrable initially deferred for each row when (new.v = 2) execute function raise08('08003')",
			} {
				_, err := db.Exec(text)
				require.NoError(t, err)
			}
			insert := func(v int) error {
				_, err := db.Exec("insert into raised values ($1)", v)
				return err
			}
			late := func() error {
				tx, err := db.Begin()
				require.NoError(t, err)
				defer tx.Rollback()
				_, err = tx.Exec("insert into raised values (2)")
				require.NoError(t, err)
				return tx.Commit()
			}
			for range 20 { // many times what opens a breaker
				for state, err := range map[string]error{"08006": insert(1), "08003": insert(2), "08003 at COMMIT": late()} {
					var op *driver.OpError
					require.ErrorAs(t, err, &op, state)
					require.Equal(t, []any{state[:5], driver.DefinitelyAborted, 1}, []any{op.SQLState, op.Outcome, op.Attempts})
					require.False(t, driver.IsRetryable(err))
				}
			}
			require.NoError(t, insert(3))
			var rows int
			require.NoError(t, db.QueryRow("select count(*) from raised").Scan(&rows))
			require.Equal(t, 1, rows)
			checkIdle(t, db)
		})
	}
}
