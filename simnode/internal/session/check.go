package session

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// The isolation levels, as settings name them.
const (
	readUncommitted = "read uncommitted"
	readCommitted   = "read committed"
	repeatableRead  = "repeatable read"
	serializable    = "serializable"
)

func invalidValue(name, value string) *sqlerr.Error {
	return sqlerr.New("22023", "invalid value for parameter \"%s\": \"%s\"", name, value)
}

// checkBool takes what PostgreSQL takes: on, off, 1, 0, and every unambiguous
// beginning of true, false, yes, no, on and off.
func checkBool(name, value string) (string, error) {
	b, ok := parseBool(value)
	switch {
	case !ok:
		return "", sqlerr.New("22023", "parameter \"%s\" requires a Boolean value", name)
	case b:
		return "on", nil
	default:
		return "off", nil
	}
}

func parseBool(value string) (b, ok bool) {
	v := strings.ToLower(value)
	if v == "" || v == "o" {
		return false, false
	}
	for word, b := range map[string]bool{"true": true, "yes": true, "on": true, "1": true, "false": false, "no": false, "off": false, "0": false} {
		if strings.HasPrefix(word, v) {
			return b, true
		}
	}
	return false, false
}

func checkEnum(allowed ...string) func(name, value string) (string, error) {
	return func(name, value string) (string, error) {
		v := strings.ToLower(value)
		if slices.Contains(allowed, v) {
			return v, nil
		}
		return "", invalidValue(name, value).WithHint("Available values: %s.", strings.Join(allowed, ", "))
	}
}

// checkOnly is for settings of which a node has one value only: allowed[0] is it,
// the rest are values that PostgreSQL knows.
func checkOnly(allowed ...string) func(name, value string) (string, error) {
	return func(name, value string) (string, error) {
		if strings.EqualFold(value, allowed[0]) {
			return allowed[0], nil
		}
		if b, err := checkBool(name, value); err == nil && b == allowed[0] {
			return b, nil
		}
		return "", sqlerr.Unsupported(fmt.Sprintf("%s = '%s'", name, value))
	}
}

func checkSynchronous(name, value string) (string, error) {
	if b, err := checkBool(name, value); err == nil {
		return b, nil
	}
	return checkEnum("local", "remote_write", "remote_apply", "on", "off")(name, value)
}

func checkIsolation(name, value string) (string, error) {
	level, err := checkEnum(serializable, repeatableRead, readCommitted, readUncommitted)(name, value)
	if level == serializable {
		return "", sqlerr.Unsupported("isolation level SERIALIZABLE")
	}
	return level, err
}

// unit is what a number without a unit counts, and the units that it may have.
type unit struct {
	base  string
	hint  string
	scale []unitScale // largest first
}

type unitScale struct {
	name   string
	factor float64 // in base units
}

var (
	unitNone   = unit{}
	unitMillis = unit{"ms", `Valid units for this parameter are "us", "ms", "s", "min", "h", and "d".`, []unitScale{
		{"d", 86400000},
		{"h", 3600000},
		{"min", 60000},
		{"s", 1000},
		{"ms", 1},
		{"us", 0.001},
	}}
	unitKilobytes = unit{"kB", `Valid units for this parameter are "B", "kB", "MB", "GB", and "TB".`, []unitScale{
		{"TB", 1 << 30},
		{"GB", 1 << 20},
		{"MB", 1 << 10},
		{"kB", 1},
		{"B", 1.0 / 1024},
	}}
)

// checkInt takes a whole number of u, written with or without a unit.
func checkInt(low, high int64, u unit) func(name, value string) (string, error) {
	return func(name, value string) (string, error) {
		n, err := parseInt(name, value, u)
		if err != nil {
			return "", err
		}
		if n < low || n > high {
			amount := strconv.FormatInt(n, 10)
			if u.base != "" {
				amount += " " + u.base
			}
			return "", sqlerr.New("22023", "%s is outside the valid range for parameter \"%s\" (%d .. %d)", amount, name, low, high)
		}
		return formatInt(n, u), nil
	}
}

func parseInt(name, value string, u unit) (int64, error) {
	text := strings.TrimSpace(value)
	end := len(text)
	for end > 0 && (text[end-1] >= 'a' && text[end-1] <= 'z' || text[end-1] >= 'A' && text[end-1] <= 'Z') {
		end--
	}
	number, suffix := strings.TrimSpace(text[:end]), text[end:]
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(f) || strings.ContainsAny(number, "xX_") {
		return 0, invalidValue(name, value)
	}
	if suffix != "" {
		i := slices.IndexFunc(u.scale, func(s unitScale) bool { return s.name == suffix })
		if i < 0 {
			e := invalidValue(name, value)
			e.Hint = u.hint
			return 0, e
		}
		f *= u.scale[i].factor
	}
	f = math.RoundToEven(f)
	if f > math.MaxInt32 || f < math.MinInt32 {
		return 0, invalidValue(name, value).WithHint("Value exceeds integer range.")
	}
	return int64(f), nil
}

// formatInt writes a number in the largest unit that holds it exactly.
func formatInt(n int64, u unit) string {
	if n > 0 {
		for _, s := range u.scale {
			if f := int64(s.factor); f >= 1 && n%f == 0 {
				return strconv.FormatInt(n/f, 10) + s.name
			}
		}
	}
	return strconv.FormatInt(n, 10)
}

// millis reads a value that checkInt(…, unitMillis) has made.
func millis(value string) time.Duration {
	n, err := parseInt("", value, unitMillis)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

// checkASCII replaces what is not printable ASCII, as PostgreSQL does with
// application_name.
func checkASCII(_, value string) (string, error) {
	out := []byte(value)
	for i, c := range out {
		if c < 32 || c > 126 {
			out[i] = '?'
		}
	}
	return string(out[:min(len(out), 63)]), nil
}

func checkEncoding(name, value string) (string, error) {
	var folded strings.Builder
	for _, r := range strings.ToLower(value) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			folded.WriteRune(r)
		}
	}
	switch code := folded.String(); {
	case code == "utf8" || code == "unicode":
		return "UTF8", nil
	case otherEncoding(code):
		return "", invalidValue(name, value).WithDetail("The simulated cluster speaks UTF8 only.")
	}
	return "", invalidValue(name, value)
}

// otherEncoding reports whether code looks like one of the encodings that
// PostgreSQL knows and a simulated node does not.
func otherEncoding(code string) bool {
	for _, family := range []string{"latin", "iso8859", "win", "koi8", "euc", "sqlascii", "sjis", "big5", "gb", "johab", "mule", "uhc", "shiftjis", "abc", "tcvn", "vscii", "alt"} {
		if strings.HasPrefix(code, family) {
			return true
		}
	}
	return false
}

// checkDateStyle takes ISO, with or without an order of fields.
func checkDateStyle(name, value string) (string, error) {
	order := "MDY"
	for word := range strings.SplitSeq(strings.ToLower(value), ",") {
		switch word = strings.TrimSpace(word); word {
		case "iso", "default":
		case "mdy", "us", "noneuro", "noneuropean":
			order = "MDY"
		case "dmy", "euro", "european":
			order = "DMY"
		case "ymd":
			order = "YMD"
		case "sql", "postgres", "german":
			return "", sqlerr.Unsupported(name + " = '" + value + "'")
		default:
			return "", invalidValue(name, value).WithDetail("Unrecognized key word: \"%s\".", word)
		}
	}
	return "ISO, " + order, nil
}
