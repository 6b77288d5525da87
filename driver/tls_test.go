package driver_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anywriter/anywriter/driver"
	"github.com/anywriter/anywriter/health"
	"github.com/anywriter/anywriter/internal/pgtest"
)

// certificate writes a self-signed certificate for 127.0.0.1 and its key, as
// the server's account can read them.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "anywriter-tls")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	if os.Geteuid() == 0 { // PostgreSQL doesn't run as root, and its key must be its own
		if u, err := user.Lookup("postgres"); err == nil {
			uid, err := strconv.Atoi(u.Uid)
			require.NoError(t, err)
			require.NoError(t, os.Chown(key, uid, -1))
		}
	}
	return cert, key
}

// startTLS starts a server that speaks TLS, and returns it with its DSN
// without sslmode.
func startTLS(t *testing.T) (s *pgtest.Server, dsn, cert string) {
	t.Helper()
	sharedServer(t) // skips without binaries
	cert, key := certificate(t)
	s = pgtest.Start(t, pgtest.Options{Settings: map[string]string{"ssl": "on", "ssl_cert_file": cert, "ssl_key_file": key}})
	return s, strings.Replace(s.DSN(), "sslmode=disable", "", 1), cert
}

func TestTLSModes(t *testing.T) {
	s, dsn, cert := startTLS(t)
	checkGoroutines(t)
	for _, mode := range []string{"sslmode=require", "sslmode=verify-full&sslrootcert=" + cert} {
		db := openDSN(t, dsn+mode)
		var encrypted bool
		require.NoError(t, db.QueryRow("select ssl from pg_stat_ssl where pid = pg_backend_pid()").Scan(&encrypted))
		require.True(t, encrypted, mode)
		tx, err := db.Begin()
		require.NoError(t, err)
		_, err = tx.Exec("select $1::int", 1)
		require.NoError(t, err)
		require.NoError(t, tx.Commit())
		require.NoError(t, db.Close())
	}
	// The same server under a name that its certificate doesn't know.
	other, err := sql.Open(driver.Name, strings.Replace(dsn, "127.0.0.1", "localhost", 1)+"sslmode=verify-full&acquire_timeout=300ms&sslrootcert="+cert)
	require.NoError(t, err)
	err = other.Ping()
	require.ErrorIs(t, err, driver.ErrNoNode)
	require.ErrorContains(t, err, "certificate")
	require.NoError(t, other.Close())
	require.True(t, s.Running())
}

// Under TLS too, a session that the server has ended is noticed before a write
// goes out on it, what was flushed is known, and a cut frees the callers.
func TestTLSFailures(t *testing.T) {
	s, dsn, _ := startTLS(t)
	checkGoroutines(t)
	db := openDSN(t, dsn+"sslmode=require&max_conns_per_node=1&min_idle=1")
	_, err := db.Exec("create table secret (v int)")
	require.NoError(t, err)
	control, err := sql.Open("pgx", s.DSN())
	require.NoError(t, err)
	defer control.Close()
	for i := range 5 {
		terminate(t, control, pid(t, db))
		_, err = db.Exec("insert into secret values ($1)", i)
		require.NoError(t, err, "the farewell is seen before the write is sent")
	}
	var n int
	require.NoError(t, db.QueryRow("select count(*) from secret").Scan(&n))
	require.Equal(t, 5, n)

	// A write in the middle of its run when its session is killed was flushed.
	victim := pid(t, db)
	failed := make(chan error, 1)
	go func() { // ends with its statement
		_, err := db.Exec("insert into secret select 1 from pg_sleep(30)")
		failed <- err
	}()
	waitActive(t, control, victim)
	terminate(t, control, victim)
	require.Equal(t, driver.CommitSent, driver.OutcomeOf(<-failed))

	// A frozen node is cut: whoever waits on it is free.
	victim = pid(t, db)
	go func() { // ends with the cut
		_, err := db.Exec("select pg_sleep(30)")
		failed <- err
	}()
	waitActive(t, control, victim)
	require.NoError(t, control.Close())
	require.NoError(t, s.Freeze())
	waitState(t, db, 0, health.Down)
	require.Error(t, <-failed)
	require.Positive(t, clusterOf(t, db).Stats().Nodes[0].Cuts)
	require.NoError(t, s.Thaw())
	waitState(t, db, 0, health.Recovering, health.Up)
	require.NoError(t, db.QueryRow("select count(*) from secret").Scan(&n))
	require.Equal(t, 5, n)
	checkIdle(t, db)
}

// terminate ends a server session and returns when it is gone.
func terminate(t *testing.T, control *sql.DB, pid int) {
	t.Helper()
	_, err := control.Exec("select pg_terminate_backend($1)", pid)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		var left int
		err := control.QueryRow("select count(*) from pg_stat_activity where pid = $1", pid).Scan(&left)
		return err == nil && left == 0
	}, 20*time.Second, time.Millisecond)
}

// waitActive returns when the session is running a statement that sleeps.
func waitActive(t *testing.T, control *sql.DB, pid int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var active bool
		err := control.QueryRowContext(context.Background(),
			"select coalesce(wait_event = 'PgSleep', false) from pg_stat_activity where pid = $1", pid).Scan(&active)
		return err == nil && active
	}, 20*time.Second, time.Millisecond)
}
