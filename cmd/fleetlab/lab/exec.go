package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ExecError says that a command in a machine ran and failed.
type ExecError struct {
	Machine string
	Args    []string
	Code    int // exit code; -1 if a signal ended it
	Stdout  string
	Stderr  string
}

// Error implements error.
func (e *ExecError) Error() string {
	s := fmt.Sprintf("%s: %s: exit code %d", e.Machine, strings.Join(e.Args, " "), e.Code)
	if text := strings.TrimSpace(e.Stderr); text != "" {
		s += ": " + text
	}
	return s
}

// ExitCode returns the exit code that an error of Exec carries: 0 for nil, -1
// if the command did not run to its end.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	if failed, ok := errors.AsType[*ExecError](err); ok {
		return failed.Code
	}
	return -1
}

// Exec runs a command in the machine as root, with a clean environment, and
// returns its standard output as it is. A command that fails is an *ExecError.
// When ctx ends the command is killed.
func (m *Machine) Exec(ctx context.Context, args ...string) (string, error) {
	cmd := m.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %w", m.Name, strings.Join(args, " "), context.Cause(ctx))
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return stdout.String(), &ExecError{Machine: m.Name, Args: args, Code: exit.ExitCode(), Stdout: stdout.String(),
			Stderr: stderr.String()}
	}
	if err != nil {
		return stdout.String(), fmt.Errorf("%s: %s: %w", m.Name, strings.Join(args, " "), err)
	}
	return stdout.String(), nil
}

// Command returns a command that will run in the machine, for the caller to
// connect and start; with the rights of root, but for setting the clock, which
// is the host's. It is in a process group of its own and killed as one
// when ctx ends. If the machine is off, starting it fails with ErrOff.
func (m *Machine) Command(ctx context.Context, args ...string) *exec.Cmd {
	pid := m.Pid1()
	enter := []string{"--all", "--target", strconv.Itoa(pid), "--", "setpriv", "--bounding-set=-sys_time", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	if pid == 0 {
		cmd.Err = ErrOff
	} else if len(args) == 0 {
		cmd.Err = errors.New("no command given")
	}
	cmd.Env = []string{"PATH=" + cleanPath, "LANG=C.UTF-8", "HOME=/root", "USER=root", "SHELL=/bin/bash", "TERM=dumb",
		"PAGER=cat", "SYSTEMD_PAGER=cat", "SYSTEMD_COLORS=0"}
	cmd.Dir = "/"
	// nsenter's child is the command itself; both have to go.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		return err
	}
	cmd.WaitDelay = 2 * time.Second
	return cmd
}

// Journal returns the log of a unit, or all of the machine's if unit is empty,
// oldest line first, of this boot and those before.
func (m *Machine) Journal(ctx context.Context, unit string) (string, error) {
	args := []string{"journalctl", "--no-pager", "--output=short-precise"}
	if unit != "" {
		args = append(args, "--unit="+unit)
	}
	return m.Exec(ctx, args...)
}
