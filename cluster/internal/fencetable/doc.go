// Package fencetable asks a server's catalog about the table of the commit
// fence. It owns the queries, one per catalog, and decides nothing: package
// fence says what makes a table sound. Its functions use a connection that they
// are given and must have for themselves meanwhile. Open catalog.go.
package fencetable
