// Package certify decides whether a transaction may commit beside all the others,
// as one voter sees it (rules 4, 5, 9 and 11 of the protocol).
//
// It owns the index of committed keys (the last LSN at which each key was
// written, locked or shared, down to a floor) and the reservations of
// transactions whose outcome is open. It never appends, never sends, and knows no
// clock: time comes in as a parameter. It is not safe for concurrent use; the
// node's core loop is its only caller.
//
// Open certifier.go first, then index.go and reservation.go. testdata/ shows the
// rules as a conversation.
package certify
