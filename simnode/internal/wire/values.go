package wire

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// appendText writes a value as text, in the style that the session's settings ask
// for.
func appendText(buf []byte, oid types.OID, d types.Datum, style session.Style) ([]byte, error) {
	switch v := d.(type) {
	case []byte:
		if style.ByteaEscape {
			return appendEscaped(buf, v), nil
		}
	case float64:
		if style.FloatDigits < 1 {
			return appendRounded(buf, v, style.FloatDigits), nil
		}
	}
	return types.AppendText(buf, oid, d, style.Location)
}

// appendEscaped is bytea_output = escape.
func appendEscaped(buf, value []byte) []byte {
	for _, c := range value {
		switch {
		case c == '\\':
			buf = append(buf, '\\', '\\')
		case c < 0x20 || c > 0x7e:
			buf = append(buf, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			buf = append(buf, c)
		}
	}
	return buf
}

// appendRounded is a float8 under extra_float_digits < 1: C's %.*g with 15 digits
// and fewer.
func appendRounded(buf []byte, v float64, extra int) []byte {
	switch {
	case math.IsNaN(v):
		return append(buf, "NaN"...)
	case math.IsInf(v, 1):
		return append(buf, "Infinity"...)
	case math.IsInf(v, -1):
		return append(buf, "-Infinity"...)
	}
	digits := max(15+extra, 1)
	exponent := 0
	scientific := strconv.FormatFloat(v, 'e', digits-1, 64)
	mantissa, exp, _ := strings.Cut(scientific, "e")
	exponent, _ = strconv.Atoi(exp)
	if exponent >= -4 && exponent < digits {
		fixed := strconv.FormatFloat(v, 'f', digits-1-exponent, 64)
		return append(buf, trimFraction(fixed)...)
	}
	buf = append(buf, trimFraction(mantissa)...)
	return fmt.Appendf(buf, "e%+03d", exponent)
}

func trimFraction(s string) string {
	if !strings.Contains(s, ".") {
		return s
	}
	return strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
}

// decodeParams gives a Bind's parameters as values of the types that the prepared
// statement has.
func decodeParams(m *bindMessage, oids []types.OID, style session.Style) ([]types.Datum, error) {
	formats, n := m.paramFormats, len(m.params)
	if len(formats) > 1 && len(formats) != n {
		return nil, sqlerr.New("08P01", "bind message has %d parameter formats but %d parameters", len(formats), n)
	}
	if n != len(oids) {
		return nil, sqlerr.New("08P01", "bind message supplies %d parameters, but prepared statement \"%s\" requires %d", n, m.statement, len(oids))
	}
	if n == 0 {
		return nil, nil
	}
	out := make([]types.Datum, n)
	for i, raw := range m.params {
		format := session.FormatText
		switch len(formats) {
		case 0:
		case 1:
			format = formats[0]
		default:
			format = formats[i]
		}
		if raw == nil {
			continue
		}
		var err error
		if out[i], err = decodeParam(raw, oids[i], format, style); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func decodeParam(raw []byte, oid types.OID, format session.Format, style session.Style) (types.Datum, error) {
	switch format {
	case session.FormatText:
		text := string(raw)
		if err := checkText(text); err != nil {
			return nil, err
		}
		return types.ParseTextIn(oid, types.NoTypmod, text, types.Env{Location: style.Location, Now: style.Now})
	case session.FormatBinary:
		d, err := types.DecodeBinary(oid, raw)
		if s, ok := d.(string); ok && err == nil {
			err = checkText(s)
		}
		return d, err
	default:
		return nil, sqlerr.New("22023", "unsupported format code: %d", format)
	}
}

// checkText is nil if s may stand in the database: UTF-8 without a zero byte.
func checkText(s string) error {
	for i := 0; i < len(s); {
		if c := s[i]; c != 0 && c < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == 0 || r == utf8.RuneError && size == 1 {
			return invalidBytes(s[i:])
		}
		i += size
	}
	return nil
}

// invalidBytes names as many bytes as the first of them claims to lead, as
// PostgreSQL does.
func invalidBytes(s string) error {
	n := 1
	switch c := s[0]; {
	case c&0xe0 == 0xc0:
		n = 2
	case c&0xf0 == 0xe0:
		n = 3
	case c&0xf8 == 0xf0:
		n = 4
	}
	var named strings.Builder
	for _, c := range []byte(s[:min(n, len(s))]) {
		fmt.Fprintf(&named, " 0x%02x", c)
	}
	return sqlerr.New("22021", "invalid byte sequence for encoding \"UTF8\":%s", named.String())
}
