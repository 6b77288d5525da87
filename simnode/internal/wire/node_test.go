package wire_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/auth"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sequence"
	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/wire"
)

// soloNode is a node without a cluster: it commits a transaction at the next LSN
// if its keys have not changed since their base.
type soloNode struct {
	store *mvcc.Store
	seqs  *sequence.Allocator

	mu      sync.Mutex
	units   map[uint32]int64
	written map[message.Key]message.LSN
	refuse  error         // the next commit fails with it
	ready   error         // Snapshot, Reads and Ready fail with it
	alone   bool          // it hears no majority
	stable  func() error  // WaitStable's answer; nil means at once
	waited  []message.LSN // what WaitStable was asked for
}

func newSoloNode() *soloNode {
	n := &soloNode{store: mvcc.NewStore(), units: map[uint32]int64{}, written: map[message.Key]message.LSN{}}
	n.store.SetIdentity(1, 1)
	n.seqs = sequence.NewAllocator(func(_ context.Context, seq uint32, count int64) (int64, error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		first := n.units[seq] + 1
		n.units[seq] += count
		return first, nil
	})
	return n
}

func (n *soloNode) Begin(iso mvcc.Isolation, readOnly bool) *mvcc.Txn {
	return n.store.Begin(iso, readOnly)
}

func (n *soloNode) Snapshot(context.Context) (message.LSN, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.store.Applied(), n.ready
}

func (n *soloNode) WaitStable(_ context.Context, lsn message.LSN) error {
	n.mu.Lock()
	n.waited = append(n.waited, lsn)
	stable := n.stable
	n.mu.Unlock()
	if stable != nil {
		return stable()
	}
	return nil
}

func (n *soloNode) Commit(_ context.Context, tx *mvcc.Txn) (message.LSN, error) {
	defer tx.Finish()
	keys, writes := tx.Proposal()
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.refuse; err != nil {
		n.refuse = nil
		return 0, err
	}
	for _, k := range keys {
		if n.written[k.Key] > k.Base {
			return 0, sqlerr.New("40001", "could not serialize access due to concurrent update")
		}
	}
	lsn := n.store.Applied() + 1
	for _, k := range keys {
		if k.Mode == message.ModeWritten {
			n.written[k.Key] = lsn
		}
	}
	return lsn, n.store.Apply(lsn, writes)
}

func (n *soloNode) Ready() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ready
}

func (n *soloNode) Reads() error { return n.Ready() }

func (n *soloNode) HearsMajority() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.alone
}

func (n *soloNode) Identity() (string, message.NodeID) { return "cluster-under-test", 1 }
func (n *soloNode) Sequences() *sequence.Allocator     { return n.seqs }

func (n *soloNode) set(change func(*soloNode)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change(n)
}

// server is a wire.Server on a soloNode, with a TCP listener.
type server struct {
	*wire.Server
	node *soloNode
	ln   net.Listener
	done chan error
}

func (s *server) addr() string { return s.ln.Addr().String() }

// dsn is a DSN of the server for pgx.
func (s *server) dsn(query string) string {
	return "postgres://postgres@" + s.addr() + "/postgres?sslmode=disable&" + query
}

type options struct {
	auth    auth.Config
	wire    wire.Config
	session session.Config
	open    wire.Open
}

// serve starts a server; it is stopped, and joined, when the test ends.
func serve(t testing.TB, o options) *server {
	t.Helper()
	s := newServer(t, o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.ln, s.done = ln, make(chan error, 1)
	go func() { s.done <- s.Serve(context.Background(), ln, nil) }()
	t.Cleanup(func() {
		_ = ln.Close()
		s.CloseAll(false)
		require.NoError(t, <-s.done)
		require.Zero(t, s.node.store.Transactions(), "transactions must not outlive their sessions")
	})
	return s
}

// newServer builds a server without starting anything.
func newServer(t testing.TB, o options) *server {
	t.Helper()
	s := &server{node: newSoloNode()}
	store, err := auth.New(o.auth)
	require.NoError(t, err)
	o.session.Node = s.node
	if o.session.Engine == nil {
		o.session.Engine = session.NewSQL()
	}
	factory, err := session.NewFactory(o.session)
	require.NoError(t, err)
	o.wire.Auth = store
	o.wire.Open = func(ctx context.Context, start session.Startup) (wire.Session, error) {
		return factory.Open(ctx, start)
	}
	if o.open != nil {
		o.wire.Open = o.open
	}
	s.Server, err = wire.NewServer(o.wire)
	require.NoError(t, err)
	return s
}
