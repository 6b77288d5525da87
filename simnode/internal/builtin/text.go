package builtin

import (
	"strings"
	"unicode/utf8"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func addText(r *Registry) {
	r.operator("||", types.Text, types.Text, types.Text, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		return a.(string) + b.(string), nil
	})
	r.operator("||", types.AnyNonArray, types.Text, types.Text, func(c *Context, a, b types.Datum) (types.Datum, error) {
		return c.castText(a) + b.(string), nil
	})
	r.operator("||", types.Text, types.AnyNonArray, types.Text, func(c *Context, a, b types.Datum) (types.Datum, error) {
		return a.(string) + c.castText(b), nil
	})
	r.operator("^@", types.Text, types.Text, types.Bool, func(_ *Context, a, b types.Datum) (types.Datum, error) {
		return strings.HasPrefix(a.(string), b.(string)), nil
	})
	for _, like := range []struct {
		name         string
		fold, negate bool
	}{{"~~", false, false}, {"!~~", false, true}, {"~~*", true, false}, {"!~~*", true, true}} {
		match := func(a, b string) (types.Datum, error) {
			if like.fold {
				a, b = lower(a), lower(b)
			}
			ok, err := matchLike(a, b)
			if err != nil {
				return nil, err
			}
			return ok != like.negate, nil
		}
		r.operator(like.name, types.Text, types.Text, types.Bool, func(_ *Context, a, b types.Datum) (types.Datum, error) {
			return match(a.(string), b.(string))
		})
	}
}

// matchLike matches a LIKE pattern with the escape character \. It walks both
// strings once and goes back only to the last %, so it is never exponential.
func matchLike(s, pattern string) (bool, error) {
	var starPattern, starText string
	star := false
	for {
		switch {
		case pattern == "" && s == "":
			return true, nil
		case pattern != "" && pattern[0] == '%':
			star, starPattern, starText = true, pattern[1:], s
			pattern = pattern[1:]
			continue
		case pattern != "" && s != "":
			rest, after, ok, err := matchOne(s, pattern)
			if err != nil {
				return false, err
			}
			if ok {
				s, pattern = rest, after
				continue
			}
		}
		if !star || starText == "" {
			return false, nil
		}
		_, size := utf8.DecodeRuneInString(starText)
		starText = starText[size:]
		s, pattern = starText, starPattern
	}
}

// matchOne matches the first character of s with the first element of pattern,
// which is not %.
func matchOne(s, pattern string) (rest, after string, ok bool, err error) {
	_, size := utf8.DecodeRuneInString(s)
	if pattern[0] == '_' {
		return s[size:], pattern[1:], true, nil
	}
	if pattern[0] == '\\' {
		if pattern = pattern[1:]; pattern == "" {
			return "", "", false, escapeAtEnd()
		}
	}
	_, width := utf8.DecodeRuneInString(pattern)
	return s[size:], pattern[width:], s[:size] == pattern[:width], nil
}

func escapeAtEnd() error {
	return sqlerr.New("22025", "LIKE pattern must not end with escape character")
}

// runes gives the byte offset of character n, or the end of s.
func runes(s string, n int) int {
	if n <= 0 {
		return 0
	}
	for i := range s {
		if n == 0 {
			return i
		}
		n--
	}
	return len(s)
}

// substring is SQL's substring: 1-based, and characters before the first count
// against the length.
func substring(length func(int) int, total int, start int64, count *int64) (from, to int, err error) {
	end := int64(total) + 1
	if count != nil {
		if *count < 0 {
			return 0, 0, sqlerr.New("22011", "negative substring length not allowed")
		}
		end = min(end, start+*count)
	}
	start = max(start, 1)
	if start >= end {
		return 0, 0, nil
	}
	return length(int(start - 1)), length(int(end - 1)), nil
}

func substringText(s string, start int64, count *int64) (types.Datum, error) {
	from, to, err := substring(func(n int) int { return runes(s, n) }, utf8.RuneCountInString(s), start, count)
	if err != nil {
		return nil, err
	}
	return s[from:to], nil
}

// lower and upper change ASCII letters only: the collation is "C".
func lower(s string) string { return strings.Map(lowerRune, s) }

func upper(s string) string { return strings.Map(upperRune, s) }

func lowerRune(c rune) rune {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func upperRune(c rune) rune {
	if c >= 'a' && c <= 'z' {
		return c + 'A' - 'a'
	}
	return c
}

// edge gives the byte offset behind n characters for left, counting from the
// right for a negative n.
func edge(s string, n int) int {
	if n < 0 {
		n = max(utf8.RuneCountInString(s)+n, 0)
	}
	return runes(s, n)
}
