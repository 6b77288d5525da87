// Package evlog keeps what happens to a simulated cluster: nodes that start and
// die, faults, membership, leases.
//
// It owns a bounded ring of the newest events, their text form, which is the same
// bytes for the same event, and subscriptions. It never blocks or slows down who
// writes: a reader that is too slow misses events and is told how many. It prints
// nothing and has no levels; readers choose by Kind.
//
// Open log.go first; event.go is the text form.
package evlog
