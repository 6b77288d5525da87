package auth_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/xdg-go/scram"

	"github.com/anywriter/anywriter/simnode/internal/auth"
	"github.com/anywriter/anywriter/simnode/internal/sqlerr"
)

func newStore(t *testing.T, cfg auth.Config) *auth.Store {
	t.Helper()
	s, err := auth.New(cfg)
	require.NoError(t, err)
	return s
}

// exchange runs a whole SCRAM exchange with a client that knows password, and
// gives what the server said first and how it ended.
func exchange(t *testing.T, s *auth.Store, user, password string) (serverFirst string, end *sqlerr.Error) {
	t.Helper()
	client, err := scram.SHA256.NewClientUnprepped("", password, "")
	require.NoError(t, err)
	cc := client.NewConversation()
	sc, serr := s.Conversation(user)
	require.Nil(t, serr)
	first, err := cc.Step("")
	require.NoError(t, err)
	reply, serr := sc.Step([]byte(first))
	require.Nil(t, serr)
	require.False(t, sc.Done())
	final, err := cc.Step(string(reply))
	require.NoError(t, err)
	verifier, serr := sc.Step([]byte(final))
	if serr != nil {
		require.False(t, sc.Done())
		return string(reply), serr
	}
	require.True(t, sc.Done())
	_, err = cc.Step(string(verifier))
	require.NoError(t, err, "the client must accept the server's verifier")
	return string(reply), nil
}

func TestSCRAM(t *testing.T) {
	s := newStore(t, auth.Config{Method: auth.MethodSCRAM, Roles: []auth.Role{
		{Name: "alice", Password: "secret"}, {Name: "emoji", Password: "pass😀"}, {Name: "nobody"},
	}})
	require.Equal(t, auth.MethodSCRAM, s.Method())
	_, end := exchange(t, s, "alice", "secret")
	require.Nil(t, end)
	_, end = exchange(t, s, "emoji", "pass😀")
	require.Nil(t, end, "a password that SASLprep refuses is taken as its bytes")
	for _, c := range []struct{ user, password string }{
		{"alice", "wrong"}, {"alice", ""}, {"nobody", "x"}, {"ghost", "x"}, {"postgres", "postgres"},
	} {
		_, end = exchange(t, s, c.user, c.password)
		require.NotNil(t, end, c.user)
		require.Equal(t, "FATAL", end.Severity)
		require.Equal(t, "28P01", end.Code)
		require.Equal(t, fmt.Sprintf("password authentication failed for user %q", c.user), end.Message)
	}
}

// TestUnknownRoleLooksReal: whoever asks for a role that does not exist sees a
// salt that stays the same, an iteration count like any other, and the same end.
func TestUnknownRoleLooksReal(t *testing.T) {
	s := newStore(t, auth.Config{Method: auth.MethodSCRAM, Roles: []auth.Role{{Name: "alice", Password: "secret"}}})
	salt := func(user string) string {
		first, end := exchange(t, s, user, "guess")
		require.Equal(t, "28P01", end.Code)
		_, rest, _ := strings.Cut(first, ",s=")
		return rest
	}
	require.Equal(t, salt("ghost"), salt("ghost"))
	require.NotEqual(t, salt("ghost"), salt("ghost2"))
	require.Len(t, salt("ghost"), len(salt("alice")))
	require.True(t, strings.HasSuffix(salt("ghost"), ",i=4096"))
	require.True(t, strings.HasSuffix(salt("alice"), ",i=4096"))
}

