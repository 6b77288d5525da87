package wire

import (
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/anywriter/anywriter/simnode/internal/auth"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

// authenticate makes sure that the client is who it says, and that the role and
// the database exist.
func (c *conn) authenticate(user, database string) error {
	if c.cfg.Auth.Method() == auth.MethodSCRAM {
		if err := c.scram(user); err != nil {
			return err
		}
	}
	if e := c.cfg.Auth.CheckRole(user); e != nil {
		return e
	}
	c.out.send(&pgproto3.AuthenticationOk{})
	if e := c.cfg.Auth.CheckDatabase(database); e != nil {
		return e
	}
	return nil
}

func (c *conn) scram(user string) error {
	conversation, serr := c.cfg.Auth.Conversation(user)
	if serr != nil {
		return serr
	}
	c.out.send(&pgproto3.AuthenticationSASL{AuthMechanisms: []string{auth.Mechanism}})
	first, err := c.saslInitial()
	if err != nil {
		return err
	}
	reply, serr := conversation.Step(first)
	if serr != nil {
		return serr
	}
	c.out.send(&pgproto3.AuthenticationSASLContinue{Data: reply})
	final, err := c.saslMessage()
	if err != nil {
		return err
	}
	reply, serr = conversation.Step(final)
	if serr != nil {
		return serr
	}
	if !conversation.Done() {
		return sqlerr.Fatal("28P01", "password authentication failed for user \"%s\"", user)
	}
	c.out.send(&pgproto3.AuthenticationSASLFinal{Data: reply})
	return nil
}

// saslInitial reads the mechanism that the client chose, and its first message.
func (c *conn) saslInitial() ([]byte, error) {
	data, err := c.saslMessage()
	if err != nil {
		return nil, err
	}
	b := body{name: "SASLInitialResponse", rest: data}
	mechanism := b.cstring("mechanism")
	size := int32(b.uint32("length of the response"))
	if b.bad == "" && mechanism != auth.Mechanism {
		return nil, sqlerr.Fatal("08P01", "client selected an invalid SASL authentication mechanism").
			WithDetail("The only mechanism is %s.", auth.Mechanism)
	}
	response := b.take(int(size), "initial response")
	if err := b.err(); err != nil {
		return nil, fatal(err)
	}
	return response, nil
}

func (c *conn) saslMessage() ([]byte, error) {
	if err := c.out.flush(); err != nil {
		return nil, err
	}
	kind, data, err := c.in.message()
	if err != nil {
		return nil, err
	}
	if kind != 'p' {
		return nil, sqlerr.Fatal("08P01", "expected SASL response, got %s message", messageName(kind))
	}
	return data, nil
}
