// Package check holds the oracles: pure functions that take what clients were
// told (a history) and what the database holds in the end, and say which
// promises were broken.
//
// It owns the names of the promises (Invariant) and what each one means. It
// reads no clock and no database, so every oracle is tested with planted
// violations. An operation whose outcome is unknown may have happened once or
// not at all; it is never a violation by itself.
//
// Open verdict.go first, then bank.go.
package check
