package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/internal/sqlstate"
)

func TestOutcomeOf(t *testing.T) {
	pgErr := &pgconn.PgError{Code: "40001", Message: "conflict"}
	aborted := &OpError{
		Node: "n:1", SQLState: "40001", Outcome: DefinitelyAborted, Attempts: 1, Err: pgErr,
		verdict: sqlstate.Verdict{Retry: sqlstate.RetryAnyNode},
	}
	unknown := &OutcomeUnknownError{Node: "n:1", Attempts: 1, Err: context.DeadlineExceeded}
	cases := []struct {
		err       error
		outcome   Outcome
		retryable bool
	}{
		{nil, Committed, false},
		{aborted, DefinitelyAborted, true},
		{fmt.Errorf("closure: %w", aborted), DefinitelyAborted, true},
		{unknown, CommitSent, false},
		{fmt.Errorf("closure: %w", unknown), CommitSent, false},
		{&OpError{Outcome: DefinitelyAborted, Err: pgErr}, DefinitelyAborted, false},
		{&NoNodeError{}, NotSent, true},
		{&NoNodeError{causes: []error{context.DeadlineExceeded}}, NotSent, true},
		{fmt.Errorf("closure: %w", &NoNodeError{}), NotSent, true},
		{&OpError{Outcome: Committed, Err: &NoNodeError{}}, Committed, false},
		{abortedError(&NoNodeError{}, nil), DefinitelyAborted, true},
		{abortedError(&NoNodeError{causes: []error{context.DeadlineExceeded}}, nil), DefinitelyAborted, true},
		{abortedError(&NoNodeError{Cause: context.DeadlineExceeded}, nil), DefinitelyAborted, false},
		{&RetryError{Attempts: 2, Stop: StopElapsed, Err: &NoNodeError{}}, NotSent, true},
		{&RetryError{Attempts: 2, Stop: StopContext, Err: &NoNodeError{}, Cause: context.Canceled}, NotSent, false},
		{&RetryError{Attempts: 1, Stop: StopSession, Err: aborted, Cause: ErrSessionLost}, DefinitelyAborted, true},
		{&NoNodeError{Cause: context.Canceled}, NotSent, false},
		{ErrClosed, NotSent, false},
		{fmt.Errorf("%w: cut", ErrSessionLost), NotSent, true},
		{errors.New("somebody else's"), Unknown, false},
		{context.Canceled, Unknown, false},
	}
	for _, c := range cases {
		require.Equal(t, c.outcome, OutcomeOf(c.err), "%v", c.err)
		require.Equal(t, c.retryable, IsRetryable(c.err), "%v", c.err)
	}
	var pg *pgconn.PgError
	require.ErrorAs(t, fmt.Errorf("x: %w", aborted), &pg)
	require.ErrorIs(t, unknown, context.DeadlineExceeded)
	require.True(t, unknown.Ambiguous())
}

func TestErrorTexts(t *testing.T) {
	e := &OpError{Node: "10.0.0.1:5432", Attempts: 3, Err: fmt.Errorf("anywriter: inner")}
	require.Equal(t, "anywriter: node 10.0.0.1:5432: attempt 3: inner", e.Error())
	require.Equal(t, "anywriter: x", (&OpError{Attempts: 1, Err: errors.New("x")}).Error())
	require.Contains(t, (&OutcomeUnknownError{Node: "n", Attempts: 1, Err: net.ErrClosed}).Error(), "may have been committed")
	p := &PanicError{While: "encoding arguments", Value: net.ErrClosed}
	require.ErrorIs(t, p, net.ErrClosed)
	require.NoError(t, errors.Unwrap(&PanicError{Value: "text"}))
	none := &NoNodeError{Nodes: []NodeReason{{"a:1", "Down: frozen"}, {"b:2", "Down: connection refused"}}, Cause: context.Canceled}
	require.Equal(t, "anywriter: no node available after 0s (context canceled)\n  a:1: Down: frozen\n  b:2: Down: connection refused", none.Error())
	require.ErrorIs(t, none, ErrNoNode)
	require.ErrorIs(t, none, context.Canceled)
}

