// Package member is what one node knows about the others and about its own right
// to read (rules 12, 14 and 15 of the protocol): read leases, who was heard when,
// how far each peer has applied the log, and up to where the log is stable, that
// is, served by no node in an older state any more.
//
// It owns those facts and the times they hang on. It grants nothing (storage nodes
// do), applies nothing, sends nothing, and knows no clock: every method takes the
// time. It is not safe for concurrent use; the node's core loop is its only caller.
//
// Open tracker.go first, then lease.go and stable.go. testdata/ shows the rules as
// a conversation.
package member
