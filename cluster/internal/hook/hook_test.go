package hook

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Both hooks are called alike, and an error names the one that failed.
func TestHooks(t *testing.T) {
	boom := errors.New("boom")
	type both func(context.Context) error
	calls := map[string]func(run both) error{
		"BeforeConnect": func(run both) error {
			h := Hooks{Before: func(ctx context.Context, _ *pgx.ConnConfig) error { return run(ctx) }}
			return h.BeforeConnect(t.Context(), &pgx.ConnConfig{})
		},
		"AfterConnect": func(run both) error {
			h := Hooks{After: func(ctx context.Context, _ *pgx.Conn) error { return run(ctx) }}
			return h.AfterConnect(t.Context(), &pgx.Conn{})
		},
	}
	for name, call := range calls {
		for _, c := range []struct {
			run  both
			is   error // what it unwraps to
			text string
		}{
			{func(context.Context) error { return nil }, nil, ""},
			{func(context.Context) error { return boom }, boom, name + ": boom"},
			{func(context.Context) error { panic(io.EOF) }, io.EOF, name + ": panic: EOF"},
			{func(context.Context) error { panic("odd") }, nil, name + ": panic: odd"},
		} {
			err := call(c.run)
			if c.text == "" {
				require.NoError(t, err, name)
				continue
			}
			var failed *Error
			require.ErrorAs(t, err, &failed)
			require.Equal(t, name, failed.Hook)
			require.EqualError(t, err, c.text)
			if c.is != nil {
				require.ErrorIs(t, err, c.is)
			}
		}
	}
	require.NoError(t, Hooks{}.BeforeConnect(t.Context(), nil))
	require.NoError(t, Hooks{}.AfterConnect(t.Context(), nil))
}

// A hook has ten seconds, or what its caller leaves it.
func TestHookTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Hooks{After: func(ctx context.Context, _ *pgx.Conn) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		began := time.Now()
		require.ErrorIs(t, h.AfterConnect(t.Context(), nil), context.DeadlineExceeded)
		require.Equal(t, timeout, time.Since(began))
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		require.ErrorIs(t, h.AfterConnect(short, nil), context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
	})
}
