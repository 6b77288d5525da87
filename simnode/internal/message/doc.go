// Package message defines what nodes, the volume's head and storage nodes say
// to each other in the simulated cluster, and how it stands in bytes.
//
// It owns the identifiers of the protocol (NodeID, LSN, TxID, Key), the records
// of the log and one struct per message. It never acts on a message: voting is
// certify's, committing origin's, ordering volume's. It imports nothing of ours
// and does no I/O, so every other package of the protocol can depend on it.
//
// Nodes share no memory: whatever crosses from one to another is encoded here
// first. Open ids.go first, then messages.go; codec.go is the byte form.
package message
