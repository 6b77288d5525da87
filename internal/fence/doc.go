// Package fence holds the pure parts of the commit fence: a table with one row
// per transaction, inserted by the transaction itself as its last act. Whoever
// must know later whether the transaction was committed inserts the same key
// with a mark that says aborted: a unique key is decided once, so either the
// transaction's row stands and it was committed, or the mark stands and it
// never can be.
//
// The package owns the table's name, definition and SQL texts, what is checked
// about a table before it is trusted, and how the resolver reads the server's
// answers. It does no I/O and knows no connection; package cluster does. Open
// table.go first, then check.go.
package fence
