package simnode

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/evlog"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/node"
	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/wire"
)

// version is what nodes report as simnode.version.
const version = "0.1"

// readyPoll is how often a start looks whether its node serves. A node needs a
// few milliseconds to start, so polling costs at most a tenth of that.
const readyPoll = 500 * time.Microsecond

// Node is one database node of a Sim. All methods are safe for concurrent use.
// Faults act at once and return their undo.
type Node struct {
	sim    *Sim
	number int
	port   int

	// turn serialises kill, start, freeze and thaw. It is a channel and not a
	// mutex because those wait, and a wait for a mutex would stop virtual time.
	turn  turnstile
	lives uint64       // guarded by turn
	tcp   net.Listener // guarded by turn; nil in memory, and while killed
	down  func()       // guarded by turn; nil while there is a process
	thaw  func()       // guarded by turn; nil unless frozen

	process  atomic.Pointer[process] // nil while killed
	frozen   atomic.Bool
	drops    drops
	readOnly atomic.Int32 // how many SetReadOnly are in force
}

// process is one life of a node.
type process struct {
	node   *node.Node
	server *wire.Server
	cancel context.CancelFunc
	joined sync.WaitGroup
}

// turnstile is a lock that a goroutine in virtual time can wait for.
type turnstile struct {
	once sync.Once
	ch   chan struct{}
}

func (t *turnstile) enter() (leave func()) {
	t.once.Do(func() { t.ch = make(chan struct{}, 1) })
	t.ch <- struct{}{}
	return func() { <-t.ch }
}

// Number is the node's number, from 1.
func (n *Node) Number() int { return n.number }

// Addr is the node's address, as DSN and Dial use it.
func (n *Node) Addr() string { return hostPort(n.port) }

// start begins a life of the node; the caller does not hold the turn.
func (n *Node) start() error {
	defer n.turn.enter()()
	if n.process.Load() != nil {
		return nil
	}
	if n.sim.isClosed() {
		return ErrClosed // Close has been here, or waits for the turn
	}
	if n.tcp == nil && !n.sim.cfg.InMemory {
		ln, err := listenPort(n.port)
		if err != nil {
			return fmt.Errorf("simnode: node %d: %w", n.number, err)
		}
		n.tcp = ln
	}
	if n.down != nil {
		n.down()
		n.down = nil
	}
	p, err := n.launch()
	if err != nil {
		return fmt.Errorf("simnode: node %d: %w", n.number, err)
	}
	n.process.Store(p)
	return nil
}

