package driver_test

import (
	"context"
	"database/sql"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// pooler is a connection pooler in transaction mode: a client has a server
// session only from the first message of a transaction to its end, and then
// gets the one that has been free for the longest time.
type pooler struct {
	listener net.Listener
	free     chan *pgconn.HijackedConn
	running  sync.WaitGroup

	mu      sync.Mutex
	clients []net.Conn
	named   []string // names of prepared statements that clients made or used
}

// startPooler starts a pooler with three sessions of the shared server, and
// returns a DSN of it.
func startPooler(t *testing.T) (*pooler, string) {
	t.Helper()
	dsn := sharedServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &pooler{listener: l, free: make(chan *pgconn.HijackedConn, 3)}
	for range cap(p.free) {
		conn, err := pgconn.Connect(t.Context(), dsn)
		require.NoError(t, err)
		hijacked, err := conn.Hijack()
		require.NoError(t, err)
		p.free <- hijacked
	}
	p.running.Go(p.accept) // ends when the listener is closed
	t.Cleanup(p.close)
	return p, strings.Replace(dsn, shared.server.Addr(), l.Addr().String(), 1)
}

func (p *pooler) close() {
	p.listener.Close()
	p.mu.Lock()
	for _, c := range p.clients {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
	close(p.free)
	for server := range p.free {
		server.Conn.Close()
	}
}

func (p *pooler) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		p.clients = append(p.clients, client)
		p.mu.Unlock()
		p.running.Go(func() { // ends when the client or the test closes the connection
			defer client.Close()
			p.serve(pgproto3.NewBackend(client, client))
		})
	}
}

// serve greets a client and then carries its transactions out, one by one.
func (p *pooler) serve(client *pgproto3.Backend) {
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return
	}
	client.Send(&pgproto3.AuthenticationOk{})
	for name, value := range map[string]string{"server_version": "15.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"} {
		client.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	client.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if client.Flush() != nil {
		return
	}
	for p.transaction(client) {
	}
}

// transaction carries one transaction out and reports whether the client is
// still there.
func (p *pooler) transaction(client *pgproto3.Backend) bool {
	first, err := client.Receive()
	if _, over := first.(*pgproto3.Terminate); over || err != nil {
		return false
	}
	server := <-p.free
	defer func() { p.free <- server }()
	for message := first; ; {
		p.note(message)
		server.Frontend.Send(message)
		if endsRequest(message) {
			status, err := relay(server.Frontend, client)
			if err != nil || status == 'I' {
				return err == nil
			}
		}
		if message, err = client.Receive(); err != nil {
			// The transaction must not be left open for the next client.
			server.Frontend.Send(&pgproto3.Query{String: "rollback"})
			_, _ = relay(server.Frontend, pgproto3.NewBackend(nil, discard{}))
			return false
		}
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func endsRequest(m pgproto3.FrontendMessage) bool {
	switch m.(type) {
	case *pgproto3.Sync, *pgproto3.Query:
		return true
	default:
		return false
	}
}

// relay passes the server's answers on, up to ReadyForQuery.
func relay(server *pgproto3.Frontend, client *pgproto3.Backend) (status byte, err error) {
	if err := server.Flush(); err != nil {
		return 0, err
	}
	for {
		m, err := server.Receive()
		if err != nil {
			return 0, err
		}
		client.Send(m)
		if ready, ok := m.(*pgproto3.ReadyForQuery); ok {
			return ready.TxStatus, client.Flush()
		}
		if err := client.Flush(); err != nil { // the message is only valid until the next
			return 0, err
		}
	}
}

func (p *pooler) note(m pgproto3.FrontendMessage) {
	name := ""
	switch m := m.(type) {
	case *pgproto3.Parse:
		name = m.Name
	case *pgproto3.Bind:
		name = m.PreparedStatement
	case *pgproto3.Describe:
		name = m.Name
	case *pgproto3.Close:
		name = m.Name
	}
	if name != "" {
		p.mu.Lock()
		p.named = append(p.named, name)
		p.mu.Unlock()
	}
}

func (p *pooler) names() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.named
}

// TestTransactionPooler works through a pooler that changes the server session
// after every transaction, in the modes that are made for that.
func TestTransactionPooler(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol", "cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			p, dsn := startPooler(t)
			db := openDSN(t, withParams(dsn, "default_query_exec_mode="+mode, "statement_cache_capacity=0", "session_reset=off"))
			poolerWork(t, db)
			require.Empty(t, p.names(), "no named statement was made or used")
		})
	}
	t.Run("with the commit fence", func(t *testing.T) {
		p, dsn := startPooler(t)
		params := append(installFence(t, sharedServer(t), "fences.pooled"), "default_query_exec_mode=exec", "statement_cache_capacity=0", "session_reset=off")
		db := openDSN(t, withParams(dsn, params...))
		rows := func() int64 {
			status, err := clusterOf(t, db).FenceStatus(t.Context())
			require.NoError(t, err)
			return status.Rows - status.Marks
		}
		before := rows()
		poolerWork(t, db)
		require.Empty(t, p.names())
		require.EqualValues(t, 15, rows()-before, "one row for each write")
	})
	// In the default mode there are some: the count is able to find them.
	p, dsn := startPooler(t)
	_, _ = openDSN(t, dsn).Exec("select $1::int", 1) // works if it meets the same session twice
	require.NotEmpty(t, p.names())
}

