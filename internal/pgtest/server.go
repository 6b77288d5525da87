package pgtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// startTimeout bounds a start and every other wait for a server process. It is
// generous because other tests share the machine; a start takes about 0.2 s.
const startTimeout = 60 * time.Second

// portAttempts is how many ports are tried: between the choice of a free port
// and the server's bind, somebody else may take it.
const portAttempts = 5

// Options are what a server can be started with. The zero value is a server
// with 100 connections that trusts every local client.
type Options struct {
	// MaxConnections is PostgreSQL's max_connections; 0 means 100.
	MaxConnections int
	// Password, if not empty, makes TCP clients authenticate by SCRAM-SHA-256
	// as user postgres with this password. DSN carries it.
	Password string
	// Settings are further server settings by name, for example
	// max_prepared_transactions or synchronous_commit. They win over ours.
	Settings map[string]string
}

// Server is one running PostgreSQL server. Addr, DSN, Port and SocketDir may be
// called from any goroutine; of the methods that change the server, one at a
// time.
type Server struct {
	tmpl     *template
	opts     Options
	root     string
	port     int
	watchdog *watchdog
	pid      int           // postmaster, or 0 before the first start
	exited   chan struct{} // closed when the postmaster has been waited for
	frozen   []int         // processes that Freeze stopped
}

// Start starts a server and has t.Cleanup end it. It skips the test with one
// line if there are no server binaries (or fails it if ANYWRITER_PG_REQUIRE is
// set), and fails the test if the server doesn't start.
func Start(t testing.TB, opts Options) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	s, err := Open(ctx, opts)
	if errors.Is(err, ErrNotFound) && os.Getenv(RequireEnv) == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("end PostgreSQL: %v", err)
		}
	})
	return s
}

// Open starts a server for callers without a test; they must call Close. The
// context bounds the start only. The error wraps ErrNotFound if there are no
// server binaries.
func Open(ctx context.Context, opts Options) (*Server, error) {
	tmpl, err := sharedTemplate()
	if err != nil {
		return nil, err
	}
	s, err := open(ctx, tmpl, opts, func(_ context.Context, dir string) error {
		if err := tmpl.copyTo(dir); err != nil {
			return fmt.Errorf("copy the template: %w", err)
		}
		return nil
	})
	if err != nil || opts.Password == "" {
		return s, err
	}
	if err := s.setPassword(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// open starts a server whose data folder fill makes.
func open(ctx context.Context, tmpl *template, opts Options, fill func(context.Context, string) error) (*Server, error) {
	root, err := makeRoot(tmpl.owner)
	if err != nil {
		return nil, err
	}
	s := &Server{tmpl: tmpl, opts: opts, root: root}
	if s.watchdog, err = startWatchdog(root); err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	if err = s.create(ctx, fill); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) create(ctx context.Context, fill func(context.Context, string) error) error {
	err := fill(ctx, s.dataDir())
	if err == nil {
		err = s.writeHBA()
	}
	if err != nil {
		return err
	}
	for range portAttempts {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.launch(ctx); err == nil || !strings.Contains(s.Log(), "could not bind") {
			break
		}
	}
	return err
}

func (s *Server) setPassword(ctx context.Context) error {
	conn, err := pgconn.Connect(ctx, s.socketDSN())
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "alter role postgres password "+quote(s.opts.Password)).ReadAll()
	return errors.Join(err, conn.Close(ctx))
}

// quote makes a literal for the commands that take no parameters.
func quote(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }

// DSN is a URL that connects as postgres to database postgres over TCP.
func (s *Server) DSN() string {
	u := url.URL{Scheme: "postgres", Host: s.Addr(), Path: "/postgres", RawQuery: "sslmode=disable"}
	u.User = url.User("postgres")
	if s.opts.Password != "" {
		u.User = url.UserPassword("postgres", s.opts.Password)
	}
	return u.String()
}

// Addr is host:port on the loopback interface; it stays over Restart.
func (s *Server) Addr() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// Port is the TCP port.
func (s *Server) Port() int { return s.port }

// SocketDir is the folder of the server's unix socket, which trusts everybody
// who can open it.
func (s *Server) SocketDir() string { return s.root }

// Major is the server's major version.
func (s *Server) Major() int { return s.tmpl.bin.Major }

// Log returns the end of what the server has logged.
func (s *Server) Log() string {
	out, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	return tail(string(out))
}

func (s *Server) dataDir() string { return filepath.Join(s.root, "data") }
func (s *Server) logPath() string { return filepath.Join(s.root, "log") }

func (s *Server) socketDSN() string {
	return fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres sslmode=disable", s.root, s.port)
}

// launch starts the postmaster and waits until it accepts sessions.
func (s *Server) launch(ctx context.Context) error {
	log, err := os.Create(s.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.tmpl.bin.Dir, "postgres"), s.arguments()...)
	cmd.Env = serverEnv()
	cmd.Dir = s.root
	cmd.Stdout, cmd.Stderr = log, log
	s.tmpl.owner.apply(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	s.pid, s.exited, s.frozen = cmd.Process.Pid, exited, nil
	// Ends with the postmaster; Close makes sure of that and waits for it.
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return s.waitReady(ctx)
}

func (s *Server) arguments() []string {
	maxConnections := s.opts.MaxConnections
	if maxConnections == 0 {
		maxConnections = 100
	}
	settings := map[string]string{
		"port":                       strconv.Itoa(s.port),
		"listen_addresses":           "127.0.0.1",
		"unix_socket_directories":    s.root,
		"max_connections":            strconv.Itoa(maxConnections),
		"fsync":                      "off", // no test survives a crash of the machine
		"full_page_writes":           "off",
		"shared_buffers":             "16MB",
		"dynamic_shared_memory_type": "mmap", // files in the data folder: nothing to leak
		"autovacuum":                 "off",
		"max_wal_size":               "256MB",
		"jit":                        "off",
		"logging_collector":          "off",
		"timezone":                   "UTC",
		"log_timezone":               "UTC",
		"lc_messages":                "C",
	}
	maps.Copy(settings, s.opts.Settings)
	args := []string{"-D", s.dataDir()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// waitReady polls until a session can be opened, the postmaster ends or the
// context does.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := pgconn.Connect(ctx, s.socketDSN())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			return fmt.Errorf("server ended while starting: %s", s.Log())
		case <-ctx.Done():
			return fmt.Errorf("server not ready: %w (%v): %s", ctx.Err(), err, s.Log())
		case <-poll.C:
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
