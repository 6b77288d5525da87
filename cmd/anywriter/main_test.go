package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func command(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	status = run(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

// TestDemo runs the shortest demo as it is, and sabotaged: then the verdict must
// name what is broken.
func TestDemo(t *testing.T) {
	for _, c := range []struct {
		sabotage string
		status   int
		broken   []string
	}{
		{"", exitOK, nil},
		{"lost-write", exitFailed, []string{"lost write"}},
		{"double-apply", exitFailed, []string{"double apply"}},
		{"stale-cache", exitFailed, []string{"stale read", "caches equal"}},
	} {
		t.Run("sabotage="+c.sabotage, func(t *testing.T) {
			if c.sabotage != "" {
				t.Parallel() // their timing does not matter, only that the oracle sees
			}
			status, stdout, stderr := command(t, "demo", "--duration", "5s", "--seed", "7", "--plain", "--sabotage", c.sabotage)
			require.Equal(t, c.status, status, "%s%s", stdout, stderr)
			require.NotContains(t, stdout, "did not fire")
			for _, name := range c.broken {
				require.Contains(t, stdout, "BROKEN  "+name)
				require.Contains(t, stdout, "Replay: go run ./cmd/anywriter demo --nodes 3 --seed 7 --duration 5s --sabotage "+c.sabotage+"\n")
			}
			if c.broken == nil {
				require.NotContains(t, stdout, "BROKEN")
				require.Contains(t, stdout, "Everything holds.")
			}
		})
	}
}

// TestInterruptedDemo ends a run in its middle: no verdict, and one line that says
// why.
func TestInterruptedDemo(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	reader, writer := io.Pipe()
	var joined sync.WaitGroup
	var status int
	var stderr bytes.Buffer
	joined.Go(func() {
		status = run(ctx, []string{"demo", "--plain"}, writer, &stderr)
		_ = writer.Close()
	})
	require.Contains(t, nextLine(t, reader), "bank of 12 clients")
	interrupt()
	rest, err := io.ReadAll(reader)
	require.NoError(t, err)
	joined.Wait()
	require.Equal(t, exitFailed, status)
	require.Equal(t, "anywriter: interrupted, so there is no verdict\n", stderr.String())
	require.NotContains(t, string(rest), "Verdict")
}

func TestBadCommandLines(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "usage: anywriter <command>"},
		{[]string{"dmeo"}, `unknown command "dmeo"`},
		{[]string{"demo", "--duration", "4s"}, "allowed are 5s"},
		{[]string{"demo", "--nodes", "2"}, "allowed are 3"},
		{[]string{"demo", "--nodes", "99"}, "to 16"},
		{[]string{"demo", "--sabotage", "arson"}, "lost-write, double-apply and stale-cache"},
		{[]string{"demo", "now"}, `takes no argument "now"`},
		{[]string{"demo", "--seed", "x"}, "invalid value"},
		{[]string{"sim", "--nodes", "0"}, "allowed are 1 to 16"},
		{[]string{"sim", "--port", "65535"}, "allowed are 0 to 65533"},
		{[]string{"sim", "--bogus"}, "flag provided but not defined"},
	} {
		status, _, stderr := command(t, c.args...)
		require.Equal(t, exitUsage, status, c.args)
		require.Contains(t, stderr, c.want)
	}
	status, stdout, _ := command(t, "help")
	require.Equal(t, exitOK, status)
	require.Contains(t, stdout, "demo")
	status, _, stderr := command(t, "demo", "-h")
	require.Equal(t, exitOK, status)
	require.Contains(t, stderr, "-duration")
}

// TestSim starts a cluster, uses two of its nodes, and ends it as Ctrl-C does.
func TestSim(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	defer interrupt()
	reader, writer := io.Pipe()
	var joined sync.WaitGroup
	var status int
	joined.Go(func() {
		status = run(ctx, []string{"sim", "--port", "0"}, writer, io.Discard)
		_ = writer.Close()
	})
	var urls []string
	for len(urls) < 3 {
		if _, url, ok := strings.Cut(nextLine(t, reader), `psql "`); ok {
			urls = append(urls, strings.Trim(url, `"`))
		}
	}
	joined.Go(func() { _, _ = io.Copy(io.Discard, reader) })

	conn, err := pgx.Connect(ctx, urls[0]+"?sslmode=disable")
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "create table t(id int primary key, v text); insert into t values (1, 'one')")
	require.NoError(t, err)
	require.NoError(t, conn.Close(ctx))
	conn, err = pgx.Connect(ctx, urls[2]+"?sslmode=disable")
	require.NoError(t, err)
	var v string
	require.NoError(t, conn.QueryRow(ctx, "select v from t where id = 1").Scan(&v))
	require.Equal(t, "one", v)
	require.NoError(t, conn.Close(ctx))

	interrupt()
	joined.Wait()
	require.Equal(t, exitOK, status)
}

// nextLine reads one line and not a byte more.
func nextLine(t *testing.T, r io.Reader) string {
	t.Helper()
	var line []byte
	one := make([]byte, 1)
	for {
		_, err := r.Read(one)
		require.NoError(t, err)
		if one[0] == '\n' {
			return string(line)
		}
		line = append(line, one[0])
	}
}