// launch makes a process: the node, and a server on each of its listeners.
func (n *Node) launch() (*process, error) {
	n.lives++
	members := n.sim.volume.Members()
	mode := node.Strict
	if n.sim.cfg.Mode == Eventual {
		mode = node.Eventual
	}
	core, err := node.Start(node.Config{
		ID: message.NodeID(n.number), Members: members, ClusterID: n.sim.clusterID,
		Fabric: n.sim.fabric, Mode: mode, Log: n.sim.log,
		Tamper: n.sim.cfg.Sabotage.tamper(n.number == n.sim.cfg.Nodes),
		// Every life needs a seed of its own, none of them 0.
		Seed: (n.sim.cfg.Seed+1)<<20 | uint64(n.number)<<12 | n.lives&0xfff | 1<<62,
	})
	if err != nil {
		return nil, err
	}
	sessions, err := session.NewFactory(session.Config{
		Node: core, Engine: n.sim.engine, Hooks: n.hooks(), Roles: n.sim.roles, Version: version,
		ReadOnly: func() bool { return n.readOnly.Load() > 0 },
	})
	if err != nil {
		core.Close()
		return nil, err
	}
	open := func(ctx context.Context, start session.Startup) (wire.Session, error) {
		s, err := sessions.Open(ctx, start)
		if err != nil {
			return nil, err // a nil *session.Session in the interface would not be nil
		}
		return s, nil
	}
	server, err := wire.NewServer(wire.Config{
		Auth: n.sim.auth, Open: open, Cancel: n.sim.cancels, MaxConnections: n.sim.cfg.MaxConnections, Panicked: n.panicked,
	})
	if err != nil {
		core.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{node: core, server: server, cancel: cancel}
	memory := n.sim.fabric.Listen(nodeAddr(n.number))
	// Both end when the process is ended: cancel closes their listeners and
	// connections.
	p.joined.Go(func() { n.serve(ctx, p, memory, nil) })
	if tcp := n.tcp; tcp != nil {
		// Ends as the one above.
		p.joined.Go(func() {
			n.serve(ctx, p, tcp, func(conn net.Conn) net.Conn {
				return n.sim.fabric.WrapConn(conn, clientAddr(), nodeAddr(n.number))
			})
		})
	}
	return p, nil
}

// panicked reports a defect of the simulator that has failed one command.
func (n *Node) panicked(client wire.ConnInfo, text string, stack []byte) {
	n.sim.record(n.String(), "panic", text, evlog.F("pid", client.PID), evlog.F("stack", strconv.Quote(string(stack))))
}

func (n *Node) serve(ctx context.Context, p *process, ln net.Listener, wrap func(net.Conn) net.Conn) {
	if err := p.server.Serve(ctx, ln, wrap); err != nil {
		n.sim.record(n.String(), "listener", err.Error())
	}
}

// Kill ends the node's process at once, as SIGKILL does: its connections are
// reset, its cache is lost, and nothing is said to anybody. Its host tells the
// storage that the process is gone, so nobody waits for its lease. Undo starts the
// node again.
func (n *Node) Kill() Undo {
	n.stop(false)
	return sync.OnceFunc(func() {
		if err := n.Start(); err != nil {
			n.sim.record(n.String(), "start", "failed: "+err.Error())
		}
	})
}

// stop ends the process, if there is one.
func (n *Node) stop(closing bool) {
	defer n.turn.enter()()
	p := n.process.Load()
	if p == nil {
		return
	}
	n.process.Store(nil)
	// From here no client hears anything more, and after Close no session can read:
	// the supervisor need not wait for them to end. They do end now that the node is
	// closed; one that waited for a commit would not before.
	n.down = n.sim.fabric.Down(nodeAddr(n.number))
	p.cancel()
	p.node.Close()
	n.sim.volume.Release(message.NodeID(n.number), p.node.Incarnation())
	if !closing {
		n.sim.record(n.String(), "kill", "the process was killed")
	}
	n.unfreeze()
	p.server.CloseAll(true)
	p.joined.Wait()
	n.tcp = nil
}

// Start starts a killed node with a cold cache: it takes a new incarnation,
// follows the log, and only then votes and serves. It returns at once; WaitReady
// waits. Starting a node that runs does nothing. The error says that its TCP port
// is taken.
func (n *Node) Start() error {
	if n.sim.isClosed() {
		return ErrClosed
	}
	if n.process.Load() != nil {
		return nil
	}
	n.sim.record(n.String(), "start", "the process starts with a cold cache")
	return n.start()
}

// Freeze stops the node where it stands, as SIGSTOP does: it takes connections, as
// its kernel would, and says nothing to anybody. Undo, and Thaw, let it go on.
func (n *Node) Freeze() Undo {
	defer n.turn.enter()()
	p := n.process.Load()
	if p == nil || n.thaw != nil {
		return n.Thaw
	}
	hold := n.sim.fabric.Freeze(nodeAddr(n.number))
	p.node.Freeze()
	n.thaw = func() {
		p.node.Thaw()
		hold()
	}
	n.frozen.Store(true)
	n.sim.record(n.String(), "freeze", "the process is stopped")
	return n.Thaw
}

// Thaw lets a frozen node go on. On any other node it does nothing.
func (n *Node) Thaw() {
	defer n.turn.enter()()
	if n.thaw != nil {
		n.unfreeze()
		n.sim.record(n.String(), "thaw", "the process goes on")
	}
}

func (n *Node) unfreeze() {
	if n.thaw != nil {
		n.thaw()
		n.thaw = nil
		n.frozen.Store(false)
	}
}

// Isolate cuts the node off from everybody: clients, nodes and storage. Undo and
// Sim.Heal take it back.
func (n *Node) Isolate() Undo {
	return n.sim.network("isolate", n.String(), n.sim.fabric.Isolate(nodeAddr(n.number)))
}

// Reset resets every client connection of the node, as a firewall that loses its
// state does. Clients can connect again at once.
func (n *Node) Reset() {
	n.sim.fabric.Reset(clientAddr(), nodeAddr(n.number))
	n.sim.record(n.String(), "reset", "client connections were reset")
}

// SetLag makes the node's cache take every record that much later than it arrives;
// 0 ends it. It lasts until the node is killed. In strict mode writers everywhere
// wait for the lagging cache, up to one lease.
func (n *Node) SetLag(lag time.Duration) error {
	if lag < 0 {
		return fmt.Errorf("simnode: a lag of %v, allowed are 0 and more", lag)
	}
	p := n.process.Load()
	if p == nil {
		return fmt.Errorf("simnode: node %d is not running", n.number)
	}
	p.node.SetLag(lag)
	n.sim.record(n.String(), "lag", lag.String())
	return nil
}

// Drain shuts the node down in good order, as an administrator does: new clients
// get 57P03, sessions end with 57P01. It returns when all are gone, or with ctx's
// error after closing those that are not. Undo accepts clients again.
func (n *Node) Drain(ctx context.Context) (Undo, error) {
	p := n.process.Load()
	if p == nil {
		return nil, fmt.Errorf("simnode: node %d is not running", n.number)
	}
	n.sim.record(n.String(), "drain", "sessions are being ended")
	return sync.OnceFunc(p.server.Resume), p.server.Drain(ctx)
}

// SetMaxConnections changes how many clients may be connected; those that are stay.
func (n *Node) SetMaxConnections(limit int) (Undo, error) {
	p := n.process.Load()
	if p == nil {
		return nil, fmt.Errorf("simnode: node %d is not running", n.number)
	}
	before := p.server.SetMaxConnections(limit)
	n.sim.record(n.String(), "limit", "", evlog.F("max_connections", limit))
	return sync.OnceFunc(func() { p.server.SetMaxConnections(before) }), nil
}

// SetReadOnly makes the node refuse writes with 25006, as a server whose configuration
// says so: it goes on to vote and to answer reads, and transactions that have begun may
// write to their end. It lasts over a restart of the node. Calls add up; Undo takes
// one back.
func (n *Node) SetReadOnly() Undo {
	n.readOnly.Add(1)
	n.sim.record(n.String(), "read-only", "writes are refused")
	return sync.OnceFunc(func() {
		if n.readOnly.Add(-1) == 0 {
			n.sim.record(n.String(), "read-only", "writes are taken again")
		}
	})
}

// String names the node as events do, such as "node/2".
func (n *Node) String() string { return nodeAddr(n.number).String() }

// errKilled says why a killed node does not serve.
var errKilled = errors.New("the process is not running")

// waitReady returns when the node serves or is killed.
func (n *Node) waitReady(ctx context.Context) error {
	ticker := time.NewTicker(readyPoll)
	defer ticker.Stop()
	for {
		err := n.Status().Err
		if err == nil || errors.Is(err, errKilled) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("simnode: node %d is not ready: %w: %w", n.number, err, context.Cause(ctx))
		case <-ticker.C:
		}
	}
}
