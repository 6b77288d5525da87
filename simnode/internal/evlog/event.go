package evlog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Field is a named detail of an event.
type Field struct {
	Key, Value string
}

// F makes a Field of any value, in fmt's %v form.
func F(key string, value any) Field {
	return Field{Key: key, Value: fmt.Sprint(value)}
}

// Event is one thing that happened. Its Fields are read-only.
type Event struct {
	// Seq counts events from 1, without gaps: a reader sees what it missed.
	Seq uint64
	// At is the time since the log was made.
	At time.Duration
	// Source is who says so, such as "node/2" or "storage/5".
	Source string
	// Kind is one word to choose by, such as "kill" or "evict".
	Kind string
	// Text is for people and may be empty.
	Text   string
	Fields []Field
}

// String gives one line, without a line break: seconds since the start to the
// microsecond, source, kind, text, fields. Equal events give equal bytes.
func (e Event) String() string {
	var b strings.Builder
	micros := e.At.Microseconds()
	fmt.Fprintf(&b, "%4d.%06d %s %s", micros/1e6, micros%1e6, word(e.Source), word(e.Kind))
	if e.Text != "" {
		b.WriteByte(' ')
		b.WriteString(oneLine(e.Text))
	}
	for _, f := range e.Fields {
		fmt.Fprintf(&b, " %s=%s", word(f.Key), word(f.Value))
	}
	return b.String()
}

// word quotes what would not read as one word.
func word(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == '=' || r == '"' || r == 0x7f }) {
		return strconv.Quote(s)
	}
	return s
}

// oneLine quotes a text only if it has control characters.
func oneLine(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return strconv.Quote(s)
	}
	return s
}
