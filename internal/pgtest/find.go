package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"time"
)

// BinEnv names the environment variable that holds the folder of the PostgreSQL
// server binaries to use. If it is set, no other place is searched.
const BinEnv = "ANYWRITER_PG_BIN"

// RequireEnv names the environment variable that turns the skip of Start into a
// failure when it is set to anything but the empty string, for machines that
// are meant to have PostgreSQL.
const RequireEnv = "ANYWRITER_PG_REQUIRE"

// MinMajor is the oldest major version of PostgreSQL that is used.
const MinMajor = 15

// ErrNotFound is returned, wrapped, when no usable server binaries are found.
var ErrNotFound = errors.New("no PostgreSQL server binaries found")

// Binaries is one installation of the PostgreSQL server.
type Binaries struct {
	// Dir is the folder that holds initdb and postgres.
	Dir string
	// Major is the major version, 15 or more.
	Major int
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// Find returns the installation to use: the one of ANYWRITER_PG_BIN if that is
// set, or else, of the usual installation folders and PATH, the oldest version
// from MinMajor on, because PostgreSQL 15 is what defines right results here.
// Its error wraps ErrNotFound.
func Find() (Binaries, error) {
	if dir := os.Getenv(BinEnv); dir != "" {
		major, err := majorOf(dir)
		if err != nil {
			return Binaries{}, fmt.Errorf("%w: %s=%s: %v", ErrNotFound, BinEnv, dir, err)
		}
		return Binaries{Dir: dir, Major: major}, nil
	}
	var found []Binaries
	for _, dir := range candidateDirs() {
		if major, err := majorOf(dir); err == nil {
			found = append(found, Binaries{Dir: dir, Major: major})
		}
	}
	if len(found) == 0 {
		return Binaries{}, fmt.Errorf("%w; set %s to the folder that holds postgres and initdb (version %d or newer)",
			ErrNotFound, BinEnv, MinMajor)
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].Major < found[j].Major })
	return found[0], nil
}

func candidateDirs() []string {
	var dirs []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/usr/local/pgsql/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			continue // cannot happen: the patterns are constant and well formed
		}
		dirs = append(dirs, matches...)
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	return dirs
}

// majorOf asks the installation in dir for its version.
func majorOf(dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("postgres --version: %w", err)
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return 0, fmt.Errorf("postgres --version said %q", out)
	}
	major, err := strconv.Atoi(string(match[1]))
	if err != nil {
		return 0, err
	}
	if major < MinMajor {
		return 0, fmt.Errorf("version %d is older than %d", major, MinMajor)
	}
	return major, nil
}
