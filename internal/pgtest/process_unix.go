//go:build unix

package pgtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// account is the operating system's account that servers run as; nil is the
// one of this process.
type account struct {
	uid, gid uint32
}

// serverAccount chooses the account: PostgreSQL refuses to run as root, so root
// hands over to postgres, or to nobody where that doesn't exist.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, fmt.Errorf("account %s: %w", name, err)
		}
		return &account{uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is no account postgres or nobody to run the server as")
}

func (a *account) apply(cmd *exec.Cmd) {
	ownGroup(cmd)
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: a.uid, Gid: a.gid}
	}
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Lchown(path, int(a.uid), int(a.gid))
}

func ownGroup(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
}

const (
	sigStop      = syscall.SIGSTOP
	sigCont      = syscall.SIGCONT
	sigKill      = syscall.SIGKILL
	sigFast      = syscall.SIGINT  // fast shutdown: sessions end, then a checkpoint
	sigImmediate = syscall.SIGQUIT // immediate shutdown: no checkpoint
)

// signal sends sig to one process; a process that is gone is no error.
func signal(pid int, sig syscall.Signal) error {
	err := syscall.Kill(pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// alive tells whether the process exists, also as a zombie.
func alive(pid int) bool {
	return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
