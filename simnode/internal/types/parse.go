package types

import (
	"strings"
	"unicode/utf8"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// ParseText reads the text form of a type in UTC, as its PostgreSQL input function
// does. Use ParseTextIn where a session's zone and time count. Errors are
// *sqlerr.Error: 22P02 (syntax), 22003 (out of range), 22007 and 22008 (date and
// time), 22001 (longer than the modifier), 22021 (not UTF-8 or a NUL).
func ParseText(oid OID, typmod int32, s string) (Datum, error) {
	return ParseTextIn(oid, typmod, s, Env{})
}

// ParseTextIn is ParseText in a session's environment.
func ParseTextIn(oid OID, typmod int32, s string, env Env) (Datum, error) {
	d, err := parseText(oid, s, env)
	if err != nil || typmod < 0 {
		return d, err
	}
	return ApplyTypmod(d, oid, typmod, false)
}

func parseText(oid OID, s string, env Env) (Datum, error) {
	switch oid {
	case Text, Varchar, Unknown:
		return checkString(s)
	case CharOID:
		d, err := checkString(s)
		if err != nil {
			return nil, err
		}
		return parseChar(d.(string)), nil
	case Name:
		d, err := checkString(s)
		if err != nil {
			return nil, err
		}
		return truncateName(d.(string)), nil
	case Int2, Int4, Int8:
		return parseInt(oid, s)
	case OidOID:
		return parseOID(s)
	case Float8:
		return parseFloat(s)
	case Numeric:
		return parseNumeric(s)
	case Bool:
		return parseBool(s)
	case Bytea:
		return parseBytea(s)
	case UUID:
		return parseUUID(s)
	case DateOID:
		return parseDate(s, env)
	case Timestamptz:
		return parseTimestamptz(s, env)
	case RegclassOID:
		return parseRegclass(s, env)
	case VoidOID:
		return Void{}, nil
	}
	return nil, sqlerr.Unsupported("input of type " + FormatType(oid, NoTypmod))
}

// checkString refuses what the server encoding cannot hold.
func checkString(s string) (Datum, error) {
	if i := strings.IndexByte(s, 0); i >= 0 {
		return nil, sqlerr.New("22021", "invalid byte sequence for encoding \"UTF8\": 0x00")
	}
	if utf8.ValidString(s) {
		return s, nil
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, sqlerr.New("22021", "invalid byte sequence for encoding \"UTF8\": 0x%02x", s[i])
		}
		i += n
	}
	return s, nil
}

// truncateName cuts to NAMEDATALEN-1 bytes at a character boundary.
func truncateName(s string) string {
	const limit = 63
	if len(s) <= limit {
		return s
	}
	end := limit
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end]
}
