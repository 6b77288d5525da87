package builtin

import (
	"crypto/md5"
	"encoding/hex"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// maxTextBytes bounds what repeat and the pads may build: PostgreSQL's largest
// allocation (MaxAllocSize) less the header of a value.
const maxTextBytes = 0x3fffffff - 4

func addTextFunctions(r *Registry) {
	addTextMeasures(r)
	addTextCuts(r)
	addTextBuilders(r)
	addConcat(r)
}

func (r *Registry) textToText(name string, fn func(s string) string) {
	r.pure(name, []types.OID{types.Text}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return fn(args[0].(string)), nil
	})
}

func (r *Registry) textToInt(name string, fn func(s string) int) {
	r.pure(name, []types.OID{types.Text}, types.Int4, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return int32(fn(args[0].(string))), nil
	})
}

func addTextMeasures(r *Registry) {
	for _, name := range []string{"length", "char_length", "character_length"} {
		r.textToInt(name, utf8.RuneCountInString)
	}
	r.textToInt("octet_length", func(s string) int { return len(s) })
	r.textToInt("bit_length", func(s string) int { return 8 * len(s) })
	r.textToInt("ascii", func(s string) int {
		if s == "" {
			return 0
		}
		first, _ := utf8.DecodeRuneInString(s)
		return int(first)
	})
	r.textToText("lower", lower)
	r.textToText("upper", upper)
	r.textToText("initcap", initcap)
	r.textToText("reverse", func(s string) string {
		out := []rune(s)
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
		return string(out)
	})
	r.textToText("md5", func(s string) string {
		sum := md5.Sum([]byte(s))
		return hex.EncodeToString(sum[:])
	})
	r.textToText("quote_ident", quoteIdent)
	r.textToText("quote_literal", quoteLiteral)
	find := func(_ *Context, args []types.Datum) (types.Datum, error) {
		s := args[0].(string)
		at := strings.Index(s, args[1].(string))
		if at < 0 {
			return int32(0), nil
		}
		return int32(utf8.RuneCountInString(s[:at]) + 1), nil
	}
	two := []types.OID{types.Text, types.Text}
	r.pure("strpos", two, types.Int4, find)
	r.pure("position", two, types.Int4, find)
	r.pure("starts_with", two, types.Bool, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return strings.HasPrefix(args[0].(string), args[1].(string)), nil
	})
}

func addTextCuts(r *Registry) {
	for _, name := range []string{"substr", "substring"} {
		r.pure(name, []types.OID{types.Text, types.Int4}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return substringText(args[0].(string), int64(args[1].(int32)), nil)
		})
		r.pure(name, []types.OID{types.Text, types.Int4, types.Int4}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
			count := int64(args[2].(int32))
			return substringText(args[0].(string), int64(args[1].(int32)), &count)
		})
	}
	for name, trim := range map[string]func(s, set string) string{"btrim": strings.Trim, "ltrim": strings.TrimLeft, "rtrim": strings.TrimRight} {
		r.textToText(name, func(s string) string { return trim(s, " ") })
		r.pure(name, []types.OID{types.Text, types.Text}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return trim(args[0].(string), args[1].(string)), nil
		})
	}
	side := []types.OID{types.Text, types.Int4}
	r.pure("left", side, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		s := args[0].(string)
		return s[:edge(s, int(args[1].(int32)))], nil
	})
	r.pure("right", side, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		s, n := args[0].(string), int(args[1].(int32))
		if n >= 0 {
			n = max(utf8.RuneCountInString(s)-n, 0)
		} else {
			n = -n
		}
		if n == math.MaxInt32+1 {
			n = 0 // PostgreSQL negates in 32 bits, and the smallest integer stays negative
		}
		return s[runes(s, n):], nil
	})
	r.pure("split_part", []types.OID{types.Text, types.Text, types.Int4}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return splitPart(args[0].(string), args[1].(string), int(args[2].(int32)))
	})
}

func splitPart(s, separator string, n int) (types.Datum, error) {
	if n == 0 {
		return nil, sqlerr.New("22023", "field position must not be zero")
	}
	parts := []string{s}
	if separator != "" {
		parts = strings.Split(s, separator)
	}
	if n < 0 {
		n += len(parts) + 1
	}
	if n < 1 || n > len(parts) {
		return "", nil
	}
	return parts[n-1], nil
}

