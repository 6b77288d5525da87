package session

import (
	"context"
	"strconv"
	"time"

	"github.com/anywriter/anywriter/simnode/internal/message"
	"github.com/anywriter/anywriter/simnode/internal/sequence"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Session is one client's session. One goroutine uses it at a time.
type Session struct {
	cfg      *Config
	start    Startup
	base     context.Context // lives as long as the connection; commits run under it
	settings *settings
	block    block
	tx       transaction
	prepared map[string]*prepared
	portals  map[string]*portal
	env      Env
	seqs     *sequence.Session
	// owed is the snapshot of answers that are buffered but may not leave yet;
	// 0 if none.
	owed message.LSN
}

// Open builds the session of an authenticated client. ctx lives as long as the
// client's connection. The error is a *sqlerr.Error for settings of the startup
// message that cannot be had.
func (f *Factory) Open(ctx context.Context, start Startup) (*Session, error) {
	s := &Session{
		cfg:      &f.cfg,
		start:    start,
		base:     ctx,
		settings: newSettings(f.defs, start.User),
		block:    blockIdle,
		prepared: map[string]*prepared{},
		portals:  map[string]*portal{},
	}
	for _, p := range start.Settings {
		if err := s.settings.begin(p.Name, p.Value); err != nil {
			return nil, err
		}
	}
	s.initEnv()
	return s, nil
}

func nodeName(id message.NodeID) string { return strconv.Itoa(int(id)) }

// Close rolls back what is open and gives everything back.
func (s *Session) Close() {
	s.rollback()
	s.block = blockIdle
	clear(s.prepared)
}

// Status is the byte of ReadyForQuery.
func (s *Session) Status() byte {
	switch s.block {
	case blockIdle, blockSingle:
		return 'I'
	case blockFailed:
		return 'E'
	default:
		return 'T'
	}
}

// Style is how the settings want values to be read and written as text.
func (s *Session) Style() Style {
	style := s.settings.cached.style
	if style.Now = s.tx.began; style.Now.IsZero() {
		style.Now = now()
	}
	return style
}

// Changed gives the reported settings that changed since the last call; the first
// call gives all of them.
func (s *Session) Changed() []Parameter { return s.settings.changed() }

// IdleTimeout says how long the client may now be silent, and the error that ends
// the session then; 0 means for ever.
func (s *Session) IdleTimeout() (time.Duration, *sqlerr.Error) {
	v := &s.settings.cached
	switch idle := s.Status() == 'I'; {
	case idle && v.idleSession > 0:
		return v.idleSession, sqlerr.Fatal("57P05", "terminating connection due to idle-session timeout")
	case !idle && v.idleInTx > 0:
		return v.idleInTx, sqlerr.Fatal("25P03", "terminating connection due to idle-in-transaction timeout")
	default:
		return 0, nil
	}
}

// notice sends a notice or warning if client_min_messages lets it through.
func (s *Session) notice(e *sqlerr.Error) {
	if noticeLevel(e.Severity) >= s.settings.cached.minLevel {
		s.start.Client.Notice(e)
	}
}

// limited puts statement_timeout on a command's context.
func (s *Session) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	d := s.settings.cached.statementTimeout
	if d == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, d, sqlerr.New("57014", "canceling statement due to statement timeout"))
}