func TestMalformedMessages(t *testing.T) {
	s := newStore(t, auth.Config{Method: auth.MethodSCRAM, Roles: []auth.Role{{Name: "alice", Password: "secret"}}})
	for _, first := range []string{"", "x", "n,,", "n,,n=,", "p=tls-unique,,n=,r=abc", "n,,m=x,n=,r=abc", "n,,n=a=b,r=x", "\x00\xff,,,,,"} {
		c, serr := s.Conversation("alice")
		require.Nil(t, serr)
		_, serr = c.Step([]byte(first))
		require.NotNil(t, serr, "%q", first)
		require.Equal(t, "08P01", serr.Code, "%q", first)
		require.Equal(t, "FATAL", serr.Severity)
		require.False(t, c.Done())
	}
	for _, final := range []string{"", "c=biws", "c=!!,r=x,p=x", "c=biws,r=other,p=AAAA", "c=eSws,r=NONCE,p=AAAA", "c=biws,r=NONCE,p=AAAA"} {
		c, serr := s.Conversation("alice")
		require.Nil(t, serr)
		reply, serr := c.Step([]byte("n,,n=,r=abc"))
		require.Nil(t, serr)
		nonce, _, _ := strings.Cut(strings.TrimPrefix(string(reply), "r="), ",")
		_, serr = c.Step([]byte(strings.ReplaceAll(final, "NONCE", nonce)))
		require.NotNil(t, serr, "%q", final)
		require.Equal(t, "08P01", serr.Code, "%q", final)
		_, serr = c.Step([]byte("n,,n=,r=abc"))
		require.NotNil(t, serr, "an exchange cannot begin again")
	}
}

func TestRolesAndDatabases(t *testing.T) {
	s := newStore(t, auth.Config{Databases: []string{"app"}})
	require.Equal(t, auth.MethodTrust, s.Method())
	require.Nil(t, s.CheckRole("postgres"))
	require.Nil(t, s.CheckDatabase("postgres"))
	require.Nil(t, s.CheckDatabase("app"))
	require.Equal(t, sqlerr.Fatal("28000", `role "eve" does not exist`), s.CheckRole("eve"))
	require.Equal(t, sqlerr.Fatal("3D000", `database "prod" does not exist`), s.CheckDatabase("prod"))
	require.NoError(t, s.SetPassword("eve", "x"))
	require.Nil(t, s.CheckRole("eve"))
	s.DropRole("eve")
	require.NotNil(t, s.CheckRole("eve"))
}

func TestChangedPassword(t *testing.T) {
	s := newStore(t, auth.Config{Method: auth.MethodSCRAM, Roles: []auth.Role{{Name: "postgres", Password: "old"}}})
	require.NoError(t, s.SetPassword("postgres", "new"))
	_, end := exchange(t, s, "postgres", "old")
	require.Equal(t, "28P01", end.Code)
	_, end = exchange(t, s, "postgres", "new")
	require.Nil(t, end)
}

func TestBadConfig(t *testing.T) {
	for want, cfg := range map[string]auth.Config{
		"auth: method 9 is unknown, allowed are trust and scram-sha-256": {Method: 9},
		"auth: 10 iterations are too few, at least 4096 are needed":      {Iterations: 10},
		"auth: a role has an empty name":                                 {Roles: []auth.Role{{Password: "x"}}},
		"auth: a database has an empty name":                             {Databases: []string{""}},
		"auth: reading 32 random bytes: unexpected EOF":                  {Rand: bytes.NewReader(make([]byte, 31))},
		"auth: reading 16 random bytes: EOF":                             {Rand: bytes.NewReader(make([]byte, 32)), Roles: []auth.Role{{Name: "a", Password: "b"}}},
	} {
		_, err := auth.New(cfg)
		require.EqualError(t, err, want)
	}
}

// TestNoPasswordIsPrinted: neither a role nor a store shows a password.
func TestNoPasswordIsPrinted(t *testing.T) {
	role := auth.Role{Name: "alice", Password: "hunter2"}
	s := newStore(t, auth.Config{Method: auth.MethodSCRAM, Roles: []auth.Role{role}})
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", role, role, role), fmt.Sprintf("%v %+v", s, s), fmt.Sprintf("%+v", auth.Config{Roles: []auth.Role{role}})} {
		require.NotContains(t, text, "hunter2")
	}
}
