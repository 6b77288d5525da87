package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
	"github.com/anywriter/anywriter/simnode/internal/auth"
	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/wire"
)

// fakes is a server whose sessions are fakeSessions.
type fakes struct {
	*server
	waiting chan string
	closed  chan struct{}
}

func fakeOptions() (options, *fakes) {
	f := &fakes{waiting: make(chan string, 100), closed: make(chan struct{}, 100)}
	return options{open: func(_ context.Context, start session.Startup) (wire.Session, error) {
		return &fakeSession{
			start: start, status: 'I', prepared: map[string]string{}, portals: map[string]string{},
			waiting: f.waiting, closed: f.closed,
		}, nil
	}}, f
}

func serveFakes(t testing.TB, change func(*options)) *fakes {
	o, f := fakeOptions()
	if change != nil {
		change(&o)
	}
	f.server = serve(t, o)
	return f
}

func connect(t testing.TB, s *server) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), s.dsn(""))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func query(ctx context.Context, conn *pgconn.PgConn, sql string) error {
	_, err := conn.Exec(ctx, sql).ReadAll()
	return err
}

func requireCode(t testing.TB, err error, code string) *pgconn.PgError {
	t.Helper()
	var e *pgconn.PgError
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, e.Message)
	return e
}

// raw is a client that speaks bytes.
type raw struct {
	net.Conn
	t testing.TB
}

func rawDial(t testing.TB, addr string) raw {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	return raw{nc, t}
}

func (r raw) send(data ...[]byte) {
	_, err := r.Write(bytes.Join(data, nil))
	require.NoError(r.t, err)
}

// rest reads to the end and gives every answer on a line.
func (r raw) rest() string {
	data, _ := io.ReadAll(r)
	fe := pgproto3.NewFrontend(bytes.NewReader(data), io.Discard)
	var lines []string
	for {
		m, err := fe.Receive()
		if err != nil {
			return strings.Join(lines, "\n")
		}
		switch m.(type) {
		case *pgproto3.ParameterStatus, *pgproto3.BackendKeyData:
		default:
			lines = append(lines, describeMessage(m))
		}
	}
}

func packet(code uint32, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(binary.BigEndian.AppendUint32(b, code), body...)
}

const (
	version30 = 3 << 16
	startBody = "user\x00postgres\x00database\x00postgres\x00\x00"
)

func frame(kind byte, body string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body)))
	return append(b, body...)
}

