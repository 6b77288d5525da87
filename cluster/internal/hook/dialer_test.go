package hook

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

// door is a server in memory that lets clients in by their user's name.
type door struct {
	letIn map[string]bool
	asked []string
	code  string // of a refusal
}

func (d *door) serve(conn net.Conn) {
	defer conn.Close()
	backend := pgproto3.NewBackend(conn, conn)
	msg, err := backend.ReceiveStartupMessage()
	if err != nil {
		return
	}
	user := msg.(*pgproto3.StartupMessage).Parameters["user"]
	d.asked = append(d.asked, user)
	if !d.letIn[user] {
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: d.code, Message: "no"})
		_ = backend.Flush() // the client may have gone
		return
	}
	backend.Send(&pgproto3.AuthenticationOk{})
	backend.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for backend.Flush() == nil {
		if _, err := backend.Receive(); err != nil {
			return
		}
	}
}

// config leads to the door. It must be used in a bubble, which waits for the
// server's goroutines.
func (d *door) config(t *testing.T) *pgx.ConnConfig {
	config, err := pgx.ParseConfig("postgres://first@door:1/x?sslmode=disable")
	require.NoError(t, err)
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	config.DialFunc = func(_ context.Context, _, addr string) (net.Conn, error) {
		require.Equal(t, "door:1", addr)
		ours, theirs := net.Pipe()
		go d.serve(theirs) // ends with its connection
		return ours, nil
	}
	return config
}

// A credential that the server refuses is asked for once more, and Before is told
// why; a dial that succeeds makes up for it.
func TestConnectRefreshesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &door{letIn: map[string]bool{"second": true}, code: "28P01"}
		var told []error
		names := []string{"first", "second", "third", "fourth", "fifth"}
		d := &Dialer{Hooks: Hooks{Before: func(ctx context.Context, config *pgx.ConnConfig) error {
			config.User = names[len(told)]
			config.Host, config.Port = "elsewhere", 2 // isn't its business
			told = append(told, RefusedCredential(ctx))
			return nil
		}}}
		conn, err := d.Connect(t.Context(), door.config(t), nil)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		require.Equal(t, []string{"first", "second"}, door.asked)
		require.NoError(t, told[0])
		require.ErrorContains(t, told[1], "28P01")
		require.NoError(t, d.Trouble(time.Time{}))

		// The next two are refused, and that was it.
		began := time.Now()
		_, err = d.Connect(t.Context(), door.config(t), nil)
		require.ErrorContains(t, err, "28P01")
		require.Equal(t, []string{"first", "second", "third", "fourth"}, door.asked)
		require.NoError(t, told[2], "the success has made up for the refusal")
		require.ErrorContains(t, told[3], "28P01")
		require.False(t, d.MayRefresh(err), "Before has been told")
		require.ErrorContains(t, d.Trouble(began), "28P01")
		time.Sleep(time.Second)
		require.NoError(t, d.Trouble(time.Now()), "that was before")
	})
}

// What isn't about the credential, and a Dialer without Before, refresh nothing.
func TestConnectRefreshesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := func(context.Context, *pgx.ConnConfig) error { return nil }
		for code, hooks := range map[string]Hooks{"53300": {Before: before}, "28P01": {}} {
			door := &door{code: code}
			d := &Dialer{Hooks: hooks}
			_, err := d.Connect(t.Context(), door.config(t), nil)
			require.ErrorContains(t, err, code)
			require.Len(t, door.asked, 1)
			require.NoError(t, d.Trouble(time.Time{}))
		}
		boom := errors.New("boom")
		door := &door{}
		d := &Dialer{Hooks: Hooks{Before: func(context.Context, *pgx.ConnConfig) error { return boom }}}
		_, err := d.Connect(t.Context(), door.config(t), nil)
		require.ErrorIs(t, err, boom)
		require.Empty(t, door.asked)
		require.ErrorIs(t, d.Trouble(time.Time{}), boom)
	})
}

