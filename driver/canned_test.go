package driver_test

import (
	"context"
	"database/sql"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
)

// canned is a server in this process that speaks just enough of the protocol,
// over in-memory connections: every SELECT returns one int4, 7; everything else
// succeeds with the tag INSERT 0 1.
type canned struct {
	clusterID, nodeID string
	// end, if set, is asked before each statement is carried out; its answer, if
	// any, is the SQLSTATE with which the session is ended instead.
	end func(sql string) string
	// commit, if set, is what COMMIT is answered with. If ReadyForQuery isn't the
	// last message, the session ends there.
	commit  []pgproto3.BackendMessage
	running sync.WaitGroup
}

// dial opens an in-memory connection to the server.
func (s *canned) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	s.running.Go(func() { // ends when the client closes its side
		defer server.Close()
		s.serve(server)
	})
	return client, nil
}

func (s *canned) serve(conn net.Conn) {
	b := pgproto3.NewBackend(conn, conn)
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	status := map[string]string{"server_version": "15.0", "client_encoding": "UTF8", "standard_conforming_strings": "on"}
	if s.clusterID != "" {
		status["simnode.version"], status["simnode.cluster_id"], status["simnode.node_id"] = "1", s.clusterID, s.nodeID
	}
	for name, value := range status {
		b.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
	}
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	session := cannedSession{
		b: b, kill: s.end, commit: s.commit, texts: map[string]string{}, statements: map[string]bool{}, params: map[string]int{}, status: 'I',
	}
	for {
		m, err := b.Receive()
		if err != nil || !session.answer(m) {
			return
		}
	}
}

type cannedSession struct {
	b          *pgproto3.Backend
	kill       func(string) string
	commit     []pgproto3.BackendMessage
	sql        string            // of the portal
	texts      map[string]string // name → text
	statements map[string]bool   // name → returns rows
	params     map[string]int    // name → parameters, of unknown type
	rows       bool
	begin, end bool
	status     byte
}

var cannedFields = &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
	{Name: []byte("v"), DataTypeOID: pgtype.Int4OID, DataTypeSize: 4, TypeModifier: -1, Format: 1},
}}

func (s *cannedSession) answer(m pgproto3.FrontendMessage) bool {
	switch m := m.(type) {
	case *pgproto3.Parse:
		sql := strings.ToLower(m.Query)
		s.texts[m.Name] = m.Query
		s.params[m.Name] = strings.Count(sql, "$")
		s.statements[m.Name] = strings.HasPrefix(sql, "select") || strings.HasPrefix(sql, "show")
		s.begin, s.end = strings.HasPrefix(sql, "begin"), sql == "commit" || sql == "rollback"
		s.b.Send(&pgproto3.ParseComplete{})
	case *pgproto3.Describe:
		if m.ObjectType == 'S' {
			s.b.Send(&pgproto3.ParameterDescription{ParameterOIDs: make([]uint32, s.params[m.Name])})
			s.rows = s.statements[m.Name]
		}
		if s.rows {
			s.b.Send(cannedFields)
		} else {
			s.b.Send(&pgproto3.NoData{})
		}
	case *pgproto3.Bind:
		s.rows, s.sql = s.statements[m.PreparedStatement], s.texts[m.PreparedStatement]
		s.b.Send(&pgproto3.BindComplete{})
	case *pgproto3.Execute:
		if s.kill != nil {
			if code := s.kill(s.sql); code != "" {
				s.b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "ended"})
				_ = s.b.Flush() // the session ends either way
				return false
			}
		}
		s.execute()
	case *pgproto3.Close:
		s.b.Send(&pgproto3.CloseComplete{})
	case *pgproto3.Query:
		if s.commit != nil && m.String == "commit" {
			return s.answerCommit()
		}
		s.simple(m.String)
		return s.b.Flush() == nil
	case *pgproto3.Sync:
		s.b.Send(&pgproto3.ReadyForQuery{TxStatus: s.status})
		return s.b.Flush() == nil
	case *pgproto3.Terminate:
		return false
	}
	return true
}

