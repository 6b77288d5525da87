package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster/internal/hook"
	"github.com/anywriter/anywriter/cluster/internal/socket"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// prober asks one node whether it is well, over a connection of its own that
// no user's statement can keep busy. Its methods are called by the node's
// probing goroutine only, but for cut.
type prober struct {
	node    *Node
	config  *pgx.ConnConfig
	sockets *socket.Set
	conn    *pgconn.PgConn
	held    hook.Held
	checked bool // the fence has been examined on conn, and is good
}

func (p *prober) init(n *Node, dial DialFunc) {
	p.node = n
	p.sockets = socket.New(dial, maxDials, n.pulse)
	p.config = n.config.Copy()
	p.config.DialFunc = p.sockets.Dial
}

// cut ends whatever the prober is waiting for. The next probe dials anew.
func (p *prober) cut() { p.sockets.Cut() }

// probe makes one round trip to the node. An error means that the node can't
// be given work now.
func (p *prober) probe(ctx context.Context) error {
	err := p.roundTrip(ctx)
	facts, _ := factsOf(err)
	if p.conn != nil && p.conn.IsClosed() && sqlstate.Classify(facts).Kind == sqlstate.SessionEnded {
		p.drop() // the prober's session was idle for too long, which says nothing about the node
		err = p.roundTrip(ctx)
	}
	var fence *FenceError
	denied := isDenial(err) && ctx.Err() == nil // a hook that was cut short denies nothing
	if err == nil || denied || errors.As(err, &fence) {
		p.accept(err)
		return nil
	}
	p.node.lastError.Store(&err)
	if p.conn != nil && p.conn.IsClosed() {
		p.drop()
	}
	return err
}

// silence describes a server that has neither answered nor failed yet.
func (p *prober) silence() string {
	if p.sockets.Count() == 0 {
		return "no connection to it is open yet"
	}
	return "it has accepted a connection, but not answered yet; is it a PostgreSQL server?"
}

// accept notes whether the server, which is well, lets us in.
func (p *prober) accept(denial error) {
	var next *error
	if denial != nil {
		next = &denial
	}
	if old := p.node.denied.Swap(next); (old == nil) != (next == nil) {
		p.node.cluster.events.denied(p.node, denial)
		p.node.cluster.publish()
	}
}

func (p *prober) roundTrip(ctx context.Context) error {
	if p.conn == nil {
		if err := p.connect(ctx); err != nil {
			return err
		}
	}
	if !p.checked {
		if err := p.node.checkFence(ctx, p.conn); err != nil {
			return err
		}
		p.checked = true
	}
	return p.node.ask(ctx, p.conn)
}

// connect opens the prober's connection and finds out who answers there.
func (p *prober) connect(ctx context.Context) error {
	conn, err := p.node.hooks.Connect(ctx, p.config, &p.held)
	if err != nil {
		return err
	}
	p.conn = conn
	profile, id, err := identify(ctx, conn, p.node.config.Host, p.node.cluster.named)
	if err != nil {
		p.drop()
		return err
	}
	p.node.profile.Store(&profile)
	p.checked = false
	if err := p.node.cluster.meet(p.node, id); err != nil {
		p.drop() // it is asked again whether it belongs here
		return err
	}
	return nil
}

// ask sends the node's probe over one of its connections. An error means that
// it takes no work, or no writes.
func (n *Node) ask(ctx context.Context, conn *pgconn.PgConn) error {
	profile := n.profile.Load()
	result := conn.ExecParams(ctx, profile.Probe, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	if profile.Standby && len(result.Rows) == 1 && string(result.Rows[0][0]) == "t" {
		return &notReadyError{reason: "the server is in recovery and takes no writes"}
	}
	return nil
}

// drop closes the prober's connection without waiting for the server.
func (p *prober) drop() {
	if p.conn == nil {
		return
	}
	conn := p.conn
	p.conn = nil
	// pgx may be about to dial a cancel request for what was under way.
	p.sockets.Refuse(errNodeDown)
	defer p.sockets.Allow()
	p.sockets.Cut()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // its socket is gone already
	select {
	case <-conn.CleanupDone():
	case <-ctx.Done():
	}
}

// notReadyError is a node's refusal that it didn't put into an error message.
// It has the SQLSTATE cannot_connect_now.
type notReadyError struct{ reason string }

func (e *notReadyError) Error() string { return fmt.Sprintf("not ready: %s", e.reason) }

// SQLState returns 57P03.
func (e *notReadyError) SQLState() string { return "57P03" }