// TestStartup: what a client may say first, and what it is answered.
func TestStartup(t *testing.T) {
	f := serveFakes(t, nil)
	welcome := "AuthenticationOk\nReadyForQuery I"
	for _, c := range []struct{ name, send, want string }{
		{"plain", string(packet(version30, startBody)), welcome},
		{"database defaults to the user", string(packet(version30, "user\x00postgres\x00\x00")), welcome},
		{"newer minor version", string(packet(version30+2, startBody)), "NegotiateProtocolVersion\n" + welcome},
		{"far newer minor version", string(packet(version30+9999, startBody)), "NegotiateProtocolVersion\n" + welcome},
		{"protocol option", string(packet(version30, "_pq_.x\x001\x00"+startBody)), "NegotiateProtocolVersion\n" + welcome},
		{"protocol 2.0", string(packet(2<<16, startBody)), "ErrorResponse FATAL 0A000 unsupported frontend protocol 2.0: server supports 3.0 to 3.0"},
		{"protocol 4.0", string(packet(4<<16, startBody)), "ErrorResponse FATAL 0A000 unsupported frontend protocol 4.0: server supports 3.0 to 3.0"},
		{"no user", string(packet(version30, "database\x00x\x00\x00")), "ErrorResponse FATAL 28000 no PostgreSQL user name specified in startup packet"},
		{"unknown role", string(packet(version30, "user\x00eve\x00\x00")), `ErrorResponse FATAL 28000 role "eve" does not exist`},
		{"unknown database", string(packet(version30, "user\x00postgres\x00database\x00prod\x00\x00")), "AuthenticationOk\n" + `ErrorResponse FATAL 3D000 database "prod" does not exist`},
		{"replication", string(packet(version30, "user\x00postgres\x00replication\x00true\x00\x00")), "ErrorResponse FATAL 0A000 replication connections are not supported by the simulated cluster"},
		{"no terminator", string(packet(version30, "user\x00postgres\x00")), "ErrorResponse FATAL 08P01 invalid startup packet layout: expected terminator as last byte | detail: parameter name is not terminated."},
		{"name without value", string(packet(version30, "user\x00postgres")), "ErrorResponse FATAL 08P01 invalid startup packet layout: expected terminator as last byte | detail: value of parameter user is not terminated."},
		{"bytes after the terminator", string(packet(version30, startBody+"x")), "ErrorResponse FATAL 08P01 invalid startup packet layout: expected terminator as last byte | detail: 1 bytes are left over."},
		{"too short", "\x00\x00\x00\x07abc", "ErrorResponse FATAL 08P01 invalid length of startup packet: 7, allowed are 8 to 10004"},
		{"too long", string(packet(version30, strings.Repeat("x", 10_000))), "ErrorResponse FATAL 08P01 invalid length of startup packet: 10008, allowed are 8 to 10004"},
		{"HTTP", "GET / HTTP/1.1\r\n\r\n", "ErrorResponse FATAL 08P01 invalid length of startup packet: 1195725856, allowed are 8 to 10004"},
		{"TLS without asking", "\x16\x03\x01\x02\x00\x01\x00", "ErrorResponse FATAL 08P01 invalid length of startup packet: 369295618, allowed are 8 to 10004"},
		{"cut off", string(packet(version30, startBody)[:20]), "ErrorResponse FATAL 08P01 incomplete startup message from client"},
		{"nothing", "", ""},
		{"odd options", string(packet(version30, "user\x00postgres\x00options\x00-x\x00\x00")), `ErrorResponse FATAL 42601 invalid command-line argument for server process: -x | hint: Allowed are "-c name=value" and "--name=value".`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rawDial(t, f.addr())
			r.send([]byte(c.send))
			require.NoError(t, r.Conn.(*net.TCPConn).CloseWrite())
			require.Equal(t, c.want, r.rest())
		})
	}
}

// TestEncryption: SSL and GSS are refused with one byte each, once.
func TestEncryption(t *testing.T) {
	f := serveFakes(t, nil)
	one := func(r raw) string {
		b := make([]byte, 1)
		_, err := io.ReadFull(r, b)
		require.NoError(t, err)
		return string(b)
	}
	r := rawDial(t, f.addr())
	r.send(packet(80877103, ""))
	require.Equal(t, "N", one(r))
	r.send(packet(80877104, ""))
	require.Equal(t, "N", one(r))
	r.send(packet(version30, startBody), frame('X', ""))
	require.Equal(t, "AuthenticationOk\nReadyForQuery I", r.rest())

	r = rawDial(t, f.addr())
	r.send(packet(80877103, ""))
	require.Equal(t, "N", one(r))
	r.send(packet(80877103, ""))
	require.Contains(t, r.rest(), "0A000 unsupported frontend protocol 1234.5679")
}

// TestOptions: settings of the startup message reach the session in order, those
// in "options" first.
func TestOptions(t *testing.T) {
	got := make(chan []session.Parameter, 1)
	f := serveFakes(t, func(o *options) {
		open := o.open
		o.open = func(ctx context.Context, start session.Startup) (wire.Session, error) {
			got <- start.Settings
			return open(ctx, start)
		}
	})
	conn, err := pgconn.Connect(t.Context(), f.dsn(`application_name=app&options=`+
		`-c%20statement_timeout%3D5s%20--extra-float-digits%3D3%20-cx.y%3Da%5C%20b`))
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	settings := <-got
	require.Equal(t, []session.Parameter{
		{Name: "statement_timeout", Value: "5s"}, {Name: "extra_float_digits", Value: "3"}, {Name: "x.y", Value: "a b"},
	}, settings[:3])
	require.Contains(t, settings[3:], session.Parameter{Name: "application_name", Value: "app"})
}

func scramOptions(o *options) {
	o.auth = auth.Config{Method: auth.MethodSCRAM, Roles: []auth.Role{{Name: "alice", Password: "secret"}}}
}

