package stmtclass

import "strings"

// tokenKind says what a token is. The zero value is tokenEnd.
type tokenKind uint8

const (
	tokenEnd     tokenKind = iota
	tokenWord              // an identifier or keyword without quotes
	tokenQuoted            // "…" or U&"…"
	tokenString            // '…' of any sort, or a dollar quote
	tokenNumber            // 1, 1.5, .5, 1e9
	tokenParam             // $1
	tokenOpen              // (
	tokenClose             // )
	tokenSemi              // ;
	tokenDot               // .
	tokenComma             // ,
	tokenCast              // ::
	tokenOther             // any other single character
	tokenInvalid           // an unterminated quote or comment, or a NUL
)

// token is a piece of the text. It refers to the text and owns nothing.
type token struct {
	kind       tokenKind
	start, end int
}

// lexer cuts a text into tokens as PostgreSQL's scan.l does with
// standard_conforming_strings on. Each byte is looked at a bounded number of
// times.
type lexer struct {
	text string
	pos  int
}

// next returns the next token; after tokenEnd or tokenInvalid it returns the
// same again.
func (l *lexer) next() token {
	if !l.skipSpace() {
		return token{kind: tokenInvalid, start: l.pos, end: l.pos}
	}
	start := l.pos
	if start >= len(l.text) {
		return token{kind: tokenEnd, start: start, end: start}
	}
	kind := l.scan(l.text[start])
	if kind == tokenInvalid {
		l.pos = start // stays here: the rest can't be understood
	}
	return token{kind: kind, start: start, end: l.pos}
}

// scan consumes the token that starts with c at the current position.
func (l *lexer) scan(c byte) tokenKind {
	switch {
	case isWordStart(c):
		return l.scanWord(c)
	case isDigit(c) || c == '.' && isDigit(l.peek(1)):
		l.scanNumber()
		return tokenNumber
	case c == '\'':
		return l.scanString(1, false)
	case c == '"':
		return l.scanQuoted(1)
	case c == '$':
		return l.scanDollar()
	case c == 0:
		return tokenInvalid
	case c == ':' && l.peek(1) == ':':
		l.pos += 2
		return tokenCast
	}
	l.pos++
	switch c {
	case '(':
		return tokenOpen
	case ')':
		return tokenClose
	case ';':
		return tokenSemi
	case '.':
		return tokenDot
	case ',':
		return tokenComma
	default:
		return tokenOther
	}
}

// peek returns the byte n places ahead, or 0 at the end.
func (l *lexer) peek(n int) byte {
	if l.pos+n < len(l.text) {
		return l.text[l.pos+n]
	}
	return 0
}

// skipSpace moves to the next token, over spaces and comments. It reports false
// if a comment doesn't end.
func (l *lexer) skipSpace() bool {
	for l.pos < len(l.text) {
		switch c := l.text[l.pos]; {
		case isSpace(c):
			l.pos++
		case c == '-' && l.peek(1) == '-':
			l.skipLine()
		case c == '/' && l.peek(1) == '*':
			if !l.skipBlock() {
				return false
			}
		default:
			return true
		}
	}
	return true
}

// skipLine moves to the end of a -- comment.
func (l *lexer) skipLine() {
	for l.pos < len(l.text) && l.text[l.pos] != '\n' && l.text[l.pos] != '\r' {
		l.pos++
	}
}

// skipBlock moves behind a /* comment */; these nest. It reports false, without
// moving, if the comment doesn't end.
func (l *lexer) skipBlock() bool {
	depth := 0
	for i := l.pos; i+1 < len(l.text); {
		switch pair := l.text[i : i+2]; pair {
		case "/*":
			depth++
			i += 2
		case "*/":
			depth--
			i += 2
			if depth == 0 {
				l.pos = i
				return true
			}
		default:
			i++
		}
	}
	return false
}

