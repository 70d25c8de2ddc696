package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// save is the command that writes what the log screen shows to a file.
func (s *shell) save(args []string) tea.Cmd {
	raw := len(args) > 1 && args[0] == "--raw"
	if raw {
		args = args[1:]
	}
	if len(args) != 1 {
		s.say("Name a file, as in save web.log; save --raw web.log writes control characters as they were logged.",
			true)
		return nil
	}
	return s.saveTo(args[0], raw, false)
}

// saver is a screen that can be saved: to a file that isn't there yet, or over
// one. The function it returns is for another goroutine.
type saver interface {
	Saver(env *screens.Env, raw bool) func(path string, over bool) (lines int, err error)
}

// existsMsg says that a file is there already.
type existsMsg struct {
	path string
	raw  bool
}

func (s *shell) saveTo(path string, raw, over bool) tea.Cmd {
	if s.noFiles() {
		return nil
	}
	top, ok := s.top().(saver)
	if !ok {
		s.say("Save works on the log screen.", true)
		return nil
	}
	save, now := top.Saver(s.env(), raw), s.now()
	return func() tea.Msg {
		n, err := save(atHome(path), over)
		switch {
		case errors.Is(err, fs.ErrExist):
			return existsMsg{path, raw}
		case err != nil:
			return sayMsg{"Not saved: " + draw.Clean(err.Error()) + ". Name a file that can be written.", true}
		}
		return sayMsg{fmt.Sprintf("Saved %s to %s at %s.", wording.Count(n, "line"), draw.Clean(path),
			now.Format(time.TimeOnly)), false}
	}
}

func (s *shell) askOverwrite(m existsMsg) {
	s.confirm = &widgets.Confirm{Title: "Overwrite 1 file?", Targets: []string{draw.Clean(m.path)},
		Effect: "It is there already; what is in it is lost.",
		Verb:   "overwrite", Value: decision{yes: func() tea.Cmd { return s.saveTo(m.path, m.raw, true) }}}
}
