package machinelist

import (
	"strconv"
	"time"

	"fleettop/cluster"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	s.sync(env)
	b, t := &s.buf, env.Theme
	b.Reset(s.width)
	heads := make([]widgets.Column, len(columns))
	for i, c := range columns {
		heads[i] = c.Column
	}
	heads[s.sorted].Priority = 0
	// The evidence takes what is left beside the columns, or a line of its own.
	per := s.perItem()
	widths := widgets.Layout(heads, s.width-2)
	b.Space(2)
	widgets.Head(b, t, heads, widths, s.sorted, s.down)
	b.End()
	from, to := s.list.Visible()
	for i := from; i < to; i++ {
		m, under := s.items[i], i == s.list.Index()
		if under {
			b.Base(t.Cursor)
		}
		switch {
		case s.marks[m.ID]:
			b.Text(t.Glyphs.Mark+" ", t.Mark)
		case under:
			b.Text(t.Glyphs.Cursor+" ", t.Key)
		default:
			b.Space(2)
		}
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
	}
	if len(s.items) == 0 {
		b.End()
		b.Space(2)
		if env.Filter.Empty() {
			b.Text("Waiting for the daemon.", t.Dim)
		} else {
			b.Text("No machine matches "+env.Filter.String()+". Esc takes the filter away.", t.Dim)
		}
		b.End()
	}
	b.Blank(s.height - 1)
	s.status(env, per)
	return b.String()
}

// status is the last line: the evidence on the machine under the cursor, and marks.
func (s *Screen) status(env *screens.Env, per int) {
	b, t := &s.buf, env.Theme
	b.Space(2)
	b.Text(widgets.Plural(len(s.items), "machine"), t.Dim)
	if !env.Filter.Empty() {
		b.Text("  filter ", t.Dim)
		b.Text(env.Filter.String(), t.Key)
	}
	if n := len(s.marks); n > 0 {
		b.Text("  "+strconv.Itoa(n)+" marked", t.Mark)
	}
	if m := s.machine(); m != nil && per == 1 {
		b.Text("  "+m.Label+": ", t.Dim)
		b.Text(evidence(env, m), widgets.Ink(t, m.Mood))
	}
	b.End()
}

// evidence is why a machine is thought to be in its state, and what its death would do.
func evidence(env *screens.Env, m *state.Machine) string {
	text := m.Health.Evidence
	if text == "" && m.Health.State == cluster.Up {
		text = "answers"
	}
	if m.Health.State == cluster.Suspect && !m.Health.SilentSince.IsZero() {
		text = "no answer since " + widgets.Watch(env.Now.Sub(m.Health.SilentSince))
	}
	if m.Schedule != cluster.Schedulable {
		text += "; " + string(m.Schedule) + ", takes no units"
	}
	if w := m.WhatIf; w != nil && w.Strands > 0 {
		text += "; its loss strands " + widgets.Plural(w.Strands, "unit")
		for i, name := range w.Units {
			sep := ", "
			if i == 0 {
				sep = ": "
			}
			text += sep + name
		}
		if w.Strands > len(w.Units) {
			text += " …"
		}
	}
	return text
}

func cpu(m *state.Machine) float64 {
	if m.Use == nil {
		return -1
	}
	return m.Use.CPU
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
	if from, to := s.list.Visible(); line >= 1 && from+(line-1)/s.perItem() < to {
		s.list.Select(from+(line-1)/s.perItem(), s.key)
	}
}
