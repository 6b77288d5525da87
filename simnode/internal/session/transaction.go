package session

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// transaction is what belongs to the present transaction and is gone with it.
type transaction struct {
	began      time.Time // now()
	isolation  string
	readOnly   bool
	deferrable bool
	txn        *mvcc.Txn // nil until a command needs data
	queried    bool      // a snapshot was taken
	settings   settingsMark
	savepoints []savepoint
}

type savepoint struct {
	name     string
	mark     mvcc.Mark
	settings settingsMark
	readOnly bool
}

// enter begins a command: it moves the block and starts the transaction that the
// command will run in.
func (s *Session) enter(e blockEvent) error {
	before := s.block
	moved := step(before, e)
	if moved.err != nil {
		return moved.err
	}
	s.block = moved.next
	if before == blockIdle {
		s.tx = s.newTransaction()
	}
	return nil
}

func (s *Session) newTransaction() transaction {
	v := &s.settings.cached
	return transaction{
		began:      now(),
		isolation:  v.isolation,
		readOnly:   v.readOnly || s.cfg.ReadOnly != nil && s.cfg.ReadOnly(),
		deferrable: v.deferrable,
		settings:   s.settings.mark(),
	}
}

// data makes sure that there is a transaction on the node.
func (s *Session) data() *mvcc.Txn {
	if s.tx.txn == nil {
		iso := mvcc.ReadCommitted
		if s.tx.isolation == repeatableRead {
			iso = mvcc.RepeatableRead
		}
		s.tx.txn = s.cfg.Node.Begin(iso, s.tx.readOnly)
	}
	return s.tx.txn
}

// snapshot gives the transaction the snapshot of a new statement: a new one in
// READ COMMITTED, the first one in REPEATABLE READ.
func (s *Session) snapshot(ctx context.Context) (*mvcc.Txn, error) {
	txn := s.data()
	if s.tx.queried && s.tx.isolation == repeatableRead {
		return txn, nil
	}
	lsn, err := s.cfg.Node.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	txn.SetSnapshot(lsn)
	s.tx.queried = true
	return txn, nil
}

// settle waits until what the statements so far have seen may be told. A
// transaction that was taken over by a commit has nothing left to settle.
func (s *Session) settle(ctx context.Context) error {
	lsn := s.owed
	if s.tx.txn != nil && s.tx.queried {
		lsn = max(lsn, s.tx.txn.Snapshot(), s.tx.txn.Seen())
	}
	s.owed = 0
	if lsn == 0 {
		return nil
	}
	return s.cfg.Node.WaitStable(ctx, lsn)
}

// Flush waits until everything answered so far may leave for the client.
func (s *Session) Flush(ctx context.Context) error {
	if s.owed == 0 {
		return nil
	}
	if err := s.settle(ctx); err != nil {
		return s.failed(ctx, err)
	}
	return nil
}

// finish carries a block's effect out: it commits or rolls back.
func (s *Session) finish(ctx context.Context, moved stepped) error {
	if moved.warning != nil {
		s.notice(moved.warning)
	}
	s.block = moved.next
	switch moved.effect {
	case effectCommit:
		return s.commit(ctx)
	case effectRollback:
		s.rollback()
	}
	return nil
}

// commit ends the transaction and makes it durable. After an error it is over all
// the same.
func (s *Session) commit(ctx context.Context) error {
	err := s.commitData(ctx)
	if err != nil {
		s.settings.rollbackTo(s.tx.settings)
	}
	s.over()
	return err
}

func (s *Session) commitData(ctx context.Context) error {
	txn := s.tx.txn
	if txn == nil {
		return nil
	}
	if !txn.HasWrites() {
		var err error
		if s.owed != 0 {
			err = s.settle(ctx)
		}
		txn.Finish()
		return err
	}
	hooks := &s.cfg.Hooks
	if hooks.BeforeCommitPoint != nil && hooks.BeforeCommitPoint(s.start) {
		txn.Finish()
		return ErrCut
	}
	// A cancel no longer helps: the outcome must be known. Only the end of the
	// connection's life ends the wait.
	s.tx.txn = nil
	_, err := s.cfg.Node.Commit(s.base, txn)
	if hooks.AfterCommitPoint != nil && hooks.AfterCommitPoint(s.start, err) {
		return ErrCut
	}
	return err
}

