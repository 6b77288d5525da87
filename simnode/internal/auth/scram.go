package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"

	"github.com/xdg-go/scram"

	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// Mechanism is the only SASL mechanism that is offered.
const Mechanism = "SCRAM-SHA-256"

// Conversation is the server's side of one SCRAM exchange. It belongs to one
// connection and is not safe for concurrent use.
type Conversation struct {
	user string
	conv *scram.ServerConversation
	mock bool
}

// Conversation begins an exchange for the role that the startup message named.
// The user name inside the SCRAM messages is ignored, as PostgreSQL does. A role
// that does not exist, or has no password, gets a mock exchange that runs to the
// end and fails there.
func (s *Store) Conversation(user string) (*Conversation, *sqlerr.Error) {
	nonce, err := s.random(nonceBytes)
	if err != nil {
		return nil, sqlerr.Fatal("XX000", "could not generate random nonce")
	}
	stored := s.credentials(user)
	mock := stored == nil
	if mock {
		stored = s.mockCredentials(user)
	}
	server, err := scram.SHA256.NewServer(func(string) (scram.StoredCredentials, error) { return *stored, nil })
	if err != nil {
		return nil, sqlerr.Fatal("XX000", "could not begin a SCRAM exchange")
	}
	server = server.WithNonceGenerator(func() string { return base64.StdEncoding.EncodeToString(nonce) })
	return &Conversation{user: user, conv: server.NewConversation(), mock: mock}, nil
}

// Step answers one message of the client. After the client's second message a nil
// error means that the client is who it says. Errors are FATAL: 28P01 for a wrong
// password, 08P01 for a message that is not SCRAM.
func (c *Conversation) Step(message []byte) ([]byte, *sqlerr.Error) {
	reply, err := c.conv.Step(string(message))
	switch {
	case err == nil && c.mock && c.conv.Valid():
		// Nobody can know the mock keys' preimage; were it found, it still opens nothing.
		return nil, c.refused()
	case err == nil:
		return []byte(reply), nil
	case reply == scram.ErrInvalidProof:
		return nil, c.refused()
	default:
		return nil, malformed(reply)
	}
}

// Done reports whether the exchange is complete and succeeded.
func (c *Conversation) Done() bool { return c.conv.Done() && c.conv.Valid() }

func (c *Conversation) refused() *sqlerr.Error {
	return sqlerr.Fatal("28P01", "password authentication failed for user \"%s\"", c.user)
}

// malformed builds the error for a message that breaks the exchange. It repeats
// nothing of the message, which may hold a proof.
func malformed(serverError string) *sqlerr.Error {
	e := sqlerr.Fatal("08P01", "malformed SCRAM message")
	switch serverError {
	case scram.ErrChannelBindingNotSupported, scram.ErrUnsupportedChannelBindingType:
		e.Detail = "The client requires channel binding, which needs TLS."
	case scram.ErrChannelBindingsDontMatch:
		e.Detail = "The channel-binding attribute does not match the first message."
	case scram.ErrOtherError:
		e.Detail = "The nonce or the proof does not belong to this exchange."
	}
	return e
}

// mockCredentials gives the verifier that an unknown role is asked against: its
// salt depends on the name only, so that asking twice shows the same salt, as a
// real role would; its keys belong to no password.
func (s *Store) mockCredentials(user string) *scram.StoredCredentials {
	derived := func(purpose string) []byte {
		mac := hmac.New(sha256.New, s.mockKey)
		mac.Write([]byte(purpose))
		mac.Write([]byte{0})
		mac.Write([]byte(user))
		return mac.Sum(nil)
	}
	return &scram.StoredCredentials{
		KeyFactors: scram.KeyFactors{Salt: string(derived("salt")[:saltBytes]), Iters: s.iterations},
		StoredKey:  derived("stored"),
		ServerKey:  derived("server"),
	}
}

// derive computes the verifier of a password. A password that SASLprep refuses is
// taken as its bytes, as PostgreSQL does.
func derive(password string, salt []byte, iterations int) (*scram.StoredCredentials, error) {
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		if client, err = scram.SHA256.NewClientUnprepped("", password, ""); err != nil {
			return nil, errors.New("the password cannot be used")
		}
	}
	stored, err := client.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return nil, errors.New("the key derivation failed")
	}
	return &stored, nil
}
