// Package sqlstate holds the driver's whole policy for SQLSTATE codes, as data:
// what an error of the server says about the transaction, the session and the
// node, and whether the work may be tried again.
//
// It owns the policy table and the one function that reads it, Classify. It
// never does I/O, never sees a connection and never decides a retry by itself:
// the caller combines the Verdict with what it had flushed (package outcome)
// and with the class of the statement. Open policy.go first: one row per line
// of the documentation's table.
package sqlstate