// scanWord consumes a word, or the string or quoted identifier that the word is
// the prefix of (E'…', B'…', X'…', N'…', U&'…', U&"…").
func (l *lexer) scanWord(c byte) tokenKind {
	switch c {
	case 'e', 'E':
		if l.peek(1) == '\'' {
			return l.scanString(2, true)
		}
	case 'b', 'B', 'x', 'X', 'n', 'N':
		if l.peek(1) == '\'' {
			return l.scanString(2, false)
		}
	case 'u', 'U':
		if l.peek(1) == '&' && l.peek(2) == '\'' {
			return l.scanString(3, false)
		}
		if l.peek(1) == '&' && l.peek(2) == '"' {
			return l.scanQuoted(3)
		}
	}
	for l.pos < len(l.text) && isWordPart(l.text[l.pos]) {
		l.pos++
	}
	return tokenWord
}

// scanNumber consumes digits, a fraction and an exponent. Hexadecimal numbers
// and digit groups of newer servers come out as a number and a word, which
// means the same to the classifier.
func (l *lexer) scanNumber() {
	l.skipDigits()
	if l.peek(0) == '.' && l.peek(1) != '.' {
		l.pos++
		l.skipDigits()
	}
	if c := l.peek(0); c != 'e' && c != 'E' {
		return
	}
	if isDigit(l.peek(1)) {
		l.pos++
	} else if s := l.peek(1); (s == '+' || s == '-') && isDigit(l.peek(2)) {
		l.pos += 2
	}
	l.skipDigits()
}

func (l *lexer) skipDigits() {
	for isDigit(l.peek(0)) {
		l.pos++
	}
}

// scanString consumes a string whose opening quote is the last of the first
// prefix bytes. With escapes, a backslash takes the next byte with it. A string
// goes on after a line break if the next thing is a quote again (SQL's string
// continuation), and then under the same escape rule.
func (l *lexer) scanString(prefix int, escapes bool) tokenKind {
	i := l.pos + prefix
	for i < len(l.text) {
		switch c := l.text[i]; {
		case c == 0:
			return tokenInvalid
		case c == '\\' && escapes:
			i += 2
		case c != '\'':
			i++
		case i+1 < len(l.text) && l.text[i+1] == '\'':
			i += 2
		default:
			l.pos = i + 1
			if !escapes {
				return tokenString // a continuation reads the same as a new string
			}
			next, ok := l.continuation()
			if !ok {
				return tokenString
			}
			i = next
		}
	}
	return tokenInvalid
}

// continuation reports whether the string that ended just before the current
// position goes on after a line break, and where its next byte is. Only spaces
// and -- comments may stand between.
func (l *lexer) continuation() (int, bool) {
	ahead := lexer{text: l.text, pos: l.pos}
	broken := false
	for ahead.pos < len(ahead.text) {
		switch c := ahead.text[ahead.pos]; {
		case c == '\n' || c == '\r':
			broken = true
			ahead.pos++
		case isSpace(c):
			ahead.pos++
		case c == '-' && ahead.peek(1) == '-':
			ahead.skipLine()
		default:
			return ahead.pos + 1, broken && c == '\''
		}
	}
	return 0, false
}

// scanQuoted consumes a quoted identifier whose opening quote is the last of
// the first prefix bytes.
func (l *lexer) scanQuoted(prefix int) tokenKind {
	i := l.pos + prefix
	for i < len(l.text) {
		switch c := l.text[i]; {
		case c == 0:
			return tokenInvalid
		case c != '"':
			i++
		case i+1 < len(l.text) && l.text[i+1] == '"':
			i += 2
		default:
			l.pos = i + 1
			return tokenQuoted
		}
	}
	return tokenInvalid
}

// scanDollar consumes a parameter ($1), a dollar-quoted string ($$…$$,
// $tag$…$tag$), or just the dollar sign.
func (l *lexer) scanDollar() tokenKind {
	if isDigit(l.peek(1)) {
		l.pos++
		l.skipDigits()
		return tokenParam
	}
	i := l.pos + 1
	for i < len(l.text) && l.text[i] != '$' && isWordPart(l.text[i]) {
		i++
	}
	if i >= len(l.text) || l.text[i] != '$' {
		l.pos++
		return tokenOther
	}
	tag := l.text[l.pos : i+1]
	length := strings.Index(l.text[i+1:], tag)
	if length < 0 || strings.IndexByte(l.text[i+1:i+1+length], 0) >= 0 {
		return tokenInvalid
	}
	l.pos = i + 1 + length + len(tag)
	return tokenString
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isWordPart(c byte) bool { return isWordStart(c) || isDigit(c) || c == '$' }
