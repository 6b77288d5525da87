package wire_test

import (
	"context"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/simnode/internal/ast"
	"github.com/anywriter/anywriter/simnode/internal/mvcc"
	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/types"
	"github.com/anywriter/anywriter/simnode/internal/wire"
)

// exhausted is a listener of a process that is out of descriptors for a while.
type exhausted struct {
	net.Listener
	times int
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.times > 0 {
		l.times--
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestServeOutlivesAShortageOfDescriptors(t *testing.T) {
	s := newServer(t, options{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s.ln, s.done = ln, make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	// Ends by cancel.
	go func() { s.done <- s.Serve(ctx, &exhausted{ln, 2}, nil) }()
	require.Equal(t, int32(1), one[int32](t, pgxConnect(t, s, ""), "select 1"))
	cancel()
	require.NoError(t, <-s.done)
}

// brittle is the SQL engine with programs that panic at their end.
type brittle struct{ session.Engine }

func (b brittle) Prepare(env *session.Env, tx *mvcc.Txn, stmt ast.Statement, params []types.OID) (session.Program, error) {
	p, err := b.Engine.Prepare(env, tx, stmt, params)
	if err != nil || stmt.Kind != ast.KindUpdate {
		return p, err
	}
	return brittleProgram{p}, nil
}

type brittleProgram struct{ session.Program }

func (p brittleProgram) Run(ctx context.Context, env *session.Env, tx *mvcc.Txn, params []types.Datum, emit func(types.Row) error) (string, error) {
	if _, err := p.Program.Run(ctx, env, tx, params, emit); err != nil {
		return "", err
	}
	var none []int
	return "", emit(types.Row{none[len(params)]})
}

func TestAPanicFailsOneStatement(t *testing.T) {
	var mu sync.Mutex
	var told []string
	o := options{}
	o.session.Engine = brittle{session.NewSQL()}
	o.wire.Panicked = func(info wire.ConnInfo, text string, stack []byte) {
		mu.Lock()
		defer mu.Unlock()
		require.NotZero(t, info.PID)
		require.Contains(t, string(stack), "brittleProgram")
		told = append(told, text)
	}
	s := serve(t, o)
	for _, mode := range []string{"exec", "simple_protocol", "cache_statement"} {
		t.Run(mode, func(t *testing.T) {
			conn := pgxConnect(t, s, "default_query_exec_mode="+mode)
			mustExec(t, conn, "create table t (id int primary key, n int)")
			mustExec(t, conn, "insert into t values (1, 0)")
			_, err := conn.Exec(t.Context(), "update t set n = 1 where id = $1", 1)
			require.Equal(t, "XX000", code(err))
			require.ErrorContains(t, err, "index out of range")
			require.Equal(t, byte('I'), conn.PgConn().TxStatus())
			require.Equal(t, int32(0), one[int32](t, conn, "select n from t"), "nothing is left of it, and the session goes on")

			tx, err := conn.BeginTx(t.Context(), pgx.TxOptions{})
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "savepoint p")
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), "update t set n = 1")
			require.Equal(t, "XX000", code(err))
			require.Equal(t, byte('E'), conn.PgConn().TxStatus())
			_, err = tx.Exec(t.Context(), "rollback to p")
			require.NoError(t, err)
			require.NoError(t, tx.Commit(t.Context()))

			_, err = pgxConnect(t, s, "").Exec(t.Context(), "delete from t")
			require.NoError(t, err, "its locks are free")
			mustExec(t, conn, "drop table t")
		})
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, told, 6)
}
