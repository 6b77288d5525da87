package auth

import (
	"crypto/rand"
	"fmt"
	"io"
)

// Method says how a client proves who it is.
type Method uint8

// The methods. The zero value of a Config's Method is taken as MethodTrust.
const (
	// MethodUnknown is the zero value.
	MethodUnknown Method = iota
	// MethodTrust believes every existing role.
	MethodTrust
	// MethodSCRAM asks for SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel
	// binding.
	MethodSCRAM
)

// String gives the name that pg_hba.conf uses.
func (m Method) String() string {
	switch m {
	case MethodTrust:
		return "trust"
	case MethodSCRAM:
		return "scram-sha-256"
	default:
		return "unknown"
	}
}

// Role is a role that may log in. An empty Password means that it has none: under
// SCRAM such a role cannot connect.
type Role struct {
	Name     string
	Password string
}

// String gives the role's name only, so that no log can hold its password.
func (r Role) String() string { return r.Name }

// GoString is String.
func (r Role) GoString() string { return r.Name }

// Config says which roles and databases a Store begins with. The role and the
// database "postgres" always exist; naming the role gives it a password. The
// zero value is trust with nothing else.
type Config struct {
	Method    Method
	Roles     []Role
	Databases []string
	// Iterations of PBKDF2 per password; 0 means 4096, which is PostgreSQL's
	// count and the least that clients accept.
	Iterations int
	// Rand gives salts, nonces and the key of the mock exchange; nil means
	// crypto/rand. Only a simulation that must repeat itself passes its own.
	Rand io.Reader
}

const (
	postgres          = "postgres" // the role and the database that always exist
	defaultIterations = 4096
	saltBytes         = 16 // as PostgreSQL's SCRAM_DEFAULT_SALT_LEN
	nonceBytes        = 18 // as PostgreSQL's SCRAM_RAW_NONCE_LEN
)

func (c Config) withDefaults() Config {
	if c.Method == MethodUnknown {
		c.Method = MethodTrust
	}
	if c.Iterations == 0 {
		c.Iterations = defaultIterations
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	return c
}

func (c Config) validate() error {
	if c.Method != MethodTrust && c.Method != MethodSCRAM {
		return fmt.Errorf("auth: method %d is unknown, allowed are trust and scram-sha-256", c.Method)
	}
	if c.Iterations < defaultIterations {
		return fmt.Errorf("auth: %d iterations are too few, at least %d are needed", c.Iterations, defaultIterations)
	}
	for _, r := range c.Roles {
		if r.Name == "" {
			return fmt.Errorf("auth: a role has an empty name")
		}
	}
	for _, d := range c.Databases {
		if d == "" {
			return fmt.Errorf("auth: a database has an empty name")
		}
	}
	return nil
}
