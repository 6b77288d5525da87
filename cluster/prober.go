package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/balancer"
	"github.com/anywriter/anywriter/cluster/internal/hook"
	"github.com/anywriter/anywriter/cluster/internal/role"
	"github.com/anywriter/anywriter/cluster/internal/socket"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/sqlstate"
)

// prober asks one node whether it is well, over a connection of its own that
// no user's statement can keep busy. Its methods are called by the node's
// probes only, one after the other, but for cut.
type prober struct {
	node    *Node
	config  *pgx.ConnConfig
	sockets *socket.Set
	conn    *pgconn.PgConn
	held    hook.Held
	system  string // what the server at the end of conn shares with its physical copies

	// What was found out since conn was opened and the server last became a
	// writer.
	checked  bool   // the fence has been examined, and is good
	timeline uint32 // 0: not known

	muted bool // it was reported that the node doesn't tell its timeline
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
	returned := false
	defer func() {
		if !returned { // a function of the application has ended the goroutine
			p.node.lastError.Store(&errQuit)
			p.cut() // what was being opened
			p.drop()
		}
	}()
	err := p.check(ctx)
	returned = true
	return err
}

// errQuit is why a node isn't well whose probe a function of the application has ended.
var errQuit = errors.New("a hook, DialFunc or a handler has ended the probe's goroutine (runtime.Goexit)")

// check is probe, but for a probe that doesn't return.
func (p *prober) check(ctx context.Context) error {
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
		if endsSessions(health.KindOf(err)) {
			p.node.broke.Store(p.node.cluster.clock.Nanos())
		}
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
	asked := time.Now()
	claim, err := p.node.ask(ctx, p.conn)
	if err != nil {
		return err
	}
	claim.System = p.system
	if claim.Role == role.Writer {
		if err := p.examine(ctx, &claim); err != nil {
			return err
		}
	} else {
		p.checked, p.timeline = false, 0 // it may be promoted
	}
	p.node.cluster.claim(p.node, claim, asked)
	return nil
}

// examine completes the claim of a server that takes writes, before it gets any:
// the fence there must be good, and its timeline known. That doesn't change as
// long as a server takes writes, but where two do that shouldn't they are asked
// each time: a name may lead to another server meanwhile.
func (p *prober) examine(ctx context.Context, claim *role.Claim) error {
	if !p.checked {
		if err := p.examineFence(ctx, claim.Chosen); err != nil {
			return err
		}
		p.checked = true
	}
	if p.timeline == 0 && !p.muted || p.node.cluster.rivalled(p.node) {
		timeline, err := p.askTimeline(ctx)
		if err != nil {
			return err
		}
		p.timeline = timeline
	}
	claim.Timeline = p.timeline
	return nil
}

