package sequence

import (
	"context"

	"github.com/anywriter/anywriter/simnode/internal/catalog"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Session remembers what nextval gave in one session. Use NewSession. One goroutine
// at a time may use it.
type Session struct {
	allocator *Allocator
	values    map[uint32]int64
	last      uint32 // OID of the sequence that nextval was last called for; 0 none
}

// NewSession begins a session on a.
func (a *Allocator) NewSession() *Session {
	return &Session{allocator: a, values: make(map[uint32]int64)}
}

// Nextval gives the next value and remembers it.
func (s *Session) Nextval(ctx context.Context, seq *catalog.Sequence) (int64, error) {
	v, err := s.allocator.Next(ctx, seq)
	if err != nil {
		return 0, err
	}
	s.values[seq.OID], s.last = v, seq.OID
	return v, nil
}

// Currval gives what Nextval last gave for the sequence in this session, or 55000.
func (s *Session) Currval(seq *catalog.Sequence) (int64, error) {
	v, ok := s.values[seq.OID]
	if !ok {
		return 0, sqlerr.New("55000", "currval of sequence \"%s\" is not yet defined in this session", seq.Name)
	}
	return v, nil
}

// Lastval gives what Nextval last gave for any sequence in this session, or 55000.
func (s *Session) Lastval() (int64, error) {
	if s.last == 0 {
		return 0, sqlerr.New("55000", "lastval is not yet defined in this session")
	}
	return s.values[s.last], nil
}

// Set notes a setval that counts as called: Currval gives v from now on.
func (s *Session) Set(seq *catalog.Sequence, v int64) { s.values[seq.OID] = v }

// Discard forgets everything, as DISCARD SEQUENCES does.
func (s *Session) Discard() { clear(s.values); s.last = 0 }