func addTextBuilders(r *Registry) {
	r.pure("replace", []types.OID{types.Text, types.Text, types.Text}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		if args[1].(string) == "" {
			return args[0], nil
		}
		return strings.ReplaceAll(args[0].(string), args[1].(string), args[2].(string)), nil
	})
	r.pure("translate", []types.OID{types.Text, types.Text, types.Text}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return translate(args[0].(string), []rune(args[1].(string)), []rune(args[2].(string))), nil
	})
	r.pure("repeat", []types.OID{types.Text, types.Int4}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		s, n := args[0].(string), int64(max(args[1].(int32), 0))
		if int64(len(s))*n > maxTextBytes {
			return nil, sqlerr.New("54000", "requested length too large")
		}
		return strings.Repeat(s, int(n)), nil
	})
	r.pure("chr", []types.OID{types.Int4}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		code := args[0].(int32)
		switch {
		case code == 0:
			return nil, sqlerr.New("54000", "null character not permitted")
		case code < 0:
			return nil, sqlerr.New("22023", "character number must be positive")
		case code > unicode.MaxRune || !utf8.ValidRune(code):
			return nil, sqlerr.New("54000", "requested character too large for encoding: %d", code)
		}
		return string(rune(code)), nil
	})
	for name, toLeft := range map[string]bool{"lpad": true, "rpad": false} {
		r.pure(name, []types.OID{types.Text, types.Int4}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return pad(args[0].(string), int(args[1].(int32)), " ", toLeft)
		})
		r.pure(name, []types.OID{types.Text, types.Int4, types.Text}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
			return pad(args[0].(string), int(args[1].(int32)), args[2].(string), toLeft)
		})
	}
	hexadecimal := func(v uint64) (types.Datum, error) { return strconv.FormatUint(v, 16), nil }
	r.pure("to_hex", []types.OID{types.Int4}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return hexadecimal(uint64(uint32(args[0].(int32))))
	})
	r.pure("to_hex", []types.OID{types.Int8}, types.Text, func(_ *Context, args []types.Datum) (types.Datum, error) {
		return hexadecimal(uint64(args[0].(int64)))
	})
}

func pad(s string, width int, fill string, left bool) (types.Datum, error) {
	width = max(width, 0)
	if width*utf8.UTFMax > maxTextBytes {
		return nil, sqlerr.New("54000", "requested length too large")
	}
	missing := width - utf8.RuneCountInString(s)
	if missing <= 0 || fill == "" {
		return s[:runes(s, width)], nil
	}
	filler := strings.Repeat(fill, missing/utf8.RuneCountInString(fill)+1)
	filler = filler[:runes(filler, missing)]
	if left {
		return filler + s, nil
	}
	return s + filler, nil
}

func translate(s string, from, to []rune) string {
	return strings.Map(func(c rune) rune {
		for i, f := range from {
			if f == c {
				if i < len(to) {
					return to[i]
				}
				return -1
			}
		}
		return c
	}, s)
}

func initcap(s string) string {
	var out strings.Builder
	inside := false
	for _, c := range s {
		if inside {
			out.WriteRune(lowerRune(c))
		} else {
			out.WriteRune(upperRune(c))
		}
		inside = c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c))
	}
	return out.String()
}

func quoteIdent(s string) string {
	plain := s != "" && (s[0] == '_' || s[0] >= 'a' && s[0] <= 'z')
	for i := range len(s) {
		c := s[i]
		plain = plain && (c == '_' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9')
	}
	if plain {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
}

func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// addConcat adds the two functions that skip NULLs instead of being strict.
func addConcat(r *Registry) {
	r.function(Function{
		Name: "concat", Args: []types.OID{types.Any}, Result: types.Text, Volatility: Stable, Variadic: true,
		Fn: func(c *Context, args []types.Datum) (types.Datum, error) {
			return strings.Join(texts(c, args), ""), nil
		},
	})
	r.function(Function{
		Name: "concat_ws", Args: []types.OID{types.Text, types.Any}, Result: types.Text, Volatility: Stable, Variadic: true,
		Fn: func(c *Context, args []types.Datum) (types.Datum, error) {
			if args[0] == nil {
				return nil, nil
			}
			return strings.Join(texts(c, args[1:]), args[0].(string)), nil
		},
	})
}

func texts(c *Context, args []types.Datum) []string {
	var parts []string
	for _, arg := range args {
		if arg != nil {
			parts = append(parts, c.text(arg))
		}
	}
	return parts
}