// A pool's dials go through the hooks, and what became of them is heard from the
// tracer that is added beside the application's own.
func TestPoolHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		door := &door{letIn: map[string]bool{"second": true}, code: "28000"}
		user := "first"
		var told []error
		boom := errors.New("boom")
		var after error
		d := &Dialer{Hooks: Hooks{
			Before: func(ctx context.Context, config *pgx.ConnConfig) error {
				config.User = user
				told = append(told, RefusedCredential(ctx))
				return nil
			},
			After: func(context.Context, *pgx.Conn) error { return after },
		}}
		application := &ends{}
		dial := func() (*pgx.Conn, error) {
			config := door.config(t)
			config.Tracer = application
			require.NoError(t, d.BeforeConnect(t.Context(), config))
			return pgx.ConnectConfig(t.Context(), config)
		}
		_, err := dial()
		require.ErrorContains(t, err, "28000")
		require.True(t, d.MayRefresh(err))
		require.NoError(t, d.Trouble(time.Time{}), "Before hasn't been told yet")
		_, err = dial()
		require.ErrorContains(t, err, "28000")
		require.False(t, d.MayRefresh(err))
		require.ErrorContains(t, d.Trouble(time.Time{}), "28000")
		user = "second"
		conn, err := dial()
		require.NoError(t, err)
		require.NoError(t, d.Trouble(time.Time{}))
		require.Equal(t, []bool{false, true, true}, []bool{told[0] != nil, told[1] != nil, told[2] != nil})
		require.Equal(t, []bool{true, true, false}, application.failed)

		after = boom
		require.ErrorIs(t, d.AfterConnect(t.Context(), conn), boom)
		require.ErrorIs(t, d.Trouble(time.Time{}), boom)
		after = nil
		require.NoError(t, d.AfterConnect(t.Context(), conn))
		require.NoError(t, d.Trouble(time.Time{}))
		require.NoError(t, conn.Close(t.Context()))
	})
}

// ends is a tracer of the application's.
type ends struct{ failed []bool }

func (e *ends) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

func (e *ends) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	e.failed = append(e.failed, data.Err != nil)
}

func (e *ends) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	return ctx
}

func (e *ends) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Only a server's refusal of a dial is about the credential.
func TestIsCredential(t *testing.T) {
	door := func(code string) (err error) {
		synctest.Test(t, func(t *testing.T) {
			_, err = (&Dialer{}).Connect(t.Context(), (&door{code: code}).config(t), nil)
		})
		return err
	}
	require.True(t, isCredential(door("28P01")))
	require.True(t, isCredential(door("28000")))
	require.False(t, isCredential(door("57P03")))
	require.False(t, isCredential(&pgconn.PgError{Code: "28P01"}), "a statement's error, SET ROLE for example")
	require.False(t, isCredential(errors.New("28P01")))
	require.False(t, isCredential(nil))
}

// Outside the bubble, where there is a monotonic clock.
func TestHeldIsMonotonic(t *testing.T) {
	held := &Held{}
	held.begin()
	held.end()
	require.Contains(t, held.Until().String(), " m=", "it goes by the wall clock, which may be set back")
}

// Held tells until when Before was waited for, while it is and afterwards.
func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var none *Held
		none.begin()
		none.end()
		held := &Held{}
		require.True(t, held.Until().IsZero())
		door := &door{letIn: map[string]bool{"first": true}}
		d := &Dialer{Hooks: Hooks{Before: func(context.Context, *pgx.ConnConfig) error {
			time.Sleep(time.Second)
			require.Equal(t, time.Now(), held.Until().In(time.Now().Location()))
			return nil
		}}}
		began := time.Now()
		conn, err := d.Connect(t.Context(), door.config(t), held)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		time.Sleep(time.Second)
		require.Equal(t, time.Second, held.Until().Sub(began))

		held = &Held{}
		conn, err = (&Dialer{}).Connect(t.Context(), door.config(t), held)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
		require.True(t, held.Until().IsZero(), "without a hook nothing is waited for")
	})
}
