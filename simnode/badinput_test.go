package simnode_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode"
)

// raw is a connection on which a test writes bytes.
type raw struct {
	net.Conn
	in *pgproto3.Frontend
}

func rawDial(t *testing.T, sim *simnode.Sim) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", sim.Node(1).Addr())
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	t.Cleanup(func() { _ = conn.Close() })
	return &raw{conn, pgproto3.NewFrontend(conn, nil)}
}

// message is a message of the protocol with its length.
func message(kind byte, body string) string {
	head := binary.BigEndian.AppendUint32(nil, uint32(len(body)+4))
	if kind != 0 {
		head = append([]byte{kind}, head...)
	}
	return string(head) + body
}

func startup(params ...string) string {
	return message(0, "\x00\x03\x00\x00"+strings.Join(append(params, ""), "\x00")+"\x00")
}

func (r *raw) write(t *testing.T, bytes string) {
	t.Helper()
	_, err := r.Write([]byte(bytes))
	require.NoError(t, err)
}

// session is a connection past its startup.
func session(t *testing.T, sim *simnode.Sim) *raw {
	t.Helper()
	r := rawDial(t, sim)
	r.write(t, startup("user", "postgres"))
	r.until(t, "ReadyForQuery")
	return r
}

// until reads messages up to one of that kind, and gives the codes of the errors
// among them.
func (r *raw) until(t *testing.T, kind string) (codes []string) {
	t.Helper()
	for {
		m, err := r.in.Receive()
		require.NoError(t, err, "waiting for %s", kind)
		if e, ok := m.(*pgproto3.ErrorResponse); ok {
			codes = append(codes, e.Code)
			require.NotEmpty(t, e.Message)
		}
		if fmt.Sprintf("%T", m) == "*pgproto3."+kind {
			return codes
		}
	}
}

// fatal reads the error that ends a connection, and its end.
func (r *raw) fatal(t *testing.T) *pgproto3.ErrorResponse {
	t.Helper()
	for {
		m, err := r.in.Receive()
		require.NoError(t, err)
		e, ok := m.(*pgproto3.ErrorResponse)
		if !ok {
			continue
		}
		copied := *e
		require.Equal(t, "FATAL", e.Severity, "%s %s", e.Code, e.Message)
		_, err = r.in.Receive()
		require.Error(t, err, "the connection must end")
		return &copied
	}
}

func TestEncryptionIsRefusedInOneByte(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1})
	r := rawDial(t, sim)
	for _, code := range []uint32{80877103, 80877104} {
		r.write(t, message(0, string(binary.BigEndian.AppendUint32(nil, code))))
		answer := make([]byte, 1)
		_, err := io.ReadFull(r, answer)
		require.NoError(t, err)
		require.Equal(t, "N", string(answer))
	}
	r.write(t, startup("user", "postgres"))
	require.Empty(t, r.until(t, "ReadyForQuery"))
	cfg, err := pgx.ParseConfig("postgres://postgres@" + sim.Node(1).Addr() + "/postgres?sslmode=require")
	require.NoError(t, err)
	_, err = pgx.ConnectConfig(context.Background(), cfg)
	require.ErrorContains(t, err, "refused TLS")
}

func TestBadStartup(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1})
	for name, c := range map[string]struct{ bytes, code, says string }{
		"http":           {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "08P01", "startup"},
		"tls":            {"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "08P01", "startup"},
		"short":          {"\x00\x00\x00\x04", "08P01", "length of startup packet"},
		"huge":           {"\x7f\xff\xff\xff", "08P01", "length of startup packet"},
		"version 2":      {message(0, "\x00\x02\x00\x00"), "0A000", "2.0"},
		"no user":        {startup("database", "postgres"), "28000", "user"},
		"no terminator":  {message(0, "\x00\x03\x00\x00user\x00postgres\x00"), "08P01", "startup"},
		"other user":     {startup("user", "nobody"), "28000", "nobody"},
		"other database": {startup("user", "postgres", "database", "nodb"), "3D000", "nodb"},
		"bad setting":    {startup("user", "postgres", "nosuch", "1"), "42704", "nosuch"},
		"bad value":      {startup("user", "postgres", "statement_timeout", "x"), "22023", "statement_timeout"},
		"replication":    {startup("user", "postgres", "replication", "true"), "0A000", "replication"},
	} {
		r := rawDial(t, sim)
		r.write(t, c.bytes)
		e := r.fatal(t)
		require.Equal(t, c.code, e.Code, "%s: %s", name, e.Message)
		require.Contains(t, e.Message, c.says, name)
	}
}

func TestBrokenMessagesEndTheConnection(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1})
	for name, bytes := range map[string]string{
		"unknown type":    message('@', ""),
		"zero type":       message(0, "\x00\x00\x00\x00"),
		"short length":    "Q\x00\x00\x00\x03",
		"negative length": "Q\xff\xff\xff\xff",
		"oversized":       "Q\x7f\xff\xff\xff",
		"oversized Sync":  "S\x00\xff\xff\xff",
		"password":        message('p', "secret\x00"),
	} {
		r := session(t, sim)
		r.write(t, bytes)
		e := r.fatal(t)
		require.Equal(t, "08P01", e.Code, "%s: %s", name, e.Message)
		require.NotContains(t, e.Message, "secret")
	}
}

