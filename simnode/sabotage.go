package simnode

import (
	"fmt"
	"strings"

	"github.com/anywriter/anywriter/simnode/internal/message"
)

// Sabotage breaks the cluster on purpose, so that a test can show that its oracle
// notices. A cluster under sabotage acknowledges what it then does wrongly. The
// zero value breaks nothing.
type Sabotage uint8

// The ways to break a cluster.
const (
	NoSabotage Sabotage = iota
	// LostWrite drops the rows of some acknowledged commits on every node.
	LostWrite
	// DoubleApply inserts some rows a second time on every node.
	DoubleApply
	// StaleCache drops the rows of some commits on the last node only, which goes
	// on serving reads.
	StaleCache
)

var sabotageNames = [...]string{NoSabotage: "none", LostWrite: "lost-write", DoubleApply: "double-apply", StaleCache: "stale-cache"}

// String gives the name that ParseSabotage reads.
func (s Sabotage) String() string {
	if int(s) >= len(sabotageNames) {
		return "unknown"
	}
	return sabotageNames[s]
}

// ParseSabotage reads a name. The empty string is NoSabotage.
func ParseSabotage(name string) (Sabotage, error) {
	if name == "" {
		return NoSabotage, nil
	}
	for i, known := range sabotageNames {
		if name == known {
			return Sabotage(i), nil
		}
	}
	return NoSabotage, fmt.Errorf("simnode: no sabotage %q, allowed are %s", name, strings.Join(sabotageNames[:], ", "))
}

const (
	// sabotageEvery is how many log records pass between two acts of sabotage:
	// often enough to hit the shortest demo many times.
	sabotageEvery = 40
	// firstUserOID is the first OID of a user's table; catalog rows are spared, so
	// that what breaks is data.
	firstUserOID = 16384
)

// tamper gives what a node does to a record before it applies it; nil for nothing.
func (s Sabotage) tamper(last bool) func(message.LSN, []message.Write) []message.Write {
	switch s {
	case LostWrite:
		return onSome(dropRows)
	case DoubleApply:
		return onSome(doubleRows)
	case StaleCache:
		if last {
			return onSome(dropRows)
		}
	}
	return nil
}

func onSome(act func([]message.Write) []message.Write) func(message.LSN, []message.Write) []message.Write {
	return func(lsn message.LSN, writes []message.Write) []message.Write {
		if lsn%sabotageEvery != 0 {
			return writes
		}
		for _, w := range writes {
			if w.Table < firstUserOID {
				return writes
			}
		}
		return act(writes)
	}
}

func dropRows([]message.Write) []message.Write { return nil }

// doubleRows adds a copy of every row under a key of its own, as if the insert had
// run twice and the unique index had looked away.
func doubleRows(writes []message.Write) []message.Write {
	out := writes
	for _, w := range writes {
		if w.Row != nil {
			w.Key += "\x00again"
			out = append(out[:len(out):len(out)], w)
		}
	}
	return out
}
