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
	{widgets.Column{Title: "UNIT", Grows: true, Priority: 0}, state.ByUnit,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(widgets.UnitName(r.Unit, w), w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "STATE", Priority: 1}, state.ByState,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, _ draw.Align) {
			widgets.State(b, env.Theme, r, env.Pending(r.Unit), w, env.Now)
		}},
	{widgets.Column{Title: "MACHINE", Width: 14, Priority: 2}, state.ByMachine,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, _ draw.Align) {
			widgets.Machine(b, env.Theme, r, w, env.Now)
		}},
	{widgets.Column{Title: "SINCE", Width: 5, Priority: 3, Align: draw.Right}, state.BySince,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(widgets.Since(r.Since, env.Now), w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "RESTARTS", Width: 8, Priority: 4, Align: draw.Right}, state.ByRestarts,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			ink := env.Theme.Dim
			if r.Restarts > 0 {
				ink = env.Theme.Busy
			}
			b.Cell(strconv.Itoa(r.Restarts), w, a, ink)
		}},
	{widgets.Column{Title: "CPU", Width: 5, Priority: 5, Align: draw.Right}, state.ByCPU,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			text := "–"
			if u, ok := env.Snap.UseOf(r); ok {
				text = widgets.Cores(u.CPU)
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "MEM", Width: 5, Priority: 6, Align: draw.Right}, state.ByMemory,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			text := "–"
			if u, ok := env.Snap.UseOf(r); ok {
				text = widgets.Bytes(u.Memory)
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "DESCRIPTION", Width: 11, Grows: true, Priority: 7}, state.ByAbout,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(r.About, w, a, env.Theme.Dim)
		}},
	{widgets.Column{Title: "HASH", Width: 7, Priority: 8}, state.ByHash,
		func(env *screens.Env, b *draw.Buf, r *state.Row, w int, a draw.Align) {
			b.Cell(r.Hash[:min(7, len(r.Hash))], w, a, env.Theme.Dim)
		}},
}

type layout struct {
	columns []widgets.Column
	widths  []int
	sorted  int
}

const leastName = 18 // columns of a unit's name, where there is room for more than the name

// layout chooses the columns; the one that is sorted by is among them. The
// longest name fits, up to two fifths of the screen, before less important
// columns get their room.
func (s *Screen) layout(env *screens.Env) layout {
	l := layout{columns: make([]widgets.Column, len(columns)), sorted: -1}
	for i, c := range columns {
		l.columns[i] = c.Column
		if c.by == s.order.Column {
			l.sorted = i
			l.columns[i].Priority = 1
		}
		switch c.by {
		case state.ByUnit:
			longest := max(leastName, s.longestName(env))
			l.columns[i].Width, l.columns[i].Most = min(longest, max(leastName, s.Width*2/5)), longest
			if s.Width < 56 { // where a unit is must be seen, however little room there is
				l.columns[i].Width = 11
			}
		case state.ByState:
			l.columns[i].Width = widgets.StateWidth(s.Width)
		case state.ByMachine:
			l.columns[i].Width = widgets.MachineWidth(env.Snap, s.Width*3/10)
		}
	}
	l.widths = widgets.Layout(l.columns, s.Width-2)
	return l
}

// longestName is the width of the longest name there is, whatever the filter,
// so that the columns stay where they are while one types it.
func (s *Screen) longestName(env *screens.Env) int {
	if s.named.gen != env.Snap.Gen {
		s.named.gen, s.named.width = env.Snap.Gen, 0
		for _, r := range env.Snap.Rows {
			s.named.width = max(s.named.width, len(r.Unit)) // names of units are ASCII
		}
	}
	return s.named.width
}
