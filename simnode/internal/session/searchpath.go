package session

import "github.com/anywriter/anywriter/simnode/internal/catalog"

// userSchema stands in a search path for the schema that is named as the user.
const userSchema = "$user"

// searchPath reads a value that checkSearchPath has let through.
func searchPath(value, user string) catalog.Path {
	names, _ := catalog.SplitList(value)
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
	if _, ok := catalog.SplitList(value); !ok {
		return "", invalidValue(name, value).WithDetail("List syntax is invalid.")
	}
	return value, nil
}
