package stmtclass

import "strings"

// inSteps reports whether the command that text begins with is one that PostgreSQL
// carries out in several transactions, or with effects that no rollback takes back,
// and therefore forbids inside a transaction: when it fails, what the steps before
// had done stands (chapter "SQL Commands" of the PostgreSQL manual). Where that
// depends on the table, a partitioned one for example, it is true for all.
func inSteps(text string) bool {
	l := lexer{text: text}
	switch first := l.next(); {
	case l.isOne(first, "vacuum", "analyze", "analyse", "cluster", "reindex"):
		return true
	case l.isOne(first, "create", "drop"):
		second := l.next()
		if l.isOne(second, "unique") {
			second = l.next()
		}
		if l.isOne(second, "index") {
			return l.isOne(l.next(), "concurrently")
		}
		return l.isOne(second, "database", "tablespace", "subscription")
	case l.isOne(first, "alter"):
		switch second := l.next(); {
		case l.isOne(second, "table"):
			return l.follows("concurrently") // DETACH PARTITION p CONCURRENTLY
		case l.isOne(second, "database"):
			return l.follows("tablespace")
		default:
			return l.isOne(second, "subscription")
		}
	default:
		return false
	}
}

// isOne reports whether a token is one of some words, without quotes.
func (l *lexer) isOne(t token, words ...string) bool {
	if t.kind != tokenWord {
		return false
	}
	for _, w := range words {
		if strings.EqualFold(l.text[t.start:t.end], w) {
			return true
		}
	}
	return false
}

// follows reports whether a word, without quotes, comes before the command ends.
func (l *lexer) follows(word string) bool {
	for {
		t := l.next()
		switch {
		case t.kind == tokenEnd, t.kind == tokenInvalid, t.kind == tokenSemi:
			return false
		case l.isOne(t, word):
			return true
		}
	}
}
