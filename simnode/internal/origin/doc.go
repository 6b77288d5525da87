// Package origin is the commit machine of one node: it brings the transactions
// that ran there from COMMIT to an outcome (rules 3, 6, 7, 10 and 22 of the
// protocol), and asks the storage for blocks of sequence values.
//
// It owns the votes collected, the retries, and the promise that after the first
// append only the storage decides. It votes on nothing itself (package certify
// does), applies nothing, sends nothing, and knows no clock: every method takes
// the time and gives back what to send and what became decided. It is not safe for
// concurrent use; the node's core loop is its only caller.
//
// Open machine.go first, then commit.go. testdata/ shows the rules as a
// conversation.
package origin
