package node

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/certify"
	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/member"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/origin"
	"github.com/anywriter/anywriter/simnode/internal/replica"
)

// Mode says when a statement may be answered.
type Mode uint8

// The modes of docs/protocol.md, rule 15. The zero value is Strict.
const (
	// Strict answers when no node can serve an older state any more.
	Strict Mode = iota
	// Eventual answers when this node has applied the commit; others may lag.
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

// Timers are the protocol's times. The zero value of each field means the default
// that its package argues for.
type Timers struct {
	Vote        time.Duration // 120 ms: without a majority by then, abort
	AppendRetry time.Duration // 60 ms
	Orphan      time.Duration // 250 ms: age of a reservation that is asked about
	Heartbeat   time.Duration // 50 ms
	LeaseUse    time.Duration // 180 ms
	LeaseWait   time.Duration // 220 ms; must be the storage nodes' too
	Patience    time.Duration // 1 s: then a commit is reported as in doubt
	LeasePause  time.Duration // 250 ms: how long a statement waits for a lease
}

// Config of a node. ID, Members, Fabric and Seed are required.
type Config struct {
	ID        message.NodeID
	Members   []message.NodeID // of config epoch 1, ID among them
	ClusterID string
	Fabric    *fabric.Fabric
	Mode      Mode
	Timers    Timers
	// Horizon is how many LSNs back a transaction may have begun; 0 means 262,144.
	Horizon uint64
	// Seed makes the boot id that tells this start of the node from every other:
	// two starts of one node must have different seeds, and none may be 0.
	Seed uint64
	// Log takes what happens to the node; nil records nothing.
	Log *evlog.Log
	// Tamper changes what the node writes to its cache, to show that an oracle
	// notices; nil changes nothing. It gets the rows of a commit and returns those
	// to apply, and must not change what it gets.
	Tamper func(lsn message.LSN, writes []message.Write) []message.Write
}

func (c Config) validate() error {
	switch {
	case c.ID == 0:
		return errors.New("node: Config.ID is 0, nodes are numbered from 1")
	case !slices.Contains(c.Members, c.ID):
		return fmt.Errorf("node: Config.ID %d is not one of the members %v", c.ID, c.Members)
	case c.Fabric == nil:
		return errors.New("node: Config.Fabric is required")
	case c.Seed == 0:
		return errors.New("node: Config.Seed is 0, every start of a node needs a seed of its own")
	case c.Mode > Eventual:
		return fmt.Errorf("node: Config.Mode is %d, Strict and Eventual are possible", c.Mode)
	}
	return nil
}

// storageNodes is the number of storage nodes of a volume.
const storageNodes = 6

func (c Config) core(s store) coreConfig {
	storage := make([]message.StorageID, storageNodes)
	for i := range storage {
		storage[i] = message.StorageID(i + 1)
	}
	return coreConfig{
		self: c.ID, members: c.Members, epoch: 1, storage: storage,
		// An odd multiplier spreads neighbouring seeds and keeps different ones
		// different.
		bootID:   c.Seed * 0x9E3779B97F4A7C15,
		eventual: c.Mode == Eventual,
		store:    s,
		patience: c.Timers.Patience,
		certify:  certify.Config{Horizon: c.Horizon, OrphanAfter: c.Timers.Orphan},
		origin:   origin.Config{VoteTimeout: c.Timers.Vote, AppendRetry: c.Timers.AppendRetry},
		member: member.Config{
			LeaseUse: c.Timers.LeaseUse, LeaseWait: c.Timers.LeaseWait, Heartbeat: c.Timers.Heartbeat,
		},
		replica: replica.Config{},
	}
}
