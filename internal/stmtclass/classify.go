package stmtclass

import "strings"

// Classify reads the text once and says what it may do. It never panics,
// doesn't allocate, and is safe for concurrent use.
func Classify(sql string) Info {
	c := classifier{lex: lexer{text: sql}}
	for {
		t := c.lex.next()
		switch t.kind {
		case tokenEnd:
			if strings.IndexByte(sql, 0) >= 0 { // in a quote or comment, which the lexer skips
				c.info.Malformed, c.cmd.used = true, true
			}
			c.endCommand()
			return c.info.finish()
		case tokenInvalid:
			c.info.Malformed = true
			c.cmd.used = true
			c.endCommand()
			return c.info.finish()
		case tokenSemi:
			if c.depth == 0 && c.cmd.block == 0 {
				c.endCommand()
				continue
			}
		}
		c.take(t)
	}
}

// finish turns what was collected over all commands into the final Info.
func (i Info) finish() Info {
	switch {
	case i.Commands == 0:
		i.Class = Empty
	case i.Commands > 1 || i.Malformed:
		// Several commands are one implicit transaction that could write
		// anywhere in it.
		i.Class, i.Control, i.DML = Write, ControlNone, false
		i.Why, i.wordStart, i.wordEnd = WhySeveral, 0, 0
		if i.Malformed {
			i.Why = WhyMalformed
		}
	}
	return i
}

// parenKind says what an open parenthesis encloses.
type parenKind uint8

const (
	parenGroup    parenKind = iota // an expression, a list, a keyword's argument
	parenCall                      // a function's arguments
	parenSubquery                  // SELECT, VALUES, TABLE or WITH
	parenNames                     // a type's modifiers or a list of names
)

// maxDepth bounds the nesting that the classifier follows. Deeper texts are
// never a Read.
const maxDepth = 64

// seen is a token that went by, with its keyword.
type seen struct {
	token
	kw keyword
}

// command is what is known of the command being read.
type command struct {
	used    bool // at least one token
	spoiled bool // can't be a Read any more
	why     Why  // and the reason
	culprit token
	first   token // the first word
	words   int   // words so far, up to a small bound
	verb    keyword
	second  keyword
	toWord  bool // TO was seen (ROLLBACK TO)
	query   bool // SELECT or VALUES was seen
	inserts bool // INSERT was seen
	changes bool // a word that changes data was seen
	sets    bool // pg_settings was seen
	routine bool // CREATE … FUNCTION or PROCEDURE
	block   int  // nesting of BEGIN ATOMIC … END
	dirt    Dirt
	ctes    uint64 // bit d: at parenthesis depth d a WITH list is being read
}

// classifier holds the state of one Classify call.
type classifier struct {
	lex    lexer
	info   Info
	cmd    command
	last   [4]seen // last[0] is the token before the current one
	closed parenKind
	depth  int
	parens [maxDepth]parenKind
}

// take handles one token of a command.
func (c *classifier) take(t token) {
	s := seen{token: t}
	c.cmd.used = true
	switch t.kind {
	case tokenWord:
		if c.last[0].kind != tokenDot {
			s.kw = keywordOf(c.lex.text[t.start:t.end])
		}
		c.word(s)
		c.cmd.sets = c.cmd.sets || c.isSettings(s)
	case tokenQuoted:
		if c.lex.text[t.start:t.end] == `"pg_temp"` {
			s.kw = kwPgTemp
		}
		c.cmd.sets = c.cmd.sets || c.isSettings(s)
	case tokenOpen:
		c.open()
	case tokenClose:
		c.close()
	case tokenDot:
		if c.last[0].kw == kwPgTemp {
			c.cmd.dirt |= DirtTemp
		}
	}
	copy(c.last[1:], c.last[:len(c.last)-1])
	c.last[0] = s
}

// word handles a word that isn't quoted.
func (c *classifier) word(s seen) {
	switch c.cmd.words++; c.cmd.words {
	case 1:
		c.cmd.verb, c.cmd.first = s.kw, s.token
	case 2:
		c.cmd.second = s.kw
	}
	if c.cmd.verb == kwCopy {
		c.info.CopyIn = c.info.CopyIn || c.copiesIn(s.token)
	}
	if s.kw == kwNone {
		return
	}
	before := c.last[0].kw
	switch s.kw {
	case kwSelect, kwValues, kwTable:
		c.subquery()
		c.cmd.query = c.cmd.query || s.kw != kwTable
		c.cmd.ctes &^= c.level()
	case kwInsert:
		c.cmd.inserts = true
	case kwWith:
		// Only here does WITH begin a list of queries; WITH TIME ZONE, WITH TIES
		// and WITH ORDINALITY stand elsewhere.
		if c.cmd.words == 1 || c.last[0].kind == tokenOpen {
			c.subquery()
			c.cmd.ctes |= c.level()
		}
	case kwUpdate, kwLock:
		if before == kwFor {
			c.cmd.spoil(WhyLock, s.token)
		}
	case kwInto:
		if before != kwInsert && before != kwMerge {
			c.cmd.dirt |= DirtTemp
		}
	case kwTemp:
		if before == kwCreate || before == kwReplace || before == kwGlobal || before == kwInto {
			c.cmd.dirt |= DirtTemp
		}
	case kwTo:
		c.cmd.toWord = true
	}
	if s.kw.writes() {
		c.cmd.spoil(WhyWord, s.token)
		c.cmd.changes = c.cmd.changes || s.kw != kwUpdate || before != kwFor && before != kwLock
	}
	c.routineBlock(s.kw, before)
}

