package session

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/exec"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// utility carries out a command of the session's own and gives its tag. describe
// asks for a RowDescription; p is the portal that runs it, nil in a simple Query.
func (s *Session) utility(ctx context.Context, stmt ast.Statement, out Output, describe bool, p *portal) (string, error) {
	switch node := stmt.Node.(type) {
	case *ast.Transaction:
		return s.transaction(ctx, node)
	case *ast.Set:
		return s.setCommand(node)
	case *ast.Show:
		return s.showCommand(node, out, describe, p)
	case *ast.Prepare:
		return "PREPARE", s.prepareCommand(ctx, node)
	case *ast.Execute:
		return s.executeCommand(ctx, node, out, describe, p)
	case *ast.Deallocate:
		return s.deallocate(node)
	case *ast.Discard:
		return s.discard(node)
	default:
		return "", sqlerr.Unsupported(stmt.Kind.String())
	}
}

func (s *Session) transaction(ctx context.Context, t *ast.Transaction) (string, error) {
	switch t.Op {
	case ast.OpBegin, ast.OpStart:
		tag := "BEGIN"
		if t.Op == ast.OpStart {
			tag = "START TRANSACTION"
		}
		return tag, s.begin(ctx, t.Modes)
	case ast.OpCommit, ast.OpRollback:
		return s.endBlock(ctx, t)
	case ast.OpSavepoint:
		return "SAVEPOINT", s.savepointCommand(ctx, eventSavepoint, t.Savepoint)
	case ast.OpRelease:
		return "RELEASE", s.savepointCommand(ctx, eventRelease, t.Savepoint)
	case ast.OpRollbackTo:
		return "ROLLBACK", s.savepointCommand(ctx, eventRollbackTo, t.Savepoint)
	default:
		return "", sqlerr.Unsupported("this transaction command")
	}
}

func (s *Session) begin(ctx context.Context, modes ast.TransactionModes) error {
	moved := step(s.block, eventBegin)
	if moved.err != nil {
		return moved.err
	}
	if modes.Isolation != "" && s.block != blockOpen {
		// A BEGIN that is refused opens no block.
		if _, err := checkIsolation(keyTxIsolation, modes.Isolation); err != nil {
			return err
		}
	}
	if err := s.finish(ctx, moved); err != nil {
		return err
	}
	return s.setModes(modes)
}

func (s *Session) endBlock(ctx context.Context, t *ast.Transaction) (string, error) {
	event, tag := eventCommit, "COMMIT"
	if t.Op == ast.OpRollback {
		event, tag = eventRollback, "ROLLBACK"
	}
	if t.Chain && s.block != blockOpen && s.block != blockFailed {
		return "", sqlerr.New("25P01", outsideMessage, tag+" AND CHAIN")
	}
	if s.block == blockFailed {
		tag = "ROLLBACK"
	}
	before := s.tx
	if err := s.finish(ctx, step(s.block, event)); err != nil {
		return "", err
	}
	if t.Chain {
		_ = s.enter(eventCommand) // never refused in an idle block
		s.block = blockOpen
		s.tx.isolation, s.tx.readOnly, s.tx.deferrable = before.isolation, before.readOnly, before.deferrable
	}
	return tag, nil
}

func (s *Session) savepointCommand(ctx context.Context, event blockEvent, name string) error {
	moved := step(s.block, event)
	if moved.err != nil {
		return moved.err
	}
	switch event {
	case eventSavepoint:
		s.defineSavepoint(name)
	case eventRelease:
		if err := s.releaseSavepoint(name); err != nil {
			return err
		}
	case eventRollbackTo:
		if err := s.rollbackToSavepoint(name); err != nil {
			return err
		}
	}
	return s.finish(ctx, moved)
}

// setModes gives the present transaction its characteristics.
func (s *Session) setModes(m ast.TransactionModes) error {
	if m.Isolation != "" {
		if err := s.setIsolation(m.Isolation); err != nil {
			return err
		}
	}
	if m.ReadOnly != nil {
		if err := s.setReadOnly(*m.ReadOnly); err != nil {
			return err
		}
	}
	if m.Deferrable != nil {
		if s.tx.queried {
			return sqlerr.New("25001", "SET TRANSACTION [NOT] DEFERRABLE must be called before any query")
		}
		s.tx.deferrable = *m.Deferrable
	}
	return nil
}

