package catalog

import (
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/types"
)

// SplitName takes a qualified name apart: identifiers, folded to lower case unless
// quoted, with dots between.
func SplitName(text string) (parts []string, ok bool) {
	rest := text
	for {
		rest = strings.TrimLeft(rest, " \t\n")
		var part string
		if strings.HasPrefix(rest, `"`) {
			part, rest, ok = cutQuoted(rest[1:])
			if !ok {
				return nil, false
			}
		} else {
			end := strings.IndexAny(rest, ". \t\n\"")
			if end < 0 {
				end = len(rest)
			}
			part, rest = strings.ToLower(rest[:end]), rest[end:]
		}
		if part == "" {
			return nil, false
		}
		parts = append(parts, part)
		rest = strings.TrimLeft(rest, " \t\n")
		if rest == "" {
			return parts, true
		}
		if rest, ok = strings.CutPrefix(rest, "."); !ok {
			return nil, false
		}
	}
}

// cutQuoted reads a quoted identifier after its opening quote.
func cutQuoted(text string) (name, rest string, ok bool) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(text, `"`)
		if !found {
			return "", "", false
		}
		b.WriteString(before)
		if text, found = strings.CutPrefix(after, `"`); !found {
			return b.String(), after, true
		}
		b.WriteByte('"')
	}
}

// SplitList takes a list of identifiers apart, folded to lower case unless quoted,
// with commas between, as PostgreSQL's SplitIdentifierString does.
func SplitList(text string) (names []string, ok bool) {
	const space = " \t\n\r\f\v"
	rest := strings.TrimLeft(text, space)
	if rest == "" {
		return nil, true
	}
	for {
		var name string
		if quoted, is := strings.CutPrefix(rest, `"`); is {
			if name, rest, ok = cutQuoted(quoted); !ok {
				return nil, false
			}
		} else {
			end := strings.IndexAny(rest, ","+space)
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, false
			}
			name, rest = strings.ToLower(rest[:end]), rest[end:]
		}
		clipped, err := types.ParseText(types.Name, types.NoTypmod, name)
		if err != nil {
			return nil, false
		}
		names = append(names, clipped.(string))
		if rest = strings.TrimLeft(rest, space); rest == "" {
			return names, true
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, false
		}
		rest = strings.TrimLeft(rest, space)
	}
}
