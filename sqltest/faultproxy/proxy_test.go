package faultproxy_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/sqltest/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const limit = 30 * time.Second

// canned is a server that answers every Query with one row and records the
// texts.
type canned struct {
	mu      sync.Mutex
	queries []string
}

func (s *canned) texts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.queries...)
}

func (s *canned) serve(conn net.Conn) {
	defer conn.Close()
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for backend.Flush() == nil {
		msg, err := backend.Receive()
		if err != nil {
			return
		}
		query, ok := msg.(*pgproto3.Query)
		if !ok {
			return
		}
		s.mu.Lock()
		s.queries = append(s.queries, query.String)
		s.mu.Unlock()
		backend.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("v"), DataTypeOID: 25}}})
		backend.Send(&pgproto3.DataRow{Values: [][]byte{[]byte("answer")}})
		backend.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
		backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	}
}

// memory is a listener whose connections are made by dial, without sockets.
type memory struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemory() *memory {
	return &memory{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *memory) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memory) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "memory"} }

func (l *memory) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// bench is a proxy in memory before a canned server; it must run in a bubble.
type bench struct {
	*faultproxy.Proxy
	server *canned
	front  *memory
}

func inMemory(t *testing.T) *bench {
	t.Helper()
	front, server := newMemory(), &canned{}
	var wg sync.WaitGroup
	proxy, err := faultproxy.Start(faultproxy.Config{
		Listener: front,
		Dial: func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			wg.Go(func() { server.serve(theirs) }) // ends with its connection
			return ours, nil
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, proxy.Close())
		require.NoError(t, proxy.Close())
		wg.Wait()
	})
	return &bench{Proxy: proxy, server: server, front: front}
}

// raw opens a session and returns a bare frontend.
func (b *bench) raw(t *testing.T) (net.Conn, *pgproto3.Frontend) {
	t.Helper()
	conn, err := b.front.dial(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn, greet(t, conn)
}

// greet opens a session on a connection.
func greet(t *testing.T, conn net.Conn) *pgproto3.Frontend {
	t.Helper()
	frontend := pgproto3.NewFrontend(conn, conn)
	frontend.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "x"}})
	require.NoError(t, frontend.Flush())
	for {
		msg, err := frontend.Receive()
		require.NoError(t, err)
		if _, ok := msg.(*pgproto3.ReadyForQuery); ok {
			return frontend
		}
	}
}

// ask sends a Query and returns the types of the answers until ReadyForQuery.
func ask(frontend *pgproto3.Frontend, sql string) (string, error) {
	frontend.Send(&pgproto3.Query{String: sql})
	return answers(frontend)
}

// answers flushes what was sent and returns the initials of what comes back, up
// to and including a ReadyForQuery.
func answers(frontend *pgproto3.Frontend) (string, error) {
	if err := frontend.Flush(); err != nil {
		return "", err
	}
	types := ""
	for {
		msg, err := frontend.Receive()
		if err != nil {
			return types, err
		}
		name := strings.TrimPrefix(fmt.Sprintf("%T", msg), "*pgproto3.")
		types += name[:1]
		if name == "ReadyForQuery" {
			return types, nil
		}
	}
}

func TestForwardsAndCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		conn, frontend := b.raw(t)
		for range 3 {
			types, err := ask(frontend, "select 1")
			require.NoError(t, err)
			require.Equal(t, "RDCR", types)
		}
		require.EqualValues(t, 3, b.Messages(faultproxy.ToServer, 'Q'))
		require.EqualValues(t, 4, b.Messages(faultproxy.ToClient, 'Z'))
		require.EqualValues(t, 1, b.Messages(faultproxy.ToServer, faultproxy.Startup))
		stats := b.Stats()
		require.EqualValues(t, 1, stats.Open)
		require.EqualValues(t, 1, stats.Accepted)
		require.Positive(t, stats.BytesToServer)
		require.NoError(t, conn.Close())
		synctest.Wait()
		require.Zero(t, b.Stats().Open)
		require.Zero(t, b.Stats().Cut)
	})
}