func TestMessagesOutOfOrder(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1})
	require.Equal(t, "2", value(t, connect(t, sim, 1), "select 1 + 1"), "the grammar is loaded, which may take longer than r waits")
	r := session(t, sim)
	sync := message('S', "")
	for name, bytes := range map[string]string{
		"no terminator": message('Q', "select 1"), "bytes after": message('Q', "select 1\x00junk"),
	} {
		r.write(t, bytes)
		require.Equal(t, []string{"08P01"}, r.until(t, "ReadyForQuery"), name)
	}
	for name, c := range map[string]struct{ bytes, code string }{
		"Bind of nothing":      {message('B', "\x00nosuch\x00\x00\x00\x00\x00\x00\x00"), "26000"},
		"Execute of nothing":   {message('E', "nosuch\x00\x00\x00\x00\x00"), "34000"},
		"Describe of nothing":  {message('D', "Snosuch\x00"), "26000"},
		"Parse of two":         {message('P', "\x00select 1; select 2\x00\x00\x00"), "42601"},
		"Parse of no SQL":      {message('P', "\x00selec\x00\x00\x00"), "42601"},
		"not UTF-8":            {message('P', "\x00select '\xff'\x00\x00\x00"), "22021"},
		"odd parameter type":   {message('P', "\x00select $1\x00\x00\x01\x00\x00\xff\xff"), "0A000"},
		"too few parameters":   {message('P', "\x00select $1::int\x00\x00\x00") + message('B', "\x00\x00\x00\x00\x00\x00\x00\x00"), "08P01"},
		"odd parameter format": {message('P', "\x00select $1::int\x00\x00\x00") + message('B', "\x00\x00\x00\x01\x00\x07\x00\x01\x00\x00\x00\x01x\x00\x00"), "22023"},
		"cut binary":           {message('P', "\x00select $1::int\x00\x00\x00") + message('B', "\x00\x00\x00\x01\x00\x01\x00\x01\x00\x00\x00\x01x\x00\x00"), "08P01"},
		"long binary":          {message('P', "\x00select $1::int\x00\x00\x00") + message('B', "\x00\x00\x00\x01\x00\x01\x00\x01\x00\x00\x00\x05xxxxx\x00\x00"), "22P03"},
		"three result formats": {message('P', "\x00select 1\x00\x00\x00") + message('B', "\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00"), "08P01"},
		"Bind too short":       {message('B', "\x00\x00\x00\x01"), "08P01"},
		"negative size":        {message('P', "\x00select $1::int\x00\x00\x00") + message('B', "\x00\x00\x00\x00\x00\x01\xff\xff\xff\xfe\x00\x00"), "08P01"},
		"skipped until Sync":   {message('E', "nosuch\x00\x00\x00\x00\x00") + message('P', "\x00selec\x00\x00\x00"), "34000"},
	} {
		r.write(t, c.bytes+sync)
		t.Log(name)
		require.Equal(t, []string{c.code}, r.until(t, "ReadyForQuery"), name)
	}
	r.write(t, message('F', "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	require.Equal(t, []string{"0A000"}, r.until(t, "ReadyForQuery"))
	r.write(t, message('Q', "select 1\x00"))
	require.Empty(t, r.until(t, "ReadyForQuery"), "the session is as good as before")
}

func TestPipelineSkipsToSync(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1})
	r := session(t, sim)
	r.write(t, message('Q', "create table p(id int primary key)\x00"))
	r.until(t, "ReadyForQuery")
	run := func(sql string) string {
		return message('P', "\x00"+sql+"\x00\x00\x00") + message('B', "\x00\x00\x00\x00\x00\x00\x00\x00") + message('E', "\x00\x00\x00\x00\x00")
	}
	sync := message('S', "")
	r.write(t, run("insert into p values (1)")+run("insert into p values (1)")+run("insert into p values (2)")+sync+
		run("insert into p values (3)")+sync)
	require.Equal(t, []string{"23505"}, r.until(t, "ReadyForQuery"))
	require.Empty(t, r.until(t, "ReadyForQuery"))
	require.Equal(t, "3", value(t, connect(t, sim, 1), "select sum(id) from p"), "the first sequence was one transaction")
}

// Text that is deep, wide or long is refused, and the process lives.
func TestExcessiveStatements(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1, InMemory: true})
	conn := connect(t, sim, 1)
	for name, c := range map[string]struct{ sql, code string }{
		"operators": {"select 1" + strings.Repeat("+1", 100_000), "54001"},
		"casts":     {"select 1" + strings.Repeat("::int", 100_000), "54001"},
		"calls":     {"select " + strings.Repeat("abs(", 100_000) + "1" + strings.Repeat(")", 100_000), "54001"},
		"columns":   {"select 1" + strings.Repeat(",1", 1700), "54011"},
		"long":      {"select '" + strings.Repeat("x", 17<<20) + "'", "54000"},
		"result":    {"select repeat('x', 2000000000)", "54000"},
	} {
		_, err := conn.PgConn().Exec(context.Background(), c.sql).ReadAll()
		require.Error(t, err, name)
		serverError(t, err, c.code)
	}
	require.Equal(t, "1", value(t, conn, "select 1"))
}

func TestSomebodyElsesCancelRequest(t *testing.T) {
	sim := start(t, simnode.Config{Nodes: 1})
	conn := connect(t, sim, 1)
	pid := binary.BigEndian.AppendUint32(nil, conn.PgConn().PID())
	for _, secret := range []string{"\x00\x00\x00\x00", "", "too long for a secret"} {
		r := rawDial(t, sim)
		r.write(t, message(0, "\x04\xd2\x16\x2e"+string(pid)+secret))
		_, err := r.Read(make([]byte, 1))
		require.True(t, errors.Is(err, io.EOF) || err != nil, "a cancel request gets no answer")
	}
	require.Equal(t, "1", value(t, conn, "select 1"))
}
