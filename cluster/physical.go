package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/anywriter/anywriter/cluster/internal/bundle"
	"github.com/anywriter/anywriter/cluster/internal/socket"
	"github.com/anywriter/anywriter/cluster/internal/stmtcache"
	"github.com/anywriter/anywriter/cluster/internal/trace"
)

// physicalKey is where a pooled connection keeps its physical.
const physicalKey = "anywriter.physical"

// physical is what we know about one server connection for as long as it
// lives: its socket, its prepared statements, its encoder. It has one user at
// a time.
type physical struct {
	node      *Node
	born      time.Time
	conn      *pgx.Conn
	pc        *pgconn.PgConn
	tally     *tally
	sock      *socket.Conn
	encrypted bool
	stmts     *stmtcache.Cache
	encoder   pgx.ExtendedQueryBuilder
	bundle    *bundle.Bundle // for what travels in one flush
	pulsed    int64          // the base of the node's pulse, by the cluster's clock
	heard     int64          // when it was opened or its last statement was answered, by the cluster's clock
	prepared  bool           // the application used PREPARE: the reset must drop its names
	loaded    bool           // the application used LOAD, which nothing undoes
}

// newPhysical is called by the pool once for each new connection.
func newPhysical(node *Node, conn *pgx.Conn) *physical {
	p := &physical{
		node:   node,
		tally:  node.counters.tally(),
		born:   time.Now(),
		heard:  node.cluster.clock.Nanos(),
		pulsed: node.cluster.clock.At(node.pulse.Base()),
		conn:   conn,
		pc:     conn.PgConn(),
		sock:   socket.Find(conn.PgConn().Conn()),
		stmts:  stmtcache.New(node.statementCapacity),
	}
	p.bundle = bundle.New(p.pc)
	if p.sock != nil {
		p.sock.Ready()
	}
	_, p.encrypted = conn.PgConn().Conn().(*tls.Conn)
	p.pc.CustomData()[physicalKey] = p
	return p
}

// close says goodbye to the server and waits until the socket is closed, for the
// pool.
func (p *physical) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = p.conn.Close(ctx) // it is gone either way
	select {
	case <-p.pc.CleanupDone():
	case <-ctx.Done():
	}
}

// closeTimeout bounds the goodbye to a server that doesn't answer. Only whoever
// waits for the connection's place in the pool notices.
const closeTimeout = 15 * time.Second

// heard is the configuration's OnPgError: what the server says is noted before
// the application's own handler, or pgx's, decides whether the connection goes
// on.
func heard(then pgconn.PgErrorHandler) pgconn.PgErrorHandler {
	return func(pc *pgconn.PgConn, said *pgconn.PgError) bool {
		if p, ok := pc.CustomData()[physicalKey].(*physical); ok {
			p.bundle.Refused(said)
		}
		return then == nil || then(pc, said)
	}
}

// abandon closes a pipeline whose first error is already known; closing it
// reads the rest of the answers.
func abandon(pipe *pgconn.Pipeline, err error) error {
	_ = pipe.Close() // repeats err
	return err
}

// freshFor is how long after an answer an idle connection is taken to be alive
// unseen. To look at its socket is a system call, a fortieth of what a statement
// over loopback costs this process. Over a network the news of a server's end takes about 100 µs to
// arrive, so that a look can't find a younger end there; and a statement that is
// under way then is exposed to it for longer.
const freshFor = 100 * time.Microsecond

// gone reports whether the idle connection is known to be dead, or has to be taken
// for it: one that can't be looked at and was last heard of before another one of the
// node's broke. Each of them would otherwise be found by an operation, and all of them
// together keep the node's breaker open for a long time.
func (p *physical) gone(now int64) bool {
	switch {
	case p.pc.IsClosed():
		return true
	case p.sock == nil || p.sock.Blind():
		return p.heard < p.node.broke.Load() || p.sock != nil && p.sock.Cut()
	case now-p.heard < int64(freshFor):
		return p.sock.Cut()
	default:
		return p.sock.Gone(p.encrypted)
	}
}

// answeredAt returns when the server gave the answer that has just been read, to a
// statement that was sent at started: it is the time of the last read of the socket,
// which is known already. Without a socket, or if the answer came with an earlier one's
// bytes, it is now. Both are times of the cluster's clock.
func (p *physical) answeredAt(started int64) int64 {
	if p.sock != nil {
		if at := p.pulsed + int64(p.sock.Heard()); at > started {
			return at
		}
	}
	return p.node.cluster.clock.Nanos()
}

// flight marks where the byte counter of a connection stood before a statement
// was sent.
type flight struct {
	sock *socket.Conn
	sent int64
}

func (p *physical) takeOff() flight {
	f := flight{sock: p.sock}
	if f.sock != nil {
		f.sent = f.sock.Sent()
	}
	return f
}

// flushed reports whether any byte left the process since the takeoff. Without
// a socket to ask it assumes so.
func (f flight) flushed() bool { return f.sock == nil || f.sock.Sent() != f.sent }

// describe returns the prepared statement for a text, preparing it if the
// connection hasn't got it. With begin set, BEGIN travels in the same flush.
func (p *physical) describe(ctx context.Context, sql, begin string, named bool) (*stmtcache.Entry, error) {
	name := ""
	if named {
		name = p.stmts.NextName()
	}
	var desc *pgconn.StatementDescription
	var err error
	span := p.node.tracer.Prepare(ctx, p.conn, name, sql)
	ctx = span.Context(ctx)
	if begin == "" && len(p.stmts.Stale()) == 0 {
		desc, err = p.pc.Prepare(ctx, name, sql, nil)
	} else {
		desc, err = p.preparePipelined(ctx, name, sql, begin)
	}
	span.End(pgconn.CommandTag{}, err)
	if err != nil {
		return nil, err
	}
	e := &stmtcache.Entry{Desc: desc, Formats: make([]int16, len(desc.Fields))}
	for i := range desc.Fields {
		e.Formats[i] = resultFormat(desc.Fields[i].DataTypeOID)
	}
	return e, nil
}

// preparePipelined prepares a statement in one flush with the deallocation of
// displaced ones and with BEGIN.
func (p *physical) preparePipelined(ctx context.Context, name, sql, begin string) (*pgconn.StatementDescription, error) {
	pipe := p.pc.StartPipeline(ctx)
	stale := p.stmts.Stale()
	for _, old := range stale {
		pipe.SendDeallocate(old)
	}
	var span trace.Span
	if begin != "" {
		span = p.node.tracer.Query(ctx, p.conn, begin, nil)
		pipe.SendQueryParams(begin, nil, nil, nil, nil)
	}
	pipe.SendPrepare(name, sql, nil)
	if err := pipe.Sync(); err != nil {
		span.EndCommand("BEGIN", err)
		return nil, abandon(pipe, err)
	}
	desc, err := readPrepared(pipe, &span)
	closeErr := pipe.Close()
	if err != nil {
		return nil, err
	}
	if closeErr != nil {
		return nil, closeErr
	}
	p.stmts.Deallocated()
	desc.Name, desc.SQL = name, sql
	return desc, nil
}

// readPrepared reads results up to the statement description, and ends the span
// of BEGIN.
func readPrepared(pipe *pgconn.Pipeline, begin *trace.Span) (*pgconn.StatementDescription, error) {
	for {
		res, err := pipe.GetResults()
		if err != nil {
			begin.EndCommand("BEGIN", err) // unless it was answered
			return nil, err
		}
		switch res := res.(type) {
		case *pgconn.StatementDescription:
			return res, nil
		case *pgconn.ResultReader: // BEGIN
			_, err := res.Close()
			begin.EndCommand("BEGIN", err)
			if err != nil {
				return nil, err
			}
		case *pgconn.CloseComplete:
		default:
			return nil, fmt.Errorf("prepare: the server ended the exchange without a statement description")
		}
	}
}

// encode encodes the arguments for a described statement, or by their Go types
// if desc is nil. A panicking Valuer becomes an error: a panic that passes
// through database/sql leaks its connection.
func (p *physical) encode(desc *pgconn.StatementDescription, args []any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &PanicError{While: "encoding arguments", Value: r}
		}
	}()
	if desc != nil && len(desc.ParamOIDs) != len(args) {
		return fmt.Errorf("expected %d arguments, got %d", len(desc.ParamOIDs), len(args))
	}
	return p.encoder.Build(p.conn.TypeMap(), desc, args)
}

// resultFormat is the wire format in which a column is asked for: binary for
// the types that database/sql scans without text, text for everything else,
// the same choice that pgx's stdlib makes.
func resultFormat(oid uint32) int16 {
	switch oid {
	case pgtype.BoolOID, pgtype.ByteaOID, pgtype.CIDOID, pgtype.DateOID,
		pgtype.Float4OID, pgtype.Float8OID, pgtype.Int2OID, pgtype.Int4OID,
		pgtype.Int8OID, pgtype.OIDOID, pgtype.TimestampOID,
		pgtype.TimestamptzOID, pgtype.XIDOID:
		return pgtype.BinaryFormatCode
	default:
		return pgtype.TextFormatCode
	}
}

// resetTimeout bounds the clean-up of a server session. It takes one round
// trip; a server that needs longer loses the connection instead.
const resetTimeout = 2 * time.Second

// resetInBackground undoes what a checkout left in its server session and then
// gives the connection back. Nobody waits for it.
func (c *Cluster) resetInBackground(l lease) {
	// Ends after one round trip or resetTimeout.
	started := c.background.start(func() {
		ctx, cancel := context.WithTimeout(context.Background(), resetTimeout)
		defer cancel()
		clean := false
		defer func() { // also if AfterConnect ends the goroutine
			if !clean {
				l.phys.destroy() // its state is unknown: nobody may meet it
			}
			l.giveBack()
		}()
		clean = l.phys.reset(ctx) == nil
	})
	if !started { // the cluster is closing: the pool won't keep it anyway
		l.phys.destroy()
		l.giveBack()
	}
}

// reset runs the engine's reset text by the simple protocol, which takes
// several commands in one round trip, and lets the application set up again
// what it sets up on every connection.
func (p *physical) reset(ctx context.Context) error {
	if _, err := p.pc.Exec(ctx, p.node.profile.Load().Reset).ReadAll(); err != nil {
		return err
	}
	if p.prepared {
		// Names made by PREPARE would stay. Ours and those of pgx's own caches,
		// which Raw uses, go with them, so all must forget.
		p.prepared = false
		if err := p.conn.DeallocateAll(ctx); err != nil {
			return err
		}
		p.stmts.Forget()
		p.stmts.Deallocated()
	}
	p.dropNotifications()
	return p.node.hooks.AfterConnect(ctx, p.conn)
}

// dropNotifications forgets the notifications that pgx has kept for whoever
// was listening.
func (p *physical) dropNotifications() {
	over, cancel := context.WithCancel(context.Background())
	cancel() // nothing is waited for: only those that have arrived are returned
	for {
		if _, err := p.conn.WaitForNotification(over); err != nil {
			return
		}
	}
}
