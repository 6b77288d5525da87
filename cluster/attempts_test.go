package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/anywriter/anywriter/internal/sqlstate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestChainIsBounded(t *testing.T) {
	var chain []Attempt
	var got []int
	for i := range 40 {
		chain = remember(chain, Attempt{Number: i + 1})
	}
	for _, a := range chain {
		got = append(got, a.Number)
	}
	require.Equal(t, []int{1, 2, 35, 36, 37, 38, 39, 40}, got)
}

// The chain is data: only the last attempt's error is found in an error, and the
// texts show nothing that may be the application's.
func TestEarlierAttemptsAreNotTheError(t *testing.T) {
	first := &OpError{
		Node: "a:1", SQLState: "40001", Outcome: DefinitelyAborted, Attempts: 1,
		Err: &pgconn.PgError{Code: "40001", Message: `row "secret"`}, verdict: sqlstate.Verdict{Kind: sqlstate.Conflict},
	}
	began := time.Now()
	c := call{attempts: 1}
	c.followed(first, began, began.Add(3*time.Millisecond), 1500*time.Microsecond)
	c.attempts = 2
	c.followed(&OutcomeUnknownError{Node: "b:2", Err: io.ErrUnexpectedEOF, Earlier: c.earlier}, began, began, 0)
	c.attempts = 3
	for name, err := range map[string]error{
		"OpError":             &OpError{Node: "c:3", Attempts: 3, Earlier: c.earlier, Err: syscall.ECONNRESET},
		"OutcomeUnknownError": &OutcomeUnknownError{Node: "c:3", Attempts: 3, Earlier: c.earlier, Err: syscall.ECONNRESET},
		"NoNodeError":         c.withEarlier(&NoNodeError{Cause: syscall.ECONNRESET}),
		"refused":             c.withEarlier(&OpError{Attempts: 1, Err: syscall.ECONNRESET}),
	} {
		t.Run(name, func(t *testing.T) {
			var pgErr *pgconn.PgError
			require.False(t, errors.As(err, &pgErr))
			require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
			require.NotErrorIs(t, err, first)
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.Contains(t, err.Error(), "attempt 3")
			var lines []string
			for _, a := range earlierOf(t, err) {
				lines = append(lines, a.String())
			}
			require.Equal(t, []string{
				"attempt 1 on a:1: Conflict, SQLSTATE 40001; DefinitelyAborted after 3ms, then a wait of 1.5ms",
				"attempt 2 on b:2: the connection ended; CommitSent after 0s, then a wait of 0s",
			}, lines)
		})
	}
	require.Same(t, first, c.earlier[0].Err)
	untouched := &NoNodeError{}
	require.Same(t, untouched, (&call{attempts: 1}).withEarlier(untouched))
	require.Zero(t, untouched.Attempts)
}

func earlierOf(t *testing.T, err error) []Attempt {
	t.Helper()
	var op *OpError
	var unknown *OutcomeUnknownError
	var none *NoNodeError
	switch {
	case errors.As(err, &op):
		require.Equal(t, 3, op.Attempts)
		return op.Earlier
	case errors.As(err, &unknown):
		require.Equal(t, 3, unknown.Attempts)
		return unknown.Earlier
	default:
		require.ErrorAs(t, err, &none)
		require.Equal(t, 3, none.Attempts)
		return none.Earlier
	}
}

func TestPlainCause(t *testing.T) {
	for want, err := range map[string]error{
		"":                          errors.New(`cannot encode "secret"`),
		"no node available":         &NoNodeError{},
		"context canceled":          fmt.Errorf("x: %w", context.Canceled),
		"deadline exceeded":         context.DeadlineExceeded,
		"connection reset by peer":  &net.OpError{Op: "read", Err: syscall.ECONNRESET},
		"the connection ended":      fmt.Errorf("x: %w", io.EOF),
		"the connection was closed": net.ErrClosed,
		"timeout":                   &net.DNSError{IsTimeout: true, Name: "host"},
	} {
		require.Equal(t, want, plainCause(err))
	}
	require.Equal(t, "attempt 1: failed; Unknown after 12ms, then a wait of 0s",
		Attempt{Number: 1, Err: errors.New("secret"), Took: 12*time.Millisecond + 345*time.Microsecond}.String())
}
