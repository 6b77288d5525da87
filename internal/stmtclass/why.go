package stmtclass

import (
	"fmt"
	"math"
	"strings"
)

// Why says what decided about the class of a text. The zero value is that of a
// text without any command.
type Why uint8

const (
	// WhyNothing: there is no command.
	WhyNothing Why = iota
	// WhyVerb: the first word.
	WhyVerb
	// WhyWord: a word that changes data, somewhere in a query.
	WhyWord
	// WhyLock: FOR UPDATE or the like.
	WhyLock
	// WhyCall: a call of a function that isn't known to change nothing.
	WhyCall
	// WhyOperator: OPERATOR(…), which may call any function.
	WhyOperator
	// WhyParens: parentheses that don't match or are nested too deep.
	WhyParens
	// WhySeveral: there are several commands.
	WhySeveral
	// WhyMalformed: the text ends inside a quote or comment, or holds a NUL.
	WhyMalformed
)

// spoil says that the command can't be a Read, and why; the first reason
// counts.
func (cmd *command) spoil(why Why, culprit token) {
	if !cmd.spoiled {
		cmd.spoiled, cmd.why, cmd.culprit = true, why, culprit
	}
}

// explain notes what decided about the class of the command that just ended.
func (c *classifier) explain(class Class) {
	why, word := WhyVerb, c.cmd.first
	switch c.cmd.verb {
	case kwSelect, kwValues, kwTable, kwWith, kwShow:
		switch {
		case class != Write:
		case c.cmd.spoiled:
			why, word = c.cmd.why, c.cmd.culprit
		default:
			why, word = WhyParens, token{}
		}
	}
	c.info.Why, c.info.wordStart, c.info.wordEnd = why, 0, 0
	if word.end <= math.MaxUint32 {
		c.info.wordStart, c.info.wordEnd = uint32(word.start), uint32(word.end)
	}
}

// Because says in a few words what decided about the class of sql, the text that
// was classified. It shows no more of it than a command's keyword or the name of
// a function.
func (i Info) Because(sql string) string {
	word := ""
	if int(i.wordEnd) <= len(sql) {
		word = sql[i.wordStart:i.wordEnd]
	}
	switch i.Why {
	case WhyVerb:
		if isCommand(word) {
			return "begins with " + strings.ToUpper(word)
		}
		return "begins with no command that is known"
	case WhyWord:
		return "contains " + strings.ToUpper(word)
	case WhyLock:
		return "locks rows"
	case WhyCall:
		return "calls " + strings.Clone(word) + ", which isn't known to change nothing"
	case WhyOperator:
		return "contains OPERATOR(…), which may call any function"
	case WhyParens:
		return "has parentheses that don't match, or too many"
	case WhySeveral:
		return fmt.Sprintf("holds %d commands", i.Commands)
	case WhyMalformed:
		return "ends inside a quote or comment"
	default:
		return "holds no command"
	}
}

// isCommand reports whether a word begins a command of PostgreSQL. Other first
// words aren't shown: they may be anything.
func isCommand(word string) bool {
	switch strings.ToLower(word) {
	case "abort", "alter", "analyze", "begin", "call", "checkpoint", "close", "cluster", "comment", "commit",
		"copy", "create", "deallocate", "declare", "delete", "discard", "do", "drop", "end", "execute", "explain",
		"fetch", "grant", "import", "insert", "listen", "load", "lock", "merge", "move", "notify", "prepare",
		"reassign", "refresh", "reindex", "release", "reset", "revoke", "rollback", "savepoint", "security",
		"select", "set", "show", "start", "table", "truncate", "unlisten", "update", "vacuum", "values", "with":
		return true
	default:
		return false
	}
}
