package simnode

import (
	"encoding/hex"
	"fmt"
)

// State says what a node's process does.
type State uint8

// The states of a process. The zero value is StateUnknown.
const (
	StateUnknown State = iota
	StateRunning       // it runs; see Status.Err whether it serves
	StateFrozen        // stopped by Freeze
	StateKilled        // there is no process
)

// String gives the state in one word.
func (s State) String() string {
	switch s {
	case StateRunning:
		return "running"
	case StateFrozen:
		return "frozen"
	case StateKilled:
		return "killed"
	default:
		return "unknown"
	}
}

// Status is how a node stands at one moment.
type Status struct {
	State State
	// Err says why the node does not serve: no lease, no majority, not started. Nil
	// if it does.
	Err error
	// Applied is the last log position in the cache, Stable the one below which no
	// node serves anything any more.
	Applied, Stable uint64
	// Incarnation counts the lives of the node.
	Incarnation uint32
	// Reservations are open transactions that the node has voted for.
	Reservations int
	// Connections of clients.
	Connections int
}

// Status looks at the node without asking it; it also answers for a frozen one.
func (n *Node) Status() Status {
	p := n.process.Load()
	if p == nil {
		return Status{State: StateKilled, Err: errKilled}
	}
	s := Status{
		State:        StateRunning,
		Err:          p.node.Ready(),
		Applied:      uint64(p.node.Applied()),
		Stable:       uint64(p.node.Stable()),
		Incarnation:  uint32(p.node.Incarnation()),
		Reservations: p.node.Reservations(),
		Connections:  len(p.server.Conns()),
	}
	if n.frozen.Load() {
		s.State = StateFrozen
	}
	return s
}

// CacheDigest is a digest of every row in the node's cache and the log position
// that it is of. At equal positions it is equal on all nodes; anything else is a
// defect of the cluster. The error says that the node is not running.
func (n *Node) CacheDigest() (digest string, applied uint64, err error) {
	p := n.process.Load()
	if p == nil {
		return "", 0, fmt.Errorf("simnode: node %d: %w", n.number, errKilled)
	}
	sum, lsn := p.node.Hash()
	return hex.EncodeToString(sum[:]), uint64(lsn), nil
}

// LogLength is the number of records in the volume's log that are durable.
func (s *Sim) LogLength() uint64 { return uint64(s.volume.VDL()) }
