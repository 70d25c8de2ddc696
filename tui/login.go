package tui

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/screens"
)

// login opens a shell on the machine of a target. It takes the terminal until it ends.
func (s *shell) login(target screens.Target) tea.Cmd {
	run, ok := s.host.(shellHost)
	switch {
	case s.remote:
		s.say("A shell on a machine is opened from your own computer: fleettop ssh MACHINE or UNIT.", true)
		return nil
	case s.ssh == nil || !ok:
		s.say("From here no shell is opened: the machines of this cluster are this computer.", true)
		return nil
	}
	id, why := s.machineFor(target)
	if why != "" {
		s.say(why, true)
		return nil
	}
	cmd, name := s.ssh(id), s.snap.Called(id)
	return func() tea.Msg {
		said, err := run.RunShell(cmd)
		return shellMsg{name, said, err}
	}
}

// shellMsg says that a shell on a machine ended, and what it last said of errors.
type shellMsg struct {
	machine, said string
	err           error
}

// shellEnded says how a shell ended. What a program that can't log in says is
// gone with the screen it said it on, so it is said again.
func (s *shell) shellEnded(m shellMsg) {
	s.host.Redraw()
	var exit *exec.ExitError
	switch {
	case m.err == nil:
		s.say("The shell on "+m.machine+" ended.", false)
	case errors.As(m.err, &exit) && m.said == "":
		s.say(fmt.Sprintf("The shell on %s ended with exit code %d.", m.machine, exit.ExitCode()), false)
	case errors.As(m.err, &exit):
		s.say(fmt.Sprintf("The shell on %s ended with exit code %d: %s", m.machine, exit.ExitCode(),
			draw.Clean(m.said)), exit.ExitCode() == sshFailed)
	default:
		s.say("No shell was opened: "+sentence(m.err)+".", true)
	}
}

// sshFailed is ssh's own exit code, where it couldn't log in.
const sshFailed = 255

// machineFor is the one machine that a target is on, or why there is none.
func (s *shell) machineFor(t screens.Target) (id, why string) {
	switch {
	case t.Why != "":
		return "", t.Why
	case t.On != "":
		return t.On, ""
	case len(t.Machines) == 1:
		return t.Machines[0], ""
	case len(t.Machines)+len(t.Units) == 0:
		return "", "There is no machine or unit under the cursor to open a shell for."
	case len(t.Machines)+len(t.Units) > 1:
		return "", "A shell is opened on one machine: esc takes the marks away."
	}
	var names []string
	for _, r := range s.snap.Of(t.Units[0]) {
		if r.Machine != "" {
			id, names = r.Machine, append(names, r.Host)
		}
	}
	switch len(names) {
	case 0:
		return "", t.Units[0] + " is on no machine."
	case 1:
		return id, ""
	}
	return "", fmt.Sprintf("%s is on several machines: `:shell %s` opens one on the first.", t.Units[0], names[0])
}

// shellHost is a host on which a program can have the terminal for a while.
type shellHost interface {
	// RunShell returns when the program has ended, with the last line it wrote
	// to its standard error.
	RunShell(cmd *exec.Cmd) (said string, err error)
}

// lastLine keeps the end of what is written to it.
type lastLine struct{ text []byte }

const lastLineMost = 400 // bytes

// Write implements io.Writer.
func (l *lastLine) Write(p []byte) (int, error) {
	l.text = append(l.text, p...)
	l.text = l.text[max(0, len(l.text)-lastLineMost):]
	return len(p), nil
}

// String is the last line that isn't empty.
func (l *lastLine) String() string {
	lines := strings.FieldsFunc(string(l.text), func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 0 {
		return ""
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
