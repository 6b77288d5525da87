package hook

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/multitracer"
	"github.com/jackc/pgx/v5/pgconn"
)

// Dialer is what the hooks are to one node. It remembers how they fared last,
// and what the server said to the last credential: a pool's dial often fails
// when nobody waits for it any more. The zero value has no hooks. It is safe for
// concurrent use.
type Dialer struct {
	Hooks
	refused       atomic.Pointer[refusal] // nil: the credential was accepted
	before, after atomic.Pointer[failure] // nil: success
}

// failure is how a hook failed last.
type failure struct {
	err error
	at  time.Time
}

// refusal is a server's SQLSTATE 28xxx to a dial.
type refusal struct {
	failure
	told bool // Before had been told of the one before
}

// prepare lets Before change the configuration of one dial, and reports whether
// it was told of a refusal. Where the node is and how it is dialed stays ours.
func (d *Dialer) prepare(ctx context.Context, config *pgx.ConnConfig) (told bool, err error) {
	if last := d.refused.Load(); last != nil {
		told, ctx = true, context.WithValue(ctx, refusedKey{}, last.err)
	}
	ours := *config
	err = note(&d.before, d.Hooks.BeforeConnect(ctx, config))
	config.Host, config.Port, config.Fallbacks = ours.Host, ours.Port, ours.Fallbacks
	config.DialFunc, config.LookupFunc = ours.DialFunc, ours.LookupFunc
	return told, err
}

// answered notes how the server took the credential of a dial.
func (d *Dialer) answered(told bool, err error) {
	switch {
	case err == nil:
		d.refused.Store(nil)
	case isCredential(err):
		d.refused.Store(&refusal{failure: failure{err: err, at: time.Now()}, told: told})
	}
}

// BeforeConnect is for a pool that dials by itself. What becomes of the dial is
// heard from pgx's tracing: a pool goes on dialing when nobody waits any more.
func (d *Dialer) BeforeConnect(ctx context.Context, config *pgx.ConnConfig) error {
	told, err := d.prepare(ctx, config)
	if err != nil {
		return err
	}
	var tracer multitracer.Tracer
	if config.Tracer != nil {
		tracer = *multitracer.New(config.Tracer)
	}
	tracer.ConnectTracers = append(tracer.ConnectTracers, &watch{dialer: d, told: told})
	config.Tracer = &tracer
	return nil
}

// AfterConnect prepares a new connection of a pool. It must be left as it was found:
// what runs in a transaction that the hook has begun would be lost with it.
func (d *Dialer) AfterConnect(ctx context.Context, conn *pgx.Conn) error {
	err := d.Hooks.AfterConnect(ctx, conn)
	if err == nil && d.After != nil {
		if pc := conn.PgConn(); pc.IsClosed() || pc.IsBusy() || pc.TxStatus() != 'I' {
			err = &Error{Hook: "AfterConnect", Err: errLeftOpen}
		}
	}
	return note(&d.after, err)
}

var errLeftOpen = errors.New("it has left the connection closed, busy or inside a transaction")

// note keeps an error, or that there is none, and returns it.
func note(last *atomic.Pointer[failure], err error) error {
	if err == nil {
		last.Store(nil)
	} else {
		last.Store(&failure{err: err, at: time.Now()})
	}
	return err
}

// watch hears how one dial of a pool ended.
type watch struct {
	dialer *Dialer
	told   bool
}

// TraceConnectStart does nothing.
func (w *watch) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return ctx
}

// TraceConnectEnd notes the server's answer.
func (w *watch) TraceConnectEnd(_ context.Context, data pgx.TraceConnectEndData) {
	w.dialer.answered(w.told, data.Err)
}

// Connect opens a connection of our own, outside any pool. A refused credential
// is refreshed once, by asking Before again. The time that Before takes is noted
// in held, which may be nil.
func (d *Dialer) Connect(ctx context.Context, from *pgx.ConnConfig, held *Held) (*pgconn.PgConn, error) {
	conn, err := d.connect(ctx, from, held)
	if d.MayRefresh(err) {
		conn, err = d.connect(ctx, from, held)
	}
	return conn, err
}

func (d *Dialer) connect(ctx context.Context, from *pgx.ConnConfig, held *Held) (*pgconn.PgConn, error) {
	config := from.Copy()
	if d.Before == nil {
		held = nil // nothing is waited for
	}
	told, err := d.held(ctx, config, held)
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	d.answered(told, err)
	return conn, err
}

// held is prepare, with the time that it takes noted also if Before ends the goroutine.
func (d *Dialer) held(ctx context.Context, config *pgx.ConnConfig, held *Held) (told bool, err error) {
	held.begin()
	defer held.end()
	return d.prepare(ctx, config)
}

// MayRefresh reports whether an error of opening a connection is the server's
// refusal of a credential, and Before hasn't been told yet.
func (d *Dialer) MayRefresh(err error) bool {
	if d.Before == nil || !isCredential(err) {
		return false
	}
	last := d.refused.Load()
	return last == nil || !last.told
}

// Trouble returns why dials of this node have failed since a point in time for
// no fault of its own, and none has succeeded after that: the last error of a
// hook, or the refusal of a refreshed credential; nil if there is no such
// reason.
func (d *Dialer) Trouble(since time.Time) error {
	if last := d.before.Load(); last != nil && !last.at.Before(since) {
		return last.err
	}
	if last := d.refused.Load(); last != nil && last.told && !last.at.Before(since) {
		return last.err
	}
	if last := d.after.Load(); last != nil && !last.at.Before(since) {
		return last.err
	}
	return nil
}

// isCredential reports whether a server refused a connection with SQLSTATE
// 28xxx.
func isCredential(err error) bool {
	var connect *pgconn.ConnectError
	var pgErr *pgconn.PgError
	return errors.As(err, &connect) && errors.As(err, &pgErr) && len(pgErr.Code) == 5 && pgErr.Code[:2] == "28"
}

// refusedKey is where a context keeps the answer to the last credential.
type refusedKey struct{}

// RefusedCredential returns the refusal that a call of Before is told of, or
// nil.
func RefusedCredential(ctx context.Context) error {
	err, _ := ctx.Value(refusedKey{}).(error)
	return err
}

// Held is the record of when a dial waited for Before and not for its node. It goes by
// the monotonic clock: set back, the other one would make a wait that is over last on.
// The zero value is ready; a nil one keeps nothing.
type Held struct{ until atomic.Pointer[time.Time] } // nil: never; the zero time: now

func (h *Held) begin() {
	if h != nil {
		h.until.Store(&time.Time{})
	}
}

func (h *Held) end() {
	if h != nil {
		now := time.Now()
		h.until.Store(&now)
	}
}

// Until returns until when it lasted: the present if it still does, the zero
// time if there was no such wait.
func (h *Held) Until() time.Time {
	switch until := h.until.Load(); {
	case until == nil:
		return time.Time{}
	case until.IsZero():
		return time.Now()
	default:
		return *until
	}
}
