package parse

import (
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// The grammar walks its tree by recursion on a stack of fixed size, and a tree
// that is too deep ends the process (or breaks the WebAssembly module for good).
// So the depth is bounded before the grammar sees a text, by an estimate that is
// never too low: the weights of what can add a level, summed over the expression
// that a place in the text lies in and all those around it.
const (
	maxDepth     = 4000
	weightNested = 4 // parentheses, CASE
	weightChain  = 2 // operators and the like: a + b + c is a tree as deep as long

	// maxFlatBytes is the longest text that cannot reach maxDepth.
	maxFlatBytes = maxDepth / weightNested
)

// chainWords make chains of expressions; unionWords of queries and joins, which go
// on over commas.
var (
	chainWords = " not is isnull notnull collate at in like ilike similar between overlaps operator "
	unionWords = " union intersect except join "
	// breakWords end a chain: what stands after them is no deeper for what stood
	// before. AND and OR make one flat list.
	breakWords = " and or when then else "
)

// level is one pair of parentheses, or CASE and END.
type level struct{ chain, unions int }

// depthMeter reads a text once.
type depthMeter struct {
	text   string
	at     int
	levels []level
	sum    int // weight of all levels
}

// checkDepth is nil, or 54001 for a text that may be nested too deeply.
func checkDepth(text string) error {
	if len(text) <= maxFlatBytes {
		return nil
	}
	m := depthMeter{text: text, levels: make([]level, 1, 16)}
	for m.at < len(text) {
		m.token()
		if m.sum > maxDepth {
			return sqlerr.New("54001", "stack depth limit exceeded").
				WithHint("The simulated cluster takes about %d levels of parentheses, and chains of about %d operators.", maxDepth/weightNested, maxDepth/weightChain)
		}
	}
	return nil
}

func (m *depthMeter) token() {
	c := m.text[m.at]
	rest := m.text[m.at:]
	switch {
	case strings.HasPrefix(rest, "--"):
		m.skipPast("\n", 2)
	case strings.HasPrefix(rest, "/*"):
		m.comment()
	case c == '\'':
		m.quoted('\'', m.afterE())
	case c == '"':
		m.quoted('"', false)
	case c == '$':
		m.dollar()
	case isWordByte(c):
		m.word()
	case strings.IndexByte("+-*/<>=~!@#%^&|`?:[", c) >= 0:
		m.operator()
	default:
		m.at++
		m.punctuation(c)
	}
}

func (m *depthMeter) punctuation(c byte) {
	switch c {
	case '(':
		m.open()
	case ')':
		m.shut()
	case ',':
		m.breakChain()
	case ';':
		m.levels, m.sum = m.levels[:1], 0
		m.levels[0] = level{}
	}
}

func (m *depthMeter) top() *level { return &m.levels[len(m.levels)-1] }

func (m *depthMeter) open() {
	m.levels = append(m.levels, level{})
	m.sum += weightNested
}

func (m *depthMeter) shut() {
	if len(m.levels) > 1 {
		t := m.top()
		m.sum -= t.chain + t.unions + weightNested
		m.levels = m.levels[:len(m.levels)-1]
	}
}

func (m *depthMeter) breakChain() {
	m.sum -= m.top().chain
	m.top().chain = 0
}

func (m *depthMeter) operator() {
	m.at++
	for m.at < len(m.text) && strings.IndexByte("<>=~!@#%^&|`?:", m.text[m.at]) >= 0 {
		m.at++
	}
	m.top().chain += weightChain
	m.sum += weightChain
}

func (m *depthMeter) word() {
	start := m.at
	for m.at < len(m.text) && (isWordByte(m.text[m.at]) || m.text[m.at] == '$') {
		m.at++
	}
	if m.at-start > len("intersect") {
		return
	}
	word := " " + strings.ToLower(m.text[start:m.at]) + " "
	switch {
	case strings.Contains(chainWords, word):
		m.top().chain += weightChain
		m.sum += weightChain
	case strings.Contains(unionWords, word):
		m.top().unions += weightChain
		m.sum += weightChain
	case strings.Contains(breakWords, word):
		m.breakChain()
	case word == " case ":
		m.open()
	case word == " end ":
		m.shut()
	}
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// skipPast goes behind the next end, which begins at the offset from here at the
// earliest.
func (m *depthMeter) skipPast(end string, offset int) {
	from := min(m.at+offset, len(m.text))
	i := strings.Index(m.text[from:], end)
	if i < 0 {
		m.at = len(m.text)
		return
	}
	m.at = from + i + len(end)
}

// comment skips a comment, in which others may lie.
func (m *depthMeter) comment() {
	depth := 0
	for m.at < len(m.text) {
		switch rest := m.text[m.at:]; {
		case strings.HasPrefix(rest, "/*"):
			depth++
			m.at += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			m.at += 2
		default:
			m.at++
		}
		if depth == 0 {
			return
		}
	}
}

// afterE reports whether the quote here begins an escape string, E'…'.
func (m *depthMeter) afterE() bool {
	return m.at > 0 && m.text[m.at-1]|0x20 == 'e' && (m.at == 1 || !isWordByte(m.text[m.at-2]))
}

func (m *depthMeter) quoted(quote byte, escapes bool) {
	for m.at++; m.at < len(m.text); m.at++ {
		switch c := m.text[m.at]; {
		case c == '\\' && escapes:
			m.at++
		case c == quote:
			// A doubled quote ends one run and begins the next: the same.
			m.at++
			return
		}
	}
}

// dollar skips a dollar-quoted string; a lone $ belongs to a parameter.
func (m *depthMeter) dollar() {
	end := m.at + 1
	for end < len(m.text) && isWordByte(m.text[end]) {
		end++
	}
	tag := m.text[m.at:min(end+1, len(m.text))]
	digit := len(tag) > 1 && tag[1] >= '0' && tag[1] <= '9'
	if digit || !strings.HasSuffix(tag, "$") || len(tag) < 2 {
		m.at++
		return
	}
	m.skipPast(tag, len(tag))
}
