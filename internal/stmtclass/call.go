package stmtclass

// volatility is what is known of a built-in function's name.
type volatility uint8

const (
	notBuiltIn volatility = iota
	harmless              // every function of this name is immutable or stable, or listed in harmlessVolatile
	volatile              // some function of this name is volatile
)

// opens says what the parenthesis encloses that comes now.
func (c *classifier) opens() parenKind {
	name, before := c.last[0], c.last[1]
	if name.kind != tokenWord && name.kind != tokenQuoted {
		return parenGroup
	}
	qualified := before.kind == tokenDot
	switch {
	case before.kind == tokenCast, qualified && c.last[3].kind == tokenCast:
		return parenNames // x::numeric(10, 2)
	case qualified && (c.last[3].kw == kwInto || c.last[3].kw == kwCopy && c.cmd.verb == kwCopy):
		return parenNames // INSERT INTO s.t (columns)
	case qualified:
		return parenCall
	case name.kw == kwOperator:
		// OPERATOR(schema.+) may be any function.
		c.cmd.spoil(WhyOperator, name.token)
		return parenGroup
	case name.kind == tokenWord && c.notCalled(name.kw, before):
		return parenGroup
	case before.kw == kwAs:
		return parenNames // a cast's type, or an alias with names of columns
	case before.kw == kwInto, before.kw == kwCopy && c.cmd.verb == kwCopy:
		return parenNames // INSERT INTO t (columns); both words rule out a Read
	case c.cmd.ctes&c.level() != 0:
		return parenNames // WITH name (columns) AS …
	case before.kind == tokenClose && (c.closed == parenCall || c.closed == parenSubquery):
		return parenNames // FROM f(…) name (columns)
	default:
		return parenCall
	}
}

// notCalled reports whether a word before a parenthesis is part of the grammar
// there, and not the name of a function.
func (c *classifier) notCalled(kw keyword, before seen) bool {
	switch kw {
	case kwNone:
		return false
	case kwOver, kwFilter:
		return before.kind == tokenClose
	case kwGroup:
		return c.isWord(before, "within")
	case kwSets:
		return c.isWord(before, "grouping")
	case kwConflict:
		return c.cmd.inserts && c.isWord(before, "on")
	case kwSet:
		return c.cmd.spoiled // UPDATE … SET (a, b) = …
	case kwBy:
		return before.kw == kwGroup
	case kwJoin:
		return before.kw == kwJoinWord || before.kw == kwNone && before.kind != tokenOther
	case kwMaterialized:
		return before.kw == kwAs || before.kw == kwNot
	default:
		return kw.neverCall()
	}
}

// isWord reports whether s is the given word without quotes; want is in lower
// case.
func (c *classifier) isWord(s seen, want string) bool {
	if s.kind != tokenWord || s.end-s.start != len(want) || len(want) > longestKeyword {
		return false
	}
	var buf [longestKeyword]byte
	return string(fold(buf[:0], c.lex.text[s.start:s.end])) == want
}

// call judges the call whose name is the last token.
func (c *classifier) call() {
	var buf [longestFunction]byte
	name := c.functionName(buf[:0], c.last[0])
	if c.last[1].kind == tokenDot && !c.inCatalog() {
		name = nil
	}
	switch builtIn(name) {
	case harmless:
		return
	case notBuiltIn:
		// In the definition of a table, most words before a parenthesis aren't
		// functions, and a default isn't called.
		if c.cmd.query || c.cmd.verb != kwNone && c.cmd.verb != kwCreate {
			c.cmd.dirt |= DirtUnknownCall
		}
	}
	c.cmd.spoil(WhyCall, c.last[0].token)
	if c.last[0].kind == tokenQuoted && c.lex.text[c.last[0].start] != '"' {
		c.cmd.dirt |= DirtSetting // U&"…" may spell set_config
	}
	switch string(name) {
	case "set_config":
		c.cmd.dirt |= DirtSetting
	case "nextval", "setval":
		c.cmd.dirt |= DirtSequence
	case "pg_advisory_lock", "pg_advisory_lock_shared",
		"pg_try_advisory_lock", "pg_try_advisory_lock_shared":
		c.cmd.dirt |= DirtAdvisory
	}
}

// functionName appends to dst the name that the server would look up, or
// returns nil for a name that can't be a built-in one.
func (c *classifier) functionName(dst []byte, s seen) []byte {
	text := c.lex.text[s.start:s.end]
	if s.kind == tokenWord {
		if len(text) > longestFunction {
			return nil
		}
		return fold(dst, text)
	}
	if text[0] != '"' || len(text)-2 > longestFunction {
		return nil // U&"…" may spell anything
	}
	return append(dst, text[1:len(text)-1]...)
}

// inCatalog reports whether the call's name is qualified by pg_catalog alone.
func (c *classifier) inCatalog() bool {
	var buf [longestFunction]byte
	schema := c.last[2]
	if schema.kind != tokenWord && schema.kind != tokenQuoted || c.last[3].kind == tokenDot {
		return false
	}
	return string(c.functionName(buf[:0], schema)) == "pg_catalog"
}

// builtIn returns what is known of the function with this name.
func builtIn(name []byte) volatility {
	switch {
	case len(name) == 0:
		return notBuiltIn
	case harmlessVolatile(name):
		return harmless
	case unsafeStable(name):
		return volatile
	default:
		return generatedVolatility(name)
	}
}

// harmlessVolatile lists volatile built-in functions that change nothing and
// can be asked again anywhere: their answer may differ, as it may for a client
// that asks twice.
func harmlessVolatile(name []byte) bool {
	switch string(name) {
	case "random", "clock_timestamp", "timeofday", "gen_random_uuid", "pg_sleep", "pg_sleep_for",
		"pg_sleep_until", "pg_is_in_recovery", "pg_relation_size", "pg_total_relation_size",
		"pg_table_size", "pg_indexes_size", "pg_database_size", "pg_tablespace_size",
		"pg_last_wal_replay_lsn", "pg_last_wal_receive_lsn", "pg_current_wal_lsn",
		"pg_last_xact_replay_timestamp", "pg_control_checkpoint", "pg_control_system",
		"pg_blocking_pids", "pg_isolation_test_session_is_blocked":
		return true
	}
	return false
}

// unsafeStable lists built-in functions that PostgreSQL calls stable though they
// assign a transaction id.
func unsafeStable(name []byte) bool {
	switch string(name) {
	case "txid_current", "pg_current_xact_id":
		return true
	}
	return false
}
