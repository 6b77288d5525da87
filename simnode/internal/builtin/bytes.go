package builtin

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func addBytes(r *Registry) {
	r.operator("||", types.Bytea, types.Bytea, types.Bytea, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		return append(append([]byte{}, a.([]byte)...), b.([]byte)...), nil
	})
	one := []types.OID{types.Bytea}
	size := func(_ *Context, args []types.Datum) (types.Datum, error) { return int32(len(args[0].([]byte))), nil }
	r.pure("length", one, types.Int4, size)
	r.pure("octet_length", one, types.Int4, size)
	r.pure("md5", one, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		sum := md5.Sum(args[0].([]byte))
		return hex.EncodeToString(sum[:]), nil
	})
	for _, name := range []string{"substr", "substring"} {
		r.pure(name, []types.OID{types.Bytea, types.Int4}, types.Bytea, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return substringBytes(args[0].([]byte), int64(args[1].(int32)), nil)
		})
		r.pure(name, []types.OID{types.Bytea, types.Int4, types.Int4}, types.Bytea, func(_ *Context, args []types.Datum) (types.Datum, error) {
			count := int64(args[2].(int32))
			return substringBytes(args[0].([]byte), int64(args[1].(int32)), &count)
		})
	}
	r.pure("encode", []types.OID{types.Bytea, types.Text}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return encode(args[0].([]byte), args[1].(string))
	})
	r.pure("decode", []types.OID{types.Text, types.Text}, types.Bytea, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return decode(args[0].(string), args[1].(string))
	})
	r.function(Function{Name: "gen_random_uuid", Result: types.UUID, Strict: true, Fn: func(c *Context, _ []types.Datum) (types.Datum, error) {
		return randomUUID(c), nil
	}})
}

func substringBytes(b []byte, start int64, count *int64) (types.Datum, error) {
	from, to, err := substring(func(n int) int { return n }, len(b), start, count)
	if err != nil {
		return nil, err
	}
	return b[from:to:to], nil
}

func encode(b []byte, format string) (types.Datum, error) {
	switch strings.ToLower(format) {
	case "hex":
		return hex.EncodeToString(b), nil
	case "base64":
		return wrap(base64.StdEncoding.EncodeToString(b), 76), nil
	case "escape":
		return escape(b), nil
	default:
		return nil, unknownEncoding(format)
	}
}

// wrap breaks lines as MIME does, which encode(…, 'base64') follows.
func wrap(s string, width int) string {
	var out strings.Builder
	for len(s) > width {
		out.WriteString(s[:width] + "\n")
		s = s[width:]
	}
	return out.String() + s
}

// escape writes zero and high bytes in octal and doubles backslashes.
func escape(b []byte) string {
	var out strings.Builder
	for _, c := range b {
		switch {
		case c == '\\':
			out.WriteString(`\\`)
		case c == 0 || c >= 0x80:
			fmt.Fprintf(&out, `\%03o`, c)
		default:
			out.WriteByte(c)
		}
	}
	return out.String()
}

func decode(s, format string) (types.Datum, error) {
	switch strings.ToLower(format) {
	case "hex":
		compact := strings.Join(strings.Fields(s), "")
		b, err := hex.DecodeString(compact)
		if err != nil {
			return nil, sqlerr.New("22023", "invalid hexadecimal data: \"%s\"", s)
		}
		return b, nil
	case "base64":
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
		if err != nil {
			return nil, sqlerr.New("22023", "invalid base64 end sequence")
		}
		return b, nil
	case "escape":
		return types.ParseText(types.Bytea, types.NoTypmod, s)
	default:
		return nil, unknownEncoding(format)
	}
}

func unknownEncoding(format string) error {
	return sqlerr.New("22023", "unrecognized encoding: \"%s\"", format)
}

// randomUUID makes a version 4 UUID (RFC 9562, section 5.4).
func randomUUID(c *Context) [16]byte {
	var id [16]byte
	high, low := c.uint64(), c.uint64()
	for i := range 8 {
		id[i], id[8+i] = byte(high>>(8*i)), byte(low>>(8*i))
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
