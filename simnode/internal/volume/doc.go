// Package volume is the shared storage of the simulated cluster: one log, ordered
// by a head and kept by six storage nodes, of which four make a record durable
// (rules 7, 8, 12, 13, 18 and 19 of the protocol).
//
// It owns what the log means (State), the head that orders it (Head) and the
// storage node that keeps it and grants read leases (StorageNode). All three are
// pure: a message and the time go in, messages come out; no socket, clock, lock
// or goroutine. It never looks at keys or rows: conflicts are the voters' matter.
//
// There is one head, in epoch 1. Records carry what a takeover needs (rule 18),
// but taking over is not built. Open head.go first, then state.go, quorum.go and
// storage.go; testdata/ shows the protocol as conversations.
package volume
