package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// body takes a message apart. The first thing that does not fit sticks in bad, and
// everything after it is zero.
type body struct {
	name string
	rest []byte
	bad  string
}

func (b *body) fail(format string, args ...any) {
	if b.bad == "" {
		b.bad = fmt.Sprintf(format, args...)
	}
	b.rest = nil
}

// err is nil if everything fitted and nothing is left over. As in PostgreSQL it is
// the command that fails, not the session: where messages end is still known.
func (b *body) err() error {
	if b.bad == "" && len(b.rest) > 0 {
		b.fail("%d bytes are left over", len(b.rest))
	}
	if b.bad == "" {
		return nil
	}
	return sqlerr.New("08P01", "invalid %s message: %s", b.name, b.bad)
}

func (b *body) cstring(what string) string {
	end := bytes.IndexByte(b.rest, 0)
	if end < 0 {
		b.fail("%s is not terminated", what)
		return ""
	}
	s := string(b.rest[:end])
	b.rest = b.rest[end+1:]
	return s
}

func (b *body) take(n int, what string) []byte {
	if n < 0 || n > len(b.rest) {
		b.fail("%s is cut off", what)
		return nil
	}
	out := b.rest[:n:n]
	b.rest = b.rest[n:]
	return out
}

func (b *body) uint8(what string) byte {
	if p := b.take(1, what); p != nil {
		return p[0]
	}
	return 0
}

func (b *body) uint16(what string) int {
	if p := b.take(2, what); p != nil {
		return int(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (b *body) uint32(what string) uint32 {
	if p := b.take(4, what); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

type parseMessage struct {
	name, sql string
	params    []types.OID
}

func decodeParse(data []byte) (m parseMessage, err error) {
	b := body{name: "Parse", rest: data}
	m.name = b.cstring("statement name")
	m.sql = b.cstring("query string")
	n := b.uint16("number of parameter types")
	if raw := b.take(4*n, "list of parameter types"); len(raw) > 0 {
		m.params = make([]types.OID, n)
		for i := range m.params {
			m.params[i] = binary.BigEndian.Uint32(raw[4*i:])
		}
	}
	return m, b.err()
}

type bindMessage struct {
	portal, statement           string
	paramFormats, resultFormats []session.Format
	params                      [][]byte // nil is NULL; valid as long as the body
}

func decodeBind(data []byte) (m bindMessage, err error) {
	b := body{name: "Bind", rest: data}
	m.portal = b.cstring("portal name")
	m.statement = b.cstring("statement name")
	m.paramFormats = b.formats("parameter format codes")
	n := b.uint16("number of parameters")
	if len(b.rest) < 4*n {
		b.fail("list of parameters is cut off")
	} else if n > 0 {
		m.params = make([][]byte, n)
		for i := range m.params {
			m.params[i] = b.parameter(i)
		}
	}
	m.resultFormats = b.formats("result format codes")
	return m, b.err()
}

func (b *body) formats(what string) []session.Format {
	n := b.uint16("number of " + what)
	raw := b.take(2*n, "list of "+what)
	if len(raw) == 0 {
		return nil
	}
	out := make([]session.Format, n)
	for i := range out {
		out[i] = session.Format(binary.BigEndian.Uint16(raw[2*i:]))
	}
	return out
}

func (b *body) parameter(i int) []byte {
	if b.bad != "" {
		return nil
	}
	if len(b.rest) >= 4 {
		size := int(int32(binary.BigEndian.Uint32(b.rest)))
		b.rest = b.rest[4:]
		if size == -1 {
			return nil
		}
		if size >= 0 && size <= len(b.rest) {
			p := b.rest[:size:size]
			b.rest = b.rest[size:]
			return p
		}
	}
	b.fail("parameter %d is cut off", i+1)
	return nil
}

// decodeTarget takes Describe and Close apart: 'S' or 'P', and a name.
func decodeTarget(message string, data []byte) (kind byte, name string, err error) {
	b := body{name: message, rest: data}
	kind = b.uint8("kind of object")
	name = b.cstring("name")
	if b.bad == "" && kind != 'S' && kind != 'P' {
		b.fail("kind of object is %d, allowed are 'S' and 'P'", kind)
	}
	return kind, name, b.err()
}

func decodeExecute(data []byte) (portal string, maxRows int, err error) {
	b := body{name: "Execute", rest: data}
	portal = b.cstring("portal name")
	// A negative number of rows means all, as in PostgreSQL.
	maxRows = max(int(int32(b.uint32("number of rows"))), 0)
	return portal, maxRows, b.err()
}

func decodeQuery(data []byte) (string, error) {
	b := body{name: "Query", rest: data}
	sql := b.cstring("query string")
	return sql, b.err()
}

func decodeEmpty(message string, data []byte) error {
	b := body{name: message, rest: data}
	return b.err()
}
