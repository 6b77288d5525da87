package exec_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/exec"
	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/parse"
	"github.com/anywriter/anywriter/simnode/internal/sequence"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// engine is one node without a cluster: it commits each transaction's proposal at
// the next LSN.
type engine struct {
	store  *mvcc.Store
	seqs   *sequence.Allocator
	parser *parse.Parser

	mu    sync.Mutex
	next  map[uint32]int64 // units handed out per sequence
	index map[message.Key]message.LSN
}

func newEngine(t testing.TB) *engine {
	e := &engine{store: mvcc.NewStore(), parser: parse.NewParser(256), next: map[uint32]int64{}, index: map[message.Key]message.LSN{}}
	e.store.SetIdentity(1, 1)
	e.seqs = sequence.NewAllocator(func(_ context.Context, seq uint32, count int64) (int64, error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		first := e.next[seq] + 1
		e.next[seq] += count
		return first, nil
	})
	return e
}

// commit certifies as one node would and applies.
func (e *engine) commit(tx *mvcc.Txn) error {
	defer tx.Finish()
	if !tx.HasWrites() {
		return nil
	}
	keys, writes := tx.Proposal()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, k := range keys {
		if e.index[k.Key] > k.Base {
			return sqlerr.New("40001", "could not serialize access due to concurrent update")
		}
	}
	lsn := e.store.Applied() + 1
	for _, k := range keys {
		if k.Mode == message.ModeWritten {
			e.index[k.Key] = lsn
		}
	}
	return e.store.Apply(lsn, writes)
}

// client is one session on an engine.
type client struct {
	e       *engine
	env     exec.Env
	seq     *sequence.Session
	tx      *mvcc.Txn // nil outside a block
	current *mvcc.Txn // of the running statement
	iso     mvcc.Isolation
	failed  bool
	marks   []savepoint
	notices []string
}

type savepoint struct {
	name string
	mark mvcc.Mark
}

func (e *engine) client() *client {
	c := &client{e: e, seq: e.seqs.NewSession(), iso: mvcc.ReadCommitted}
	c.env.User, c.env.SessionUser, c.env.Database = "postgres", "postgres", "postgres"
	c.env.Roles = catalog.Roles(nil)
	c.env.Location, c.env.BackendPID = time.UTC, 1
	c.env.Setting = func(string) (string, bool) { return "", false }
	c.env.Sequences, c.env.Parser = e.seqs, e.parser
	c.env.Notice = func(n *sqlerr.Error) { c.notices = append(c.notices, noticeText(n.Severity, n.Message, n.Detail)) }
	c.env.Nextval = func(ctx context.Context, name string) (int64, error) {
		s, err := c.sequence(name)
		if err != nil {
			return 0, err
		}
		return c.seq.Nextval(ctx, s)
	}
	c.env.Currval = func(name string) (int64, error) {
		s, err := c.sequence(name)
		if err != nil {
			return 0, err
		}
		return c.seq.Currval(s)
	}
	c.env.Lastval = c.seq.Lastval
	return c
}

func (c *client) sequence(name string) (*catalog.Sequence, error) {
	schema, name, qualified := strings.Cut(strings.ReplaceAll(name, `"`, ""), ".")
	if !qualified {
		schema, name = "", schema
	}
	return catalog.FindSequence(c.current, c.env.Path, schema, name)
}

// result is what one statement gave.
type result struct {
	params  []types.OID
	columns []exec.Column
	rows    []types.Row
	tag     string
}

