package unitlist

import (
	"strconv"

	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

type column struct {
	widgets.Column
	by   state.Column
	draw func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align)
}

// columns are all there are. What matters at three in the morning stays
// longest when room is short.
var columns = []column{
	{widgets.Column{Title: "UNIT", Width: 18, Most: 46, Grows: true, Priority: 0}, state.ByUnit,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(widgets.UnitName(r.Unit, w), w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "STATE", Width: 11, Priority: 1}, state.ByState, drawState},
	{widgets.Column{Title: "ACTIVE", Width: 10, Priority: 6}, state.ByActive,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(orDash(r.Active), w, a, env.Theme.Dim)
		}},
	{widgets.Column{Title: "SUB", Width: 9, Priority: 4}, state.BySub,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(orDash(r.Sub), w, a, env.Theme.Dim)
		}},
	{widgets.Column{Title: "MACHINE", Width: 14, Priority: 2}, state.ByMachine,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, _ draw.Align) {
			widgets.Machine(b, env.Theme, r, w, env.Now)
		}},
	{widgets.Column{Title: "SINCE", Width: 5, Priority: 3, Align: draw.Right}, state.BySince,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(widgets.Since(r.Since, env.Now), w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "RESTARTS", Width: 8, Priority: 7, Align: draw.Right}, state.ByRestarts,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			ink := env.Theme.Dim
			if r.Restarts > 0 {
				ink = env.Theme.Busy
			}
			b.Cell(strconv.Itoa(r.Restarts), w, a, ink)
		}},
	{widgets.Column{Title: "CPU", Width: 5, Priority: 8, Align: draw.Right}, state.ByCPU,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			text := "–"
			if u, ok := env.Snap.UseOf(r); ok {
				text = widgets.Cores(u.CPU)
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "MEM", Width: 5, Priority: 9, Align: draw.Right}, state.ByMemory,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			text := "–"
			if u, ok := env.Snap.UseOf(r); ok {
				text = widgets.Bytes(u.Memory)
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "HASH", Width: 7, Priority: 10}, state.ByHash,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(r.Hash[:min(7, len(r.Hash))], w, a, env.Theme.Dim)
		}},
}

// drawState is the state in one glance: what is wanted and what is, as a
// glyph and a word, or what was asked for and isn't confirmed.
func drawState(env *screens.Env, b *draw.Buf, r *state.Row, w int, _ draw.Align) {
	t := env.Theme
	word, mood := r.Word, r.Mood
	if asked := env.Pending(r.Unit); asked != "" {
		word, mood = asked, state.Busy
	}
	ink := widgets.Ink(t, mood)
	end := b.Col() + w
	b.Text(widgets.Glyph(t, mood), ink)
	b.Space(1)
	b.Cell(word, end-b.Col(), draw.Left, ink)
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

type layout struct {
	columns []widgets.Column
	widths  []int
	sorted  int
}

// layout chooses the columns; the one that is sorted by is among them.
func (s *Screen) layout(env *screens.Env) layout {
	l := layout{columns: make([]widgets.Column, len(columns)), sorted: -1}
	for i, c := range columns {
		l.columns[i] = c.Column
		if c.by == s.order.Column {
			l.sorted = i
			l.columns[i].Priority = 1
		}
		if c.by == state.ByMachine {
			l.columns[i].Width = widgets.MachineWidth(env.Snap, s.Width*3/10)
		}
		if s.Width < 56 { // where a unit is must be seen, however little room there is
			switch c.by {
			case state.ByUnit:
				l.columns[i].Width = 11
			case state.ByState:
				l.columns[i].Width = 10
			}
		}
	}
	l.widths = widgets.Layout(l.columns, s.Width-2)
	return l
}
