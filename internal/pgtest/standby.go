package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// Standby starts a hot standby of a running server, with the options of that
// server, and has t.Cleanup end it. It follows the server's WAL until Promote,
// and waits for it when the server is gone. Ended and restarted, it is a standby
// again, unless it was promoted.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	standby, err := s.OpenStandby(ctx)
	if err != nil {
		t.Fatalf("start a standby: %v", err)
	}
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Errorf("end the standby: %v", err)
		}
	})
	return standby
}

// OpenStandby is Standby for callers without a test; they must call Close on the
// new server. The context bounds the start only.
func (s *Server) OpenStandby(ctx context.Context) (*Server, error) {
	return open(ctx, s.tmpl, s.opts, s.copyAsStandby)
}

// copyAsStandby makes dir the data folder of a standby that follows s, by
// pg_basebackup over the unix socket, which asks for no password.
func (s *Server) copyAsStandby(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.tmpl.bin.Dir, "pg_basebackup"),
		"--pgdata="+dir, "--dbname="+s.socketDSN(), "--write-recovery-conf", "--wal-method=stream",
		"--checkpoint=fast", "--no-sync")
	cmd.Env = serverEnv()
	cmd.Dir = filepath.Dir(dir)
	s.tmpl.owner.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w: %s", err, tail(string(out)))
	}
	return nil
}

// Promote makes a standby a primary of its own and returns when it accepts
// writes. The server that it followed isn't told.
func (s *Server) Promote() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgconn.Connect(ctx, s.socketDSN())
	if err != nil {
		return err
	}
	result := conn.ExecParams(ctx, "select pg_catalog.pg_promote(true, $1::int)",
		[][]byte{fmt.Append(nil, int(startTimeout.Seconds()))}, nil, nil, nil).Read()
	err = errors.Join(result.Err, conn.Close(ctx))
	if err == nil && (len(result.Rows) != 1 || string(result.Rows[0][0]) != "t") {
		err = fmt.Errorf("not promoted within %v", startTimeout)
	}
	return err
}

// Set changes a setting of a running server for good (ALTER SYSTEM) and makes it
// read its configuration again; sessions see the change soon after.
func (s *Server) Set(name, value string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	conn, err := pgconn.Connect(ctx, s.socketDSN())
	if err != nil {
		return err
	}
	for _, sql := range []string{
		"alter system set " + name + " = " + quote(value), // ALTER SYSTEM takes no parameters and no company
		"select pg_catalog.pg_reload_conf()",
	} {
		if _, err = conn.Exec(ctx, sql).ReadAll(); err != nil {
			break
		}
	}
	return errors.Join(err, conn.Close(ctx))
}

// writeHBA says who may connect.
func (s *Server) writeHBA() error {
	method := "trust"
	if s.opts.Password != "" {
		method = "scram-sha-256"
	}
	hba := "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 " + method + "\n"
	return os.WriteFile(filepath.Join(s.dataDir(), "pg_hba.conf"), []byte(hba), 0o600)
}
