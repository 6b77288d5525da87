package hook

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Hooks are the functions of one cluster's configuration. The zero value has
// none. It is safe for concurrent use if the functions are.
type Hooks struct {
	// Before may change the configuration that a connection is opened with.
	Before func(context.Context, *pgx.ConnConfig) error
	// After prepares an opened connection.
	After func(context.Context, *pgx.Conn) error
}

// Error says that a hook has failed or panicked. It unwraps to the hook's error
// or, if that was an error, to what it panicked with.
type Error struct {
	// Hook is the field of the configuration: BeforeConnect or AfterConnect.
	Hook string
	// Err is the cause.
	Err error
}

// Error names the hook and the cause.
func (e *Error) Error() string { return e.Hook + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// BeforeConnect calls Before, if it is set. The error is an *Error.
func (h Hooks) BeforeConnect(ctx context.Context, config *pgx.ConnConfig) error {
	if h.Before == nil {
		return nil
	}
	return guarded("BeforeConnect", func() error { return h.Before(ctx, config) })
}

// AfterConnect calls After, if it is set. The error is an *Error.
func (h Hooks) AfterConnect(ctx context.Context, conn *pgx.Conn) error {
	if h.After == nil {
		return nil
	}
	return guarded("AfterConnect", func() error { return h.After(ctx, conn) })
}

// guarded turns a panic into an error: most connections are opened by
// goroutines in which it would end the process.
func guarded(name string, call func() error) (err error) {
	defer func() {
		v := recover()
		if cause, ok := v.(error); ok {
			err = &Error{Hook: name, Err: fmt.Errorf("panic: %w", cause)}
		} else if v != nil {
			err = &Error{Hook: name, Err: fmt.Errorf("panic: %v", v)}
		}
	}()
	if err = call(); err != nil {
		return &Error{Hook: name, Err: err}
	}
	return nil
}

// Connect opens a connection of our own, outside any pool. A refused credential
// is refreshed once, by asking Before again.
func (h Hooks) Connect(ctx context.Context, from *pgx.ConnConfig) (*pgconn.PgConn, error) {
	conn, err := h.connect(ctx, from)
	if h.MayRefresh(err) {
		conn, err = h.connect(ctx, from)
	}
	return conn, err
}

func (h Hooks) connect(ctx context.Context, from *pgx.ConnConfig) (*pgconn.PgConn, error) {
	config := from.Copy()
	if err := h.BeforeConnect(ctx, config); err != nil {
		return nil, err
	}
	return pgconn.ConnectConfig(ctx, &config.Config)
}

// MayRefresh reports whether an error of opening a connection is the server's
// refusal of a credential for which Before may have a newer one.
func (h Hooks) MayRefresh(err error) bool {
	if err == nil || h.Before == nil {
		return false
	}
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && strings.HasPrefix(pgErr.Code, "28")
}
