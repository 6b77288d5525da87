package types

import (
	"encoding/hex"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// parseBytea reads both input forms: hex ("\x" and digit pairs, with white space
// between pairs) and escape (backslash and three octal digits, or two
// backslashes).
func parseBytea(s string) (Datum, error) {
	if strings.HasPrefix(s, "\\x") {
		return parseHex(s[2:])
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] != '\\':
			out = append(out, s[i])
		case i+3 < len(s) && s[i+1] >= '0' && s[i+1] <= '3' && isOctal(s[i+2]) && isOctal(s[i+3]):
			out = append(out, (s[i+1]-'0')<<6|(s[i+2]-'0')<<3|(s[i+3]-'0'))
			i += 3
		case i+1 < len(s) && s[i+1] == '\\':
			out = append(out, '\\')
			i++
		default:
			return nil, sqlerr.New("22P02", "invalid input syntax for type bytea")
		}
	}
	return out, nil
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

func parseHex(s string) (Datum, error) {
	out := make([]byte, 0, len(s)/2)
	for i := 0; i < len(s); {
		if c := s[i]; c == ' ' || c == '\n' || c == '\t' || c == '\r' {
			i++
			continue
		}
		hi, ok := hexDigit(s[i])
		if !ok {
			return nil, badHex(s[i:])
		}
		if i+1 >= len(s) {
			return nil, sqlerr.New("22023", "invalid hexadecimal data: odd number of digits")
		}
		lo, ok := hexDigit(s[i+1])
		if !ok {
			return nil, badHex(s[i+1:])
		}
		out = append(out, hi<<4|lo)
		i += 2
	}
	return out, nil
}

func badHex(rest string) error {
	r := []rune(rest)[0]
	return sqlerr.New("22023", "invalid hexadecimal digit: \"%c\"", r)
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

func appendBytea(buf, b []byte) []byte {
	buf = append(buf, '\\', 'x')
	return hex.AppendEncode(buf, b)
}
