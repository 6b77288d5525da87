package driver_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// instant is a server for measuring what a client costs. A connection to it is
// answered by the write that asks, in the goroutine that writes, from bytes that
// were made beforehand: there is no socket, no second goroutine and, once its
// statements are prepared, no allocation. A SELECT has one int8 parameter and
// returns one int8, 7; everything else succeeds with the tag INSERT 0 1.
type instant struct{}

func (instant) dial(context.Context, string, string) (net.Conn, error) {
	c := &instantConn{named: make(map[string]*instantStatement), status: 'I'}
	c.arrived.L = &c.mu
	return c, nil
}

// instantStatement is what a statement is answered with.
type instantStatement struct {
	params, fields []byte // ParameterDescription; RowDescription or NoData
	result         []byte // rows and CommandComplete
	status         byte   // of the transaction afterwards; 0: unchanged
}

// instantConn is one connection. The client writes and reads in any goroutine.
type instantConn struct {
	mu        sync.Mutex
	arrived   sync.Cond // something to read, or a reason to stop waiting for it
	asked     []byte    // the beginning of a message that isn't complete
	answer    []byte    // not read yet
	started   bool      // the startup message has been answered
	closed    bool
	expired   bool
	named     map[string]*instantStatement
	unnamed   *instantStatement
	portal    *instantStatement
	status    byte
	deadlines *time.Timer
}

// The answers.
var (
	instantHello = encoded(
		&pgproto3.AuthenticationOk{},
		&pgproto3.ParameterStatus{Name: "server_version", Value: "15.0"},
		&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"},
		&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"},
		&pgproto3.ParameterStatus{Name: "simnode.version", Value: "1"},
		&pgproto3.ParameterStatus{Name: "simnode.cluster_id", Value: "c1"},
		&pgproto3.ParameterStatus{Name: "simnode.node_id", Value: "1"},
		&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}},
	)
	instantParsed = encoded(&pgproto3.ParseComplete{})
	instantBound  = encoded(&pgproto3.BindComplete{})
	instantClosed = encoded(&pgproto3.CloseComplete{})

	instantSelect = &instantStatement{
		params: encoded(&pgproto3.ParameterDescription{ParameterOIDs: []uint32{pgtype.Int8OID}}),
		fields: encoded(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
			{Name: []byte("v"), DataTypeOID: pgtype.Int8OID, DataTypeSize: 8, TypeModifier: -1, Format: 1},
		}}),
		result: encoded(&pgproto3.DataRow{Values: [][]byte{{0, 0, 0, 0, 0, 0, 0, 7}}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}),
	}
	instantRole = &instantStatement{ // the probe's
		params: encoded(&pgproto3.ParameterDescription{}),
		fields: encoded(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
			{Name: []byte("role"), DataTypeOID: pgtype.TextOID, DataTypeSize: -1, TypeModifier: -1},
		}}),
		result: encoded(&pgproto3.DataRow{Values: [][]byte{[]byte("writer")}}, &pgproto3.CommandComplete{CommandTag: []byte("SHOW")}),
	}
	instantInsert = instantCommand("INSERT 0 1", 0, pgtype.Int8OID)
	instantBegin  = instantCommand("BEGIN", 'T')
	instantCommit = instantCommand("COMMIT", 'I')
)

func instantCommand(tag string, status byte, params ...uint32) *instantStatement {
	return &instantStatement{
		params: encoded(&pgproto3.ParameterDescription{ParameterOIDs: params}),
		fields: encoded(&pgproto3.NoData{}),
		result: encoded(&pgproto3.CommandComplete{CommandTag: []byte(tag)}),
		status: status,
	}
}

// encoded returns messages as they travel.
func encoded(messages ...pgproto3.BackendMessage) []byte {
	var out []byte
	for _, m := range messages {
		var err error
		if out, err = m.Encode(out); err != nil {
			panic(err) // only a message that is too long fails
		}
	}
	return out
}

func instantStatementFor(query []byte) *instantStatement {
	switch {
	case bytes.HasPrefix(query, []byte("show")):
		return instantRole
	case bytes.HasPrefix(query, []byte("select")):
		return instantSelect
	case bytes.HasPrefix(query, []byte("begin")):
		return instantBegin
	case bytes.HasPrefix(query, []byte("commit")), bytes.HasPrefix(query, []byte("rollback")):
		return instantCommit
	default:
		return instantInsert
	}
}

// Write takes what the client sends and makes the answers.
func (c *instantConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.asked = append(c.asked, p...)
	rest := c.asked
	for {
		head := 1
		if !c.started {
			head = 0 // the startup message has no type
		}
		if len(rest) < head+4 {
			break
		}
		size := head + int(binary.BigEndian.Uint32(rest[head:]))
		if len(rest) < size {
			break
		}
		c.receive(rest[0], rest[head+4:size])
		rest = rest[size:]
	}
	c.asked = append(c.asked[:0], rest...)
	c.arrived.Broadcast()
	return len(p), nil
}

