package tui

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// lateInterrupt is how long after its end an editor's interrupt may still come.
const lateInterrupt = 2 * time.Second

// Ends of a console that aren't the person's.
var (
	ErrGone = errors.New("the terminal is gone")
	ErrDumb = errors.New("TERM=dumb says that this terminal can't move its cursor, and the console needs one that can: " +
		"use verbs such as list-units, status and events -f, or set TERM to what the terminal is")
)

// SignalError says that a signal ended the console.
type SignalError struct{ Signal syscall.Signal }

// Error implements error.
func (e *SignalError) Error() string { return e.Signal.String() }

// handleSignals handles the process's signals until the function it returns is called.
func (p *program) handleSignals() (stop func()) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT,
		syscall.SIGQUIT)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				p.signalled(s.(syscall.Signal))
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
	}
}

func (p *program) signalled(s syscall.Signal) {
	switch s {
	case syscall.SIGWINCH:
		if w, h, ok := p.term.Size(); ok {
			p.post(tea.WindowSizeMsg{Width: w, Height: h})
		}
	case syscall.SIGCONT:
		if !p.editing.Load() {
			p.term.Continue()
			p.post(frameMsg{})
		}
	case syscall.SIGINT:
		// Else it is meant for the editor. A busy machine hands it on late; and
		// while the console has the terminal, ctrl-c is a key and no signal.
		if ended, ok := p.edited.Load().(time.Time); !p.editing.Load() && (!ok || time.Since(ended) > lateInterrupt) {
			p.end(&SignalError{s})
		}
	default:
		p.end(&SignalError{s})
	}
}

// Redraw implements host.
func (p *program) Redraw() { p.term.Repaint() }

// Mouse implements host.
func (p *program) Mouse(on bool) {
	p.input.SetMouse(on)
	p.term.SetMouse(on)
}

// Suspend implements host.
func (p *program) Suspend() {
	if err := p.term.Suspend(); err != nil {
		p.shell.say(sentence(err), true)
	}
	if w, h, ok := p.term.Size(); ok {
		p.shell.width, p.shell.height = w, h
	}
}

// Edit implements editor, on a local terminal: the person's editor has the
// terminal until it ends. The console goes on meanwhile, and shows nothing.
func (p *program) Edit(path string) error {
	words := strings.Fields(os.Getenv("VISUAL"))
	if len(words) == 0 {
		words = strings.Fields(os.Getenv("EDITOR"))
	}
	if len(words) == 0 {
		words = []string{"vi"}
	}
	cmd := exec.Command(words[0], append(words[1:], path)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.term.Files()
	return p.lend(cmd)
}

// RunShell implements shellHost.
func (p *program) RunShell(cmd *exec.Cmd) (said string, err error) {
	var last lastLine
	var errOut io.Writer
	cmd.Stdin, cmd.Stdout, errOut = p.term.Files()
	cmd.Stderr = io.MultiWriter(errOut, &last)
	err = p.lend(cmd)
	return last.String(), err
}

// Switch implements host.
func (p *program) Switch(cluster string) { p.end(&SwitchError{cluster}) }

// lend lets a program have the terminal until it ends. It is hung up when the
// console ends before.
func (p *program) lend(cmd *exec.Cmd) (err error) {
	p.editing.Store(true)
	defer func() {
		p.edited.Store(time.Now())
		p.editing.Store(false)
	}()
	p.input.Pause()
	defer p.input.Resume()
	p.term.Leave()
	defer func() {
		if enterErr := p.term.Enter(); err == nil {
			err = enterErr
		}
	}()
	cmd.WaitDelay = endPatience / 2 // for what it leaves behind, such as a shared connection of ssh
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		if errors.Is(err, exec.ErrWaitDelay) {
			err = nil
		}
		ended <- err
	}()
	select {
	case err := <-ended:
		return err
	case <-p.over:
		_ = cmd.Process.Signal(syscall.SIGHUP) // editors keep what was typed
	}
	select {
	case err := <-ended:
		return err
	case <-time.After(endPatience / 2):
		_ = cmd.Process.Kill()
		return <-ended
	}
}
