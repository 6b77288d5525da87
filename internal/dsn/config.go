package dsn

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Config is what a data source name says. It holds passwords: its String
// doesn't show them.
type Config struct {
	// Nodes has at least one element; the order is that of the name.
	Nodes []Node
	// Settings holds our own keys, with defaults filled in.
	Settings Settings
	// Warnings are harmless oddities, such as one address named twice.
	Warnings []string
}

// Node is one address of the cluster.
type Node struct {
	// Name is host:port, or the path of a unix socket. It holds no secret.
	Name string
	// Conn is pgx's configuration for this one host. Its Fallbacks hold at most
	// the same host without or with TLS, as sslmode asks.
	Conn *pgx.ConnConfig
}

// Settings are the values of our own keys. Parse fills in the defaults and
// checks the ranges that the table of keys documents; Default returns the
// defaults alone.
type Settings struct {
	// Balancer is the name of the picker.
	Balancer string
	// Weights are the nodes' shares of the operations with the picker weighted, in
	// the order of the nodes.
	Weights []int
	// Zone is the client's own zone, and Zones are those of the nodes, in their
	// order, for the picker zone.
	Zone  string
	Zones []string
	// ReadFrom says which nodes reads go to: writers, any or prefer_replicas.
	ReadFrom string
	// MaxConnsPerNode bounds the server connections to each node.
	MaxConnsPerNode int
	// MinIdle is how many idle connections to each node are kept warm.
	MinIdle int
	// AcquireTimeout is how long an operation waits for a node and a connection.
	AcquireTimeout time.Duration
	// ProbeInterval is the time between two probes of a healthy node.
	ProbeInterval time.Duration
	// DialTimeout bounds opening one server connection, where the connection's own
	// ConnectTimeout doesn't.
	DialTimeout time.Duration
	// RetryMaxAttempts counts the attempts of one operation, the first included.
	RetryMaxAttempts int
	// RetryBase is the upper bound of the first wait between attempts.
	RetryBase time.Duration
	// RetryCap is the upper bound of every wait between attempts.
	RetryCap time.Duration
	// KeyQueue bounds how many operations wait for their turn on one key.
	KeyQueue int
	// ConflictAffinity is on if the rows that conflicts name are learned, else
	// off (or empty).
	ConflictAffinity string
	// SessionReset says how session state is undone: auto, strict or off.
	SessionReset SessionReset
	// Engine is the engine profile's name; auto means to find out.
	Engine string
	// CommitFence is table if commits are fenced, else off (or empty).
	CommitFence string
	// FenceTable is the qualified name of the fence table.
	FenceTable string
	// FenceOwner is a further role that may own the fence table, or empty.
	FenceOwner string
	// FenceResolveTimeout bounds finding out what became of a lost commit.
	FenceResolveTimeout time.Duration
}

// Fenced reports whether commits are fenced.
func (s Settings) Fenced() bool { return s.CommitFence == FenceInTable }

// The values of read_from.
const (
	ReadFromWriters        = "writers"
	ReadFromAny            = "any"
	ReadFromPreferReplicas = "prefer_replicas"
)

// LearnsConflicts reports whether the rows that conflicts name are learned.
func (s Settings) LearnsConflicts() bool { return s.ConflictAffinity == switchedOn }

// switchedOn is the value of a key that is off or on.
const switchedOn = "on"

// FenceInTable is the value of commit_fence that switches the fence on.
const FenceInTable = "table"

// SessionReset says how state that a checkout left in the server session is
// undone. The zero value is ResetAuto.
type SessionReset uint8

const (
	// ResetAuto undoes what the driver saw being changed.
	ResetAuto SessionReset = iota
	// ResetStrict also undoes what a function that isn't built in may have
	// changed.
	ResetStrict
	// ResetOff undoes nothing.
	ResetOff
)

// String returns the value as it is written in a data source name.
func (r SessionReset) String() string {
	switch r {
	case ResetStrict:
		return "strict"
	case ResetOff:
		return "off"
	default:
		return "auto"
	}
}

// String describes c without secrets.
func (c *Config) String() string {
	names := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		names[i] = n.Name
	}
	return fmt.Sprintf("nodes [%s], %+v", strings.Join(names, " "), c.Settings)
}

// GoString describes c without secrets.
func (c *Config) GoString() string { return c.String() }

// String returns the node's address.
func (n Node) String() string { return n.Name }

// GoString returns the node's address.
func (n Node) GoString() string { return n.Name }

// address returns how a node is named in messages.
func address(host string, port uint16) string {
	if strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") {
		return filepath.Join(host, ".s.PGSQL."+strconv.Itoa(int(port)))
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
