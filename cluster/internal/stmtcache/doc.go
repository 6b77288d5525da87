// Package stmtcache remembers the prepared statements of one server connection.
//
// It owns the least-recently-used list, the names, and the list of names that
// the server may forget. It never talks to the server and isn't safe for
// concurrent use: a connection has one user at a time. Open stmtcache.go.
package stmtcache
