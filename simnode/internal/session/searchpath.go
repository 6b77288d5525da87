package session

import (
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// userSchema stands in a search path for the schema that is named as the user.
const userSchema = "$user"

// searchPath reads a value that checkSearchPath has let through.
func searchPath(value, user string) catalog.Path {
	names, _ := splitList(value)
	path := make(catalog.Path, len(names))
	for i, name := range names {
		if path[i] = name; name == userSchema {
			path[i] = user
		}
	}
	return path
}

// checkSearchPath takes every list of names: schemas need not exist.
func checkSearchPath(name, value string) (string, error) {
	if _, ok := splitList(value); !ok {
		return "", invalidValue(name, value).WithDetail("List syntax is invalid.")
	}
	return value, nil
}

// splitList takes a list of identifiers apart, folded to lower case unless quoted,
// with commas between, as PostgreSQL's SplitIdentifierString does.
func splitList(text string) (names []string, ok bool) {
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
