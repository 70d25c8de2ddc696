package tui

import (
	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/keys"
	"fleettop/tui/screens/logs"
)

// togglePanel shows or hides the log of the unit under the cursor.
func (s *shell) togglePanel() tea.Cmd {
	if s.panel != nil {
		s.panel.Close()
		s.panel = nil
		return nil
	}
	s.panel = logs.New(nil)
	return nil
}

// followPanel makes the panel show the unit under the cursor.
func (s *shell) followPanel() tea.Cmd {
	if s.panel == nil || s.top().Place()&(keys.Units|keys.Detail) == 0 {
		return nil
	}
	t := s.top().Target(s.env())
	if len(t.Units) == 0 {
		return nil
	}
	return s.panel.Show(s.env(), t.Units)
}
