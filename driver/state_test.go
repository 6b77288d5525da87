package driver_test

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// leftState is one kind of state that a checkout can leave in a server session.
type leftState struct {
	do    string // statements of one sql.Conn, each sent by itself; separated by ;;
	check string // shows the state to whoever comes next
	clean string // what a fresh session shows; an SQLSTATE if it fails
	stays string // the modes of session_reset in which the next one sees the state
	anew  bool   // the session is replaced, since its state can't be undone
}

const always = "auto strict off"

// leftStates are all kinds of session state that PostgreSQL's documentation of
// DISCARD lists, by the ways that lead there.
var leftStates = map[string]leftState{
	"SET":                         {do: "set statement_timeout = '77s'", check: timeout, clean: "0", stays: "off"},
	"SET among several":           {do: "select 1; set statement_timeout = '33s'", check: timeout, clean: "0", stays: "off"},
	"SET before a failure":        {do: "begin;; set statement_timeout = '7s';; commit;; select 1/0", check: timeout, clean: "0", stays: "off"},
	"SET LOCAL":                   {do: "begin;; set local statement_timeout = '7s';; commit", check: timeout, clean: "0", stays: ""},
	"SET in a rolled back tx":     {do: "begin;; set statement_timeout = '7s';; rollback", check: timeout, clean: "0", stays: ""},
	"set_config":                  {do: "select set_config('statement_timeout', '55s', false)", check: timeout, clean: "0", stays: "off"},
	"set_config in a function":    {do: "select state_setting()", check: timeout, clean: "0", stays: "auto off"},
	"set_config in DO":            {do: "do $$ begin perform set_config('statement_timeout', '55s', false); end $$", check: timeout, clean: "0", stays: "auto off"},
	"SET ROLE":                    {do: "set role state_role", check: "select current_user::text", clean: "postgres", stays: "off"},
	"SET SESSION AUTHORIZATION":   {do: "set session authorization state_role", check: "select session_user::text", clean: "postgres", stays: "off"},
	"temporary table":             {do: "create temp table left_over (a int)", check: exists("left_over"), clean: "none", stays: "off"},
	"SELECT INTO TEMP":            {do: "select 1 as a into temp left_over", check: exists("left_over"), clean: "none", stays: "off"},
	"temporary view":              {do: "create temporary view left_over as select 1", check: exists("left_over"), clean: "none", stays: "off"},
	"temporary sequence":          {do: "create temp sequence left_over", check: exists("left_over"), clean: "none", stays: "off"},
	"temporary table by a schema": {do: "create table pg_temp.left_over (a int)", check: exists("left_over"), clean: "none", stays: "off"},
	"LISTEN":                      {do: "listen somewhere", check: "select count(*)::text from pg_listening_channels()", clean: "0", stays: "off"},
	"PREPARE":                     {do: "prepare left_stmt as select 1", check: "select count(*)::text from pg_prepared_statements where name = 'left_stmt'", clean: "0", stays: "off"},
	"DECLARE WITH HOLD":           {do: "declare left_cur cursor with hold for select 1", check: cursors, clean: "0", stays: "off"},
	"DECLARE in a transaction":    {do: "begin;; declare left_cur cursor for select 1;; commit", check: cursors, clean: "0", stays: ""},
	"advisory lock":               {do: "select pg_advisory_lock(4711)", check: locks, clean: "0", stays: "off"},
	"advisory lock, shared, try":  {do: "select pg_try_advisory_lock_shared(4711)", check: locks, clean: "0", stays: "off"},
	"advisory lock in a function": {do: "select state_lock()", check: locks, clean: "0", stays: "auto off"},
	"advisory lock of a tx":       {do: "begin;; select pg_advisory_xact_lock(4711);; commit", check: locks, clean: "0", stays: ""},
	"LOAD":                        {do: "load 'auto_explain'", check: "select coalesce(current_setting('auto_explain.log_analyze', true), 'none')", clean: "none", stays: "off", anew: true},
	"nextval":                     {do: "select nextval('state_seq')", check: "select currval('state_seq')::text", clean: "55000", stays: "auto off"},
	"nextval of a default":        {do: "insert into state_serial default values", check: "select lastval()::text", clean: "55000", stays: always},
	"open transaction":            {do: "begin;; insert into state_rows values (1)", check: "select count(*)::text from state_rows", clean: "0", stays: "", anew: true},
	"failed transaction":          {do: "begin;; select 1/0", check: "select 1::text", clean: "1", stays: "", anew: true},
}

const (
	timeout = "select current_setting('statement_timeout')"
	cursors = "select count(*)::text from pg_cursors where name = 'left_cur'"
	locks   = "select count(*)::text from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
)

