package wire_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/pgtest"
)

// TestProtocol plays the scripts of testdata/protocol. Each block named "exchange"
// lists messages that the client sends, and below the line what the server answers,
// up to the last ReadyForQuery (or, with until=NAME, up to a message of that name,
// or with until=close, up to the end). A real PostgreSQL 15 must answer the same
// scripts with the same messages; those in testdata/simnode are the simulator's
// own.
//
//	Query SQL
//	Parse NAME [OID,…] SQL          - stands for the empty name
//	Bind PORTAL STATEMENT VALUE… => FORMATS
//	                                VALUE is t:TEXT, b:HEX or NULL; FORMATS like tb
//	Describe S|P NAME · Close S|P NAME · Execute PORTAL MAXROWS
//	Sync · Flush · Terminate · FunctionCall · CopyData · CopyDone · CopyFail
func TestProtocol(t *testing.T) {
	t.Run("simnode", func(t *testing.T) {
		playAll(t, "testdata/protocol", func(t *testing.T) net.Conn { return dial(t, serve(t, options{}).addr()) })
		playAll(t, "testdata/simnode", func(t *testing.T) net.Conn { return dial(t, serve(t, options{}).addr()) })
	})
	t.Run("postgres", func(t *testing.T) {
		pg := pgtest.Start(t, pgtest.Options{})
		playAll(t, "testdata/protocol", func(t *testing.T) net.Conn { return dial(t, pg.Addr()) })
	})
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	return nc
}

func playAll(t *testing.T, dir string, connect func(t *testing.T) net.Conn) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	require.NoError(t, err)
	require.NotEmpty(t, files, dir)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			p := &player{nc: connect(t)}
			p.start(t)
			datadriven.RunTest(t, file, p.block)
			p.cleanUp(t)
		})
	}
}

// player is the client's side of a script.
type player struct {
	nc net.Conn
	fe *pgproto3.Frontend
}

func (p *player) start(t *testing.T) {
	require.NoError(t, p.nc.SetDeadline(time.Now().Add(20*time.Second)))
	p.fe = pgproto3.NewFrontend(p.nc, p.nc)
	p.fe.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{
		"user": "postgres", "database": "postgres", "TimeZone": "UTC",
	}})
	require.NoError(t, p.fe.Flush())
	for {
		m, err := p.fe.Receive()
		require.NoError(t, err)
		if _, ready := m.(*pgproto3.ReadyForQuery); ready {
			return
		}
	}
}

// cleanUp drops the scripts' tables, so that the next script finds none.
func (p *player) cleanUp(t *testing.T) {
	p.fe.Send(&pgproto3.Query{String: "rollback"})
	p.fe.Send(&pgproto3.Query{String: "drop table if exists t, u"})
	if p.fe.Flush() != nil {
		return // the script ended its connection
	}
	for ready := 0; ready < 2; {
		m, err := p.fe.Receive()
		if err != nil {
			return
		}
		if e, failed := m.(*pgproto3.ErrorResponse); failed {
			t.Errorf("cleaning up: %s", e.Message)
		}
		if _, is := m.(*pgproto3.ReadyForQuery); is {
			ready++
		}
	}
}

func (p *player) block(t *testing.T, d *datadriven.TestData) string {
	if d.Cmd != "exchange" {
		d.Fatalf(t, "unknown command %q", d.Cmd)
	}
	ready := 0
	for line := range strings.SplitSeq(d.Input, "\n") {
		m, err := parseMessage(line)
		if err != nil {
			d.Fatalf(t, "%q: %v", line, err)
		}
		switch m.(type) {
		case *pgproto3.Query, *pgproto3.Sync, *pgproto3.FunctionCall:
			ready++
		}
		p.fe.Send(m)
	}
	if err := p.fe.Flush(); err != nil {
		d.Fatalf(t, "%v", err)
	}
	until := ""
	if d.HasArg("until") {
		d.ScanArgs(t, "until", &until)
	}
	return p.receive(d, ready, until)
}

func (p *player) receive(d *datadriven.TestData, ready int, until string) string {
	var out strings.Builder
	for {
		m, err := p.fe.Receive()
		if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			out.WriteString("(closed)\n")
			return out.String()
		}
		if err != nil {
			fmt.Fprintf(&out, "(%v)\n", err)
			return out.String()
		}
		line := describeMessage(m)
		out.WriteString(line + "\n")
		if _, is := m.(*pgproto3.ReadyForQuery); is {
			ready--
		}
		name, _, _ := strings.Cut(line, " ")
		if until == "" && ready == 0 || until == name {
			return out.String()
		}
	}
}

func blank(word string) string {
	if word == "-" {
		return ""
	}
	return word
}