// exec runs one statement, by itself or in the open block.
func (c *client) exec(ctx context.Context, stmt ast.Statement, params []string) (result, error) {
	if stmt.Kind == ast.KindTransaction {
		tag, err := c.control(stmt.Node.(*ast.Transaction))
		return result{tag: tag}, err
	}
	if stmt.Kind.IsSession() {
		return result{}, sqlerr.Unsupported("a session command in this test")
	}
	if c.failed {
		return result{}, sqlerr.New("25P02", "current transaction is aborted, commands ignored until end of transaction block")
	}
	tx := c.tx
	now := time.Now().UTC().Truncate(time.Microsecond)
	c.env.StmtTime = now
	if tx == nil {
		tx = c.e.store.Begin(c.iso, false)
		c.env.TxTime = now
	}
	if c.iso == mvcc.ReadCommitted {
		tx.SetSnapshot(c.e.store.Applied())
	}
	c.current = tx
	res, err := c.run(ctx, tx, stmt, params)
	if c.tx != nil {
		c.failed = err != nil
		return res, err
	}
	if err != nil {
		tx.Finish()
		return res, err
	}
	return res, c.e.commit(tx)
}

func (c *client) run(ctx context.Context, tx *mvcc.Txn, stmt ast.Statement, params []string) (result, error) {
	p, err := exec.Prepare(&c.env, tx, stmt, nil)
	if err != nil {
		return result{}, err
	}
	res := result{params: p.ParamTypes(), columns: p.Columns()}
	var values []types.Datum
	for i, s := range params {
		if i >= len(res.params) {
			break
		}
		if s == "NULL" {
			values = append(values, nil)
			continue
		}
		v, err := types.ParseText(res.params[i], types.NoTypmod, s)
		if err != nil {
			return res, err
		}
		values = append(values, v)
	}
	res.tag, err = p.Run(ctx, &c.env, tx, values, func(row types.Row) error {
		res.rows = append(res.rows, row)
		return nil
	})
	return res, err
}

func (c *client) control(t *ast.Transaction) (string, error) {
	if c.tx == nil && t.Op != ast.OpBegin {
		return "", sqlerr.New("25P01", "there is no transaction in progress")
	}
	switch t.Op {
	case ast.OpBegin:
		c.iso = mvcc.ReadCommitted
		if t.Modes.Isolation == "repeatable read" {
			c.iso = mvcc.RepeatableRead
		}
		c.tx = c.e.store.Begin(c.iso, false)
		c.env.TxTime = time.Now().UTC().Truncate(time.Microsecond)
		return "BEGIN", nil
	case ast.OpCommit, ast.OpRollback:
		tx, failed := c.tx, c.failed
		c.tx, c.failed, c.marks, c.iso = nil, false, nil, mvcc.ReadCommitted
		if failed || t.Op == ast.OpRollback {
			tx.Finish()
			return "ROLLBACK", nil
		}
		return "COMMIT", c.e.commit(tx)
	case ast.OpSavepoint:
		c.marks = append(c.marks, savepoint{t.Savepoint, c.tx.Savepoint()})
		return "SAVEPOINT", nil
	case ast.OpRollbackTo:
		for i := len(c.marks) - 1; i >= 0; i-- {
			if c.marks[i].name == t.Savepoint {
				c.tx.RollbackTo(c.marks[i].mark)
				c.marks, c.failed = c.marks[:i+1], false
				return "ROLLBACK", nil
			}
		}
	}
	return "", sqlerr.New("3B001", "savepoint \"%s\" does not exist", t.Savepoint)
}

// must runs a script of statements that all succeed, and returns the last result.
func (c *client) must(t testing.TB, sql string, params ...string) result {
	t.Helper()
	res, err := c.try(t, sql, params...)
	require.NoError(t, err, sql)
	return res
}

// try runs statements up to the first error.
func (c *client) try(t testing.TB, sql string, params ...string) (res result, err error) {
	t.Helper()
	stmts, err := c.e.parser.Parse(sql)
	if err != nil {
		return res, err
	}
	for _, s := range stmts {
		if res, err = c.exec(t.Context(), s, params); err != nil {
			return res, err
		}
	}
	return res, nil
}

func code(err error) string {
	if e, ok := err.(*sqlerr.Error); ok { //nolint:errorlint // all errors of this package are
		return e.Code
	}
	return ""
}
