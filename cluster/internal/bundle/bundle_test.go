package bundle_test

import (
	"context"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/cluster/internal/bundle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers are what a server of these tests sends for one Sync; nil ends the
// connection.
type answers []pgproto3.BackendMessage

// connect opens a connection to a server that answers each Sync with the next
// answers and hands on the texts that it had been sent before it.
func connect(t *testing.T, script ...answers) (*pgconn.PgConn, *bundle.Bundle, <-chan []string) {
	t.Helper()
	client, server := net.Pipe()
	heard := make(chan []string, len(script))
	done := make(chan struct{})
	go func() { // ends with the script or the connection
		defer close(done)
		defer server.Close()
		serve(pgproto3.NewBackend(server, server), script, heard)
	}()
	config, err := pgconn.ParseConfig("postgres://u@h/d?sslmode=disable")
	require.NoError(t, err)
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return client, nil }
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	var b *bundle.Bundle
	fatal := config.OnPgError
	config.OnPgError = func(pc *pgconn.PgConn, said *pgconn.PgError) bool {
		b.Refused(said)
		return fatal(pc, said)
	}
	conn, err := pgconn.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	b = bundle.New(conn)
	t.Cleanup(func() {
		client.Close()
		<-done
	})
	return conn, b, heard
}

func serve(b *pgproto3.Backend, script []answers, heard chan<- []string) {
	if _, err := b.ReceiveStartupMessage(); err != nil {
		return
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	for _, say := range script {
		var texts []string
		for {
			m, err := b.Receive()
			if err != nil {
				return
			}
			if p, ok := m.(*pgproto3.Parse); ok {
				texts = append(texts, p.Query)
			}
			if bind, ok := m.(*pgproto3.Bind); ok && bind.PreparedStatement != "" {
				texts = append(texts, bind.PreparedStatement+" "+string(bind.Parameters[0]))
			}
			if _, ok := m.(*pgproto3.Sync); ok {
				break
			}
		}
		heard <- texts
		for _, m := range say {
			if m == nil {
				_ = b.Flush() // the connection ends either way
				return
			}
			b.Send(m)
		}
		if b.Flush() != nil {
			return
		}
	}
}

func command(tag string) answers {
	return answers{
		&pgproto3.ParseComplete{}, &pgproto3.BindComplete{}, &pgproto3.NoData{},
		&pgproto3.CommandComplete{CommandTag: []byte(tag)},
	}
}

func said(parts ...any) (out answers) {
	for _, p := range parts {
		switch p := p.(type) {
		case answers:
			out = append(out, p...)
		case pgproto3.BackendMessage:
			out = append(out, p)
		case nil:
			out = append(out, nil)
		}
	}
	return out
}

func failure(severity, code string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: severity, SeverityUnlocalized: severity, Code: code}
}

var ready = &pgproto3.ReadyForQuery{TxStatus: 'I'}

// seven is a prepared statement that returns one column.
var seven = &pgconn.StatementDescription{
	Name: "seven", SQL: "select 7", ParamOIDs: []uint32{25}, Fields: []pgconn.FieldDescription{{Name: "v", DataTypeOID: 23}},
}

// Bundles of different length one after the other share memory, and each arrives
// as it was put together.
func TestBundles(t *testing.T) {
	rows := answers{&pgproto3.BindComplete{}, &pgproto3.DataRow{Values: [][]byte{[]byte("7")}}, &pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}}
	long := said(command("BEGIN"), rows, command("COMMIT"), ready)
	conn, b, heard := connect(t, long, said(command("BEGIN"), rows, ready), long, said(command("COMMIT"), ready))
	for i, begin := range []string{"begin", "begin", "begin read only", ""} {
		b.Start(begin)
		want := []string{begin}
		if begin != "" {
			b.Statement(seven, [][]byte{{byte('a' + i)}}, nil, nil)
			want = append(want, "seven "+string(rune('a'+i)))
		} else {
			want = nil
		}
		if i != 1 {
			b.Command("commit")
			want = append(want, "commit")
		}
		require.NoError(t, b.Send(t.Context()))
		if begin != "" {
			tag, err := b.Tag()
			require.NoError(t, err)
			require.Equal(t, "BEGIN", tag.String())
			rr, err := b.Next()
			require.NoError(t, err)
			require.Equal(t, "v", rr.FieldDescriptions()[0].Name)
			require.True(t, rr.NextRow())
			require.Equal(t, "7", string(rr.Values()[0]))
			_, err = rr.Close()
			require.NoError(t, err)
		}
		if i != 1 {
			tag, err := b.Tag()
			require.NoError(t, err)
			require.Equal(t, "COMMIT", tag.String())
		}
		require.True(t, conn.IsBusy())
		require.NoError(t, b.End())
		require.NoError(t, b.End(), "a second end is none")
		require.False(t, conn.IsBusy())
		require.Equal(t, want, <-heard)
	}
}

