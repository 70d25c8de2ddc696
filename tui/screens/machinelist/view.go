package machinelist

import (
	"strconv"
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	s.sync(env)
	b, t := &s.Buf, env.Theme
	b.Reset(s.Width)
	// The evidence takes what is left beside the columns, or a line of its own.
	per := s.perItem()
	heads, widths := s.layout()
	b.Space(2)
	widgets.Head(b, t, heads, widths, s.order.column, s.order.down)
	b.End()
	s.Visible(func(m *state.Machine, under bool) {
		if under {
			b.Base(t.Cursor)
		}
		s.Gutter(b, t, m.ID, under, "", t.Text)
		for n, c := range columns {
			if widths[n] > 0 {
				c.draw(env, b, m, widths[n], c.Align)
				widgets.Gap(b)
			}
		}
		b.End()
		if per == 2 {
			b.Space(4)
			b.Text(evidence(env, m), t.Dim)
			b.End()
		}
	})
	if len(s.Items) == 0 {
		s.None(env, "No machine", "Waiting for the daemon.")
	}
	b.Blank(s.Height - 1)
	s.status(env, per)
	return b.String()
}

// status is the last line: the evidence on the machine under the cursor, and marks.
func (s *Screen) status(env *screens.Env, per int) {
	b, t := &s.Buf, env.Theme
	s.Count(env, wording.Count(len(s.Items), "machine")+s.Below())
	marked := 0
	for _, m := range s.Items {
		if s.Has(m.ID) {
			marked++
		}
	}
	s.Marks.Draw(env, b, marked)
	if m, ok := s.At(); ok && per == 1 {
		b.Text("  "+m.Label+": ", t.Dim)
		b.Text(strings.Join(widgets.Clauses(evidence(env, m), b.Left(), 1), ""), widgets.Ink(t, m.Mood))
	}
	b.End()
}

// evidence is why a machine is thought to be in its state, and what its death would do.
func evidence(env *screens.Env, m *state.Machine) string {
	text := widgets.Evidence(m, env.Now)
	if text == "" && m.Health.State == cluster.Up {
		text = "answers"
	}
	if m.SeenBy != "" && m.Health.State != cluster.Up && !strings.HasPrefix(text, "as ") { // which says who sees it
		text += ", seen by " + m.SeenBy
	}
	if m.Schedule != cluster.Schedulable {
		text += "; " + string(m.Schedule) + ", takes no units"
	}
	if w := m.WhatIf; w != nil && w.Strands > 0 {
		text += "; its loss strands " + wording.Count(w.Strands, "unit")
		for i, name := range w.Units {
			sep := ", "
			if i == 0 {
				sep = ": "
			}
			text += sep + name
		}
		if w.Strands > len(w.Units) {
			text += ", … " + strconv.Itoa(w.Strands-len(w.Units)) + " more"
		}
	}
	return text
}

func cpu(m *state.Machine) float64 {
	if m.Use == nil {
		return -1
	}
	return m.Use.Share()
}

func memory(m *state.Machine) int64 {
	if m.Use == nil {
		return -1
	}
	return m.Use.Memory
}

func load(m *state.Machine) float64 {
	if m.Use == nil {
		return -1
	}
	return m.Use.Load1
}

func uptime(m *state.Machine) float64 {
	if m.Use == nil {
		return -1
	}
	return m.Use.Uptime
}

func secs(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Click puts the cursor on a line.
func (s *Screen) Click(env *screens.Env, line int) {
	s.sync(env)
	if line >= 1 {
		s.List.Click((line - 1) / s.perItem())
	}
}
