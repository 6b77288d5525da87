package message

import "fmt"

// NodeID numbers a database node, from 1. The zero value means no node.
type NodeID uint16

// StorageID numbers a storage node of the volume, from 1 to 6. The zero value
// means no storage node.
type StorageID uint8

// LSN is a log sequence number: the position of a record in the volume's log,
// from 1, without gaps. The zero value is the empty database, before any record.
type LSN uint64

// Incarnation counts the lives of a node. It starts at 1 and is raised by a
// FenceRecord each time the node starts; a vote counts only in the incarnation
// that gave it. The zero value is a node that never started.
type Incarnation uint32

// Epoch numbers either the reign of a head (storage epoch) or the membership
// (config epoch). The zero value is before the first.
type Epoch uint32

// TxID names one attempt of one transaction, cluster-wide and for ever: a new
// attempt takes a new TxID. The zero value names no transaction.
type TxID struct {
	Origin NodeID
	Inc    Incarnation
	Seq    uint64
}

// IsZero reports whether id names no transaction.
func (id TxID) IsZero() bool { return id == TxID{} }

// String gives the form used in error details and logs, such as "2.1/417".
func (id TxID) String() string {
	return fmt.Sprintf("%d.%d/%d", id.Origin, id.Inc, id.Seq)
}

// Mode says how a transaction touched a key.
type Mode uint8

// The modes of docs/protocol.md, rule 2.
const (
	// ModeUnknown is the zero value and never legal on the wire.
	ModeUnknown Mode = iota
	// ModeWritten is W: the row or unique key was inserted, updated or deleted.
	ModeWritten
	// ModeLocked is L: the row was locked with SELECT … FOR UPDATE.
	ModeLocked
	// ModeShared is KS: the key must not be written or locked under us, as the
	// catalog key of every table that a statement uses.
	ModeShared
	// ModeRead is R: a row read by a SERIALIZABLE transaction.
	ModeRead
	// ModePredicate is PR: a range read by a SERIALIZABLE transaction.
	ModePredicate
)

// String gives the short name that docs/protocol.md uses.
func (m Mode) String() string {
	switch m {
	case ModeWritten:
		return "W"
	case ModeLocked:
		return "L"
	case ModeShared:
		return "KS"
	case ModeRead:
		return "R"
	case ModePredicate:
		return "PR"
	default:
		return "unknown"
	}
}

// Key is what certification compares: the big-endian OID of the table (4 bytes),
// the big-endian OID of the index (4 bytes; the table's own OID again for the row
// key of a table without a primary key), then the index tuple in the
// order-preserving form of package index. Catalog keys are ordinary keys of the
// system tables.
type Key string

// KeyRef is one key in a proposal: how it was touched and the snapshot of the
// statement that touched it first.
type KeyRef struct {
	Key  Key
	Mode Mode
	Base LSN
}

// Write is one row version in a commit record. A nil Row deletes the row.
type Write struct {
	Table uint32 // OID
	Key   Key    // row key
	Row   []byte // package types' row encoding
}
