package widgets

import (
	"time"

	"fleettop/tui/draw"
	"fleettop/tui/state"
	"fleettop/tui/theme"
)

// watchWidth is the room a stopwatch or an outage needs, narrowest that of a move.
const (
	watchWidth = 6
	narrowest  = 13 // n3 → n1 0.82s
)

// MachineWidth is how wide a column of machines is, so that a move fits.
func MachineWidth(s *state.Snapshot, most int) int {
	label := 2
	for _, m := range s.Machines {
		label = max(label, draw.Width(m.Label))
	}
	return max(narrowest, min(2*label+3+1+watchWidth, most))
}

// Machine writes where a row is into w columns: its machine, or the way it
// goes with the stopwatch.
func Machine(b *draw.Buf, t *theme.Theme, r *state.Row, w int, now time.Time) {
	m := r.Move
	end := b.Col() + w
	switch {
	case !m.Fresh(now):
		if r.Host == "" {
			b.Cell("–", w, draw.Left, t.Dim)
			return
		}
		b.Cell(r.Host, w, draw.Left, t.Text)
	case m.Doubt:
		b.Text(draw.Fit(m.FromName, w-watchWidth-2), t.Busy)
		b.Text("? ", t.Busy)
		b.Text(Watch(m.Clock(now)), t.Busy)
	default:
		label := max(2, (w-3-1-watchWidth)/2)
		ink := t.Moved
		if m.Running() {
			ink = t.Busy
			if !m.Planned {
				ink = t.Bad
			}
		}
		b.Text(draw.Fit(m.FromName, label), t.Dim)
		b.Text(" "+t.Arrow+" ", ink)
		to := m.ToName
		if to == "" {
			to = "?"
		}
		b.Text(draw.Fit(to, label), ink)
		if m.Planned && !m.Measured && !m.Running() {
			break
		}
		b.Space(1)
		if m.Running() {
			b.Text(Watch(m.Clock(now)), ink)
		} else {
			b.Text(Outage(m.Outage), ink)
		}
	}
	b.To(end)
}
