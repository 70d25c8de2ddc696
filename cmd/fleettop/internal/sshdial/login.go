package sshdial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"syscall"
)

// Login is a person's shell, or a command, on a machine.
type Login struct {
	Address      string
	User         string   // empty for what ssh's configuration says
	Via          *Remote  // the host that reaches the address; nil for a direct way
	ForwardAgent bool     // of the person's keys
	Terminal     bool     // also for a command
	Command      []string // none for a shell
}

// Args returns ssh's arguments. All else is up to the user's configuration.
func (l Login) Args() []string {
	var args []string
	if l.ForwardAgent {
		args = append(args, "-A")
	}
	if l.Terminal {
		args = append(args, "-t")
	}
	if l.Via != nil {
		args = append(args, "-J", l.Via.jump())
	}
	if l.User != "" {
		args = append(args, "-l", l.User)
	}
	return append(append(args, "--", l.Address), l.Command...)
}

// jump returns the remote's host as ssh's -J takes it.
func (r Remote) jump() string {
	to := r.Host
	switch {
	case r.Port != "":
		to = net.JoinHostPort(r.Host, r.Port)
	case net.ParseIP(r.Host) != nil && net.ParseIP(r.Host).To4() == nil:
		to = "[" + r.Host + "]"
	}
	if r.User != "" {
		to = r.User + "@" + to
	}
	return to
}

// Run runs ssh with the given streams until it ends, and returns its exit code:
// that of the command, or 255 where ssh itself failed and said why. It returns
// an error where ssh can't be started, or ctx ended.
func (l Login) Run(ctx context.Context, in io.Reader, out, errOut io.Writer) (code int, err error) {
	cmd := exec.CommandContext(ctx, "ssh", l.Args()...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, errOut
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it restores the terminal
	cmd.WaitDelay = sshStop
	err = cmd.Run()
	ended := (*exec.ExitError)(nil)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err == nil:
		return 0, nil
	case !errors.As(err, &ended):
		return 0, fmt.Errorf("start ssh: %w: install OpenSSH's client", err)
	}
	if status, ok := ended.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return ended.ExitCode(), nil
}
