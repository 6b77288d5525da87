package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/anywriter/anywriter/cluster/engine"
	"github.com/anywriter/anywriter/internal/dsn"
)

// DialFunc opens a connection to one node. It has the signature of
// net.Dialer.DialContext; a simulated cluster supplies its own. It must be
// safe for concurrent use and must honour the context. When a node is cut, whoever reads
// or writes is released by a deadline in the past, or, if the connection knows none, by
// its Close. Nothing else waits for a Close for longer than a second.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// Settings are the values of the driver's own DSN keys; see the table of keys
// in the README.
type Settings = dsn.Settings

// SessionReset says what is undone in a server session before it serves the
// next checkout; see the key session_reset.
type SessionReset = dsn.SessionReset

// The values of session_reset. The zero value of a Config means ResetAuto.
const (
	ResetAuto   = dsn.ResetAuto
	ResetStrict = dsn.ResetStrict
	ResetOff    = dsn.ResetOff
)

// NodeConfig is one address of the cluster and how to connect to it.
type NodeConfig = dsn.Node

// Config says which nodes make up a cluster and how to use them. It may hold
// passwords. The zero value isn't valid: DSNs or Nodes must be given.
type Config struct {
	// DSNs are data source names, each with one host or several. They are read
	// by Open unless Nodes is set, in which case they were read already.
	DSNs []string
	// Nodes are the addresses, each with pgx's configuration for it, which may
	// be changed before Open. ParseConfig fills it in.
	Nodes []NodeConfig
	// Settings override those of the DSNs where they aren't zero; those that
	// ParseConfig has filled in say with a MinIdle of zero that none is wanted.
	Settings Settings
	// DialFunc opens the connections to the nodes, those of the prober and
	// cancel requests included; nil means TCP or Unix sockets as pgx does it.
	// With a DialFunc, host names aren't looked up but passed to it. A panic in it, as
	// in the hooks below, fails the one dial.
	DialFunc DialFunc
	// BeforeConnect, if set, is called for every connection to a node, the
	// prober's included, before it is opened; it may change the password, TLS or
	// run-time parameters in the configuration it is given, which is a copy. When
	// a server refuses the credential (SQLSTATE 28xxx), BeforeConnect is asked
	// again, see RefusedCredential, and the connection tried once more. Changes of
	// the address and of how it is dialed have no effect. It must be safe for
	// concurrent use. Its errors are *HookError; neither they nor the time it takes
	// count against the node.
	BeforeConnect func(ctx context.Context, config *pgx.ConnConfig) error
	// AfterConnect, if set, is called for every connection that operations will
	// use, once it is open, and again each time the state of its session has been
	// undone (see session_reset): what it sets with SET would be gone otherwise.
	// It may register types on the connection's TypeMap. It must not keep the
	// connection nor leave a transaction open, which is an error, and must be safe
	// for concurrent use.
	AfterConnect func(ctx context.Context, conn *pgx.Conn) error
	// Events are called when something happens; see there.
	Events EventListener
	// Logger gets warnings and changes of node states; nil means silence.
	Logger *slog.Logger
	// Seed makes the driver's random choices repeatable; 0 means to draw one.
	Seed uint64

	parsed bool // Settings are those of the DSNs, and what was changed since
}

// String lists the nodes, without anything that may be secret.
func (c Config) String() string {
	if len(c.Nodes) == 0 {
		return fmt.Sprintf("anywriter configuration of %d data source names", len(c.DSNs))
	}
	names := make([]string, len(c.Nodes))
	for i, n := range c.Nodes {
		names[i] = n.Name
	}
	return describe(names)
}

// describe is what is printed of a configuration.
func describe(nodes []string) string {
	return "anywriter configuration of " + strings.Join(nodes, ", ")
}

// GoString is String: no form of printing shows a password.
func (c Config) GoString() string { return c.String() }

// ParseConfig reads data source names. No error shows any text of them except
// names of keys.
func ParseConfig(names ...string) (Config, error) {
	parsed, err := dsn.ParseList(names)
	if err != nil {
		return Config{}, err
	}
	if err := parsed.Settings.CheckNodes(len(parsed.Nodes)); err != nil {
		return Config{}, err
	}
	return Config{DSNs: names, Nodes: parsed.Nodes, Settings: parsed.Settings, parsed: true}, nil
}

// resolve fills in what Open needs and checks the rest; it also returns what
// is odd but harmless.
func (c Config) resolve() (Config, []string, error) {
	var warnings []string
	base := dsn.DefaultSettings()
	if len(c.Nodes) == 0 {
		if len(c.DSNs) == 0 {
			return c, nil, errors.New("anywriter: Config names no node: set DSNs or Nodes")
		}
		parsed, err := dsn.ParseList(c.DSNs)
		if err != nil {
			return c, nil, err
		}
		c.Nodes, base, warnings = parsed.Nodes, parsed.Settings, parsed.Warnings
	}
	for _, n := range c.Nodes {
		if n.Conn == nil {
			return c, nil, errors.New("anywriter: Config.Nodes has an entry without Conn")
		}
	}
	if c.parsed {
		base.MinIdle = c.Settings.MinIdle // zero isn't "not said"
	}
	c.Settings = overlay(base, c.Settings)
	if err := c.Settings.Validate(); err != nil {
		return c, nil, err
	}
	if err := c.Settings.CheckNodes(len(c.Nodes)); err != nil {
		return c, nil, err
	}
	return c, append(warnings, c.Settings.Unused()...), c.checkFence()
}

