// Package builtin is pg_operator, pg_proc and pg_aggregate in miniature: the
// operators, functions and aggregates of the simulated nodes, with PostgreSQL's
// signatures, volatility and errors.
//
// It owns what an operator or function computes and which signatures exist. It
// never chooses among them (analyze does, by the rules of the PostgreSQL manual's
// chapter "Type Conversion"), and it converts no types on its own: arguments
// arrive in the types that the signature names. Everything that depends on the
// session (time, user, settings, sequences) comes in with Context.
//
// The tables are built once by New and immutable afterwards. Open registry.go
// first; there is one file per family of functions.
package builtin
