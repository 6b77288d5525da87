// Package pgdiff runs one SQL script on two servers and compares everything
// that a client can see: column names and types, rows, command tags, SQLSTATEs
// and the transaction status after each statement.
//
// It owns the script's form and the comparison. It decides nothing about which
// server is right, and leaves out what must differ: OIDs of tables, process
// numbers, and, unless asked for, the wording of messages.
//
// Open script.go first, then run.go and compare.go.
package pgdiff