// The first error counts, also when the connection breaks after it.
func TestFirstErrorCounts(t *testing.T) {
	deferred := said(command("BEGIN"), command("INSERT 0 1"), failure("ERROR", "23503"))
	for name, script := range map[string]answers{
		"the server goes on":             said(command("BEGIN"), failure("ERROR", "23505"), ready),
		"the connection breaks":          said(command("BEGIN"), failure("ERROR", "23505"), nil),
		"the session is ended, too":      said(command("BEGIN"), failure("ERROR", "23505"), failure("FATAL", "57P01"), nil),
		"only the end of the session":    said(command("BEGIN"), failure("FATAL", "57P01"), nil),
		"refused behind the statement":   said(deferred, ready),
		"refused there, and it breaks":   said(deferred, nil),
		"it breaks without an error":     said(command("BEGIN"), nil),
		"it breaks behind the statement": said(command("BEGIN"), command("INSERT 0 1"), nil),
	} {
		t.Run(name, func(t *testing.T) {
			_, b, _ := connect(t, script)
			b.Start("begin")
			b.Command("insert")
			require.NoError(t, b.Send(t.Context()))
			_, err := b.Tag()
			require.NoError(t, err)
			_, err = b.Tag()
			code := ""
			for _, m := range script {
				if e, ok := m.(*pgproto3.ErrorResponse); ok && code == "" {
					code = e.Code
				}
			}
			behind := len(script) >= len(command(""))*2
			if behind {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
			}
			end := b.End()
			require.Error(t, end)
			if !behind {
				require.Equal(t, end, err)
			}
			var pgErr *pgconn.PgError
			if code == "" {
				require.NotErrorAs(t, end, &pgErr)
				return
			}
			require.ErrorAs(t, end, &pgErr)
			require.Equal(t, code, pgErr.Code)
		})
	}
}

// An error of an earlier bundle isn't the next one's.
func TestErrorIsForgotten(t *testing.T) {
	_, b, _ := connect(t, said(failure("ERROR", "42601"), ready), said(command("COMMIT"), nil))
	for _, code := range []string{"42601", ""} {
		b.Start("commit")
		require.NoError(t, b.Send(t.Context()))
		var pgErr *pgconn.PgError
		if err := b.End(); code != "" {
			require.ErrorAs(t, err, &pgErr)
		} else {
			require.Error(t, err)
			require.NotErrorAs(t, err, &pgErr)
		}
	}
}

// What can't be sent leaves the connection as it was.
func TestNotSent(t *testing.T) {
	conn, b, heard := connect(t, said(command("COMMIT"), ready))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	b.Start("begin")
	require.ErrorIs(t, b.Send(ended), context.Canceled)
	require.False(t, conn.IsBusy())
	require.False(t, conn.IsClosed())

	other := conn.ExecParams(t.Context(), "commit", nil, nil, nil, nil)
	b.Start("begin")
	require.ErrorContains(t, b.Send(t.Context()), "busy")
	_, err := other.Close()
	require.NoError(t, err)
	require.Equal(t, []string{"commit"}, <-heard)
}

// An answer too few is an error.
func TestMissingAnswer(t *testing.T) {
	_, b, _ := connect(t, said(command("BEGIN"), ready))
	b.Start("begin")
	b.Command("insert")
	require.NoError(t, b.Send(t.Context()))
	_, err := b.Tag()
	require.NoError(t, err)
	_, err = b.Tag()
	require.ErrorContains(t, err, "don't match")
}
