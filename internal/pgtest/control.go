package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Running tells whether the postmaster exists, frozen or not.
func (s *Server) Running() bool {
	if s.exited == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Stop ends the server by a fast shutdown: open sessions get 57P01. A frozen
// server is thawed first; a server that isn't running is no error. Restart
// starts it again.
func (s *Server) Stop() error {
	if !s.Running() {
		return nil
	}
	err := errors.Join(s.Thaw(), signal(s.pid, sigFast))
	return errors.Join(err, s.waitExit())
}

// Kill ends the postmaster and all its backends by SIGKILL, as a crash of the
// machine would: sockets are reset or closed by the kernel, nothing is said on
// them. It returns when all processes are gone. Restart starts the server
// again, with crash recovery.
func (s *Server) Kill() error {
	if !s.Running() {
		return nil
	}
	// A stopped postmaster starts no backend that the list would miss.
	if err := s.stopProcess(s.pid); err != nil {
		return err
	}
	kids, err := children(s.pid)
	if err != nil {
		return errors.Join(err, signal(s.pid, sigCont))
	}
	errs := []error{signal(s.pid, sigKill)}
	for _, pid := range kids {
		errs = append(errs, signal(pid, sigKill))
	}
	s.frozen = nil
	errs = append(errs, s.waitExit())
	for _, pid := range kids {
		errs = append(errs, poll(func() bool { return gone(pid) }, "end of a killed backend"))
	}
	return errors.Join(errs...)
}

// Freeze stops (SIGSTOP) the postmaster and all its processes and returns when
// they stand still. The kernel goes on acknowledging bytes and accepting
// connections in the backlog, as for a machine whose disk hangs.
func (s *Server) Freeze() error {
	if !s.Running() {
		return errors.New("freeze: the server isn't running")
	}
	if s.frozen != nil {
		return nil
	}
	s.frozen = []int{s.pid}
	if err := s.stopProcess(s.pid); err != nil {
		return errors.Join(err, s.Thaw())
	}
	kids, err := children(s.pid)
	if err != nil {
		return errors.Join(err, s.Thaw())
	}
	s.frozen = append(kids, s.pid)
	for _, pid := range kids {
		if err := s.stopProcess(pid); err != nil {
			return errors.Join(err, s.Thaw())
		}
	}
	return nil
}

// Thaw lets a frozen server go on; a server that isn't frozen is no error.
func (s *Server) Thaw() error {
	var errs []error
	for _, pid := range s.frozen {
		errs = append(errs, signal(pid, sigCont))
	}
	s.frozen = nil
	return errors.Join(errs...)
}

// Restart starts a stopped or killed server again, on the same port and data;
// a running one is stopped first. It returns when sessions can be opened.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return s.launch(ctx)
}

// Close ends the server for good, whatever state it is in, and removes its
// folder. A second call does nothing.
func (s *Server) Close() error {
	if s.watchdog == nil {
		return nil
	}
	var errs []error
	if s.Running() {
		errs = append(errs, s.Thaw(), signal(s.pid, sigImmediate), s.waitExit())
	}
	errs = append(errs, s.watchdog.finish(), os.RemoveAll(s.root))
	s.watchdog = nil
	return errors.Join(errs...)
}

// waitExit waits for the postmaster's end; if that doesn't come, it is killed.
func (s *Server) waitExit() error {
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case <-s.exited:
		return nil
	case <-timer.C:
	}
	kids, err := children(s.pid)
	for _, pid := range append(kids, s.pid) {
		err = errors.Join(err, signal(pid, sigKill))
	}
	<-s.exited
	return errors.Join(fmt.Errorf("the server didn't end within %v and was killed", startTimeout), err)
}

// stopProcess sends SIGSTOP and waits until the process stands still.
func (s *Server) stopProcess(pid int) error {
	if err := signal(pid, sigStop); err != nil {
		return err
	}
	return poll(func() bool { return standsStill(pid) }, "stop of a server process")
}

// standsStill tells whether a process is stopped or gone. Where there is no
// /proc the signal counts as done.
func standsStill(pid int) bool {
	state, ok := processState(pid)
	return !ok || state == 'T' || state == 't' || state == 'Z' || state == 'X'
}

// gone tells whether a process has ended, also if nobody has waited for it.
func gone(pid int) bool {
	state, ok := processState(pid)
	return !alive(pid) || ok && (state == 'Z' || state == 'X')
}

func poll(done func() bool, what string) error {
	deadline := time.NewTimer(startTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline.C:
			return fmt.Errorf("no %s within %v", what, startTimeout)
		case <-tick.C:
		}
	}
	return nil
}