func TestSCRAM(t *testing.T) {
	f := serveFakes(t, scramOptions)
	dsn := func(user, password string) string {
		return "postgres://" + user + ":" + password + "@" + f.addr() + "/postgres?sslmode=disable"
	}
	conn, err := pgconn.Connect(t.Context(), dsn("alice", "secret"))
	require.NoError(t, err)
	require.NoError(t, query(t.Context(), conn, "one"))
	require.NoError(t, conn.Close(t.Context()))
	for _, c := range [][2]string{{"alice", "wrong"}, {"eve", "secret"}, {"postgres", "x"}} {
		_, err = pgconn.Connect(t.Context(), dsn(c[0], c[1]))
		e := requireCode(t, err, "28P01")
		require.Equal(t, `password authentication failed for user "`+c[0]+`"`, e.Message)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestSCRAMOutOfOrder(t *testing.T) {
	f := serveFakes(t, scramOptions)
	start := packet(version30, "user\x00alice\x00database\x00postgres\x00\x00")
	first := "SCRAM-SHA-256\x00\x00\x00\x00\x0dn,,n=,r=abcde"
	for _, c := range []struct {
		name, want string
		send       []byte
	}{
		{"a query", "08P01 expected SASL response, got Query message", frame('Q', "select 1\x00")},
		{"another mechanism", "08P01 client selected an invalid SASL authentication mechanism", frame('p', "PLAIN\x00\x00\x00\x00\x00")},
		{"cut off", "08P01 invalid SASLInitialResponse message: initial response is cut off", frame('p', "SCRAM-SHA-256\x00\x00\x00\x00\x0dn,,n=")},
		{"not SCRAM", "08P01 malformed SCRAM message", frame('p', "SCRAM-SHA-256\x00\x00\x00\x00\x03abc")},
		{"then not SCRAM", "08P01 malformed SCRAM message", append(frame('p', first), frame('p', "nonsense")...)},
		{"then a query", "08P01 expected SASL response, got Sync message", append(frame('p', first), frame('S', "")...)},
		{"too long", "08P01 password message of 70000 bytes is too long, allowed are 65535", frame('p', strings.Repeat("x", 70_000))},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rawDial(t, f.addr())
			r.send(start, c.send)
			require.NoError(t, r.Conn.(*net.TCPConn).CloseWrite())
			require.Contains(t, r.rest(), "FATAL "+c.want)
		})
	}
}

// TestMalformed: a broken message ends the connection with an error that names it.
func TestMalformed(t *testing.T) {
	f := serveFakes(t, func(o *options) { o.wire.MaxMessageBytes = 1 << 20 })
	for _, c := range []struct {
		name, want string
		send       []byte
	}{
		{"unknown type", "invalid frontend message type 33", frame('!', "")},
		{"length below 4", "invalid message length 3 in Query message, at least 4 is allowed", []byte("Q\x00\x00\x00\x03")},
		{"negative length", "invalid message length -1 in Query message, at least 4 is allowed", []byte("Q\xff\xff\xff\xff")},
		{"too long", "Query message of 1048577 bytes is too long, allowed are 1048576", []byte("Q\x00\x10\x00\x05")},
		{"too long for its kind", "Sync message of 10001 bytes is too long, allowed are 10000", []byte("S\x00\x00\x27\x15")},
		{"header cut off", "incomplete message header from client", []byte("Q\x00\x00")},
		{"body cut off", "incomplete Query message from client", []byte("Q\x00\x00\x00\x10sel")},
		{"password", "unexpected password message: authentication is over", frame('p', "x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := rawDial(t, f.addr())
			r.send(packet(version30, startBody), c.send)
			require.NoError(t, r.Conn.(*net.TCPConn).CloseWrite())
			require.Equal(t, "AuthenticationOk\nReadyForQuery I\nErrorResponse FATAL 08P01 "+c.want, r.rest())
		})
	}
}