// parseMessage reads one line of a script.
func parseMessage(line string) (pgproto3.FrontendMessage, error) {
	word, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	for len(args) < 3 {
		args = append(args, "")
	}
	switch word {
	case "Query":
		return &pgproto3.Query{String: rest}, nil
	case "Parse":
		m := &pgproto3.Parse{Name: blank(args[0])}
		_, sql, _ := strings.Cut(rest, " ")
		if strings.HasPrefix(sql, "[") {
			list, after, _ := strings.Cut(sql[1:], "] ")
			for oid := range strings.SplitSeq(list, ",") {
				n, err := strconv.ParseUint(oid, 10, 32)
				if err != nil {
					return nil, err
				}
				m.ParameterOIDs = append(m.ParameterOIDs, uint32(n))
			}
			sql = after
		}
		m.Query = sql
		return m, nil
	case "Bind":
		return parseBind(rest)
	case "Describe":
		return &pgproto3.Describe{ObjectType: args[0][0], Name: blank(args[1])}, nil
	case "Close":
		return &pgproto3.Close{ObjectType: args[0][0], Name: blank(args[1])}, nil
	case "Execute":
		n, err := strconv.ParseUint(args[1], 10, 32)
		return &pgproto3.Execute{Portal: blank(args[0]), MaxRows: uint32(n)}, err
	case "Sync":
		return &pgproto3.Sync{}, nil
	case "Flush":
		return &pgproto3.Flush{}, nil
	case "Terminate":
		return &pgproto3.Terminate{}, nil
	case "FunctionCall":
		return &pgproto3.FunctionCall{Function: 1598}, nil
	case "CopyData":
		return &pgproto3.CopyData{Data: []byte(rest)}, nil
	case "CopyDone":
		return &pgproto3.CopyDone{}, nil
	case "CopyFail":
		return &pgproto3.CopyFail{Message: rest}, nil
	}
	return nil, errors.New("unknown message")
}

func parseBind(rest string) (pgproto3.FrontendMessage, error) {
	rest, results, _ := strings.Cut(rest, " =>")
	args := strings.Fields(rest)
	m := &pgproto3.Bind{DestinationPortal: blank(args[0]), PreparedStatement: blank(args[1])}
	for _, arg := range args[2:] {
		kind, value, _ := strings.Cut(arg, ":")
		switch kind {
		case "NULL":
			m.Parameters, m.ParameterFormatCodes = append(m.Parameters, nil), append(m.ParameterFormatCodes, 0)
		case "t":
			m.Parameters, m.ParameterFormatCodes = append(m.Parameters, []byte(value)), append(m.ParameterFormatCodes, 0)
		case "b":
			raw, err := hex.DecodeString(value)
			if err != nil {
				return nil, err
			}
			m.Parameters, m.ParameterFormatCodes = append(m.Parameters, raw), append(m.ParameterFormatCodes, 1)
		default:
			return nil, fmt.Errorf("parameter %q is not t:…, b:… or NULL", arg)
		}
	}
	for _, c := range strings.TrimSpace(results) {
		m.ResultFormatCodes = append(m.ResultFormatCodes, map[rune]int16{'t': 0, 'b': 1}[c])
	}
	return m, nil
}

// describeMessage writes an answer on one line.
func describeMessage(m pgproto3.BackendMessage) string {
	name := strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
	switch m := m.(type) {
	case *pgproto3.RowDescription:
		for _, f := range m.Fields {
			name += fmt.Sprintf(" %q:%d", f.Name, f.DataTypeOID)
			if f.TypeModifier != -1 {
				name += fmt.Sprintf("(%d)", f.TypeModifier)
			}
			name += fmt.Sprintf("/%d", f.DataTypeSize)
			if f.TableOID != 0 {
				name += fmt.Sprintf("#%d", f.TableAttributeNumber)
			}
			if f.Format == 1 {
				name += "b"
			}
		}
	case *pgproto3.DataRow:
		for _, v := range m.Values {
			name += " " + describeValue(v)
		}
	case *pgproto3.CommandComplete:
		name += " " + string(m.CommandTag)
	case *pgproto3.ErrorResponse:
		name += describeError(m)
	case *pgproto3.NoticeResponse:
		name += describeError((*pgproto3.ErrorResponse)(m))
	case *pgproto3.ReadyForQuery:
		name += " " + string(m.TxStatus)
	case *pgproto3.ParameterStatus:
		name += fmt.Sprintf(" %s=%s", m.Name, m.Value)
	case *pgproto3.ParameterDescription:
		name += fmt.Sprint(" ", m.ParameterOIDs)
	}
	return name
}

func describeValue(v []byte) string {
	if v == nil {
		return "NULL"
	}
	for _, c := range v {
		if c < 0x20 || c > 0x7e {
			return "x" + hex.EncodeToString(v)
		}
	}
	return strconv.Quote(string(v))
}

func describeError(e *pgproto3.ErrorResponse) string {
	s := fmt.Sprintf(" %s %s %s", e.SeverityUnlocalized, e.Code, e.Message)
	for _, f := range []struct{ name, value string }{
		{"detail", e.Detail},
		{"hint", e.Hint},
		{"table", e.TableName},
		{"constraint", e.ConstraintName},
	} {
		if f.value != "" {
			s += fmt.Sprintf(" | %s: %s", f.name, f.value)
		}
	}
	if e.Position != 0 {
		s += fmt.Sprintf(" | at %d", e.Position)
	}
	return s
}
