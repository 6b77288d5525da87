package exec_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/simnode/internal/exec"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// prepare makes a program of one statement, with the client's environment.
func (c *client) prepare(t testing.TB, sql string) (*exec.Program, *exec.Env) {
	stmts, err := c.e.parser.Parse(sql)
	require.NoError(t, err)
	tx := c.e.store.Begin(mvcc.ReadCommitted, true)
	defer tx.Finish()
	p, err := exec.Prepare(&c.env, tx, stmts[0], nil)
	require.NoError(t, err)
	return p, &c.env
}

func benchClient(b *testing.B) *client {
	c := newEngine(b).client()
	c.must(b, "create table t (id int primary key, a int, b text)")
	c.must(b, "insert into t select i, i, 'row ' || i from generate_series(1, 10000) as g(i)")
	return c
}

func BenchmarkPointSelect(b *testing.B) {
	c := benchClient(b)
	p, env := c.prepare(b, "select a, b from t where id = $1")
	ctx, rows := b.Context(), 0
	emit := func(types.Row) error { rows++; return nil }
	b.ReportAllocs()
	i := int32(0)
	for b.Loop() {
		i = i%10000 + 1
		tx := c.e.store.Begin(mvcc.ReadCommitted, false)
		if _, err := p.Run(ctx, env, tx, []types.Datum{i}, emit); err != nil {
			b.Fatal(err)
		}
		tx.Finish()
	}
	require.Positive(b, rows)
}

func BenchmarkPointUpdate(b *testing.B) {
	c := benchClient(b)
	p, env := c.prepare(b, "update t set a = a + 1 where id = $1")
	ctx := b.Context()
	b.ReportAllocs()
	i := int32(0)
	for b.Loop() {
		i = i%10000 + 1
		tx := c.e.store.Begin(mvcc.ReadCommitted, false)
		if _, err := p.Run(ctx, env, tx, []types.Datum{i}, nil); err != nil {
			b.Fatal(err)
		}
		if err := c.e.commit(tx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPrepare(b *testing.B) {
	c := benchClient(b)
	stmts, err := c.e.parser.Parse("select a, b from t where id = $1")
	require.NoError(b, err)
	tx := c.e.store.Begin(mvcc.ReadCommitted, true)
	defer tx.Finish()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := exec.Prepare(&c.env, tx, stmts[0], nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkScanSum(b *testing.B) {
	c := benchClient(b)
	p, env := c.prepare(b, "select sum(a) from t where a % 2 = 0")
	ctx := b.Context()
	emit := func(types.Row) error { return nil }
	b.ReportAllocs()
	for b.Loop() {
		tx := c.e.store.Begin(mvcc.ReadCommitted, false)
		if _, err := p.Run(ctx, env, tx, nil, emit); err != nil {
			b.Fatal(err)
		}
		tx.Finish()
	}
}
