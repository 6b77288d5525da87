package dsn

import (
	"errors"
	"strings"
)

// errSemicolon is the answer to a ";" inside a URL that separates nothing.
var errSemicolon = errors.New(`dsn: a literal ";" inside a URL must be written %3B; ` +
	`a ";" separates names only before "postgres://", "postgresql://" or "key="`)

// split cuts a text into single names at the semicolons that separate them:
// those outside quotes that stand before "postgres://", "postgresql://" or
// "key=". Any other semicolon belongs to a value, and is an error in a URL.
func split(text string) ([]string, error) {
	var parts []string
	for {
		end, err := endOfName(text)
		if err != nil {
			return nil, err
		}
		parts = append(parts, text[:end])
		if end == len(text) {
			return parts, nil
		}
		text = trimSpace(text[end+1:])
	}
}

// endOfName returns where the first name in text ends: at a separator or at the
// end.
func endOfName(text string) (int, error) {
	if isURL(text) {
		i := strings.IndexByte(text, ';')
		if i < 0 {
			return len(text), nil
		}
		if !startsName(text[i+1:]) {
			return 0, errSemicolon
		}
		return i, nil
	}
	i := 0
	for i < len(text) {
		next, found := endOfPair(text, i)
		if found {
			return next, nil
		}
		i = next
	}
	return len(text), nil
}

// endOfPair walks over one key = value pair that starts at i. It returns the
// place of the separator that ends the name, or where the next pair begins.
func endOfPair(text string, i int) (int, bool) {
	for i < len(text) && text[i] != '=' {
		if text[i] == ';' && startsName(text[i+1:]) {
			return i, true
		}
		i++
	}
	i++ // the "="
	for i < len(text) && isSpace(text[i]) {
		i++
	}
	if i < len(text) && text[i] == '\'' {
		return endOfQuoted(text, i+1), false
	}
	for i < len(text) && !isSpace(text[i]) {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == ';' && startsName(text[i+1:]):
			return i, true
		}
		i++
	}
	return min(i, len(text)), false
}

// endsInEmptyValue reports whether a name of keywords and values ends in a key
// and its "=" without a value.
func endsInEmptyValue(name string) bool {
	for i := 0; i < len(name); {
		equals := strings.IndexByte(name[i:], '=')
		if equals >= 0 && trimSpace(name[i+equals+1:]) == "" {
			return true
		}
		next, ended := endOfPair(name, i)
		if ended {
			return false
		}
		i = next
	}
	return false
}

// endOfQuoted returns the place behind the closing quote.
func endOfQuoted(text string, i int) int {
	for i < len(text) && text[i] != '\'' {
		if text[i] == '\\' {
			i++
		}
		i++
	}
	return min(i+1, len(text))
}

// startsName reports whether text begins a name: a URL, or a key with its "=".
func startsName(text string) bool {
	text = trimSpace(text)
	if isURL(text) {
		return true
	}
	i := 0
	for i < len(text) && isKeyByte(text[i]) {
		i++
	}
	return i > 0 && strings.HasPrefix(trimSpace(text[i:]), "=")
}

func isURL(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

func isKeyByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.'
}

// spaces separate pairs.
const spaces = " \t\n\r\v\f"

func isSpace(c byte) bool { return strings.IndexByte(spaces, c) >= 0 }

func trimSpace(s string) string { return strings.TrimLeft(s, spaces) }
