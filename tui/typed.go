package tui

import (
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/history"
)

// historyMost is how many lines are kept for each prompt while the console is open.
const historyMost = history.Most

// historyMsg is a fault of the file that keeps what was typed.
type historyMsg struct{ err error }

// recall brings back what was typed in earlier sessions. A fault is told once.
func (s *shell) recall() {
	if s.historyFile == "" {
		return
	}
	list, err := history.Load(s.historyFile)
	if err != nil {
		s.historyFailed(err)
		return
	}
	for _, l := range list {
		s.note(l.Prompt, l.Text)
	}
}

// historyFailed says why nothing more is kept of what is typed, beside what came of what was typed.
func (s *shell) historyFailed(err error) {
	if s.historyFile == "" {
		return // said before
	}
	s.historyFile = ""
	s.aside = notice{"What is typed at : and / isn't kept for the next session: " + draw.Clean(err.Error()) + ".", true,
		s.now().Add(2 * noticeFor)}
}

// remember keeps what was typed at a prompt, also for the next session where that is so.
func (s *shell) remember(label, text string) tea.Cmd {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	s.note(label, text)
	line, file := history.Line{Prompt: label, Text: text}, s.historyFile
	if file == "" || !history.Keeps(line) {
		return nil
	}
	return func() tea.Msg {
		if err := history.Add(file, line); err != nil {
			return historyMsg{err}
		}
		return nil
	}
}

// note keeps a line of a prompt. One that was there before moves to the end.
func (s *shell) note(label, text string) {
	list := slices.DeleteFunc(slices.Clone(s.history[label]), func(old string) bool { return old == text })
	list = append(list, text)
	s.history[label] = list[max(0, len(list)-historyMost):]
}
