package unitlist

import (
	tea "github.com/charmbracelet/bubbletea"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/screens"
)

// above is how many lines on the machine stand above its units.
func (s *Screen) above() int {
	if s.machine == "" || s.Height < 16 {
		return 0
	}
	return 2
}

// Start asks for the machine's last hour.
func (s *Screen) Start(env *screens.Env) tea.Cmd { return s.Update(env, nil) }

// Update implements screens.Screen: of a machine it asks for the last hour again and again.
func (s *Screen) Update(env *screens.Env, msg tea.Msg) tea.Cmd {
	if s.machine == "" {
		return nil
	}
	return s.hour.Update(env, msg, []string{s.machine})
}

// lastHour writes what the machine used.
func (s *Screen) lastHour(env *screens.Env) {
	b, t := &s.Buf, env.Theme
	if s.above() == 0 {
		return
	}
	var now api.UnitStats
	m := env.Snap.Machine(s.machine)
	known := m != nil && m.Use != nil
	if known {
		now.CPU, now.Memory = m.Use.CPU, m.Use.Memory
	}
	graphs := s.hour.Graphs(env, []string{s.machine}, now, known, s.Width-2)
	for _, g := range graphs {
		b.Space(2)
		b.Cell(g.Name, 7, draw.Left, t.Dim)
		b.Text(g.Bars, t.Info)
		b.Text(" "+g.Note, t.Dim)
		b.End()
	}
	if len(graphs) == 0 {
		b.Text("  What it used during the last hour isn't known yet.", t.Dim)
		b.End()
	}
	b.Blank(s.above())
}