// What the wire saw decides: every combination of scope and progress.
func TestRecord(t *testing.T) {
	cases := []struct {
		name string
		call call
		want Outcome
	}{
		{"autocommit, not sent", call{}, NotSent},
		{"autocommit, sent", call{sent: true}, CommitSent},
		{"first of a transaction, not sent", call{inTx: true, first: true}, NotSent},
		{"first of a transaction, sent", call{inTx: true, first: true, sent: true}, DefinitelyAborted},
		{"later in a transaction, not sent", call{inTx: true}, DefinitelyAborted},
		{"later in a transaction, sent", call{inTx: true, sent: true}, DefinitelyAborted},
		{"commit, not sent", call{inTx: true, commit: true}, DefinitelyAborted},
		{"commit, sent", call{inTx: true, commit: true, sent: true}, CommitSent},
	}
	for _, c := range cases {
		require.Equal(t, c.want, c.call.record().Outcome(), c.name)
	}
	written := call{sql: "x", sent: true, inTx: true}
	written.info.ControlsTx = true
	require.Equal(t, DefinitelyAborted, written.record().Outcome(), "a SAVEPOINT")
	written.info.EndsTx = true
	require.Equal(t, CommitSent, written.record().Outcome(), "a COMMIT written by hand")
}

func TestHintsKeepEachOther(t *testing.T) {
	ctx := WithReadOnly(WithKey(WithNode(WithIdempotent(context.Background()), "a:1"), "k"))
	require.Equal(t, hints{node: "a:1", key: "k", idempotent: true, readOnly: true}, hintsOf(ctx))
	require.Equal(t, hints{}, hintsOf(context.Background()))
}

func TestOneServer(t *testing.T) {
	answers := map[string][]string{
		"localhost": {"127.0.0.1", "::1"},
		"dual":      {"10.0.0.1", "fd00::1"},
		"pool":      {"10.0.0.1", "10.0.0.2"},
		"pool6":     {"fd00::1", "fd00::2"},
	}
	lookup := oneServer(func(_ context.Context, host string) ([]string, error) {
		if a := answers[host]; a != nil {
			return a, nil
		}
		return nil, errors.New("no such host")
	})
	for host, ok := range map[string]bool{"localhost": true, "dual": true, "pool": false, "pool6": false} {
		got, err := lookup(context.Background(), host)
		if ok {
			require.NoError(t, err)
			require.Equal(t, answers[host], got)
		} else {
			require.ErrorContains(t, err, host)
			require.ErrorContains(t, err, "2 addresses")
		}
	}
	_, err := lookup(context.Background(), "nowhere")
	require.ErrorContains(t, err, "no such host")
}

func TestCompareIdentities(t *testing.T) {
	c := &Cluster{}
	for i := range 3 {
		c.nodes = append(c.nodes, &Node{index: i, addr: string(rune('a' + i))})
	}
	c.view.Store(&view{nodes: c.nodes})
	a := identity{"postgres", "x", "1"}
	c.nodes[0].known = a
	dup, stranger := c.compare(c.nodes[1], a)
	require.Same(t, c.nodes[0], dup)
	require.Nil(t, stranger)
	dup, stranger = c.compare(c.nodes[1], identity{"postgres", "x", "2"})
	require.Nil(t, dup)
	require.Nil(t, stranger)
	_, stranger = c.compare(c.nodes[1], identity{"postgres", "y", "1"})
	require.NotNil(t, stranger)
	require.Equal(t, IdentityError{NodeA: "a", ClusterA: "x", NodeB: "b", ClusterB: "y"}, *stranger)
	_, stranger = c.compare(c.nodes[1], identity{engine: "postgres"})
	require.Nil(t, stranger, "an identity that isn't known fits everywhere")
	c.mixed = true
	_, stranger = c.compare(c.nodes[1], identity{"postgres", "y", "1"})
	require.Nil(t, stranger)
	for joined, met := range map[standing][]standing{
		member: {member, retiring}, joining: {member, joining}, retiring: {member, retiring}, leaving: nil,
	} {
		for other := range leaving + 1 {
			c.nodes[1].place.Store(uint32(joined))
			c.nodes[0].place.Store(uint32(other))
			dup, _ = c.compare(c.nodes[1], a)
			require.Equal(t, slices.Contains(met, other), dup != nil, "%d looks at %d", joined, other)
		}
	}
	c.nodes[0].place.Store(uint32(member))
	c.nodes[1].place.Store(uint32(member))
	c.nodes[0].duplicateOf.Store(c.nodes[2])
	dup, _ = c.compare(c.nodes[1], a)
	require.Nil(t, dup, "a duplicate isn't anybody's original")
}
