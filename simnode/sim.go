package simnode

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/anywriter/anywriter/simnode/internal/auth"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/fabric"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/segment"
	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/wire"
)

// ErrClosed is returned by calls on a cluster that was closed.
var ErrClosed = errors.New("simnode: the cluster is closed")

// Sim is a running cluster. All methods are safe for concurrent use. End it with
// Close.
type Sim struct {
	cfg       Config
	clusterID string
	fabric    *fabric.Fabric
	volume    *segment.Volume
	auth      *auth.Store
	cancels   *wire.CancelRegistry
	engine    *session.SQL
	roles     []catalog.Role
	log       *evlog.Log
	nodes     []*Node

	over chan struct{} // closed when Close has taken everything down

	mu       sync.Mutex
	heals    []func()
	watchers []func() // stop them
	closed   bool
}

// Start builds a cluster, starts every node, and returns when all of them serve:
// each holds a read lease and has heard a majority. ctx bounds the start only; if
// it ends first, everything is taken down again and its error returned.
func Start(ctx context.Context, cfg Config) (*Sim, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("simnode: not started: %w", context.Cause(ctx))
	}
	s, err := build(cfg)
	if err != nil {
		return nil, err
	}
	for _, n := range s.nodes {
		if err := n.start(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if err := s.WaitReady(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// build makes everything but the nodes' processes.
func build(cfg Config) (*Sim, error) {
	store, err := newAuth(cfg)
	if err != nil {
		return nil, fmt.Errorf("simnode: %w", err)
	}
	listeners := make([]net.Listener, cfg.Nodes)
	if !cfg.InMemory {
		if listeners, err = listen(cfg.Nodes, cfg.Port); err != nil {
			return nil, err
		}
	}
	s := &Sim{
		cfg:       cfg,
		clusterID: clusterID(),
		fabric:    fabric.New(fabric.Config{Seed: cfg.Seed, Link: fabric.Link{Latency: cfg.Latency, Jitter: cfg.Jitter}}),
		auth:      store,
		cancels:   wire.NewCancelRegistry(),
		engine:    session.NewSQL(),
		roles:     catalog.Roles(slices.Collect(maps.Keys(cfg.Roles))),
		log:       evlog.New(0),
		over:      make(chan struct{}),
	}
	members := make([]message.NodeID, cfg.Nodes)
	for i := range members {
		members[i] = message.NodeID(i + 1)
	}
	s.volume, err = segment.Start(segment.Config{Fabric: s.fabric, Members: members, StorageNodes: storageNodes, AZs: storageAZs, Log: s.log})
	if err != nil {
		for _, ln := range listeners {
			if ln != nil {
				_ = ln.Close()
			}
		}
		s.fabric.Close()
		return nil, fmt.Errorf("simnode: %w", err)
	}
	for i, ln := range listeners {
		port := memoryPort + i
		if ln != nil {
			port = portOf(ln)
		}
		s.nodes = append(s.nodes, &Node{sim: s, number: i + 1, port: port, tcp: ln})
		s.clientLinks(i + 1)
	}
	return s, nil
}

// clientLinks makes the links to the clients perfect: Latency and Jitter of the
// configuration are between the machines of the cluster.
func (s *Sim) clientLinks(node int) {
	s.fabric.SetLink(clientAddr(), nodeAddr(node), fabric.Link{})
	s.fabric.SetLink(nodeAddr(node), clientAddr(), fabric.Link{})
}

func newAuth(cfg Config) (*auth.Store, error) {
	method := auth.MethodTrust
	var roles []auth.Role
	for name, password := range cfg.Roles {
		roles = append(roles, auth.Role{Name: name, Password: password})
		if password != "" {
			method = auth.MethodSCRAM
		}
	}
	return auth.New(auth.Config{Method: method, Roles: roles})
}

// clusterID names the cluster. No two may have the same name, whatever their seeds
// and in whatever process they run: clients tell clusters apart by it. Nothing in
// the cluster depends on it, so runs repeat themselves all the same.
func clusterID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails: see crypto/rand
	return fmt.Sprintf("sim-%x", id)
}

// DSN is the address list of all nodes, for drivers that take one.
func (s *Sim) DSN() string {
	hosts := make([]string, len(s.nodes))
	for i, n := range s.nodes {
		hosts[i] = n.Addr()
	}
	return "postgres://postgres@" + strings.Join(hosts, ",") + "/postgres?sslmode=disable"
}

// Nodes lists the nodes, node 1 first.
func (s *Sim) Nodes() []*Node { return append([]*Node(nil), s.nodes...) }

// Node is node n, counted from 1. It panics if there is no such node, as an index
// out of range does.
func (s *Sim) Node(n int) *Node {
	if n < 1 || n > len(s.nodes) {
		panic(fmt.Sprintf("simnode: node %d of a cluster with nodes 1 to %d", n, len(s.nodes)))
	}
	return s.nodes[n-1]
}

// Dial connects to a node in memory, without a socket, by its address in DSN. It
// has the signature of a DialFunc, for pgx and for the driver, and works in
// testing/synctest. Errors are those of a network: connection refused by a killed
// node, the context's error across a black hole.
func (s *Sim) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	for _, n := range s.nodes {
		if addr == n.Addr() || addr == nodeAddr(n.number).String() {
			return s.fabric.Dial(ctx, clientAddr(), nodeAddr(n.number))
		}
	}
	return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("simnode: no node has the address %q, the addresses are %s", addr, s.addrs())}
}

func (s *Sim) addrs() string {
	out := make([]string, len(s.nodes))
	for i, n := range s.nodes {
		out[i] = n.Addr()
	}
	return strings.Join(out, ", ")
}

// WaitReady returns when every node that is not killed serves, or with ctx's
// error and the reason of the first node that does not.
func (s *Sim) WaitReady(ctx context.Context) error {
	for _, n := range s.nodes {
		if err := n.waitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Close ends every node and the storage, resets every connection and joins every
// goroutine; channels of Watch are closed. It is idempotent.
func (s *Sim) Close() error {
	s.mu.Lock()
	closed, watchers := s.closed, s.watchers
	s.closed = true
	s.mu.Unlock()
	if closed {
		<-s.over
		return nil
	}
	defer close(s.over)
	s.Heal()
	for _, n := range s.nodes {
		n.stop(true)
	}
	s.volume.Close()
	s.fabric.Close()
	for _, stop := range watchers {
		stop()
	}
	return nil
}

func (s *Sim) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// record writes an event to the log of the cluster and to the configured logger.
func (s *Sim) record(source, kind, text string, fields ...evlog.Field) {
	s.log.Add(source, kind, text, fields...)
	attrs := []slog.Attr{slog.String("source", source), slog.String("kind", kind)}
	for _, f := range fields {
		attrs = append(attrs, slog.String(f.Key, f.Value))
	}
	s.cfg.Logger.LogAttrs(context.Background(), slog.LevelInfo, text, attrs...)
}

func hostPort(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