func TestCutPlaces(t *testing.T) {
	for _, c := range []struct {
		name     string
		rule     faultproxy.Rule
		answers  string // types that arrive at the second query
		received int    // queries that the server got
	}{
		{"before the request", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Nth: 2, Action: faultproxy.Cut}, "", 1},
		{"after the request", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Nth: 2, Action: faultproxy.CutReply}, "", 2},
		{"within the request", faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Nth: 2, Action: faultproxy.Cut, Place: faultproxy.Within, Offset: 4}, "", 1},
		{"before the row", faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'D', Nth: 2, Action: faultproxy.Cut}, "R", 2},
		{"after the row", faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'D', Nth: 2, Action: faultproxy.Cut, Place: faultproxy.After}, "RD", 2},
		{"within the row", faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'D', Nth: 2, Action: faultproxy.Reset, Place: faultproxy.Within, Offset: 3}, "R", 2},
		{"before ready", faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'Z', Nth: 2, Action: faultproxy.Cut}, "RDC", 2},
		{"chosen by its text", faultproxy.Rule{
			Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.Cut,
			Match: func(m faultproxy.Message) bool { return strings.HasPrefix(string(m.Body()), "second") },
		}, "", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := inMemory(t)
				_, frontend := b.raw(t) // its ReadyForQuery comes before the rule
				armed := b.MustAdd(c.rule)
				types, err := ask(frontend, "first")
				require.NoError(t, err)
				require.Equal(t, "RDCR", types)
				types, err = ask(frontend, "second")
				require.Error(t, err)
				require.Equal(t, c.answers, types)
				synctest.Wait()
				require.Len(t, b.server.texts(), c.received)
				require.Equal(t, 1, armed.Fired())
				<-armed.Done()
				require.EqualValues(t, 1, b.Stats().Cut+b.Stats().Reset)
				_, again := b.raw(t)
				_, err = ask(again, "third")
				require.NoError(t, err, "the rule has acted once")
			})
		})
	}
}

func TestLatencyAndDelayAreExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		_, frontend := b.raw(t)
		took := func() time.Duration {
			start := time.Now()
			types, err := ask(frontend, "x")
			require.NoError(t, err)
			require.Equal(t, "RDCR", types)
			return time.Since(start)
		}
		require.Zero(t, took())
		b.SetLatency(faultproxy.ToServer, 30*time.Millisecond)
		require.Equal(t, 30*time.Millisecond, took())
		b.SetLatency(faultproxy.ToClient, 5*time.Millisecond)
		require.Equal(t, 35*time.Millisecond, took())
		b.SetLatency(faultproxy.ToServer, 0)
		b.SetLatency(faultproxy.ToClient, 0)
		b.MustAdd(faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'D', Action: faultproxy.Delay, Delay: time.Second})
		require.Equal(t, time.Second, took())
		require.Zero(t, took())
	})
}

func TestDropHoldAndBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		_, frontend := b.raw(t)
		b.MustAdd(faultproxy.Rule{Direction: faultproxy.ToClient, Type: 'D', Action: faultproxy.Drop})
		types, err := ask(frontend, "dropped")
		require.NoError(t, err)
		require.Equal(t, "RCR", types)

		b.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.Hold})
		time.AfterFunc(3*time.Second, b.Thaw)
		start := time.Now()
		_, err = ask(frontend, "held")
		require.NoError(t, err)
		require.Equal(t, 3*time.Second, time.Since(start))

		for _, dir := range []faultproxy.Direction{faultproxy.ToServer, faultproxy.ToClient} {
			heal := b.BlackHole(dir)
			time.AfterFunc(2*time.Second, heal)
			start = time.Now()
			received := len(b.server.texts())
			time.AfterFunc(time.Second, func() {
				got := len(b.server.texts()) - received
				require.Equal(t, dir == faultproxy.ToClient, got == 1, "the request gets through if only answers are lost")
			})
			_, err = ask(frontend, "lost for a time")
			require.NoError(t, err)
			require.Equal(t, 2*time.Second, time.Since(start))
		}
		first, second := b.Freeze(), b.Freeze()
		time.AfterFunc(time.Second, func() { first(); first() })
		time.AfterFunc(2*time.Second, second)
		start = time.Now()
		_, err = ask(frontend, "frozen twice")
		require.NoError(t, err)
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestDropReplyLeavesTheClientWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		conn, frontend := b.raw(t)
		b.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: 'Q', Action: faultproxy.DropReply})
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		types, err := ask(frontend, "no answer")
		require.ErrorContains(t, err, "timeout")
		require.Empty(t, types)
		require.Equal(t, []string{"no answer"}, b.server.texts())
		require.EqualValues(t, 1, b.Stats().Open)
	})
}

func TestRefuseCutAllAndDialFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		_, frontend := b.raw(t)
		allow := b.Refuse()
		conn, err := b.front.dial(t.Context())
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		allow()
		b.CutAll()
		_, err = ask(frontend, "x")
		require.Error(t, err)
		_, frontend = b.raw(t)
		b.ResetAll()
		_, err = ask(frontend, "x")
		require.Error(t, err)
		stats := b.Stats()
		require.EqualValues(t, 1, stats.Cut)
		require.EqualValues(t, 1, stats.Reset)
		require.EqualValues(t, 3, stats.Accepted)

		front := newMemory()
		dead, err := faultproxy.Start(faultproxy.Config{Listener: front, Dial: func(context.Context) (net.Conn, error) { return nil, io.ErrUnexpectedEOF }})
		require.NoError(t, err)
		conn, err = front.dial(t.Context())
		require.NoError(t, err)
		_, err = conn.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		require.EqualValues(t, 1, dead.Stats().DialFailures)
		require.NoError(t, dead.Close())
	})
}

func TestBadRulesAndMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := inMemory(t)
		for want, rule := range map[string]faultproxy.Rule{
			"ToServer or ToClient": {Action: faultproxy.Cut},
			"use Cut":              {Direction: faultproxy.ToServer},
			"positive":             {Direction: faultproxy.ToServer, Action: faultproxy.Delay},
			"to the server":        {Direction: faultproxy.ToClient, Action: faultproxy.CutReply},
			"negative":             {Direction: faultproxy.ToServer, Action: faultproxy.Cut, Nth: -1},
			"leave Nth out":        {Direction: faultproxy.ToServer, Action: faultproxy.Cut, Place: faultproxy.InStream, Nth: 2},
		} {
			_, err := b.Add(rule)
			require.ErrorContains(t, err, want)
		}
		for _, garbage := range []string{"\x00\x00\x00\x01xxxx", "\xff\xff\xff\xffxxxx", "\x00"} {
			conn, err := b.front.dial(t.Context())
			require.NoError(t, err)
			_, err = conn.Write([]byte(garbage))
			require.NoError(t, err)
			if garbage == "\x00" {
				require.NoError(t, conn.Close())
				continue
			}
			_, err = conn.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		synctest.Wait()
		require.Zero(t, b.Stats().Open)
		_, err := faultproxy.Start(faultproxy.Config{})
		require.ErrorContains(t, err, "Listener")
	})
}

// overPostgres starts a proxy before a PostgreSQL server.
func overPostgres(t *testing.T, change func(*faultproxy.Config)) (*faultproxy.Proxy, *pgtest.Server) {
	t.Helper()
	server := pgtest.Start(t, pgtest.Options{})
	cfg, err := faultproxy.TCP(server.Addr())
	require.NoError(t, err)
	if change != nil {
		change(&cfg)
	}
	proxy, err := faultproxy.Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	return proxy, server
}

