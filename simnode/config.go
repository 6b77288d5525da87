package simnode

import (
	"fmt"
	"log/slog"
	"time"
)

// MaxNodes is the largest cluster that Start builds. Every node is proposed
// every write, so more would measure the machine, not the protocol.
const MaxNodes = 16

// Mode says when a node answers a statement.
type Mode uint8

const (
	// Strict is the zero value: an answer leaves when no node can still serve an
	// older state, so that a later read on any node never goes back.
	Strict Mode = iota
	// Eventual answers a commit when its own node has applied it. Other nodes'
	// caches may lag, as in asynchronous multi-writer systems.
	Eventual
)

// String gives "strict" or "eventual".
func (m Mode) String() string {
	switch m {
	case Strict:
		return "strict"
	case Eventual:
		return "eventual"
	default:
		return "unknown"
	}
}

// Config says what Start builds. The zero value is three nodes on free loopback
// ports, in strict mode, trusting every client that asks for user "postgres".
type Config struct {
	// Nodes is the number of database nodes, 1 to MaxNodes. 0 means 3, the
	// smallest cluster in which one node can die.
	Nodes int
	// Mode is Strict unless set.
	Mode Mode
	// Seed drives every random draw: jitter, loss, backoff. 0 is a seed like any
	// other.
	Seed uint64
	// Port is the TCP port of node 1; node i listens on Port+i-1. 0 takes free
	// ports.
	Port int
	// InMemory leaves the TCP listeners out, so that the cluster can run in
	// testing/synctest. Clients dial with Sim.Dial; the addresses in DSN are then
	// names only.
	InMemory bool
	// Roles maps further roles to their passwords. As soon as one role has a
	// password, every client authenticates by SCRAM-SHA-256, and a role without one
	// cannot log in: put "postgres" here too to keep it. DSN has no password.
	Roles map[string]string
	// MaxConnections limits client connections per node; one more is refused with
	// 53300. 0 means 100, PostgreSQL's own default.
	MaxConnections int
	// Latency and Jitter of every link between nodes and to the storage, one way.
	// Client links are not delayed; SetLatency does that.
	Latency, Jitter time.Duration
	// Sabotage breaks the cluster on purpose.
	Sabotage Sabotage
	// Logger is told about membership and faults. Nil is silent.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Nodes == 0 {
		c.Nodes = 3
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 100
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Nodes < 1 || c.Nodes > MaxNodes:
		return fmt.Errorf("simnode: Nodes is %d, allowed are 1 to %d", c.Nodes, MaxNodes)
	case c.Mode != Strict && c.Mode != Eventual:
		return fmt.Errorf("simnode: Mode is %d, allowed are Strict and Eventual", c.Mode)
	case int(c.Sabotage) >= len(sabotageNames):
		return fmt.Errorf("simnode: Sabotage is %d, allowed are the constants of that type", c.Sabotage)
	case c.MaxConnections < 1:
		return fmt.Errorf("simnode: MaxConnections is %d, allowed are 1 and more", c.MaxConnections)
	case c.Latency < 0 || c.Jitter < 0:
		return fmt.Errorf("simnode: Latency %v and Jitter %v may not be negative", c.Latency, c.Jitter)
	case c.Port < 0 || c.Port > 0 && c.Port+c.Nodes-1 > 65535:
		return fmt.Errorf("simnode: ports %d to %d are asked for, allowed are 1 to 65535", c.Port, c.Port+c.Nodes-1)
	case c.InMemory && c.Port != 0:
		return fmt.Errorf("simnode: Port %d is set together with InMemory, which has no listeners", c.Port)
	}
	return nil
}
