package tuitest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Pty is a program on a terminal of its own.
type Pty struct {
	*Screen
	Cmd    *exec.Cmd
	master *os.File
	read   chan struct{} // closed when the program has let go of the terminal
}

// StartPty starts a command on a new terminal of a size.
func StartPty(cmd *exec.Cmd, width, height int) (*Pty, error) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	p := &Pty{Screen: NewScreen(width, height), Cmd: cmd, master: master, read: make(chan struct{})}
	var n int
	err = p.control(func(fd int) error {
		if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
			return err
		}
		n, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return err
	})
	if err != nil {
		return nil, err
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	if err := p.Resize(width, height); err != nil {
		return nil, err
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.read)
		buf := make([]byte, 32<<10)
		for {
			n, err := master.Read(buf)
			_, _ = p.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	return p, nil
}

// control calls f with the master's descriptor. File.Fd would make reads of the
// master block for good, so that closing it waits for the program's next output.
func (p *Pty) control(f func(fd int) error) error {
	conn, err := p.master.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := conn.Control(func(fd uintptr) { err = f(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

// Resize changes the terminal's size, without the screen's.
func (p *Pty) Resize(width, height int) error {
	return p.control(func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(width), Row: uint16(height)})
	})
}

// Cooked reports whether the terminal is as programs expect to find it.
func (p *Pty) Cooked() (bool, error) {
	var t *unix.Termios
	err := p.control(func(fd int) (err error) {
		t, err = unix.IoctlGetTermios(fd, unix.TCGETS)
		return err
	})
	if err != nil {
		return false, err
	}
	return t.Lflag&unix.ECHO != 0 && t.Lflag&unix.ICANON != 0, nil
}

// Type types text.
func (p *Pty) Type(text string) error {
	_, err := p.master.WriteString(text)
	return err
}

// HangUp closes the terminal, as when its window or its connection is closed.
func (p *Pty) HangUp() { p.master.Close() }

// Await waits until the screen shows a text.
func (p *Pty) Await(text string, limit time.Duration) error {
	return p.AwaitThat(text, limit, func(screen string) bool { return strings.Contains(screen, text) })
}

// AwaitThat waits until the screen is as it should be; what says how that is.
func (p *Pty) AwaitThat(what string, limit time.Duration, good func(screen string) bool) error {
	deadline := time.After(limit)
	for {
		changed := p.Changed()
		if good(p.String()) {
			return nil
		}
		select {
		case <-changed:
		case <-deadline:
			return fmt.Errorf("the screen does not show %q after %s:\n%s", what, limit, p.String())
		}
	}
}

// Close waits until the program has ended, and returns how; after a while it kills it.
func (p *Pty) Close(limit time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- p.Cmd.Wait() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(limit):
		err = fmt.Errorf("still running after %s", limit)
		_ = p.Cmd.Process.Signal(syscall.SIGTERM) // it may have children to take along
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			_ = p.Cmd.Process.Kill()
			<-done
		}
	}
	_ = p.master.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	select {
	case <-p.read:
	case <-time.After(time.Second):
	}
	p.master.Close()
	return err
}
