package tui

import (
	"cmp"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/screens"
	"fleettop/tui/screens/logs"
)

// errorsFor is how far back the errors go that a key shows.
const errorsFor = time.Hour

// openLogs shows the logs of units on the log screen, which leads back to the one shown.
func (s *shell) openLogs(units []string) tea.Cmd {
	if len(units) == 0 {
		return nil
	}
	return s.openLog(logs.New(units))
}

// filtered is what a key that only shows something is for: what is marked, all units that a filter leaves, or what
// is under the cursor.
func (s *shell) filtered() screens.Target {
	top := s.top()
	t := top.Target(s.env())
	l, lists := top.(screens.Lister)
	m, marks := top.(screens.Marker)
	if lists && !s.filters[top].Empty() && (!marks || m.Marked() == 0) {
		t.Units = l.Shown(s.env())
	}
	return t
}

// openErrors shows the errors of the last hour.
func (s *shell) openErrors(target screens.Target) tea.Cmd {
	if len(target.Units) == 0 {
		s.say(cmp.Or(target.Why, "There is no unit under the cursor to show the errors of."), true)
		return nil
	}
	return s.openLog(logs.NewErrors(target.Units, s.now().Add(-errorsFor)))
}

func (s *shell) openLog(sc *logs.Screen) tea.Cmd {
	from := s.opener
	if s.tab != tabLogs {
		from, s.stack = &place{s.tab, s.stack}, nil
	}
	s.opener = nil
	s.show(tabLogs)
	s.opener = from
	closeScreen(s.tabs[tabLogs])
	delete(s.filters, s.tabs[tabLogs])
	s.tabs[tabLogs] = sc
	return start(s.env(), sc)
}

// bounded is a screen that shows what was at some time.
type bounded interface {
	Bound(env *screens.Env, word, text string) screens.Intent
}

// bound carries out a command that says which time the log is shown of.
func (s *shell) bound(word, text string) tea.Cmd {
	b, ok := s.top().(bounded)
	if !ok {
		s.say(word+" works on a log: press "+s.keys.Key("logs")+" on a unit first.", true)
		return nil
	}
	return s.intend(b.Bound(s.env(), word, text))
}

// times are what a time is completed to.
var times = []string{"-15m", "-1h", "-6h", "today", "yesterday"}
