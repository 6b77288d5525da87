package dsn

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// differsFromItself returns an error if a name gives a key twice, with different
// values: one of the two would be ignored, and nobody would know which. Keys that
// nobody knows are left to checkForeignKey.
func differsFromItself(name string) error {
	pairs := keywordPairs
	if isURL(name) {
		pairs = queryPairs
	}
	seen := make(map[string]string)
	for _, p := range pairs(name) {
		if p.key == "dbname" {
			p.key = "database" // the same to pgx
		}
		if before, twice := seen[p.key]; twice && before != p.value && isKnown(p.key) {
			return fmt.Errorf("dsn: %s is given twice with different values", p.key)
		}
		seen[p.key] = p.value
	}
	return nil
}

// pair is a key and its value, both without quotes and escapes.
type pair struct{ key, value string }

// queryPairs returns the pairs in the query of a URL that pgx can read.
func queryPairs(name string) (out []pair) {
	query, _ := urlQuery(name)
	for _, p := range strings.Split(query, "&") {
		k, v, _ := strings.Cut(p, "=")
		key, err := url.QueryUnescape(k)
		if err != nil {
			continue
		}
		if value, err := url.QueryUnescape(v); err == nil {
			out = append(out, pair{key, value})
		}
	}
	return out
}

// keywordPairs returns the pairs of a name of keywords and values that pgx can read.
func keywordPairs(name string) (out []pair) {
	for i := 0; i < len(name); {
		end, _ := endOfPair(name, i)
		key, value, _ := strings.Cut(name[i:end], "=")
		value = strings.Trim(value, spaces)
		if quoted, ok := strings.CutPrefix(value, "'"); ok {
			value = strings.TrimSuffix(quoted, "'")
		}
		out = append(out, pair{strings.Trim(key, spaces), unescape(value)})
		i = end
	}
	return out
}

// unescape takes away the backslashes that escape something.
func unescape(v string) string {
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] == '\\' && i+1 < len(v) {
			i++
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

// isKnown reports whether a key is ours, pgx's, or a setting of the server, and so
// surely no part of a password.
func isKnown(key string) bool {
	return slices.ContainsFunc(Keys(), func(k Key) bool { return k.Name == key }) ||
		slices.Contains(pgxKeys(), key) || slices.Contains(startupKeys(), key) || isServerSetting(strings.ToLower(key))
}