// isSettings reports whether s is the name of the view pg_settings: an UPDATE of
// it calls set_config.
func (c *classifier) isSettings(s seen) bool {
	const name = "pg_settings"
	if n := s.end - s.start; n != len(name) && n != len(name)+2 {
		return false
	}
	var buf [longestFunction]byte
	return string(c.functionName(buf[:0], s)) == name
}

// copiesIn reports whether the word t is STDIN behind FROM.
func (c *classifier) copiesIn(t token) bool {
	from := c.last[0]
	return c.depth == 0 && from.kind == tokenWord &&
		strings.EqualFold(c.lex.text[t.start:t.end], "stdin") &&
		strings.EqualFold(c.lex.text[from.start:from.end], "from")
}

// routineBlock follows BEGIN ATOMIC … END in CREATE FUNCTION, whose semicolons
// don't end the command.
func (c *classifier) routineBlock(kw, before keyword) {
	switch {
	case kw == kwFunction && c.cmd.verb == kwCreate && c.cmd.words <= 4:
		c.cmd.routine = true
	case !c.cmd.routine:
	case kw == kwAtomic && before == kwBegin:
		c.cmd.block++
	case c.cmd.block == 0:
	case kw == kwCase:
		c.cmd.block++
	case kw == kwEnd:
		c.cmd.block--
	}
}

// setsReadOnly reports whether the command that just ended is one that can set
// what makes a transaction read-only, in a text that says ONLY somewhere.
func (c *classifier) setsReadOnly() bool {
	switch c.cmd.verb {
	case kwSet, kwReset, kwBegin, kwStart:
	default:
		if c.cmd.dirt&DirtSetting == 0 {
			return false
		}
	}
	const only = "only"
	for text := c.lex.text; len(text) >= len(only); text = text[1:] {
		if strings.EqualFold(text[:len(only)], only) {
			return true
		}
	}
	return false
}

// level returns the bit of the current parenthesis depth.
func (c *classifier) level() uint64 {
	if c.depth >= maxDepth {
		return 0
	}
	return 1 << c.depth
}

// subquery marks the innermost parenthesis as enclosing a query, if the current
// word is its first.
func (c *classifier) subquery() {
	if c.last[0].kind == tokenOpen && c.depth > 0 && c.depth <= maxDepth {
		c.parens[c.depth-1] = parenSubquery
	}
}

// open handles an opening parenthesis: it is here that a call is seen.
func (c *classifier) open() {
	kind := c.opens()
	if kind == parenCall {
		c.call()
	}
	if c.depth < maxDepth {
		c.parens[c.depth] = kind
	} else {
		c.cmd.spoil(WhyParens, token{})
	}
	c.depth++
	c.cmd.ctes &^= c.level()
}

// close handles a closing parenthesis.
func (c *classifier) close() {
	if c.depth == 0 {
		c.cmd.spoil(WhyParens, token{})
		return
	}
	c.depth--
	c.closed = parenGroup
	if c.depth < maxDepth {
		c.closed = c.parens[c.depth]
	}
}

// endCommand closes the books on one command.
func (c *classifier) endCommand() {
	if c.cmd.used {
		c.info.Commands++
		if c.cmd.sets && c.cmd.changes {
			c.cmd.dirt |= DirtSetting
		}
		class, control := c.judge()
		c.info.Class, c.info.Control = class, control
		c.explain(class)
		c.info.Dirt |= c.cmd.dirt
		c.info.ControlsTx = c.info.ControlsTx || control != ControlNone
		c.info.EndsTx = c.info.EndsTx || control == ControlCommit || control == ControlRollback || control == ControlPrepare
		c.info.SetsReadOnly = c.info.SetsReadOnly || c.setsReadOnly()
		c.info.Changes = c.info.Changes || c.cmd.changes
		c.info.Copy = c.info.Copy || c.cmd.verb == kwCopy
		c.info.DML = c.cmd.verb.dml()
		c.info.InSteps = class == Write && (c.cmd.verb == kwNone || c.cmd.verb == kwCreate) && inSteps(c.lex.text[c.cmd.first.start:])
		c.info.Procedural = c.cmd.verb == kwCall || c.cmd.verb == kwDo
	}
	c.cmd, c.depth = command{}, 0
	c.last = [4]seen{}
}
