package cluster

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/internal/fence"
	"github.com/anywriter/anywriter/internal/stmtclass"
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

// queueFence adds the fence's row for a new transaction id to a pipeline.
func (c *call) queueFence(f *commitFence, pipe *pgconn.Pipeline) {
	c.fenceID = newTxID()
	c.fenced = true
	p := c.fenceID.param()
	pipe.SendQueryParams(f.insert, p.values[:], p.oids[:], p.formats[:], nil)
}

// wantsFence reports whether the fence's row should travel with a statement.
// Outside a transaction: with a write that runs in one implicit transaction with
// the row's INSERT, on a server that was seen to treat it so. Inside: with the
// last statement, if it or one before it may have changed something.
func (p *physical) wantsFence(c *call) bool {
	write := c.info.Class == stmtclass.Write && !c.readOnly
	switch {
	case !p.node.cluster.fence.on || c.noFence:
		return false
	case c.last:
		return write || c.fencedTx
	default:
		return !c.inTx && write && c.info.DML && p.node.implicitTx.Load()
	}
}

// commitFenced sends the fence's row and COMMIT in one flush and reads the
// answer. A row that is refused makes the server skip COMMIT.
func (p *physical) commitFenced(ctx context.Context, c *call) error {
	p.mark(c)
	pipe := p.pc.StartPipeline(ctx)
	c.queueFence(&p.node.cluster.fence, pipe)
	pipe.SendQueryParams("commit", nil, nil, nil, nil)
	if err := pipe.Sync(); err != nil {
		return abandon(pipe, err)
	}
	if err := readCommit(pipe, c); err != nil {
		return abandon(pipe, err)
	}
	// CommandComplete decides: a connection that dies after it takes nothing
	// back.
	_ = pipe.Close()
	return nil
}

// readCommit reads the answers to the fence's row, if one was sent, and to
// COMMIT.
func readCommit(pipe *pgconn.Pipeline, c *call) error {
	commands := 1
	if c.fenced {
		commands = 2
	}
	var tag pgconn.CommandTag
	for range commands {
		var err error
		if tag, err = nextTag(pipe); err != nil {
			return err
		}
	}
	if tag.String() == "ROLLBACK" {
		return ErrTxAborted
	}
	return nil
}