func TestPostgresLostReplyWasCommitted(t *testing.T) {
	proxy, server := overPostgres(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	direct, err := sql.Open("pgx", server.DSN())
	require.NoError(t, err)
	defer direct.Close()
	_, err = direct.ExecContext(ctx, "create table t (id int primary key)")
	require.NoError(t, err)

	for i, rule := range []faultproxy.Rule{
		{Direction: faultproxy.ToServer, Type: 'S', Action: faultproxy.CutReply},
		{Direction: faultproxy.ToServer, Type: 'S', Action: faultproxy.Cut},
		{Direction: faultproxy.ToClient, Type: 'Z', Action: faultproxy.Reset},
	} {
		conn, err := pgconn.Connect(ctx, fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", proxy.Addr()))
		require.NoError(t, err)
		armed := proxy.MustAdd(rule)
		result := conn.ExecParams(ctx, "insert into t values ($1::int)", [][]byte{fmt.Appendf(nil, "%d", i)}, nil, nil, nil).Read()
		require.Error(t, result.Err)
		require.Equal(t, 1, armed.Fired())
		_ = conn.Close(ctx) // it is broken
		proxy.Clear()
	}
	var ids string
	require.NoError(t, direct.QueryRowContext(ctx, "select string_agg(id::text, ',' order by id) from t").Scan(&ids))
	require.Equal(t, "0,2", ids, "cut before Sync means not executed")
}

func TestPostgresThroughEncryptionRequest(t *testing.T) {
	for _, pass := range []bool{false, true} {
		t.Run(fmt.Sprintf("pass=%v", pass), func(t *testing.T) {
			proxy, _ := overPostgres(t, func(c *faultproxy.Config) { c.PassEncryption = pass })
			db, err := sql.Open("pgx", fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=prefer", proxy.Addr()))
			require.NoError(t, err)
			defer db.Close()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			var one int
			require.NoError(t, db.QueryRowContext(ctx, "select $1::int", 1).Scan(&one))
			require.EqualValues(t, 1, proxy.Messages(faultproxy.ToServer, faultproxy.SSLRequest))
			if pass {
				require.EqualValues(t, 1, proxy.Messages(faultproxy.ToClient, faultproxy.SSLAnswer))
			}
			require.EqualValues(t, 1, proxy.Messages(faultproxy.ToServer, faultproxy.Startup))
		})
	}
}

// TestOpaqueAfterEncryption has a server accept encryption: from then on the
// proxy passes bytes whose messages it cannot see, and rules can cut those.
func TestOpaqueAfterEncryption(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		front := newMemory()
		var wg sync.WaitGroup
		proxy, err := faultproxy.Start(faultproxy.Config{
			Listener: front, PassEncryption: true,
			Dial: func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				wg.Go(func() { // ends with its connection
					defer theirs.Close()
					if _, err := io.ReadFull(theirs, make([]byte, 8)); err != nil {
						return
					}
					_, _ = theirs.Write([]byte("S"))
					_, _ = io.Copy(theirs, theirs) // says back what it hears
				})
				return ours, nil
			},
		})
		require.NoError(t, err)
		conn, err := front.dial(t.Context())
		require.NoError(t, err)
		request, err := (&pgproto3.SSLRequest{}).Encode(nil)
		require.NoError(t, err)
		_, err = conn.Write(request)
		require.NoError(t, err)
		heard := make([]byte, 4)
		_, err = io.ReadFull(conn, heard[:1])
		require.NoError(t, err)
		require.Equal(t, byte('S'), heard[0])
		_, err = conn.Write([]byte("\x16\x03\x01x"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, heard)
		require.NoError(t, err)
		require.Equal(t, "\x16\x03\x01x", string(heard))
		require.Positive(t, proxy.Messages(faultproxy.ToServer, faultproxy.Opaque))

		any := proxy.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: faultproxy.AnyType, Action: faultproxy.Drop})
		proxy.MustAdd(faultproxy.Rule{Direction: faultproxy.ToServer, Type: faultproxy.Opaque, Action: faultproxy.Cut})
		_, err = conn.Write([]byte("more"))
		require.NoError(t, err)
		_, err = io.ReadFull(conn, heard)
		require.Error(t, err)
		require.Zero(t, any.Fired())
		require.NoError(t, proxy.Close())
		wg.Wait()
	})
}

func TestPostgresCancelAndLargeRows(t *testing.T) {
	proxy, _ := overPostgres(t, nil)
	db, err := sql.Open("pgx", fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", proxy.Addr()))
	require.NoError(t, err)
	defer db.Close()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	big := strings.Repeat("x", 1<<20)
	var got string
	require.NoError(t, db.QueryRowContext(ctx, "select $1::text", big).Scan(&got))
	require.Equal(t, big, got)
	short, stop := context.WithTimeout(ctx, 50*time.Millisecond)
	defer stop()
	_, err = db.ExecContext(short, "select pg_sleep(30)")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, db.Close())
	require.Eventually(t, func() bool { return proxy.Stats().Open == 0 }, limit, time.Millisecond)
}
