package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/auth"
	"github.com/anywriter/anywriter/simnode/internal/session"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
	"github.com/anywriter/anywriter/simnode/internal/types"
)

// Session is what a connection drives; *session.Session implements it. All calls
// come from one goroutine. Errors that are not *sqlerr.Error are reported as
// XX000; an error of severity FATAL ends the connection. After any error of
// Parse, Bind, Describe or Execute the connection calls nothing but Sync.
type Session interface {
	// Query carries out a simple query string and everything that its end means
	// for the transaction.
	Query(ctx context.Context, sql string, out session.Output) error
	Parse(ctx context.Context, name, sql string, params []types.OID) error
	// Describe gives the parameter types of a prepared statement, and its columns
	// (nil if it returns no rows). Parameter types that come with an error (never
	// nil without one) are told before it.
	Describe(ctx context.Context, statement string) ([]types.OID, []session.Column, error)
	// ParamTypes gives the types that Bind's parameters must be decoded to.
	ParamTypes(statement string) ([]types.OID, error)
	Bind(ctx context.Context, portal, statement string, params []types.Datum, formats []session.Format) error
	// DescribePortal gives a portal's columns (nil if none) and their formats.
	DescribePortal(ctx context.Context, portal string) ([]session.Column, []session.Format, error)
	// Execute runs a portal; maxRows 0 means all.
	Execute(ctx context.Context, portal string, maxRows int, out session.Output) error
	CloseStatement(name string)
	ClosePortal(name string)
	// Flush waits until everything answered so far may leave for the client.
	Flush(ctx context.Context) error
	// Sync ends an implicit transaction.
	Sync(ctx context.Context) error
	// Fail tells the session that a message was refused by the connection itself
	// (a parameter that cannot be decoded): the transaction fails.
	Fail()

	// Status is the byte of ReadyForQuery: I, T or E.
	Status() byte
	// Style is how parameters in text are read, and results written.
	Style() session.Style
	// Changed gives the reported settings that changed since the last call.
	Changed() []session.Parameter
	// IdleTimeout says how long the connection may now wait for a message, and
	// the error that ends it then; 0 means for ever.
	IdleTimeout() (time.Duration, *sqlerr.Error)
	// Close rolls back and gives everything back.
	Close()
}

// Open builds the session of an authenticated connection. ctx lives as long as
// the connection.
type Open func(ctx context.Context, start session.Startup) (Session, error)

// Config says how a node serves its clients. Auth and Open must be set.
type Config struct {
	Auth *auth.Store
	Open Open
	// Cancel finds the connection that a cancel request speaks of. Nil means a
	// registry of this server's own.
	Cancel *CancelRegistry
	// MaxConnections is how many clients may be connected; more are refused with
	// 53300. 0 means 100, which is PostgreSQL's default.
	MaxConnections int
	// MaxMessageBytes bounds one message of a client. 0 means 64 MiB: far above
	// any sane statement, far below what hurts the host.
	MaxMessageBytes int
	// HandshakeTimeout is how long a client may take until it is authenticated.
	// 0 means 60 s, PostgreSQL's authentication_timeout.
	HandshakeTimeout time.Duration
	// Panicked, if not nil, is told of every panic that a command ended in, from
	// the connection's goroutine. The client gets XX000 and lives on.
	Panicked func(client ConnInfo, text string, stack []byte)
}

const (
	defaultMaxConnections   = 100
	defaultMaxMessageBytes  = 64 << 20
	defaultHandshakeTimeout = time.Minute
	// maxStartupBytes is PostgreSQL's MAX_STARTUP_PACKET_LENGTH.
	maxStartupBytes = 10_000
	// maxSmallBytes bounds messages that carry only a name, as PostgreSQL does.
	maxSmallBytes = 10_000
	// maxAuthBytes bounds a SASL message, as PG_MAX_AUTH_TOKEN_LENGTH does.
	maxAuthBytes = 65_535
)

func (c Config) withDefaults() Config {
	if c.Cancel == nil {
		c.Cancel = NewCancelRegistry()
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = defaultMaxConnections
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = defaultMaxMessageBytes
	}
	if c.HandshakeTimeout == 0 {
		c.HandshakeTimeout = defaultHandshakeTimeout
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Auth == nil:
		return errors.New("wire: Config.Auth is not set")
	case c.Open == nil:
		return errors.New("wire: Config.Open is not set")
	case c.MaxConnections < 0:
		return fmt.Errorf("wire: MaxConnections is %d, allowed is 1 and more, or 0 for %d", c.MaxConnections, defaultMaxConnections)
	case c.MaxMessageBytes < maxStartupBytes:
		return fmt.Errorf("wire: MaxMessageBytes is %d, allowed is %d and more, or 0 for %d", c.MaxMessageBytes, maxStartupBytes, defaultMaxMessageBytes)
	case c.HandshakeTimeout < 0:
		return fmt.Errorf("wire: HandshakeTimeout is %v, allowed is a positive time, or 0 for %v", c.HandshakeTimeout, defaultHandshakeTimeout)
	}
	return nil
}
