package dsn

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

func one(t *testing.T, name string) Node {
	t.Helper()
	parsed, err := ParseList([]string{name})
	require.NoError(t, err)
	return parsed.Nodes[0]
}

func TestEqualNodes(t *testing.T) {
	passwords := filepath.Join(t.TempDir(), "passwords")
	write := func(password string) {
		require.NoError(t, os.WriteFile(passwords, []byte("*:*:*:*:"+password+"\n"), 0o600))
	}
	write("first")
	base := "postgres://u@h:1/d?sslmode=require&connect_timeout=3&application_name=a"
	for _, name := range []string{base, "host=/tmp port=1", base + "&passfile=" + passwords, "postgres://h/d?sslmode=prefer"} {
		require.True(t, one(t, name).Equal(one(t, name)), name)
	}
	require.True(t, one(t, base).Equal(one(t, base+"&balancer=random")), "that is a setting of the cluster")
	require.True(t, one(t, base).Equal(one(t, "postgres://u@h:1,other/d?sslmode=require&connect_timeout=3&application_name=a")))
	for _, other := range []string{
		"postgres://v@h:1/d?sslmode=require&connect_timeout=3&application_name=a",
		"postgres://u:p@h:1/d?sslmode=require&connect_timeout=3&application_name=a",
		"postgres://u@i:1/d?sslmode=require&connect_timeout=3&application_name=a",
		"postgres://u@h:2/d?sslmode=require&connect_timeout=3&application_name=a",
		"postgres://u@h:1/e?sslmode=require&connect_timeout=3&application_name=a",
		"postgres://u@h:1/d?sslmode=prefer&connect_timeout=3&application_name=a",
		"postgres://u@h:1/d?sslmode=disable&connect_timeout=3&application_name=a",
		"postgres://u@h:1/d?sslmode=verify-full&connect_timeout=3&application_name=a",
		"postgres://u@h:1/d?sslmode=require&connect_timeout=4&application_name=a",
		"postgres://u@h:1/d?sslmode=require&connect_timeout=3&application_name=b",
		base + "&statement_cache_capacity=1", base + "&default_query_exec_mode=exec", base + "&search_path=x",
	} {
		require.False(t, one(t, base).Equal(one(t, other)), other)
	}
	before := one(t, base+"&passfile="+passwords)
	write("second")
	require.False(t, before.Equal(one(t, base+"&passfile="+passwords)), "the password counts, wherever it stands")
}

func TestEqualTLS(t *testing.T) {
	fresh := func() Node { return one(t, "postgres://h/d?sslmode=require") }
	pool := x509.NewCertPool()
	pool.AddCert(&x509.Certificate{Raw: []byte("ca")})
	verify := func([][]byte, [][]*x509.Certificate) error { return nil }
	for name, change := range map[string]func(*tls.Config){
		"certificate":  func(c *tls.Config) { c.Certificates = []tls.Certificate{{Certificate: [][]byte{{1}}}} },
		"authorities":  func(c *tls.Config) { c.RootCAs = pool },
		"name":         func(c *tls.Config) { c.ServerName = "other" },
		"verification": func(c *tls.Config) { c.VerifyPeerCertificate = verify },
	} {
		a, b := fresh(), fresh()
		change(a.Conn.TLSConfig)
		require.False(t, a.Equal(b), name)
		require.False(t, b.Equal(a), name)
		change(b.Conn.TLSConfig)
		require.True(t, a.Equal(b), name)
		b.Conn.Fallbacks = []*pgconn.FallbackConfig{{Host: "h", TLSConfig: fresh().Conn.TLSConfig}}
		require.False(t, a.Equal(b))
		a.Conn.Fallbacks = []*pgconn.FallbackConfig{{Host: "h", TLSConfig: fresh().Conn.TLSConfig}}
		require.True(t, a.Equal(b))
		change(a.Conn.Fallbacks[0].TLSConfig)
		require.False(t, a.Equal(b), name)
	}
}
