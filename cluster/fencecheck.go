package cluster

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anywriter/anywriter/cluster/internal/fencetable"
)

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