func (s *cannedSession) execute() {
	switch {
	case s.rows && s.sql == "show simnode.role": // the probe
		s.b.Send(&pgproto3.DataRow{Values: [][]byte{[]byte("writer")}})
		s.b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SHOW")})
	case s.rows:
		s.b.Send(&pgproto3.DataRow{Values: [][]byte{{0, 0, 0, 7}}})
		s.b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	case s.begin:
		s.status = 'T'
		s.b.Send(&pgproto3.CommandComplete{CommandTag: []byte("BEGIN")})
	case s.end:
		s.status = 'I'
		s.b.Send(&pgproto3.CommandComplete{CommandTag: []byte("COMMIT")})
	default:
		s.b.Send(&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 1")})
	}
	s.begin, s.end = false, false
}

// answerCommit answers COMMIT as it was told to, and reports whether the session
// goes on.
func (s *cannedSession) answerCommit() bool {
	goesOn := false
	for _, m := range s.commit {
		_, goesOn = m.(*pgproto3.ReadyForQuery)
		s.b.Send(m)
	}
	return s.b.Flush() == nil && goesOn
}

func (s *cannedSession) simple(sql string) {
	switch strings.ToLower(sql) {
	case "begin":
		s.status = 'T'
	case "commit", "rollback":
		s.status = 'I'
	}
	s.b.Send(&pgproto3.CommandComplete{CommandTag: []byte("INSERT 0 1")})
	s.b.Send(&pgproto3.ReadyForQuery{TxStatus: s.status})
}

// openCanned opens the canned server through this driver and through pgx.
func openCanned(t testing.TB) (ours, theirs *sql.DB) {
	t.Helper()
	s := &canned{clusterID: "c1", nodeID: "1"}
	config, err := driver.ParseConfig(patient("postgres://u@one:1/db?sslmode=disable"))
	require.NoError(t, err)
	config.DialFunc = s.dial
	ours = sql.OpenDB(driver.NewConnector(config))
	plain, err := pgx.ParseConfig("postgres://u@one:1/db?sslmode=disable")
	require.NoError(t, err)
	plain.DialFunc = s.dial
	plain.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	theirs = stdlib.OpenDB(*plain)
	t.Cleanup(func() {
		require.NoError(t, ours.Close())
		require.NoError(t, theirs.Close())
		s.running.Wait()
	})
	return ours, theirs
}

func TestCannedServer(t *testing.T) {
	checkGoroutines(t)
	ours, theirs := openCanned(t)
	for _, db := range []*sql.DB{ours, theirs} {
		var v int
		require.NoError(t, db.QueryRow("select 7").Scan(&v))
		require.Equal(t, 7, v)
		res, err := db.Exec("insert")
		require.NoError(t, err)
		n, err := res.RowsAffected()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
}

// Two servers that belong to different clusters aren't used together.
func TestDifferentClusters(t *testing.T) {
	checkGoroutines(t)
	one, two := &canned{clusterID: "red", nodeID: "1"}, &canned{clusterID: "blue", nodeID: "1"}
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, "one") {
			return one.dial(ctx, network, addr)
		}
		return two.dial(ctx, network, addr)
	}
	for _, engine := range []string{"auto", "mesh"} {
		config, err := driver.ParseConfig(patient("postgres://u@one:1,two:2/db?sslmode=disable&engine=" + engine))
		require.NoError(t, err)
		config.DialFunc = dial
		db := sql.OpenDB(driver.NewConnector(config))
		_, err = db.Exec("insert")
		if engine == "auto" {
			require.ErrorContains(t, err, "red")
			require.ErrorContains(t, err, "blue")
			require.ErrorContains(t, err, "engine=independent")
		} else {
			require.NoError(t, err)
		}
		require.NoError(t, db.Close())
	}
	one.running.Wait()
	two.running.Wait()
}