// TestMalformedBodies sends messages that are framed well and make no sense, each
// behind a statement of a transaction and before others, to the simulator and to a
// real PostgreSQL: both must answer with the same kinds of messages, severities and
// codes, and go on.
func TestMalformedBodies(t *testing.T) {
	pg := pgtest.Start(t, pgtest.Options{})
	ours := serve(t, options{})
	prepare := frame('P', "b\x00select $1::text\x00\x00\x00")
	for _, c := range []struct {
		name, want string
		send       []byte
	}{
		{"Query without end", "invalid Query message: query string is not terminated", frame('Q', "select")},
		{"Query with more", "invalid Query message: 1 bytes are left over", frame('Q', "select\x00x")},
		{"empty Query body", "invalid Query message: query string is not terminated", frame('Q', "")},
		{"Parse without text", "invalid Parse message: query string is not terminated", frame('P', "a\x00")},
		{"Parse without count", "invalid Parse message: number of parameter types is cut off", frame('P', "a\x00b\x00\x00")},
		{"Parse with too few types", "invalid Parse message: list of parameter types is cut off", frame('P', "a\x00b\x00\x00\x02\x00\x00\x00\x17")},
		{"Parse with more", "invalid Parse message: 1 bytes are left over", frame('P', "a\x00b\x00\x00\x00x")},
		{"Bind without formats", "invalid Bind message: number of parameter format codes is cut off", frame('B', "a\x00b\x00")},
		{"Bind with too few formats", "invalid Bind message: list of parameter format codes is cut off", frame('B', "a\x00b\x00\xff\xff")},
		{"Bind with too few parameters", "invalid Bind message: list of parameters is cut off", frame('B', "a\x00b\x00\x00\x00\xff\xff")},
		{"Bind with a short parameter", "invalid Bind message: parameter 1 is cut off", frame('B', "a\x00b\x00\x00\x00\x00\x01\x00\x00\x00\x09abc")},
		{"Bind with a parameter of -2", "invalid Bind message: parameter 1 is cut off", frame('B', "a\x00b\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00")},
		{"Bind without result formats", "invalid Bind message: number of result format codes is cut off", frame('B', "a\x00b\x00\x00\x00\x00\x00")},
		{"Describe of nothing", "invalid Describe message: kind of object is cut off", frame('D', "")},
		{"Describe of X", "invalid Describe message: kind of object is 88, allowed are 'S' and 'P'", frame('D', "Xa\x00")},
		{"Close of X", "invalid Close message: kind of object is 88, allowed are 'S' and 'P'", frame('C', "Xa\x00")},
		{"Close without end", "invalid Close message: name is not terminated", frame('C', "Sa")},
		{"Execute without rows", "invalid Execute message: number of rows is cut off", frame('E', "a\x00\x00")},
		{"Sync with a body", "invalid Sync message: 1 bytes are left over", frame('S', "x")},
		{"Flush with a body", "invalid Flush message: 1 bytes are left over", frame('H', "x")},
		{"Terminate with a body", "", frame('X', "x")},
		{"CopyData", "", frame('d', "x")},
		{"CopyDone", "", frame('c', "")},
		{"CopyFail", "", frame('f', "x\x00")},
		{"CopyFail without end", "", frame('f', "x")},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, before := range [][]byte{nil, frame('Q', "begin\x00"), frame('P', "\x00nonsense\x00\x00\x00")} {
				var got [2]string
				for i, addr := range []string{ours.addr(), pg.Addr()} {
					r := rawDial(t, addr)
					r.send(packet(version30, startBody), before, prepare, c.send, frame('S', ""), frame('Q', "select 1\x00"), frame('X', ""))
					got[i] = r.rest()
				}
				require.Equal(t, outline(got[1]), outline(got[0]), "behind %q", before)
				if len(before) == 0 && c.want != "" {
					require.Contains(t, got[0], "ErrorResponse ERROR 08P01 "+c.want)
				}
			}
		})
	}
}

