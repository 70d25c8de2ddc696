package tui

import (
	"strconv"

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

// mouse takes the mouse, where it was switched on: the wheel moves the
// cursor, a click selects a tab or a line.
func (s *shell) mouse(msg tea.MouseMsg) tea.Cmd {
	if s.confirm != nil || s.prompt != nil || msg.Action != tea.MouseActionPress {
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
		for i, name := range tabNames {
			at += draw.Width(" " + strconv.Itoa(i+1) + " " + name + " ")
			if x < at {
				return s.show(i)
			}
		}
		return nil
	}
	if c, ok := s.top().(clicker); ok && y >= s.headLines {
		c.Click(s.env(), y-s.headLines)
	}
	return nil
}
