package stmtclass

// keyword is a word that the rules know. The zero value is any other word.
type keyword uint8

const (
	kwNone     keyword = iota
	kwReserved         // may stand before a parenthesis and is never a function's name
	kwAbort
	kwAs
	kwAtomic
	kwBegin
	kwBy
	kwCall
	kwCase
	kwClose
	kwCommit
	kwConflict
	kwConstraints
	kwCopy
	kwCreate
	kwDeallocate
	kwDeclare
	kwDelete
	kwDiscard
	kwDistinct
	kwDo
	kwEnd
	kwFetch
	kwFilter
	kwFor
	kwFunction // FUNCTION or PROCEDURE
	kwGlobal   // GLOBAL or LOCAL
	kwGroup    // GROUP or ORDER or PARTITION
	kwInsert
	kwInto
	kwJoin
	kwJoinWord // LEFT, RIGHT, FULL, INNER, OUTER, CROSS, NATURAL
	kwListen
	kwLoad
	kwLock // the words that follow FOR in a locking clause: NO, SHARE, KEY
	kwMaterialized
	kwMerge
	kwMove
	kwNot
	kwOperator
	kwOver
	kwPgTemp
	kwPrepare
	kwPrepared
	kwRecursive
	kwRelease
	kwReplace
	kwReset
	kwRollback
	kwSavepoint
	kwSelect
	kwSet
	kwSets
	kwShow
	kwStart
	kwTable
	kwTemp
	kwTo
	kwTransaction
	kwUnlisten
	kwUpdate
	kwValues
	kwWith
)

// longestKeyword bounds the words that keywordOf looks up.
const longestKeyword = 18

// keywordOf returns the keyword that word is, in any case of letters. It
// doesn't allocate.
func keywordOf(word string) keyword {
	if len(word) < 2 || len(word) > longestKeyword {
		return kwNone
	}
	var buf [longestKeyword]byte
	lower := fold(buf[:0], word)
	if k := controlKeyword(lower); k != kwNone {
		return k
	}
	if isReserved(lower) {
		return kwReserved
	}
	return kwNone
}

// fold appends word to dst with ASCII letters lowered, as the server does.
func fold(dst []byte, word string) []byte {
	for i := range len(word) {
		c := word[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// controlKeyword finds the words that the rules treat one by one.
func controlKeyword(lower []byte) keyword {
	switch string(lower) {
	case "abort":
		return kwAbort
	case "as":
		return kwAs
	case "atomic":
		return kwAtomic
	case "begin":
		return kwBegin
	case "by":
		return kwBy
	case "call":
		return kwCall
	case "case":
		return kwCase
	case "close":
		return kwClose
	case "commit":
		return kwCommit
	case "conflict":
		return kwConflict
	case "constraints":
		return kwConstraints
	case "copy":
		return kwCopy
	case "create":
		return kwCreate
	case "deallocate":
		return kwDeallocate
	case "declare":
		return kwDeclare
	case "delete":
		return kwDelete
	case "discard":
		return kwDiscard
	case "distinct":
		return kwDistinct
	case "do":
		return kwDo
	case "end":
		return kwEnd
	case "fetch":
		return kwFetch
	case "filter":
		return kwFilter
	case "for":
		return kwFor
	case "function", "procedure":
		return kwFunction
	case "global", "local":
		return kwGlobal
	case "group", "order", "partition":
		return kwGroup
	default:
		return controlKeyword2(lower)
	}
}

// controlKeyword2 is the second half of controlKeyword's table.
func controlKeyword2(lower []byte) keyword {
	switch string(lower) {
	case "insert":
		return kwInsert
	case "into":
		return kwInto
	case "join":
		return kwJoin
	case "left", "right", "full", "inner", "outer", "cross", "natural":
		return kwJoinWord
	case "listen":
		return kwListen
	case "load":
		return kwLoad
	case "no", "share", "key":
		return kwLock
	case "materialized":
		return kwMaterialized
	case "merge":
		return kwMerge
	case "move":
		return kwMove
	case "not":
		return kwNot
	case "operator":
		return kwOperator
	case "over":
		return kwOver
	case "pg_temp":
		return kwPgTemp
	case "prepare":
		return kwPrepare
	case "prepared":
		return kwPrepared
	case "recursive":
		return kwRecursive
	case "release":
		return kwRelease
	case "replace":
		return kwReplace
	default:
		return controlKeyword3(lower)
	}
}

// controlKeyword3 is the last part of controlKeyword's table.
func controlKeyword3(lower []byte) keyword {
	switch string(lower) {
	case "reset":
		return kwReset
	case "rollback":
		return kwRollback
	case "savepoint":
		return kwSavepoint
	case "select":
		return kwSelect
	case "set":
		return kwSet
	case "sets":
		return kwSets
	case "show":
		return kwShow
	case "start":
		return kwStart
	case "table":
		return kwTable
	case "temp", "temporary":
		return kwTemp
	case "to":
		return kwTo
	case "transaction":
		return kwTransaction
	case "unlisten":
		return kwUnlisten
	case "update":
		return kwUpdate
	case "values":
		return kwValues
	case "with":
		return kwWith
	default:
		return kwNone
	}
}

// isReserved reports whether the word may stand before a parenthesis without
// being the name of a function: PostgreSQL's reserved words, and those of its
// "column name" words that the grammar itself gives a meaning (kwlist.h of
// PostgreSQL 15). An ordinary function can't have such a name without quotes.
// TREAT is left out, because it calls a function named like a type.
func isReserved(lower []byte) bool {
	switch string(lower) {
	case "all", "and", "any", "array", "asc", "asymmetric", "both", "cast", "check",
		"collate", "current_date", "current_time", "current_timestamp", "desc", "else",
		"except", "from", "having", "in", "intersect", "lateral", "leading", "limit",
		"localtime", "localtimestamp", "offset", "on", "only", "or", "placing", "some",
		"symmetric", "then", "trailing", "union", "using", "variadic", "when", "where",
		"window",
		"between", "bit", "char", "character", "coalesce", "dec", "decimal", "exists",
		"extract", "float", "greatest", "grouping", "interval", "least", "nchar",
		"normalize", "nullif", "numeric", "overlay", "position", "row", "substring",
		"time", "timestamp", "trim", "varchar", "xmlconcat", "xmlelement", "xmlexists",
		"xmlforest", "xmlparse", "xmlpi", "xmlroot", "xmlserialize":
		return true
	}
	return false
}

// neverCall reports whether k before a parenthesis is never the name of a
// function, wherever it stands.
func (k keyword) neverCall() bool {
	switch k {
	case kwReserved, kwAs, kwCase, kwCreate, kwDistinct, kwDo, kwEnd, kwFetch, kwFor, kwInto,
		kwNot, kwSelect, kwTable, kwTo, kwValues, kwWith:
		return true
	}
	return false
}

// writes reports whether the word, anywhere in a command, keeps it from being a
// Read.
func (k keyword) writes() bool {
	switch k {
	case kwInsert, kwUpdate, kwDelete, kwMerge, kwInto:
		return true
	}
	return false
}