// rollback gives the transaction up.
func (s *Session) rollback() {
	if s.tx.txn != nil {
		s.tx.txn.Finish()
	}
	if !s.tx.began.IsZero() {
		s.settings.rollbackTo(s.tx.settings)
	}
	s.over()
}

// over forgets the transaction and what lives only as long as it.
func (s *Session) over() {
	s.tx = transaction{}
	s.owed = 0
	s.settings.end()
	clear(s.portals)
}

// failed ends a command that failed: its implicit transaction is rolled back, a
// block waits for ROLLBACK. It gives the error that the client sees.
func (s *Session) failed(ctx context.Context, err error) error {
	err = clientError(ctx, err)
	if errors.Is(err, ErrCut) {
		s.block = blockIdle
		s.rollback()
		return err
	}
	if ctx.Err() == nil && s.tx.txn != nil && s.tx.queried {
		// An error tells of the data as a result does.
		if serr := s.settle(ctx); serr != nil {
			err = clientError(ctx, serr)
		}
	}
	moved := step(s.block, eventError)
	s.block = moved.next
	switch {
	case moved.effect == effectRollback:
		s.rollback()
	case s.tx.txn == nil:
	case len(s.tx.savepoints) > 0:
		s.tx.txn.RollbackTo(s.tx.savepoints[len(s.tx.savepoints)-1].mark)
	default:
		// Nothing can be saved: others need not wait for our locks.
		s.tx.txn.Finish()
		s.tx.txn = nil
		s.tx.queried = false
	}
	s.owed = 0
	return err
}

// Fail tells the session that a message was refused before it reached it.
func (s *Session) Fail() {
	_ = s.failed(s.base, sqlerr.New("08P01", "the message was refused"))
}

// clientError gives an error the form that a client sees: the reason of a cancel
// stands for whatever the cancel made fail.
func clientError(ctx context.Context, err error) error {
	if errors.Is(err, ErrCut) {
		return ErrCut
	}
	var e *sqlerr.Error
	if errors.As(err, &e) {
		return e
	}
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &e) {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return sqlerr.Fatal("57P01", "terminating connection due to administrator command")
	}
	return sqlerr.New("XX000", "internal error: %v", err)
}

// savepointNamed finds the newest savepoint of that name.
func (s *Session) savepointNamed(name string) (int, error) {
	for i, p := range slices.Backward(s.tx.savepoints) {
		if p.name == name {
			return i, nil
		}
	}
	return 0, sqlerr.New("3B001", "savepoint \"%s\" does not exist", name)
}

func (s *Session) defineSavepoint(name string) {
	s.tx.savepoints = append(s.tx.savepoints, savepoint{
		name:     name,
		mark:     s.data().Savepoint(),
		settings: s.settings.mark(),
		readOnly: s.tx.readOnly,
	})
}

func (s *Session) releaseSavepoint(name string) error {
	i, err := s.savepointNamed(name)
	if err != nil {
		return err
	}
	s.tx.savepoints = s.tx.savepoints[:i]
	for _, p := range s.portals {
		p.depth = min(p.depth, i)
	}
	return nil
}

func (s *Session) rollbackToSavepoint(name string) error {
	i, err := s.savepointNamed(name)
	if err != nil {
		return err
	}
	p := s.tx.savepoints[i]
	s.tx.savepoints = s.tx.savepoints[:i+1]
	s.data().RollbackTo(p.mark)
	s.settings.rollbackTo(p.settings)
	s.tx.readOnly = p.readOnly
	for key, portal := range s.portals {
		if portal.depth > i {
			delete(s.portals, key)
		}
	}
	return nil
}

// lastSeen is for statements that read nothing new: it names the newest LSN that
// the open transaction has looked at, 0 if none.
func (s *Session) lastSeen() message.LSN {
	if s.tx.txn == nil || !s.tx.queried {
		return 0
	}
	return max(s.tx.txn.Snapshot(), s.tx.txn.Seen())
}
