package session

import (
	"context"
	"errors"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sequence"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Node is the database node that a session runs on. Its methods are safe for
// concurrent use; errors are *sqlerr.Error where a client should see them.
type Node interface {
	// Begin starts a transaction of this node.
	Begin(iso mvcc.Isolation, readOnly bool) *mvcc.Txn
	// Snapshot gives the LSN that a new statement may read at: it checks the
	// node's lease, waits a while for one, then fails with 57P03.
	Snapshot(ctx context.Context) (message.LSN, error)
	// WaitStable returns once no node can serve anything older than lsn.
	WaitStable(ctx context.Context, lsn message.LSN) error
	// Commit carries a transaction through the quorum and takes it over: whatever
	// it answers, the session does not touch tx again.
	Commit(ctx context.Context, tx *mvcc.Txn) (message.LSN, error)
	// Ready is nil, or why the node cannot serve now; Reads is nil, or why it cannot
	// even answer reads.
	Ready() error
	Reads() error
	// HearsMajority reports whether a commit can get its votes.
	HearsMajority() bool
	// Identity says which node of which cluster this is.
	Identity() (clusterID string, node message.NodeID)
	// Sequences hands out sequence values and object identifiers.
	Sequences() *sequence.Allocator
}

// Engine turns text into statements and statements into programs.
type Engine interface {
	Parse(sql string) ([]ast.Statement, error)
	// Prepare analyses a statement at tx's snapshot. A parameter type of 0 is to be
	// found out.
	Prepare(env *Env, tx *mvcc.Txn, stmt ast.Statement, params []types.OID) (Program, error)
}

// Program is a statement that is ready to run.
type Program interface {
	ParamTypes() []types.OID
	// Columns is nil for a statement that returns no rows.
	Columns() []Column
	// ReadOnly is false for a statement that writes or locks rows.
	ReadOnly() bool
	// Valid reports whether the tables that the program uses, and the search path
	// by which it found them, are unchanged.
	Valid(env *Env, tx *mvcc.Txn) bool
	// Fold raises what PostgreSQL finds wrong while it plans: constant parts that
	// fail, the parameters being constants.
	Fold(env *Env, params []types.Datum) error
	// Run carries the statement out, all of it or nothing, and gives its command
	// tag. emit may keep the rows.
	Run(ctx context.Context, env *Env, tx *mvcc.Txn, params []types.Datum, emit func(types.Row) error) (string, error)
}

// Hooks let a fault act at the points where a client's knowledge of a commit
// breaks off. They are called from the session's goroutine, for commits that
// write something; nil ones are not called. Returning true cuts the client's
// connection at once and without a word.
type Hooks struct {
	// BeforeCommitPoint comes before the proposal: cut here, the transaction is
	// rolled back.
	BeforeCommitPoint func(Startup) (cut bool)
	// AfterCommitPoint comes when the commit is decided, with its error, and
	// before the reply: cut here, the client cannot know.
	AfterCommitPoint func(s Startup, err error) (cut bool)
}

// ErrCut ends a connection whose reply a hook suppressed.
var ErrCut = errors.New("session: the connection was cut by a fault")

// Config is what the sessions of one node share. Node and Engine must be set.
type Config struct {
	Node   Node
	Engine Engine
	Hooks  Hooks
	// Roles are those of the database. Nil means catalog.Roles of nobody else.
	Roles []catalog.Role
	// Version is reported as simnode.version; "" means "dev".
	Version string
	// ReadOnly, if not nil, is asked at the start of each transaction whether the
	// node takes no writes: then transactions are read only.
	ReadOnly func() bool
	// MaxBufferedBytes bounds the rows that a session holds back (RETURNING, FOR
	// UPDATE, Execute with a row limit). 0 means 256 MiB.
	MaxBufferedBytes int
}

const defaultMaxBufferedBytes = 256 << 20

// Parameter is the name and the value of a setting.
type Parameter struct{ Name, Value string }

// Startup is what is known of a client when its session opens.
type Startup struct {
	User     string
	Database string
	PID      uint32
	// Settings are those of the startup message, in its order.
	Settings []Parameter
	// Client takes notices; it must be set.
	Client Client
}

// Factory opens the sessions of one node. It is safe for concurrent use.
type Factory struct {
	cfg  Config
	defs catalogue
}

// NewFactory checks the configuration and builds a Factory.
func NewFactory(cfg Config) (*Factory, error) {
	switch {
	case cfg.Node == nil:
		return nil, errors.New("session: Config.Node is not set")
	case cfg.Engine == nil:
		return nil, errors.New("session: Config.Engine is not set")
	case cfg.MaxBufferedBytes < 0:
		return nil, errors.New("session: Config.MaxBufferedBytes is negative, allowed is 1 and more, or 0 for 256 MiB")
	}
	if cfg.Roles == nil {
		cfg.Roles = catalog.Roles(nil)
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	if cfg.MaxBufferedBytes == 0 {
		cfg.MaxBufferedBytes = defaultMaxBufferedBytes
	}
	clusterID, node := cfg.Node.Identity()
	return &Factory{cfg: cfg, defs: newCatalogue(clusterID, nodeName(node), cfg.Version)}, nil
}

// now is the wall clock in what a timestamptz holds: whole microseconds, UTC.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }
