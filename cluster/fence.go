package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster/internal/bundle"
	"github.com/anywriter/anywriter/cluster/internal/fencetable"
	"github.com/anywriter/anywriter/internal/fence"
)

// commitFence is the cluster's fence as the configuration wants it; see package
// fence for what it is. The zero value is none.
type commitFence struct {
	on     bool
	table  fence.Table
	owner  string
	insert string
}

// newCommitFence prepares the fence of a valid configuration.
func newCommitFence(s Settings) (commitFence, error) {
	if !s.Fenced() {
		return commitFence{}, nil
	}
	table, err := fence.ParseTable(s.FenceTable)
	return commitFence{on: true, table: table, owner: s.FenceOwner, insert: table.Insert()}, err
}

// FenceError says why a node can't be used with commit_fence=table: its engine,
// or the state of the fence table there.
type FenceError struct {
	// Node is the address, Table the qualified name of the fence table.
	Node, Table string
	// Err is the reason.
	Err error
}

// Error names the table and the reason; errors of operations add the node.
func (e *FenceError) Error() string {
	return fmt.Sprintf("anywriter: commit_fence=table: fence table %s: %v", e.Table, e.Err)
}

// Unwrap returns the reason.
func (e *FenceError) Unwrap() error { return e.Err }

// txID names one transaction in the fence table. Two must never be the same, so
// it is 122 random bits (a version 4 UUID, RFC 9562 section 5.4) and not drawn
// from the driver's seed, which several processes may share. Random keys also
// spread the inserts over the whole index.
type txID [16]byte

func newTxID() txID {
	var id txID
	_, _ = rand.Read(id[:]) // never fails: see crypto/rand
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}

// String returns the UUID as text.
func (id txID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// fenceParam is the only parameter of the fence's statements.
type fenceParam struct {
	values  [1][]byte
	oids    [1]uint32
	formats [1]int16
}

func (id *txID) param() fenceParam {
	return fenceParam{values: [1][]byte{id[:]}, oids: [1]uint32{fence.UUIDOID}, formats: [1]int16{1}}
}

// addFence adds the fence's row for a new transaction id to a bundle.
func (c *call) addFence(f *commitFence, b *bundle.Bundle) {
	c.fenceID = newTxID()
	c.fenced = true
	p := c.fenceID.param()
	b.Params(f.insert, p.values[:], p.oids[:], p.formats[:], nil)
}

// wantsFence reports whether the fence's row should travel with a statement.
// Outside a transaction: with a write that runs in one implicit transaction with
// the row's INSERT, on a server that was seen to treat it so. Inside: with the
// last statement, if it or one before it may have changed something.
func (p *physical) wantsFence(c *call) bool {
	write := c.mayWrite()
	switch {
	case !p.node.cluster.fence.on || c.noFence:
		return false
	case c.last:
		return write || c.fencedTx
	default:
		return !c.inTx && write && c.info.DML && p.node.implicitTx.Load()
	}
}

// mayShut notes whether a statement's transaction may be read-only although Begin
// was told nothing of it. PostgreSQL reports since version 14 what the session's
// default is, and whether the server is a standby; inside a transaction statements
// may have overruled both, so that it must be asked. Outside the default decides, but
// only if it is the session's own or its role's: that of the server's configuration
// may have changed, as may the standby, and the report comes with the next answer.
func (s *Session) mayShut(c *call) {
	if !s.cluster.fence.on {
		return
	}
	pc := s.lease.phys.pc
	standard := pc.ParameterStatus("default_transaction_read_only")
	c.shut = s.modes || standard == "on" || pc.ParameterStatus("in_hot_standby") == "on"
	if !c.inTx {
		own := s.modes || s.bound || s.lease.node.role.Load().Chosen
		c.noFence = own && standard == "on" || s.modes && standard == ""
	}
}

// commitsFenced reports whether the fence's row must travel with COMMIT. In a
// transaction that has failed the row can't be inserted, and COMMIT rolls back. In
// a read-only one it can't either; if that is possible and Begin was told nothing
// of it, the server is asked, which costs a round trip. An error means that it gave
// no answer.
func (s *Session) commitsFenced(ctx context.Context) (bool, error) {
	p := s.lease.phys
	if !s.cluster.fence.on || !s.wrote || s.readOnly || p.pc.TxStatus() != 'T' {
		return false, nil
	}
	c := call{inTx: true}
	if s.mayShut(&c); !c.shut {
		return true, nil
	}
	answer := p.pc.ExecParams(ctx, "show transaction_read_only", nil, nil, nil, nil).Read()
	if answer.Err != nil {
		return false, fmt.Errorf("asking whether the transaction takes the commit fence's row: %w", answer.Err)
	}
	return len(answer.Rows) == 1 && string(answer.Rows[0][0]) == "off", nil
}

// commitFenced sends the fence's row and COMMIT in one flush and reads the
// answer. A row that is refused makes the server skip COMMIT.
func (p *physical) commitFenced(ctx context.Context, c *call) error {
	p.mark(c)
	b := p.bundle
	b.Start("")
	c.addFence(&p.node.cluster.fence, b)
	b.Command("commit")
	if err := b.Send(ctx); err != nil {
		return err
	}
	err := p.readCommit(b, c)
	// CommandComplete decides: a connection that dies after it takes nothing
	// back.
	_ = b.End()
	return err
}

// readCommit reads the answers to the fence's row, if one was sent, and to
// COMMIT.
func (p *physical) readCommit(b *bundle.Bundle, c *call) error {
	if err := p.readFence(b, c); err != nil {
		return err
	}
	tag, err := b.Tag()
	if err != nil {
		return err
	}
	if tag.String() == "ROLLBACK" {
		return ErrTxAborted
	}
	return nil
}

// readFence reads the answer to the fence's row, if one was sent. An error that is
// the row's own names it: nobody else knows of it.
func (p *physical) readFence(b *bundle.Bundle, c *call) error {
	if !c.fenced {
		return nil
	}
	_, err := b.Tag()
	facts, pgErr := factsOf(err)
	switch {
	case pgErr == nil || facts.Severity != "ERROR":
		return err
	case strings.HasPrefix(facts.Code, "40"), strings.HasPrefix(facts.Code, "57"):
		return err // the transaction's, which met it here
	case facts.Code == "25006":
		err = fmt.Errorf("%w; if a function has made the transaction read-only, say so by its ReadOnly option "+
			"or by SET TRANSACTION READ ONLY as a statement, and it takes no row", err)
	}
	return fmt.Errorf("the commit fence's row can't be written to %v: %w", p.node.cluster.fence.table, err)
}

// checkFence makes sure that a fence on this node decides: the engine is one on
// which a unique key is decided for all nodes, the table is what it should be,
// and nobody but trusted roles can change that. It runs on the prober's
// connection whenever that is new. Only what the table or the engine is found to
// be makes a *FenceError; a connection that broke or a probe that ran out of time
// are the node's.
func (n *Node) checkFence(ctx context.Context, conn *pgconn.PgConn) error {
	f := &n.cluster.fence
	if !f.on {
		return nil
	}
	err := n.examineFence(ctx, conn)
	if err == nil || conn.IsClosed() || ctx.Err() != nil || notFenceFault(err) {
		return err
	}
	return &FenceError{Node: n.addr, Table: f.table.String(), Err: err}
}

func (n *Node) examineFence(ctx context.Context, conn *pgconn.PgConn) error {
	f := &n.cluster.fence
	profile := n.profile.Load()
	if !profile.Fence.Valid {
		return fmt.Errorf("it decides nothing on engine %s: %s", profile, profile.Fence.Why)
	}
	relation, err := fencetable.Read(ctx, conn, f.table)
	if err != nil {
		return err
	}
	if err := relation.Check(f.owner); err != nil {
		return err
	}
	implicit, err := f.probe(ctx, conn)
	if err == nil {
		// An examination that breaks off has seen nothing: what the one before
		// saw still holds.
		n.implicitTx.Store(implicit)
	}
	return err
}

// notFenceFault reports whether an error of the fence's examination says
// something about the node and not about the fence.
func notFenceFault(err error) bool {
	code := codeOf(err)
	return code != "" && !hopeless(err)
}

// probe tries the fence out: a row is inserted and a failing statement sent
// before one Sync. If the row is gone afterwards, several statements before one
// Sync are one transaction here, so that an autocommit statement can be fenced
// too. An error means that rows can't be inserted or read.
func (f *commitFence) probe(ctx context.Context, conn *pgconn.PgConn) (implicit bool, err error) {
	id := newTxID()
	p := id.param()
	pipe := conn.StartPipeline(ctx)
	pipe.SendQueryParams(f.insert, p.values[:], p.oids[:], p.formats[:], nil)
	pipe.SendQueryParams("select 1/0", nil, nil, nil, nil)
	if err := pipe.Sync(); err != nil {
		return false, abandon(pipe, err)
	}
	inserted, err := pipe.GetResults()
	if err != nil {
		return false, abandon(pipe, err)
	}
	if reader, ok := inserted.(*pgconn.ResultReader); ok {
		if _, err := reader.Close(); err != nil {
			return false, abandon(pipe, err)
		}
	}
	if err := pipe.Close(); err == nil || conn.IsClosed() {
		return false, errors.Join(errors.New("a division by zero was no error"), err)
	}
	rows, err := query(ctx, conn, f.table.Ask(), p)
	return err == nil && len(rows) == 0, err
}

// query runs a statement with the fence's parameter.
func query(ctx context.Context, conn *pgconn.PgConn, sql string, p fenceParam) ([][][]byte, error) {
	res := conn.ExecParams(ctx, sql, p.values[:], p.oids[:], p.formats[:], nil).Read()
	return res.Rows, res.Err
}