func exists(name string) string {
	return "select coalesce(to_regclass('pg_temp." + name + "')::text, 'none')"
}

func prepareStates(t *testing.T) {
	t.Helper()
	_, err := openPgx(t).Exec(`
		do $$ begin create role state_role; exception when duplicate_object then null; end $$;
		create or replace function state_setting() returns text language sql as $$ select set_config('statement_timeout', '66s', false) $$;
		create or replace function state_lock() returns void language sql as $$ select pg_advisory_lock(4711) $$;
		drop sequence if exists state_seq; create sequence state_seq;
		drop table if exists state_serial, state_rows; create table state_serial (id serial); create table state_rows (id int)`)
	require.NoError(t, err)
}

// show returns what a checkout of its own sees: the value, or the SQLSTATE.
func show(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	var got string
	err := db.QueryRow(query).Scan(&got)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr.Code
	}
	require.NoError(t, err)
	return got
}

// TestSessionState leaves each kind of state behind, by statements and through
// Raw, in each mode of session_reset, and looks what the next user of the server
// session sees.
func TestSessionState(t *testing.T) {
	prepareStates(t)
	for _, mode := range strings.Fields(always) {
		for name, s := range leftStates {
			t.Run(mode+"/"+name, func(t *testing.T) {
				db := open(t, "session_reset="+mode, "max_conns_per_node=1", "min_idle=1", "acquire_timeout=10s")
				require.Equal(t, s.clean, show(t, db, s.check), "before")
				before := pid(t, db)
				leaveState(t, db, s.do)
				got := show(t, db, s.check)
				if slices.Contains(strings.Fields(s.stays), mode) {
					require.NotEqual(t, s.clean, got)
					require.Equal(t, before, pid(t, db))
					return
				}
				require.Equal(t, s.clean, got)
				require.Equal(t, s.anew, before != pid(t, db), "whether the connection was replaced")
			})
		}
	}
	for name, s := range leftStates {
		t.Run("Raw/"+name, func(t *testing.T) {
			db := open(t, "max_conns_per_node=1", "min_idle=1", "acquire_timeout=10s")
			conn, err := db.Conn(t.Context())
			require.NoError(t, err)
			require.NoError(t, withPgx(t, conn, func(pc *pgx.Conn) error {
				for _, text := range strings.Split(s.do, ";;") {
					_, _ = pc.Exec(t.Context(), text) // some are meant to fail
				}
				return nil
			}))
			require.NoError(t, conn.Close())
			if name != "LOAD" { // nothing sees what Raw has loaded
				require.Equal(t, s.clean, show(t, db, s.check))
			}
		})
	}
}

func leaveState(t *testing.T, db *sql.DB, do string) {
	t.Helper()
	conn, err := db.Conn(context.Background())
	require.NoError(t, err)
	for _, text := range strings.Split(do, ";;") {
		if _, err := conn.ExecContext(t.Context(), text); !strings.Contains(text, "1/0") {
			require.NoError(t, err, text)
		}
	}
	require.NoError(t, conn.Close())
}

// TestNoNeedlessReset counts round trips: a checkout that changed nothing causes
// none of the driver's own.
func TestNoNeedlessReset(t *testing.T) {
	prepareStates(t)
	unchanged := map[string]int64{ // text, round trips
		"select 1": 1,
		"select now(), current_setting('statement_timeout')":  1,
		"insert into state_rows values (2)":                   1,
		"select 1; select 2":                                  1,
		"begin;; set local statement_timeout = '7s';; commit": 3,
		"begin;; select pg_advisory_xact_lock(4711);; commit": 3,
		"select 1/0":             1,
		"show statement_timeout": 1,
		"create table if not exists state_more (id int)":                  1,
		"with x as (delete from state_rows returning id) select * from x": 1,
	}
	for _, mode := range []string{"auto", "strict"} {
		db, proxy := throughProxy(t, sharedServer(t), shared.server.Addr(), "session_reset="+mode,
			"max_conns_per_node=1", "min_idle=1", "probe_interval=1m", "default_query_exec_mode=exec", "acquire_timeout=10s")
		// With one connection to the node, whoever comes next waits for the reset.
		trips := func(do string) int64 {
			return syncs(t, proxy, func() {
				leaveState(t, db, do)
				pid(t, db)
			}) - 1
		}
		pid(t, db)
		for do, want := range unchanged {
			require.Equal(t, want, trips(do), "%s, %s", mode, do)
		}
		require.EqualValues(t, 2, trips("set statement_timeout = '7s'"), "%s: the count is able to find a reset", mode)
		want := int64(1)
		if mode == "strict" {
			want = 2
		}
		require.Equal(t, want, trips("select state_setting()"), mode)
	}
}
