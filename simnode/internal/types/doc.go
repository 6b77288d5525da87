// Package types holds the values of the simulated cluster's SQL and everything
// that PostgreSQL 15 knows about a single value: its type's OID and name, its
// order, its text and binary forms, its casts, and the row encoding of commit
// records.
//
// It never looks at operators, functions, tables or sessions: package builtin
// computes with values, package index makes keys of them. It does no I/O and has
// no state, so everything in it is safe for concurrent use.
//
// Open datum.go first (what a value is in Go), then oid.go; parse.go, format.go,
// binary.go, cast.go and row.go are one concern each.
package types