// receive answers one message.
func (c *instantConn) receive(kind byte, body []byte) {
	if !c.started {
		c.started = true
		c.say(instantHello)
		c.ready()
		return
	}
	switch kind {
	case 'P':
		name, query := cString(body)
		text, _ := cString(query)
		c.prepare(name, text)
		c.say(instantParsed)
	case 'D':
		if name, _ := cString(body[1:]); body[0] == 'S' {
			s := c.statement(name)
			c.say(s.params)
			c.say(s.fields)
		} else {
			c.say(c.portal.fields)
		}
	case 'B':
		_, rest := cString(body)
		name, _ := cString(rest)
		c.portal = c.statement(name)
		c.say(instantBound)
	case 'E':
		c.run(c.portal)
	case 'C':
		c.say(instantClosed)
	case 'S':
		c.ready()
	case 'Q':
		text, _ := cString(body)
		s := instantStatementFor(text)
		if s == instantSelect {
			c.say(s.fields)
		}
		c.run(s)
		c.ready()
	case 'X':
		c.closed = true
	}
}

func (c *instantConn) prepare(name, text []byte) {
	if len(name) == 0 {
		c.unnamed = instantStatementFor(text)
		return
	}
	c.named[string(name)] = instantStatementFor(text)
}

func (c *instantConn) statement(name []byte) *instantStatement {
	if len(name) == 0 {
		return c.unnamed
	}
	return c.named[string(name)]
}

func (c *instantConn) run(s *instantStatement) {
	if s.status != 0 {
		c.status = s.status
	}
	c.say(s.result)
}

func (c *instantConn) say(b []byte) { c.answer = append(c.answer, b...) }

func (c *instantConn) ready() { c.answer = append(c.answer, 'Z', 0, 0, 0, 5, c.status) }

// cString splits off a text that ends with a zero byte.
func cString(b []byte) (text, rest []byte) {
	text, rest, _ = bytes.Cut(b, []byte{0})
	return text, rest
}

// Read gives out the answers.
func (c *instantConn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.answer) == 0 {
		switch {
		case c.closed:
			return 0, net.ErrClosed
		case c.expired:
			return 0, os.ErrDeadlineExceeded
		}
		c.arrived.Wait()
	}
	n := copy(p, c.answer)
	c.answer = append(c.answer[:0], c.answer[n:]...)
	return n, nil
}

// Close ends reads and writes.
func (c *instantConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.deadlines != nil {
		c.deadlines.Stop()
	}
	c.arrived.Broadcast()
	return nil
}

// SetDeadline ends a read that waits; writes never wait.
func (c *instantConn) SetDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadlines != nil {
		c.deadlines.Stop()
	}
	c.expired = !at.IsZero() && !at.After(time.Now())
	if !at.IsZero() && !c.expired {
		c.deadlines = time.AfterFunc(time.Until(at), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.expired = true
			c.arrived.Broadcast()
		})
	}
	c.arrived.Broadcast()
	return nil
}

func (c *instantConn) SetReadDeadline(at time.Time) error { return c.SetDeadline(at) }
func (c *instantConn) SetWriteDeadline(time.Time) error   { return nil }
func (c *instantConn) LocalAddr() net.Addr                { return instantAddr{} }
func (c *instantConn) RemoteAddr() net.Addr               { return instantAddr{} }

type instantAddr struct{}

func (instantAddr) Network() string { return "instant" }
func (instantAddr) String() string  { return "instant" }

// openInstant opens an instant server through this driver and through pgx, with
// as many idle connections kept as costGoroutines need.
func openInstant(t testing.TB) (ours, theirs *sql.DB) {
	t.Helper()
	var s instant
	// Probes are rare, so that they aren't counted as the operations' cost.
	config, err := driver.ParseConfig(patient("postgres://u@one:1/db?sslmode=disable&probe_interval=1m"))
	require.NoError(t, err)
	config.DialFunc = s.dial
	plain, err := pgx.ParseConfig("postgres://u@one:1/db?sslmode=disable")
	require.NoError(t, err)
	plain.DialFunc = s.dial
	plain.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	ours, theirs = sql.OpenDB(driver.NewConnector(config)), stdlib.OpenDB(*plain)
	for _, db := range []*sql.DB{ours, theirs} {
		db.SetMaxIdleConns(costGoroutines)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
	}
	return ours, theirs
}

func TestInstantServer(t *testing.T) {
	checkGoroutines(t)
	ours, theirs := openInstant(t)
	ctx := context.Background()
	for _, db := range []*sql.DB{ours, theirs} {
		for _, op := range costOps {
			require.NoError(t, op.prepare(t, db)(ctx), op.name)
		}
		var v int
		require.NoError(t, db.QueryRow("select v from known where id = $1", 3).Scan(&v))
		require.Equal(t, 7, v)
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		_, err := db.ExecContext(ctx, "insert into written values ($1)", 3)
		require.ErrorIs(t, err, context.Canceled)
	}
}
