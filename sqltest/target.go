package sqltest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// caseTimeout bounds one case. The slowest takes a second on an idle machine.
const caseTimeout = 60 * time.Second

// Target is a database to check.
type Target struct {
	// Name begins the names of the subtests; it may be empty.
	Name string
	// Open gives a new DB for one case; Run closes it. All DBs of a target must
	// be of one database, and what one has committed the others must see.
	Open func(t *testing.T) *sql.DB
	// Capabilities are what the target can do beyond the common core; the zero
	// value is the core alone.
	Capabilities Capabilities
	// Parallel runs the cases at the same time (t.Parallel).
	Parallel bool
	// Around, if not nil, is called with each case and must call it once; with
	// synctest.Test here each case runs in a bubble of its own, DB and all.
	Around func(t *testing.T, run func(t *testing.T))
	// Skip holds names of cases that are left out, each with the reason, for
	// differences that a target documents.
	Skip map[string]string
}

// Capabilities switch on cases beyond the common core.
type Capabilities struct {
	// FullSQL: expressions beyond those that every target must have, such as CASE,
	// GREATEST, arithmetic on dates, COLLATE.
	FullSQL bool
	// Arrays: int4[] and text[] columns and parameters.
	Arrays bool
	// JSON: json and jsonb columns.
	JSON bool
	// Serializable: BeginTx with sql.LevelSerializable prevents write skew.
	Serializable bool
	// SessionReset: what a sql.Conn has SET is undone before anybody else gets
	// the server session. Plain pgx doesn't do that.
	SessionReset bool
	// MultipleResults: a query of several statements gives several result sets
	// through NextResultSet. Plain pgx cannot do that.
	MultipleResults bool
	// RowLocks: SELECT … FOR UPDATE makes a second one wait, whichever
	// connections the two came by. In a cluster that finds conflicts at COMMIT
	// the second one goes on, and its COMMIT fails with 40001.
	RowLocks bool
}

// Case describes one conformance case for listings.
type Case struct {
	// Name is the subtest's name, for example "types/numeric with scale".
	Name string

	needs func(Capabilities) bool // nil: part of the core
	run   func(s *scope)
}

// Cases returns all cases in the order in which Run runs them.
func Cases() []Case {
	var all []Case
	for _, group := range [][]Case{
		typeCases(), moreTypeCases(), nullCases(),
		rowCases(), rowEndCases(), resultCases(),
		statementCases(), keyCases(), tableCases(), atomicCases(),
		expressionCases(), castCases(), setCases(), errorCases(),
		txCases(), failedBlockCases(), ddlCases(), txOptionCases(), isolationCases(), isolationConflictCases(),
		contextCases(), txContextCases(), preparedCases(), staleStatementCases(), statementLifeCases(),
		sessionCases(), connCases(), concurrencyCases(), keyRaceCases(), poolCases(), poolLifeCases(),
		capabilityCases(), declaredCases(),
	} {
		all = append(all, group...)
	}
	return all
}

// Run checks the target with every case that its capabilities call for, each as
// a subtest of t.
func Run(t *testing.T, target Target) {
	t.Helper()
	for name := range target.Skip {
		if !slices.ContainsFunc(Cases(), func(c Case) bool { return c.Name == name }) {
			t.Fatalf("sqltest: Skip names %q, which is no case", name)
		}
	}
	names := &tableNames{prefix: "aw_" + strings.ToLower(rand.Text()[:10])}
	for _, c := range Cases() {
		if c.needs != nil && !c.needs(target.Capabilities) {
			continue
		}
		name := c.Name
		if target.Name != "" {
			name = target.Name + "/" + name
		}
		t.Run(name, func(t *testing.T) {
			if reason, ok := target.Skip[c.Name]; ok {
				t.Skip(reason)
			}
			if target.Parallel {
				t.Parallel()
			}
			if target.Around != nil {
				target.Around(t, func(t *testing.T) { runCase(t, target, names, c) })
				return
			}
			runCase(t, target, names, c)
		})
	}
}

func runCase(t *testing.T, target Target, names *tableNames, c Case) {
	ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
	t.Cleanup(cancel)
	db := target.Open(t)
	s := &scope{T: t, ctx: ctx, db: db, names: names, reopen: func() *sql.DB { return target.Open(t) }}
	t.Cleanup(func() { // after the cleanups of the case's own transactions and connections
		if !t.Failed() {
			s.idle()
		}
		if err := db.Close(); err != nil {
			t.Errorf("close the DB: %v", err)
		}
	})
	c.run(s)
	if !t.Failed() {
		s.usable()
	}
}

// tableNames gives names that no other run uses, on a shared server too.
type tableNames struct {
	prefix string
	last   atomic.Int64
}

