package session

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/exec"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Env is what a program sees of its session.
type Env = exec.Env

// initEnv fills what stays the same for the whole session.
func (s *Session) initEnv() {
	allocator := s.cfg.Node.Sequences()
	s.seqs = allocator.NewSession()
	s.env.Notice = s.notice
	s.env.Sequences = allocator
	s.env.User, s.env.SessionUser = s.start.User, s.start.User
	s.env.Database = s.start.Database
	s.env.Roles = s.cfg.Roles
	s.env.BackendPID = s.start.PID
	s.env.Setting = s.currentSetting
	s.env.SetSetting = s.setConfig
	s.env.Nextval = s.nextval
	s.env.Currval = s.currval
	s.env.Lastval = s.seqs.Lastval
	s.env.Setval = s.setval
}

// refreshEnv fills what may change with each statement.
func (s *Session) refreshEnv(ctx context.Context) {
	s.env.Ctx = ctx
	s.env.TxTime = s.tx.began
	s.env.StmtTime = now()
	s.env.Location = s.settings.cached.style.Location
	s.env.Path = s.settings.cached.path
}

// currentSetting is current_setting().
func (s *Session) currentSetting(name string) (string, bool) {
	_, value, err := s.show(name)
	return value, err == nil
}

// setConfig is set_config().
func (s *Session) setConfig(name, value string, local bool) (string, error) {
	if err := s.assign(name, value, local); err != nil {
		return "", err
	}
	_, value, err := s.show(name)
	return value, err
}

func (s *Session) nextval(ctx context.Context, name string) (int64, error) {
	seq, _, err := s.sequenceNamed(name, "nextval()")
	if err != nil {
		return 0, err
	}
	return s.seqs.Nextval(ctx, seq)
}

func (s *Session) currval(name string) (int64, error) {
	seq, _, err := s.sequenceNamed(name, "")
	if err != nil {
		return 0, err
	}
	return s.seqs.Currval(seq)
}

// setval restarts a sequence by writing its descriptor anew: unlike PostgreSQL's,
// it is undone when the transaction rolls back.
func (s *Session) setval(ctx context.Context, name string, value int64, called bool) (int64, error) {
	seq, txn, err := s.sequenceNamed(name, "setval()")
	if err != nil {
		return 0, err
	}
	restarted, err := s.cfg.Node.Sequences().Restart(ctx, seq, value, called)
	if err != nil {
		return 0, err
	}
	if err := txn.ReplaceSequence(ctx, restarted); err != nil {
		return 0, err
	}
	if called {
		s.seqs.Set(restarted, value)
	}
	return value, nil
}

// sequenceNamed finds a sequence by the text that a regclass argument would be.
// writes names the function if it needs a transaction that may write.
func (s *Session) sequenceNamed(text, writes string) (*catalog.Sequence, *mvcc.Txn, error) {
	parts, ok := catalog.SplitName(text)
	if !ok || len(parts) > 2 {
		return nil, nil, sqlerr.New("42602", "invalid name syntax")
	}
	schema := ""
	if len(parts) == 2 {
		schema = parts[0]
	}
	txn := s.data()
	seq, err := catalog.FindSequence(txn, s.settings.cached.path, schema, parts[len(parts)-1])
	if err == nil && writes != "" && s.tx.readOnly {
		err = sqlerr.New("25006", "cannot execute %s in a read-only transaction", writes)
	}
	return seq, txn, err
}