// examineFence looks at the fence on the prober's connection. Where the client's
// own sessions begin as read-only, the examination, which writes, doesn't.
func (p *prober) examineFence(ctx context.Context, readOnly bool) error {
	if !readOnly || !p.node.cluster.fence.on {
		return p.node.checkFence(ctx, p.conn)
	}
	conn := p.conn
	if _, err := conn.ExecParams(ctx, "set default_transaction_read_only = off", nil, nil, nil, nil).Close(); err != nil {
		return err
	}
	found := p.node.checkFence(ctx, conn)
	if _, err := conn.ExecParams(ctx, "reset default_transaction_read_only", nil, nil, nil, nil).Close(); err != nil {
		p.drop() // the next probe would take it for a session like any other
		return cmp.Or(found, err)
	}
	return found
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
	p.checked, p.timeline, p.system = false, 0, ""
	if profile.Timeline != "" && !p.node.cluster.mixed { // or copies may be independent
		p.system = id.cluster
	}
	if err := p.node.cluster.meet(p.node, id); err != nil {
		p.drop() // it is asked again whether it belongs here
		return err
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

// ask sends the node's probe over one of its connections and returns what the
// server says of itself. An error means that it takes no work.
func (n *Node) ask(ctx context.Context, conn *pgconn.PgConn) (role.Claim, error) {
	profile := n.profile.Load()
	result := conn.ExecParams(ctx, profile.Probe, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return role.Claim{}, result.Err
	}
	if !profile.Roles {
		return role.Claim{Role: role.Writer}, nil
	}
	if answer, ok := oneValue(result); ok {
		if claim, known := role.Answered(answer); known {
			return claim, nil
		}
	}
	return role.Claim{}, errStrangeAnswer
}

// errStrangeAnswer is a probe's answer that isn't one of those that it can have.
var errStrangeAnswer = errors.New("the server's answer to the probe makes no sense; is its engine what it seems to be?")

func oneValue(result *pgconn.Result) (string, bool) {
	if len(result.Rows) != 1 || len(result.Rows[0]) != 1 {
		return "", false
	}
	return string(result.Rows[0][0]), true
}

// askTimeline asks a server that takes writes for its timeline. 0 means that it
// isn't known, which is said once; an error means that the connection is of no
// use.
func (p *prober) askTimeline(ctx context.Context) (uint32, error) {
	query := p.node.profile.Load().Timeline
	if query == "" {
		return 0, nil
	}
	result := p.conn.ExecParams(ctx, query, nil, nil, nil, nil).Read()
	if result.Err != nil {
		if _, pgErr := factsOf(result.Err); pgErr == nil || p.conn.IsClosed() {
			return 0, result.Err
		}
		if !p.muted {
			p.muted = true
			p.node.cluster.events.warn(fmt.Sprintf("node %s doesn't tell its timeline (%v): "+
				"an old primary that is started again can't be told from the new one", p.node.addr, result.Err))
		}
		return 0, nil
	}
	answer, _ := oneValue(result)
	timeline, err := strconv.ParseUint(answer, 10, 32)
	if err != nil {
		return 0, errStrangeAnswer
	}
	return uint32(timeline), nil
}

// pingTimeout bounds what one node may take to answer a Ping before the next
// is asked: a second is longer than any healthy answer and than the detector
// needs to find a frozen node. It is less if acquire_timeout doesn't leave as much.
const pingTimeout = time.Second

// Ping returns nil as soon as one node that takes writes answers. It asks the nodes in
// rounds until the context or acquire_timeout ends, and returns an error with one line
// per node then. In each round each node has an equal part of the time that is left, and
// a second at most. Like every operation it needs a connection: it fails, too, if those
// of all nodes are in use for that long, and at once if every node refuses this client.
func (c *Cluster) Ping(ctx context.Context) error {
	bound, cancel := context.WithTimeout(ctx, c.settings.AcquireTimeout)
	defer cancel()
	var causes []error // of the last round
	began := c.clock.Nanos()
	for bound.Err() == nil {
		answered, failures, err := c.pingEach(bound)
		if len(failures) > 0 {
			causes = failures
		}
		var none *NoNodeError
		switch {
		case answered:
			return nil
		case errors.As(err, &none):
			none.Waited, none.Cause = c.clock.Since(began), ctx.Err()
			none.causes = append(causes, none.causes...)
			return none
		case err != nil:
			return err
		}
		select {
		case <-time.After(retryRefused):
		case <-bound.Done():
		}
	}
	return c.noNode(c.clock.Since(began), ctx.Err(), causes)
}

// pingEach asks the nodes one after the other, until one answers. It returns how they
// failed, and why it had to stop, if none could be had.
func (c *Cluster) pingEach(ctx context.Context) (answered bool, failures []error, err error) {
	deadline, _ := ctx.Deadline()
	var avoid balancer.Set
	for left := len(c.members()); left > 0 && ctx.Err() == nil; left-- {
		l, err := c.acquire(ctx, want{avoid: avoid}, nil)
		if err != nil {
			return false, failures, err
		}
		part := time.Until(deadline) / time.Duration(left)
		if err = l.ping(ctx, min(part, pingTimeout)); err == nil {
			return true, nil, nil
		}
		l.node.lastError.Store(&err)
		failures = append(failures, err)
		avoid = avoid.With(l.node.index)
	}
	return false, failures, nil
}

// ping makes a round trip within a limit, asks whether writes are taken, and gives
// the lease back.
func (l *lease) ping(ctx context.Context, limit time.Duration) (err error) {
	defer l.release(false)
	defer func() {
		short := limit < pingTimeout && errors.Is(err, context.DeadlineExceeded)
		if err != nil && ctx.Err() == nil && !short {
			l.settle(health.BreakerFailure)
		}
	}()
	l.node.cluster.events.picked(l.node)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	claim, err := l.node.ask(ctx, l.phys.pc)
	if err == nil && claim.Role != role.Writer {
		err = fmt.Errorf("takes no writes: %v", claim.Reason)
	}
	return err
}

// Ping asks the server of a session in use, or, if it holds no server
// connection, whether any node answers.
func (s *Session) Ping(ctx context.Context) error {
	if !s.lease.held() && s.lost == nil {
		return s.cluster.Ping(ctx)
	}
	_, err := s.Exec(ctx, "-- ping", nil)
	return err
}