func poolerWork(t *testing.T, db *sql.DB) {
	ctx := t.Context()
	_, err := db.ExecContext(ctx, "drop table if exists pooled; create table pooled (id int primary key, v text, at timestamptz, b bytea)")
	require.NoError(t, err)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	insert, err := db.PrepareContext(ctx, "insert into pooled values ($1, $2, $3, $4)")
	require.NoError(t, err)
	defer insert.Close()
	sessions := map[int]bool{}
	for i := range 10 {
		_, err = insert.ExecContext(ctx, i, "it's", at, []byte{0, 1, '\''})
		require.NoError(t, err)
		var id, pid int
		var v *string
		var when time.Time
		var b []byte
		require.NoError(t, db.QueryRowContext(ctx, "select id, v, at, b, pg_backend_pid() from pooled where id = $1", i).Scan(&id, &v, &when, &b, &pid))
		require.Equal(t, i, id)
		require.Equal(t, "it's", *v)
		require.True(t, at.Equal(when))
		require.Equal(t, []byte{0, 1, '\''}, b)
		sessions[pid] = true
	}
	require.Greater(t, len(sessions), 1, "the sessions changed")
	for i := 10; i < 14; i++ {
		poolerTx(ctx, t, db, i)
	}
	_, err = insert.ExecContext(ctx, 1, nil, nil, nil)
	require.ErrorContains(t, err, "23505")
	require.NoError(t, driver.RunTx(ctx, db, nil, func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(driver.WithCommit(ctx), "insert into pooled values ($1)", 14)
		return err
	}))
	var n int
	require.NoError(t, db.QueryRowContext(ctx, "select count(*) from pooled").Scan(&n))
	require.Equal(t, 15, n)
}

// poolerTx inserts one row in a transaction of several statements, all of which
// run in one server session.
func poolerTx(ctx context.Context, t *testing.T, db *sql.DB, id int) {
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer tx.Rollback()
	var before, after int
	require.NoError(t, tx.QueryRowContext(ctx, "select pg_backend_pid()").Scan(&before))
	_, err = tx.ExecContext(ctx, "insert into pooled (id, v) values ($1, $2)", id, "tx")
	require.NoError(t, err)
	rows, err := tx.QueryContext(ctx, "select v from pooled where id = $1", id)
	require.NoError(t, err)
	require.True(t, rows.Next())
	require.NoError(t, rows.Close())
	require.NoError(t, tx.QueryRowContext(ctx, "select pg_backend_pid()").Scan(&after))
	require.Equal(t, before, after)
	require.NoError(t, tx.Commit())
}
