package types

import "encoding/hex"

// parseUUID reads PostgreSQL's forms: 32 hex digits, a hyphen allowed after any
// group of four, braces around it all.
func parseUUID(s string) (Datum, error) {
	var u [16]byte
	t := s
	braces := t != "" && t[0] == '{'
	if braces {
		t = t[1:]
	}
	for i := range u {
		if len(t) < 2 {
			return nil, invalidSyntax(UUID, s)
		}
		hi, ok1 := hexDigit(t[0])
		lo, ok2 := hexDigit(t[1])
		if !ok1 || !ok2 {
			return nil, invalidSyntax(UUID, s)
		}
		u[i] = hi<<4 | lo
		t = t[2:]
		if t != "" && t[0] == '-' && i%2 == 1 && i < 15 {
			t = t[1:]
		}
	}
	if braces {
		if t == "" || t[0] != '}' {
			return nil, invalidSyntax(UUID, s)
		}
		t = t[1:]
	}
	if t != "" {
		return nil, invalidSyntax(UUID, s)
	}
	return u, nil
}

func appendUUID(buf []byte, u [16]byte) []byte {
	buf = hex.AppendEncode(buf, u[:4])
	for _, part := range [][]byte{u[4:6], u[6:8], u[8:10], u[10:]} {
		buf = append(buf, '-')
		buf = hex.AppendEncode(buf, part)
	}
	return buf
}