// checkFence refuses a commit fence where the configuration already says that
// it decides nothing.
func (c *Config) checkFence() error {
	if !c.Settings.Fenced() {
		return nil
	}
	for _, n := range c.Nodes {
		if was, now := database(c.Nodes[0]), database(n); was != now {
			return fmt.Errorf("anywriter: commit_fence=table decides nothing with several databases: node %s has %s, node %s has %s",
				c.Nodes[0].Name, was, n.Name, now)
		}
	}
	why := ""
	if c.mixed() {
		why = "the nodes may belong to different clusters"
	} else if p, ok := engine.ByName(c.Settings.Engine); ok && !p.Fence.Valid {
		why = p.Fence.Why
	}
	if why == "" {
		return nil
	}
	return fmt.Errorf("anywriter: commit_fence=table decides nothing with engine=%s: %s", c.Settings.Engine, why)
}

// overlay returns base with the fields of over that aren't zero.
func overlay(base, over Settings) Settings {
	set(&base.Balancer, over.Balancer)
	setList(&base.Weights, over.Weights)
	set(&base.Zone, over.Zone)
	setList(&base.Zones, over.Zones)
	set(&base.ReadFrom, over.ReadFrom)
	set(&base.MaxConnsPerNode, over.MaxConnsPerNode)
	set(&base.MinIdle, over.MinIdle)
	base.MinIdle = min(base.MinIdle, base.MaxConnsPerNode)
	set(&base.AcquireTimeout, over.AcquireTimeout)
	set(&base.ProbeInterval, over.ProbeInterval)
	set(&base.DialTimeout, over.DialTimeout)
	set(&base.RetryMaxAttempts, over.RetryMaxAttempts)
	set(&base.RetryBase, over.RetryBase)
	set(&base.RetryCap, over.RetryCap)
	set(&base.KeyQueue, over.KeyQueue)
	set(&base.ConflictAffinity, over.ConflictAffinity)
	set(&base.SessionReset, over.SessionReset)
	set(&base.Engine, over.Engine)
	set(&base.CommitFence, over.CommitFence)
	set(&base.FenceTable, over.FenceTable)
	set(&base.FenceOwner, over.FenceOwner)
	set(&base.FenceResolveTimeout, over.FenceResolveTimeout)
	return base
}

func set[T comparable](field *T, value T) {
	var zero T
	if value != zero {
		*field = value
	}
}

// setList is set for lists. It copies them: the caller may change his.
func setList[T any](field *[]T, value []T) {
	if len(value) != 0 {
		*field = slices.Clone(value)
	}
}

// execMode is pgx's default_query_exec_mode.
func (c *Config) execMode() pgx.QueryExecMode {
	if m := c.Nodes[0].Conn.DefaultQueryExecMode; m != 0 {
		return m
	}
	return pgx.QueryExecModeCacheStatement
}

// mixed reports whether nodes of different clusters are meant to be together.
func (c *Config) mixed() bool {
	return c.Settings.Engine == "mesh" || c.Settings.Engine == "independent"
}

// readsOnly reports whether every session begins as read-only.
func (c *Config) readsOnly() bool {
	chosen := c.Nodes[0].Conn.RuntimeParams["default_transaction_read_only"]
	return chosen != "" && chosen != "off"
}

// sameButNodes returns an error if more than the nodes differ from the configuration
// that is in force.
func (c *Cluster) sameButNodes(next Config) error {
	was, now := reflect.ValueOf(c.settings), reflect.ValueOf(next.Settings)
	for i := range was.NumField() {
		switch name := was.Type().Field(i).Name; name {
		case "Weights", "Zones":
		default:
			if !reflect.DeepEqual(was.Field(i).Interface(), now.Field(i).Interface()) {
				return fmt.Errorf("anywriter: SetNodes: Settings.%s can't be changed from %v to %v: "+
					"only nodes, weights and zones can; open another cluster", name, was.Field(i), now.Field(i))
			}
		}
	}
	if was, now := database(c.config.Nodes[0]), database(next.Nodes[0]); c.fence.on && was != now {
		return fmt.Errorf("anywriter: SetNodes: with commit_fence=table the database can't be changed from %s to %s: "+
			"the fence table of one doesn't tell what was committed in the other", was, now)
	}
	if was, now := c.execMode, next.execMode(); was != now {
		return fmt.Errorf("anywriter: SetNodes: default_query_exec_mode can't be changed from %v to %v", was, now)
	}
	if c.config.readsOnly() != next.readsOnly() {
		return errors.New("anywriter: SetNodes: default_transaction_read_only can't be changed")
	}
	return nil
}

// database is the name of the database that a node's connections go to: if none is
// named, the server takes the user's.
func database(n NodeConfig) string { return cmp.Or(n.Conn.Database, n.Conn.User) }
