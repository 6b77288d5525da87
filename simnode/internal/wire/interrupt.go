package wire

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// interrupt is how other goroutines reach a connection: a cancel request, a
// client that vanished, a shutdown. It is safe for concurrent use.
type interrupt struct {
	base context.Context // lives as long as the connection
	nc   net.Conn

	mu      sync.Mutex
	running bool // a command is being carried out
	ctx     context.Context
	cancel  context.CancelCauseFunc
	fatal   *sqlerr.Error // ends the session at the next chance; nil while it lives
}

func newInterrupt(base context.Context, nc net.Conn) *interrupt {
	i := &interrupt{base: base, nc: nc}
	i.ctx, i.cancel = context.WithCancelCause(base)
	return i
}

// enter begins a command and gives its context, whose cause is a *sqlerr.Error
// when it is cancelled. Commands that nobody cancels share one context.
func (i *interrupt) enter() context.Context {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running = true
	if i.fatal == nil && i.ctx.Err() != nil && i.base.Err() == nil {
		i.ctx, i.cancel = context.WithCancelCause(i.base)
	}
	return i.ctx
}

// leave ends a command: a cancel that comes now is ignored.
func (i *interrupt) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.running = false
}

// stop cancels the command that runs, if one does.
func (i *interrupt) stop(cause *sqlerr.Error) {
	i.mu.Lock()
	cancel := i.cancel
	running := i.running
	i.mu.Unlock()
	if running {
		cancel(cause)
	}
}

// terminate ends the session with an error: a running command is cancelled, a
// waiting read wakes up. A client that does not take its bytes is given up soon.
func (i *interrupt) terminate(fatal *sqlerr.Error) {
	i.mu.Lock()
	if i.fatal == nil {
		i.fatal = fatal
	}
	cancel := i.cancel
	i.mu.Unlock()
	cancel(fatal)
	now := time.Now()
	_ = i.nc.SetReadDeadline(now)
	// One second is enough for a client that reads at all.
	_ = i.nc.SetWriteDeadline(now.Add(time.Second))
}

// terminated is the error that ends the session, or nil.
func (i *interrupt) terminated() *sqlerr.Error {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fatal
}

// setReadDeadline bounds the next read, unless terminate has already ended it. A
// zero time means no bound.
func (i *interrupt) setReadDeadline(t time.Time) {
	// The deadline is set under the mutex, so that terminate's cannot be undone;
	// setting a deadline does no I/O.
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fatal == nil {
		_ = i.nc.SetReadDeadline(t)
	}
}

// release gives the context back at the end of the connection.
func (i *interrupt) release() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cancel(nil)
}
