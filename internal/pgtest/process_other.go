//go:build !unix

package pgtest

import (
	"errors"
	"os/exec"
	"syscall"
)

type account struct{}

func serverAccount() (*account, error) {
	return nil, errors.New("servers for tests need a unix-like system (signals stop and freeze them)")
}

func (*account) apply(*exec.Cmd) {}

func (*account) own(string) error { return nil }

func ownGroup(*exec.Cmd) {}

const (
	sigStop syscall.Signal = iota + 1
	sigCont
	sigKill
	sigFast
	sigImmediate
)

func signal(int, syscall.Signal) error { return errors.ErrUnsupported }

func alive(int) bool { return false }
