// Package exec carries out statements: it compiles an analysed and planned
// statement to closures over rows once, and runs it many times.
//
// It owns Prepare and Program, which are all that a session sees of SQL, and the
// rules of running: a statement is atomic, sees no writes of its own, and in READ
// COMMITTED looks at a row again that changed while it waited for its lock. It
// never talks to other nodes: rows and locks are package mvcc's, conflicts between
// nodes are found at COMMIT.
//
// Open program.go first; compile.go is expressions, scan.go rows, and then there is
// one file per command.
package exec
