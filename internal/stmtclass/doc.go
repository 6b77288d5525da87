// Package stmtclass says what a text of SQL may do, without parsing it: whether
// it only reads, how many commands it holds, whether it controls a transaction
// and whether it leaves the server session changed.
//
// It owns a lexer that knows PostgreSQL's quoting rules (standard_conforming_strings
// on) and the rules that read its tokens. It is cautious: Read is said only of
// texts that certainly read and nothing else; whatever it doesn't understand is
// a Write. It never panics, never allocates for ordinary texts, and takes time
// proportional to the text. It never sees the catalog: a view, an operator or a
// cast that calls a volatile function is out of its sight. Open class.go first,
// then lexer.go.
package stmtclass
