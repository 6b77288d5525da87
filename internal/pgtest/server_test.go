//go:build unix

package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/internal/pgtest"
)

const limit = 20 * time.Second

func query(t *testing.T, s *pgtest.Server, sql string) string {
	t.Helper()
	got, err := tryQuery(s, sql, limit)
	require.NoError(t, err)
	return got
}

func tryQuery(s *pgtest.Server, sql string, wait time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	var got string
	err = conn.QueryRow(ctx, sql).Scan(&got)
	return got, err
}

func TestTwoServersWithSettings(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("servers", func(t *testing.T) {
		a := pgtest.Start(t, pgtest.Options{})
		b := pgtest.Start(t, pgtest.Options{MaxConnections: 7, Settings: map[string]string{"max_prepared_transactions": "3"}})
		require.NotEqual(t, a.Port(), b.Port())
		require.Equal(t, "100", query(t, a, "select current_setting('max_connections')"))
		require.Equal(t, "7", query(t, b, "select current_setting('max_connections')"))
		require.Equal(t, "3", query(t, b, "select current_setting('max_prepared_transactions')"))
		require.Equal(t, "UTF8", query(t, b, "select current_setting('server_encoding')"))
		require.GreaterOrEqual(t, a.Major(), pgtest.MinMajor)
	})
}

func TestPasswordIsAsked(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{Password: "it's"})
	require.Equal(t, "1", query(t, s, "select '1'"))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	_, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://postgres:wrong@%s/postgres?sslmode=disable", s.Addr()))
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "28P01", pgErr.Code)
}

func TestKillAndRestartKeepsData(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN())
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "create table kept (id int)")
	require.NoError(t, err)
	require.NoError(t, s.Kill())
	require.False(t, s.Running())
	_, err = conn.Exec(ctx, "insert into kept values (1)")
	require.Error(t, err)
	_, err = net.DialTimeout("tcp", s.Addr(), limit)
	require.Error(t, err)
	addr := s.Addr()
	require.NoError(t, s.Restart())
	require.Equal(t, addr, s.Addr())
	require.Equal(t, "0", query(t, s, "select count(*)::text from kept"))
}

func TestFreezeAndThaw(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	require.NoError(t, s.Freeze())
	require.NoError(t, s.Freeze(), "twice is harmless")
	_, err := tryQuery(s, "select '1'", 200*time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, s.Thaw())
	require.Equal(t, "1", query(t, s, "select '1'"))
	require.NoError(t, s.Freeze()) // the cleanup must end a frozen server, too
}

func TestStopTellsSessions(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, err := pgconn.Connect(ctx, s.DSN())
	require.NoError(t, err)
	defer conn.Close(ctx)
	require.NoError(t, s.Stop())
	_, err = conn.Exec(ctx, "select 1").ReadAll()
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "57P01", pgErr.Code)
	require.NoError(t, s.Restart())
	require.Equal(t, "1", query(t, s, "select '1'"))
}

func TestBadSettingIsReported(t *testing.T) {
	if _, err := pgtest.Find(); err != nil {
		t.Skip(err)
	}
	_, err := pgtest.Open(t.Context(), pgtest.Options{Settings: map[string]string{"no_such_setting": "1"}})
	require.ErrorContains(t, err, "no_such_setting")
}

func TestFindNamesTheVariable(t *testing.T) {
	t.Setenv(pgtest.BinEnv, t.TempDir())
	_, err := pgtest.Find()
	require.ErrorIs(t, err, pgtest.ErrNotFound)
	require.ErrorContains(t, err, pgtest.BinEnv)
}

// TestNothingOutlivesAKilledProcess starts this test binary again, has it start
// a frozen and a running server, kills it, and sees the servers end.
func TestNothingOutlivesAKilledProcess(t *testing.T) {
	if _, err := pgtest.Find(); err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(os.Environ(), "PGTEST_VICTIM=1")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var dirs []string
	for lines := bufio.NewScanner(out); len(dirs) < 2 && lines.Scan(); {
		if _, dir, ok := strings.Cut(lines.Text(), "victim:"); ok {
			dirs = append(dirs, dir)
		}
	}
	require.Len(t, dirs, 2)
	var pids []int
	for _, dir := range dirs {
		pids = append(pids, postmasterPID(t, dir))
	}
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	for i, dir := range dirs {
		require.Eventually(t, func() bool {
			_, err := os.Stat(dir)
			return errors.Is(err, os.ErrNotExist)
		}, limit, 5*time.Millisecond, dir)
		require.Eventually(t, func() bool {
			return errors.Is(syscall.Kill(pids[i], 0), syscall.ESRCH)
		}, limit, 5*time.Millisecond)
	}
}

func postmasterPID(t *testing.T, dir string) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

// TestVictim is the body of the process that TestNothingOutlivesAKilledProcess
// kills.
func TestVictim(t *testing.T) {
	if os.Getenv("PGTEST_VICTIM") == "" {
		t.Skip("runs only as a child of TestNothingOutlivesAKilledProcess")
	}
	a := pgtest.Start(t, pgtest.Options{})
	b := pgtest.Start(t, pgtest.Options{})
	require.NoError(t, b.Freeze())
	fmt.Printf("victim:%s\nvictim:%s\n", a.SocketDir(), b.SocketDir())
	select {}
}

// A standby follows its primary, takes no writes, and is a primary with a higher
// timeline once it is promoted; the old one, started again, knows nothing of it.
func TestStandbyIsPromoted(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Options{Password: "p"})
	require.Equal(t, "1", query(t, primary, "with x as (select 1 as a) select a::text from x"))
	standby := primary.Standby(t)
	require.Equal(t, "t", query(t, standby, "select pg_is_in_recovery()::text::char"))
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, primary.DSN())
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "create table followed (id int); insert into followed values (7)")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, err := tryQuery(standby, "select id::text from followed", limit)
		return err == nil && got == "7"
	}, limit, 5*time.Millisecond)
	_, err = tryQuery(standby, "insert into followed values (8) returning id::text", limit)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "25006", pgErr.Code)

	require.NoError(t, primary.Kill())
	require.NoError(t, standby.Promote())
	require.Equal(t, "9", query(t, standby, "insert into followed values (9) returning id::text"))
	require.NoError(t, primary.Restart())
	require.Equal(t, "10", query(t, primary, "insert into followed values (10) returning id::text"))
	timeline := "select substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)"
	require.Equal(t, []string{"00000001", "00000002"}, []string{query(t, primary, timeline), query(t, standby, timeline)})
}

func TestSetReachesSessions(t *testing.T) {
	s := pgtest.Start(t, pgtest.Options{})
	require.NoError(t, s.Set("application_name", "it's"))
	require.Eventually(t, func() bool {
		got, err := tryQuery(s, "select reset_val from pg_settings where name = 'application_name'", limit)
		return err == nil && got == "it's"
	}, limit, 5*time.Millisecond)
	require.ErrorContains(t, s.Set("no_such_setting", "1"), "no_such_setting")
}
