package hook

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
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
	return guarded(ctx, "BeforeConnect", func(ctx context.Context) error { return h.Before(ctx, config) })
}

// AfterConnect calls After, if it is set. The error is an *Error.
func (h Hooks) AfterConnect(ctx context.Context, conn *pgx.Conn) error {
	if h.After == nil {
		return nil
	}
	return guarded(ctx, "AfterConnect", func(ctx context.Context) error { return h.After(ctx, conn) })
}

// Dial is the application's function that dials a node.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Guarded returns dial with its panics turned into errors, like those of the hooks. As
// with any other error of a dial they count against the node.
func (dial Dial) Guarded() Dial {
	return func(ctx context.Context, network, address string) (conn net.Conn, err error) {
		defer func() {
			if cause := caught(recover()); cause != nil {
				conn, err = nil, fmt.Errorf("DialFunc: %w", cause)
			}
		}()
		return dial(ctx, network, address)
	}
}

// caught is what recover returned as an error.
func caught(v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case error:
		return fmt.Errorf("panic: %w", v)
	default:
		return fmt.Errorf("panic: %v", v)
	}
}

// timeout bounds one call of a hook. Nobody's statement waits that long for one
// node, but a hook that never returned would keep its node's prober from ever
// asking again. Services that issue tokens answer within a second.
const timeout = 10 * time.Second

// guarded turns a panic into an error: most connections are opened by
// goroutines in which it would end the process.
func guarded(ctx context.Context, name string, call func(context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	defer func() {
		if cause := caught(recover()); cause != nil {
			err = &Error{Hook: name, Err: cause}
		}
	}()
	if err = call(ctx); err != nil {
		return &Error{Hook: name, Err: err}
	}
	return nil
}
