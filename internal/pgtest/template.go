package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// template is a fresh data folder that is never started, only copied.
type template struct {
	bin   Binaries
	owner *account
	dir   string
	// watchdog is kept because a collected pipe would close itself.
	watchdog *watchdog
}

// sharedTemplate makes the template at the first call in this process; initdb
// takes about a second, a copy some milliseconds. The watchdog removes the
// folder when the process ends.
var sharedTemplate = sync.OnceValues(makeTemplate)

func makeTemplate() (*template, error) {
	bin, err := Find()
	if err != nil {
		return nil, err
	}
	owner, err := serverAccount()
	if err != nil {
		return nil, err
	}
	root, err := makeRoot(owner)
	if err != nil {
		return nil, err
	}
	dog, err := startWatchdog(root)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(root))
	}
	dir := filepath.Join(root, "data")
	// A minute is some fifty times what initdb takes on an idle machine.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin.Dir, "initdb"),
		"--pgdata="+dir, "--username=postgres", "--auth=trust", "--locale=C", "--encoding=UTF8",
		"--no-sync", "--no-instructions",
		// 1 MB instead of 16 makes the copy of each server a third smaller.
		"--wal-segsize=1")
	cmd.Env = serverEnv()
	cmd.Dir = root
	owner.apply(cmd)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, tail(string(out)))
	}
	return &template{bin: bin, owner: owner, dir: dir, watchdog: dog}, nil
}

// makeRoot makes a private folder that belongs to the server's account. Its
// path is short because a unix socket's path may have 107 bytes at most.
func makeRoot(owner *account) (string, error) {
	root, err := os.MkdirTemp("", "awpg-")
	if err != nil {
		return "", err
	}
	if err := owner.own(root); err != nil {
		return "", errors.Join(err, os.RemoveAll(root))
	}
	return root, nil
}

// copyTo copies the template's files to dst, which must not exist.
func (t *template) copyTo(dst string) error {
	return filepath.WalkDir(t.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(t.dir, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dst, rel)
		if entry.IsDir() {
			err = os.Mkdir(target, 0o700) // the server refuses a folder that others may read
		} else {
			err = copyFile(target, path)
		}
		if err != nil {
			return err
		}
		return t.owner.own(target)
	})
}

func copyFile(dst, src string) (err error) {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(dst, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// serverEnv is the environment of every program started here: none of the
// caller's PG* variables, which would change what the server or initdb does.
func serverEnv() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC", "PGTZ=UTC"}
}

// tail returns the last lines of a program's output for an error message.
func tail(out string) string {
	const limit = 2000 // bytes: some twenty lines of a server's log
	if len(out) > limit {
		return "…" + out[len(out)-limit:]
	}
	return out
}
