package tui

import (
	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
)

const wheelLines = 3

// clicker is a screen on which a line can be clicked.
type clicker interface {
	Click(env *screens.Env, line int)
}

// headClicker is a screen whose first line has the heads of columns, which can be clicked.
type headClicker interface {
	ClickHead(env *screens.Env, x int)
}

// toggleMouse lets the mouse act on the console, or leaves it to the terminal.
func (s *shell) toggleMouse() {
	s.mouseOn = !s.mouseOn
	s.host.Mouse(s.mouseOn)
	key := s.keys.Key(keys.Mouse)
	if s.mouseOn {
		s.say("The mouse works in the console: the wheel scrolls, a click chooses, on a column's head it sorts. "+
			"Most terminals select text while shift is held. "+key+" leaves the mouse to the terminal.", false)
		return
	}
	s.say("The mouse is left to the terminal, which selects text with it. "+key+" takes it back.", false)
}

// mouse takes the mouse, where it was switched on: the wheel moves the
// cursor, a click selects a tab or a line.
func (s *shell) mouse(msg tea.MouseMsg) tea.Cmd {
	if !s.mouseOn || s.confirm != nil || s.prompt != nil || msg.Action != tea.MouseActionPress {
		return nil
	}
	move := keys.Action("")
	switch msg.Button {
	case tea.MouseButtonWheelDown:
		move = keys.Down
	case tea.MouseButtonWheelUp:
		move = keys.Up
	case tea.MouseButtonLeft:
		return s.click(msg.X, msg.Y)
	default:
		return nil
	}
	for range wheelLines {
		s.top().Do(s.env(), move)
	}
	return nil
}

func (s *shell) click(x, y int) tea.Cmd {
	if y == s.headLines-1 {
		at := 0
		for i := range tabNames {
			at += draw.Width(s.tabLabel(i)) + 2
			if x < at && i == tabLogs {
				return s.do(keys.GoLogs)
			}
			if x < at {
				return s.show(i)
			}
		}
		return nil
	}
	if h, ok := s.top().(headClicker); ok && y == s.headLines {
		h.ClickHead(s.env(), x)
		return nil
	}
	if c, ok := s.top().(clicker); ok && y >= s.headLines {
		c.Click(s.env(), y-s.headLines)
	}
	return nil
}
