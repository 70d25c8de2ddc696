package widgets

import (
	"cmp"
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
	case m.From == m.To: // its machine came back, and no other one took it
		clock := Outage(m.Outage)
		if m.Running() {
			clock = Watch(m.Clock(now))
		}
		b.Text(draw.Fit(m.FromName, max(2, w-1-watchWidth)), t.Text)
		b.Text(" "+clock, t.Moved)
	default:
		ink, clock := t.Moved, Outage(m.Outage)
		switch {
		case m.Running():
			ink, clock = t.Busy, Watch(m.Clock(now))
			if !m.Planned {
				ink = t.Bad
			}
		case m.Planned && !m.Measured:
			clock = ""
		}
		b.Text(draw.Fit(m.FromName, max(2, (w-3-1-watchWidth)/2)), t.Dim)
		b.Text(" "+t.Arrow+" ", ink)
		b.Text(draw.Fit(cmp.Or(m.ToName, "?"), max(2, end-b.Col()-1-draw.Width(clock))), ink)
		if clock != "" {
			b.Text(" "+clock, ink)
		}
	}
	b.To(end)
}