// outline leaves out of a description of messages what an error says in words.
func outline(messages string) string {
	var out []string
	for line := range strings.SplitSeq(messages, "\n") {
		if words := strings.Fields(line); len(words) > 3 && words[0] == "ErrorResponse" {
			line = strings.Join(words[:3], " ")
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// TestOversizedIsTold: the error arrives although the client is still sending.
func TestOversizedIsTold(t *testing.T) {
	f := serveFakes(t, nil)
	r := rawDial(t, f.addr())
	r.send(packet(version30, startBody), []byte("Q\x7f\xff\xff\xff"), make([]byte, 64<<10))
	require.Contains(t, r.rest(), "FATAL 08P01 Query message of 2147483643 bytes is too long, allowed are 67108864")
}

func TestErrorFields(t *testing.T) {
	f := serveFakes(t, nil)
	conn := connect(t, f.server)
	e := requireCode(t, query(t.Context(), conn, "fail"), "22012")
	require.Equal(t, []any{"ERROR", "ERROR", "division by zero", "d", "h", int32(3)}, []any{e.Severity, e.SeverityUnlocalized, e.Message, e.Detail, e.Hint, e.Position})
	e = requireCode(t, query(t.Context(), conn, "odd"), "XX000")
	require.Equal(t, "internal error: not a SQL error", e.Message)
	e = requireCode(t, query(t.Context(), conn, "\xff"), "22021")
	require.Equal(t, `invalid byte sequence for encoding "UTF8": 0xff`, e.Message)
	e = requireCode(t, query(t.Context(), conn, "\xc3("), "22021")
	require.Equal(t, `invalid byte sequence for encoding "UTF8": 0xc3 0x28`, e.Message)
	require.NoError(t, query(t.Context(), conn, "one"))
	requireCode(t, query(t.Context(), conn, "fatal"), "57P02")
	require.Error(t, query(t.Context(), conn, "one"), "a FATAL error ends the connection")
	<-f.closed
}

func TestNoticesAndParameters(t *testing.T) {
	f := serveFakes(t, nil)
	cfg, err := pgconn.ParseConfig(f.dsn(""))
	require.NoError(t, err)
	var notices []string
	cfg.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices = append(notices, n.Severity+" "+n.Message) }
	conn, err := pgconn.ConnectConfig(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, query(t.Context(), conn, "notice"))
	require.Equal(t, []string{"NOTICE hello"}, notices)
	require.NoError(t, query(t.Context(), conn, "set application_name me"))
	require.Equal(t, "me", conn.ParameterStatus("application_name"))
	require.NoError(t, query(t.Context(), conn, "begin"))
	require.Equal(t, byte('T'), conn.TxStatus())
	require.NoError(t, conn.Close(t.Context()))
}

// TestBulk: a result far larger than any buffer arrives whole.
func TestBulk(t *testing.T) {
	f := serveFakes(t, nil)
	conn := connect(t, f.server)
	res, err := conn.Exec(t.Context(), "rows 5000").ReadAll()
	require.NoError(t, err)
	require.Len(t, res[0].Rows, 5000)
	big := "one " + strings.Repeat("x", 3<<20)
	require.NoError(t, query(t.Context(), conn, big), "a long query is read whole")
	require.NoError(t, query(t.Context(), conn, "one"))
}

func TestCancel(t *testing.T) {
	f := serveFakes(t, nil)
	conn := connect(t, f.server)
	done := make(chan error, 1)
	wait := func() {
		go func() { done <- query(context.Background(), conn, "wait") }()
		require.Equal(t, "wait", <-f.waiting)
	}
	wait()
	require.NoError(t, conn.CancelRequest(t.Context()))
	e := requireCode(t, <-done, "57014")
	require.Equal(t, "canceling statement due to user request", e.Message)
	require.Equal(t, "gone", <-f.waiting)

	require.NoError(t, conn.CancelRequest(t.Context()), "a cancel of an idle session does nothing")
	require.NoError(t, query(t.Context(), conn, "one"))

	wait()
	other := rawDial(t, f.addr())
	other.send(packet(80877102, string(binary.BigEndian.AppendUint32(nil, conn.PID()))+"\x00\x00\x00\x00"))
	require.Empty(t, other.rest(), "a cancel request is never answered")
	select {
	case err := <-done:
		t.Fatal("a wrong secret cancelled the statement", err)
	default:
	}
	require.NoError(t, conn.CancelRequest(t.Context()))
	requireCode(t, <-done, "57014")
}

// TestSharedCancel: servers that share a registry serve each other's cancels.
func TestSharedCancel(t *testing.T) {
	registry := wire.NewCancelRegistry()
	f := serveFakes(t, func(o *options) { o.wire.Cancel = registry })
	other := serveFakes(t, func(o *options) { o.wire.Cancel = registry })
	conn := connect(t, f.server)
	done := make(chan error, 1)
	go func() { done <- query(context.Background(), conn, "wait") }()
	require.Equal(t, "wait", <-f.waiting)
	r := rawDial(t, other.addr())
	r.send(packet(80877102, string(binary.BigEndian.AppendUint32(nil, conn.PID()))+string(conn.SecretKey())))
	requireCode(t, <-done, "57014")
}

// TestVanishedClient: a client that goes away ends its statement.
func TestVanishedClient(t *testing.T) {
	for _, reset := range []bool{false, true} {
		f := serveFakes(t, nil)
		r := rawDial(t, f.addr())
		r.send(packet(version30, startBody), frame('Q', "wait\x00"))
		require.Equal(t, "wait", <-f.waiting)
		if reset {
			require.NoError(t, r.Conn.(*net.TCPConn).SetLinger(0))
		}
		require.NoError(t, r.Close())
		require.Equal(t, "gone", <-f.waiting)
		<-f.closed
	}
}

// TestReadAheadKeepsMessages: what arrives while a statement runs is served after
// it.
func TestReadAheadKeepsMessages(t *testing.T) {
	f := serveFakes(t, nil)
	r := rawDial(t, f.addr())
	r.send(packet(version30, startBody), frame('Q', "wait\x00"))
	require.Equal(t, "wait", <-f.waiting)
	var ahead []byte
	for range 20_000 { // more than is read ahead
		ahead = append(ahead, frame('Q', "one\x00")...)
	}
	go func() { _, _ = r.Write(append(ahead, frame('X', "")...)) }()
	conns := f.Conns()
	require.Len(t, conns, 1)
	require.Equal(t, "postgres", conns[0].User)
	f.cancel(t, r, conns[0].PID)
	answers := strings.Split(r.rest(), "\n")
	require.Equal(t, 20_000, strings.Count(strings.Join(answers, "\n"), "CommandComplete SELECT 1"))
}

// cancel cancels by asking the server itself: the raw client threw its key away.
func (f *fakes) cancel(t *testing.T, r raw, pid uint32) {
	t.Helper()
	key := make(chan []byte, 1)
	fe := pgproto3.NewFrontend(onlyReader{r}, io.Discard)
	for {
		m, err := fe.Receive()
		require.NoError(t, err)
		if k, is := m.(*pgproto3.BackendKeyData); is {
			require.Equal(t, pid, k.ProcessID)
			key <- append([]byte{}, k.SecretKey...)
		}
		if _, is := m.(*pgproto3.ReadyForQuery); is {
			break
		}
	}
	other := rawDial(t, f.addr())
	other.send(packet(80877102, string(binary.BigEndian.AppendUint32(nil, pid))+string(<-key)))
	require.Empty(t, other.rest())
}

// onlyReader reads byte by byte, so that a Frontend takes nothing beyond its
// message.
type onlyReader struct{ r io.Reader }

func (o onlyReader) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestMaxConnections(t *testing.T) {
	f := serveFakes(t, func(o *options) { o.wire.MaxConnections = 2 })
	first, second := connect(t, f.server), connect(t, f.server)
	_, err := pgconn.Connect(t.Context(), f.dsn(""))
	e := requireCode(t, err, "53300")
	require.Equal(t, "sorry, too many clients already", e.Message)
	require.Equal(t, 2, f.SetMaxConnections(3))
	third := connect(t, f.server)
	require.NoError(t, query(t.Context(), third, "one"))
	require.NoError(t, first.Close(t.Context()))
	<-f.closed
	f.SetMaxConnections(2)
	// Cancel requests are not clients.
	require.NoError(t, second.CancelRequest(t.Context()))
	require.NoError(t, query(t.Context(), second, "one"))
}

func TestDrain(t *testing.T) {
	f := serveFakes(t, nil)
	idle, busy := connect(t, f.server), connect(t, f.server)
	done := make(chan error, 1)
	go func() { done <- query(context.Background(), busy, "wait") }()
	require.Equal(t, "wait", <-f.waiting)
	require.NoError(t, f.Drain(t.Context()))
	e := requireCode(t, <-done, "57P01")
	require.Equal(t, "terminating connection due to administrator command", e.Message)
	require.Equal(t, "FATAL", e.Severity)
	requireCode(t, query(t.Context(), idle, "one"), "57P01")
	require.Empty(t, f.Conns())
	_, err := pgconn.Connect(t.Context(), f.dsn(""))
	e = requireCode(t, err, "57P03")
	require.Equal(t, "the database system is shutting down", e.Message)
	f.Resume()
	require.NoError(t, query(t.Context(), connect(t, f.server), "one"))
}

func TestTerminate(t *testing.T) {
	f := serveFakes(t, nil)
	a, b := connect(t, f.server), connect(t, f.server)
	require.True(t, f.Terminate(a.PID()))
	require.False(t, f.Terminate(a.PID()+1000))
	requireCode(t, query(t.Context(), a, "one"), "57P01")
	require.NoError(t, query(t.Context(), b, "one"))
}

// TestCloseAll: a killed server's clients see the end at once, whatever they do.
func TestCloseAll(t *testing.T) {
	for _, reset := range []bool{false, true} {
		f := serveFakes(t, nil)
		idle, busy := connect(t, f.server), connect(t, f.server)
		done := make(chan error, 1)
		go func() { done <- query(context.Background(), busy, "wait") }()
		require.Equal(t, "wait", <-f.waiting)
		// This one does not read what it asked for: its server hangs in a write.
		stuck := rawDial(t, f.addr())
		stuck.send(packet(version30, startBody), frame('Q', "rows 100000\x00"))
		_, err := io.ReadFull(stuck, make([]byte, 1<<10))
		require.NoError(t, err)
		f.CloseAll(reset)
		for _, c := range f.Conns() {
			require.Zero(t, c.PID, "only pgconn's cancel requests may still come in")
		}
		// Who comes later is not served: the reset may even overtake the dial.
		if late, err := net.Dial("tcp", f.addr()); err == nil {
			_, _ = late.Write(packet(version30, startBody))
			require.Empty(t, raw{late, t}.rest())
			require.NoError(t, late.Close())
		}
		err = <-done
		var pgErr *pgconn.PgError
		require.Error(t, err)
		require.False(t, errors.As(err, &pgErr), "no message is sent: %v", err)
		require.Error(t, query(t.Context(), idle, "one"))
	}
}

func TestServeEndsWithContext(t *testing.T) {
	o, f := fakeOptions()
	f.server = newServer(t, o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f.ln = ln
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	wrapped := 0
	go func() {
		done <- f.Serve(ctx, ln, func(nc net.Conn) net.Conn { wrapped++; return nc })
	}()
	conn := connect(t, f.server)
	require.NoError(t, query(t.Context(), conn, "one"))
	cancel()
	require.NoError(t, <-done)
	require.Equal(t, 1, wrapped)
	require.Error(t, query(t.Context(), conn, "one"))
	require.Empty(t, f.Conns())
}

func TestBadConfig(t *testing.T) {
	store, err := auth.New(auth.Config{})
	require.NoError(t, err)
	open := func(context.Context, session.Startup) (wire.Session, error) { return nil, errors.New("none") }
	for want, cfg := range map[string]wire.Config{
		"wire: Config.Auth is not set":                                              {Open: open},
		"wire: Config.Open is not set":                                              {Auth: store},
		"wire: MaxConnections is -1, allowed is 1 and more, or 0 for 100":           {Auth: store, Open: open, MaxConnections: -1},
		"wire: MaxMessageBytes is 5, allowed is 10000 and more, or 0 for 67108864":  {Auth: store, Open: open, MaxMessageBytes: 5},
		"wire: HandshakeTimeout is -1ns, allowed is a positive time, or 0 for 1m0s": {Auth: store, Open: open, HandshakeTimeout: -1},
	} {
		_, err := wire.NewServer(cfg)
		require.EqualError(t, err, want)
	}
}