// scope is what one case works with.
type scope struct {
	*testing.T
	ctx    context.Context
	db     *sql.DB
	names  *tableNames
	reopen func() *sql.DB // another DB of the target, for the case to close
}

// name returns an unused name for a table or another object.
func (s *scope) name() string {
	return fmt.Sprintf("%s_%d", s.names.prefix, s.names.last.Add(1))
}

// table creates a table with the given columns and has it dropped at the end.
func (s *scope) table(columns string) string {
	s.Helper()
	name := s.name()
	s.exec("create table " + name + " (" + columns + ")")
	s.dropAtEnd(name)
	return name
}

func (s *scope) dropAtEnd(table string) {
	s.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), caseTimeout)
		defer cancel()
		if _, err := s.db.ExecContext(ctx, "drop table if exists "+table); err != nil && !s.Failed() {
			s.Errorf("drop table: %v", err)
		}
	})
}

// execer is what *sql.DB, *sql.Conn and *sql.Tx have in common.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// exec runs a statement on the DB and returns the rows affected.
func (s *scope) exec(query string, args ...any) int64 {
	s.Helper()
	return s.execOn(s.db, query, args...)
}

func (s *scope) execOn(on execer, query string, args ...any) int64 {
	s.Helper()
	result, err := on.ExecContext(s.ctx, query, args...)
	require.NoError(s, err, query)
	n, err := result.RowsAffected()
	require.NoError(s, err, query)
	return n
}

// failsOn runs a statement that must fail with the SQLSTATE.
func (s *scope) failsOn(on execer, state, query string, args ...any) {
	s.Helper()
	_, err := on.ExecContext(s.ctx, query, args...)
	s.isState(err, state, query)
}

// isState holds an error against one of the SQLSTATEs.
func (s *scope) isState(err error, state, query string, or ...string) {
	s.Helper()
	require.Error(s, err, query)
	require.Contains(s, append(or, state), sqlState(err), "%s: %v", query, err)
}

// sqlState is the SQLSTATE that an error carries, or "".
func sqlState(err error) string {
	var withState interface{ SQLState() string }
	if errors.As(err, &withState) {
		return withState.SQLState()
	}
	return ""
}

// isConflict tells whether the transaction was rejected for another one's sake,
// so that running it again makes sense.
func isConflict(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// one reads the single value of a single row.
func one[T any](s *scope, on execer, query string, args ...any) T {
	s.Helper()
	var v T
	require.NoError(s, on.QueryRowContext(s.ctx, query, args...).Scan(&v), query)
	return v
}

// column reads all values of a query with one column.
func column[T any](s *scope, on execer, query string, args ...any) []T {
	s.Helper()
	rows, err := on.QueryContext(s.ctx, query, args...)
	require.NoError(s, err, query)
	defer rows.Close()
	values := []T{}
	for rows.Next() {
		var v T
		require.NoError(s, rows.Scan(&v), query)
		values = append(values, v)
	}
	require.NoError(s, rows.Err(), query)
	return values
}

// begin starts a transaction that is rolled back at the end of the case if it
// is still open then.
func (s *scope) begin(opts *sql.TxOptions) *sql.Tx {
	s.Helper()
	tx, err := s.db.BeginTx(s.ctx, opts)
	require.NoError(s, err)
	s.Cleanup(func() { _ = tx.Rollback() }) // sql.ErrTxDone if the case ended it
	return tx
}

// conn takes one connection for the rest of the case or until it is closed.
func (s *scope) conn() *sql.Conn {
	s.Helper()
	conn, err := s.db.Conn(s.ctx)
	require.NoError(s, err)
	s.Cleanup(func() { _ = conn.Close() }) // sql.ErrConnDone if the case closed it
	return conn
}

// together runs fn as several clients at once and sees that none fails.
func (s *scope) together(clients int, fn func(client int) error) {
	s.Helper()
	errs := make([]error, clients)
	var wg sync.WaitGroup
	for client := range clients {
		wg.Go(func() { errs[client] = fn(client) }) // ends with fn, at the latest with s.ctx
	}
	wg.Wait()
	require.NoError(s, errors.Join(errs...))
}

// usable sees that the DB still works, as it must after every error.
func (s *scope) usable() {
	s.Helper()
	require.Equal(s, 42, one[int](s, s.db, "select $1::int + 2", 40))
}

// idle waits until every connection has been given back.
func (s *scope) idle() {
	s.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.Now().Add(caseTimeout)
	for s.db.Stats().InUse > 0 {
		if time.Now().After(deadline) {
			s.Errorf("%d connections are still in use", s.db.Stats().InUse)
			return
		}
		<-tick.C
	}
}
