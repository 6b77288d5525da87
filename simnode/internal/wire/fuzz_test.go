package wire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// recorded is a connection whose client sent everything at once, closed its side
// and keeps what it is answered.
type recorded struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (r *recorded) Read(p []byte) (int, error)       { return r.in.Read(p) }
func (r *recorded) Write(p []byte) (int, error)      { return r.out.Write(p) }
func (r *recorded) Close() error                     { return nil }
func (r *recorded) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "server"} }
func (r *recorded) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "client"} }
func (r *recorded) SetDeadline(time.Time) error      { return nil }
func (r *recorded) SetReadDeadline(time.Time) error  { return nil }
func (r *recorded) SetWriteDeadline(time.Time) error { return nil }

// FuzzServer sends arbitrary bytes, alone or after a good startup message. The
// server must neither panic nor hang, must answer in well-formed messages of which
// only the last may be FATAL, and must leave no transaction behind.
func FuzzServer(f *testing.F) {
	files, err := os.ReadDir("testdata/protocol")
	require.NoError(f, err)
	for _, file := range files {
		for _, seed := range seeds(f, "testdata/protocol/"+file.Name()) {
			f.Add(true, seed)
		}
	}
	f.Add(false, packet(version30, startBody))
	f.Add(false, append(packet(80877103, ""), packet(version30+9999, startBody)...))
	f.Add(false, packet(80877102, "\x00\x00\x00\x01\x00\x00\x00\x00"))
	f.Add(true, frame('B', "a\x00b\x00\x00\x01\x00\x01\x00\x01\x00\x00\x00\x04abcd\x00\x01\x00\x01"))
	f.Add(true, []byte("Q\xff\xff\xff\xff"))
	s := newServer(f, options{})
	f.Fuzz(func(t *testing.T, started bool, data []byte) {
		if started {
			data = append(packet(version30, startBody), data...)
		}
		nc := &recorded{in: bytes.NewReader(data)}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		s.ServeConn(ctx, nc)
		require.NoError(t, ctx.Err(), "the connection must end with its client")
		require.Zero(t, s.node.store.Transactions())
		checkAnswers(t, nc.out.Bytes())
	})
}

// checkAnswers takes a stream of answers apart.
func checkAnswers(t *testing.T, out []byte) {
	for len(out) > 0 && out[0] == 'N' && (len(out) < 5 || out[1] == 'N' || out[1] == 'R' || out[1] == 'E' || out[1] == 'v') {
		out = out[1:] // the refusals of encryption
	}
	fe := pgproto3.NewFrontend(bytes.NewReader(out), io.Discard)
	fatal := false
	for {
		m, err := fe.Receive()
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		require.False(t, fatal, "nothing follows a FATAL error")
		if e, is := m.(*pgproto3.ErrorResponse); is {
			require.NotEmpty(t, e.Message)
			require.Len(t, e.Code, 5)
			require.NotEqual(t, "XX000", e.Code, "internal error: %s", e.Message)
			fatal = e.Severity == "FATAL"
		}
	}
}

// seeds gives the client's bytes of each block of a script.
func seeds(f *testing.F, file string) [][]byte {
	text, err := os.ReadFile(file)
	require.NoError(f, err)
	var out [][]byte
	var block []byte
	for line := range bytes.Lines(text) {
		m, err := parseMessage(string(bytes.TrimRight(line, "\n")))
		if err == nil {
			block, err = m.Encode(block)
			require.NoError(f, err)
		} else if bytes.HasPrefix(line, []byte("----")) {
			out = append(out, block)
			block = nil
		}
	}
	return out
}