func (s *Session) setIsolation(level string) error {
	level, err := checkIsolation(keyTxIsolation, level)
	switch {
	case err != nil:
		return err
	case level == s.tx.isolation:
		return nil
	case s.tx.queried:
		return sqlerr.New("25001", "SET TRANSACTION ISOLATION LEVEL must be called before any query")
	case len(s.tx.savepoints) > 0:
		return sqlerr.New("25001", "SET TRANSACTION ISOLATION LEVEL must not be called in a subtransaction")
	}
	s.tx.isolation = level
	s.startAnew()
	return nil
}

// startAnew drops a transaction on the node that nothing has happened in yet: it
// was begun with other characteristics.
func (s *Session) startAnew() {
	if s.tx.txn != nil && !s.tx.queried && len(s.tx.savepoints) == 0 {
		s.tx.txn.Finish()
		s.tx.txn = nil
	}
}

func (s *Session) setReadOnly(on bool) error {
	if on || !s.tx.readOnly {
		s.tx.readOnly = on
		return nil
	}
	switch {
	case len(s.tx.savepoints) > 0:
		return sqlerr.New("25001", "cannot set transaction read-write mode inside a read-only transaction")
	case s.tx.queried:
		return sqlerr.New("25001", "transaction read-write mode must be set before any query")
	case s.cfg.ReadOnly != nil && s.cfg.ReadOnly():
		return sqlerr.New("25006", "cannot set transaction read-write mode on a read-only node")
	}
	s.tx.readOnly = false
	s.startAnew()
	return nil
}

func (s *Session) prepareCommand(ctx context.Context, node *ast.Prepare) error {
	if _, taken := s.prepared[node.Name]; taken {
		return sqlerr.New("42P05", "prepared statement \"%s\" already exists", node.Name)
	}
	txn, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	given, err := exec.TypeOIDs(txn, node.Types)
	if err != nil {
		return err
	}
	p := &prepared{stmt: &node.Query, given: given}
	if err := s.compile(ctx, p); err != nil {
		return err
	}
	s.prepared[node.Name] = p
	return nil
}

// executeCommand is EXECUTE.
func (s *Session) executeCommand(ctx context.Context, node *ast.Execute, out Output, describe bool, p *portal) (string, error) {
	target, err := s.statement(node.Name)
	if err != nil {
		return "", err
	}
	if target.program == nil {
		return "", sqlerr.Unsupported("EXECUTE of a statement that is not a query")
	}
	txn, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	s.refreshEnv(ctx)
	params, err := exec.EvalArgs(ctx, &s.env, txn, node.Name, node.Args, target.params)
	if err != nil {
		return "", err
	}
	x := execution{prepared: target, params: params, out: out, describe: describe}
	if p != nil {
		x.formats = p.formats
	}
	return s.run(ctx, x)
}

func (s *Session) deallocate(node *ast.Deallocate) (string, error) {
	if node.Name == "" {
		s.deallocateAll()
		return "DEALLOCATE ALL", nil
	}
	if _, ok := s.prepared[node.Name]; !ok {
		return "", sqlerr.New("26000", "prepared statement \"%s\" does not exist", node.Name)
	}
	delete(s.prepared, node.Name)
	return "DEALLOCATE", nil
}

// deallocateAll forgets every prepared statement, also those of the protocol.
func (s *Session) deallocateAll() { clear(s.prepared) }

func (s *Session) discard(node *ast.Discard) (string, error) {
	switch node.Target {
	case "ALL":
		if s.block == blockOpen || s.block == blockSeries {
			return "", sqlerr.New("25001", "DISCARD ALL cannot run inside a transaction block")
		}
		s.settings.resetAll()
		s.deallocateAll()
		clear(s.portals)
		s.seqs.Discard()
	case "SEQUENCES":
		s.seqs.Discard()
	}
	return "DISCARD " + node.Target, nil
}
