package auth

import (
	"fmt"
	"io"
	"sync"

	"github.com/xdg-go/scram"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Store holds the roles and databases of a cluster. It is safe for concurrent
// use; create it with New.
type Store struct {
	method     Method
	iterations int
	mockKey    []byte // keys the salts shown for unknown roles

	randMu sync.Mutex // an io.Reader given by the caller need not be safe
	rand   io.Reader

	mu        sync.RWMutex
	roles     map[string]*scram.StoredCredentials // nil: the role has no password
	databases map[string]struct{}
}

// New builds a Store. It fails on a Config that cannot mean anything, or when
// randomness cannot be read; its errors name no password.
func New(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Store{
		method:     cfg.Method,
		iterations: cfg.Iterations,
		rand:       cfg.Rand,
		roles:      map[string]*scram.StoredCredentials{postgres: nil},
		databases:  map[string]struct{}{postgres: {}},
	}
	key, err := s.random(32)
	if err != nil {
		return nil, err
	}
	s.mockKey = key
	for _, role := range cfg.Roles {
		if err := s.SetPassword(role.Name, role.Password); err != nil {
			return nil, err
		}
	}
	for _, d := range cfg.Databases {
		s.databases[d] = struct{}{}
	}
	return s, nil
}

// Method is how clients of this cluster prove who they are.
func (s *Store) Method() Method { return s.method }

// SetPassword creates the role or changes its password; an empty password leaves
// the role without one. Connections that exist are not touched.
func (s *Store) SetPassword(role, password string) error {
	var stored *scram.StoredCredentials
	if password != "" {
		salt, err := s.random(saltBytes)
		if err != nil {
			return err
		}
		stored, err = derive(password, salt, s.iterations)
		if err != nil {
			return fmt.Errorf("auth: deriving the keys of role %q: %w", role, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.roles[role] = stored
	return nil
}

// DropRole removes a role; its next connection is refused. An unknown role is
// ignored.
func (s *Store) DropRole(role string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.roles, role)
}

// CheckRole is nil, or FATAL 28000 if the role does not exist. It is asked under
// trust and after a successful SCRAM exchange, never before one.
func (s *Store) CheckRole(role string) *sqlerr.Error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.roles[role]; !ok {
		return sqlerr.Fatal("28000", "role \"%s\" does not exist", role)
	}
	return nil
}

// CheckDatabase is nil, or FATAL 3D000 if the database does not exist.
func (s *Store) CheckDatabase(database string) *sqlerr.Error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if _, ok := s.databases[database]; !ok {
		return sqlerr.Fatal("3D000", "database \"%s\" does not exist", database)
	}
	return nil
}

// credentials gives the verifier of a role, or nil if it has none or does not
// exist.
func (s *Store) credentials(role string) *scram.StoredCredentials {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.roles[role]
}

func (s *Store) random(n int) ([]byte, error) {
	s.randMu.Lock()
	defer s.randMu.Unlock()
	b := make([]byte, n)
	if _, err := io.ReadFull(s.rand, b); err != nil {
		return nil, fmt.Errorf("auth: reading %d random bytes: %w", n, err)
	}
	return b, nil
}
