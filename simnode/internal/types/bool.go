package types

import "strings"

// parseBool reads PostgreSQL's spellings: any unambiguous prefix of true, false,
// yes, no, on, off, and 1 or 0, in any case.
func parseBool(s string) (Datum, error) {
	t := strings.ToLower(trimSpace(s))
	switch t {
	case "1", "on":
		return true, nil
	case "0", "of", "off":
		return false, nil
	case "":
		return nil, invalidSyntax(Bool, s)
	}
	switch {
	case strings.HasPrefix("true", t), strings.HasPrefix("yes", t):
		return true, nil
	case strings.HasPrefix("false", t), strings.HasPrefix("no", t):
		return false, nil
	}
	return nil, invalidSyntax(Bool, s)
}
