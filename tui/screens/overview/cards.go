package overview

import (
	"strings"
	"time"

	"fleettop/cluster"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// cards draws the machines as boxes, row by row, which share the whole width.
func (s *Screen) cards(env *screens.Env) {
	p := &s.plan
	for n := range p.extra {
		at := n * p.cols
		row := p.machines[at:min(at+p.cols, len(p.machines))]
		for line := range cardLines + p.extra[n] {
			for i, m := range row {
				s.cardLine(env, m, at+i, line)
			}
			s.buf.End()
		}
	}
}

// cardLine draws one line of the i-th card.
func (s *Screen) cardLine(env *screens.Env, m *state.Machine, i, line int) {
	b, t := &s.buf, env.Theme
	under, extra, col := i == s.at, s.plan.extra[i/s.plan.cols], i%s.plan.cols
	edge := t.Border
	switch {
	case m.Mood >= state.Busy:
		edge = widgets.Ink(t, m.Mood)
	case under:
		edge = t.Key
	}
	end := (col + 1) * s.width / s.plan.cols
	if col < s.plan.cols-1 {
		end-- // a blank between cards
	}
	switch line {
	case 0:
		s.cardTop(env, m, under, edge, end-b.Col())
	case cardLines + extra - 1:
		b.Text(t.Box[3], edge)
		b.Fill(t.Box[4], end-b.Col()-1, edge)
		b.Text(t.Box[2], edge)
	default:
		b.Text(t.Box[5], edge)
		b.Space(1)
		s.cardBody(env, m, i/s.plan.cols, line, end-2)
		b.To(end - 1)
		b.Text(t.Box[5], edge)
	}
	b.To(end + 1)
}

func (s *Screen) cardTop(env *screens.Env, m *state.Machine, under bool, edge draw.Ink, w int) {
	b, t := &s.buf, env.Theme
	glyph, mood := widgets.Glyph(t, m.Mood), widgets.Ink(t, m.Mood)
	state := glyph + " " + m.Word
	if age := troubleAge(m, env.Now); age != "" {
		state += " " + age
	}
	name := draw.Fit(m.Label, w-draw.Width(state)-8)
	start := b.Col()
	b.Text(t.Box[0]+t.Box[4], edge)
	if under {
		b.Text(t.Chosen(name), t.Tab)
	} else {
		b.Text(" "+name+" ", t.Title)
	}
	if m.Leader {
		b.Text(t.Star+" ", t.Info)
	}
	b.Fill(t.Box[4], start+w-b.Col()-draw.Width(state)-4, edge)
	b.Text(" "+state+" ", mood)
	b.Text(t.Box[4]+t.Box[1], edge)
}

// troubleAge is how long a machine has been in a state that matters.
func troubleAge(m *state.Machine, now time.Time) string {
	switch m.Health.State {
	case cluster.Up:
		return ""
	case cluster.Suspect:
		if !m.Health.SilentSince.IsZero() {
			return widgets.Watch(now.Sub(m.Health.SilentSince))
		}
	}
	if m.Health.Since.IsZero() {
		return ""
	}
	return widgets.Age(now.Sub(m.Health.Since))
}

// cardBody draws one of a card's inner lines up to a column.
func (s *Screen) cardBody(env *screens.Env, m *state.Machine, row, line, end int) {
	b, t := &s.buf, env.Theme
	room, extra := end-b.Col(), s.plan.extra[row]
	why := s.evidence(m, room, extra, env.Now)
	below := 2 + max(1, len(why)) // the first line that tells of units
	switch {
	case line == 1:
		role := m.Role()
		if m.Leader && draw.Width(m.Address)+1+draw.Width(role) > room {
			role = "leader"
		}
		b.Cell(m.Address, room-draw.Width(role)-1, draw.Left, t.Dim)
		b.Space(1)
		b.Text(role, t.Dim)
	case line < below && len(why) > 0:
		b.Text(why[line-2], widgets.Ink(t, m.Mood))
	case line < below:
		s.use(t, m, room)
	case line == below:
		s.tally(env, m, end)
	default:
		s.unitLine(env, m, line-below-1, cardLines+extra-2-below, s.plan.across[row], end)
	}
}

// evidence is why a machine is doubted, or thought not to run or not to have a
// daemon, in the lines its units leave free: its figures would be old.
func (s *Screen) evidence(m *state.Machine, room, extra int, now time.Time) []string {
	if m.Health.State == cluster.Up {
		return nil
	}
	text := widgets.Evidence(m, now)
	if as, seen, own := strings.Cut(text, " sees it: "); own && strings.HasPrefix(as, "as ") {
		text = seen // the banner says that no leader is heard, and a card is narrow
	}
	return widgets.Clauses(text, room, 1+max(0, extra-unitLines(m, now)))
}

// unitLines is how many lines the units of a card would like.
func unitLines(m *state.Machine, now time.Time) int {
	leaving, _ := m.LeavingAt(now)
	return len(m.Rows) + len(leaving)
}

// use shows CPU with its history, and memory.
func (s *Screen) use(t *theme.Theme, m *state.Machine, room int) {
	b := &s.buf
	if m.Use == nil {
		b.Text("cpu ", t.Dim)
		b.Text("–", t.Dim)
		b.Text("  mem ", t.Dim)
		b.Text("–", t.Dim)
		return
	}
	spark := max(0, min(12, room-20))
	b.Text("cpu ", t.Dim)
	if spark > 3 {
		b.Text(widgets.Spark(t, m.Use.History, spark), t.Info)
		b.Space(1)
	}
	b.Cell(widgets.Cores(m.Use.Share())+"%", 4, draw.Right, t.Text)
	b.Text("  mem ", t.Dim)
	b.Text(widgets.Cores(share(float64(m.Use.Memory), float64(m.Use.MemoryTotal)))+"%", t.Text)
}

func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return part / whole
}

// tally counts a machine's units, and says what its death would do.
func (s *Screen) tally(env *screens.Env, m *state.Machine, end int) {
	b, t := &s.buf, env.Theme
	b.Text(wording.Count(len(m.Rows), "unit"), t.Text)
	if m.Bad > 0 {
		b.Text("  "+t.Glyphs.Bad+" "+count(m.Bad), t.Bad)
	}
	if leaving, moved := m.LeavingAt(env.Now); len(leaving) > 0 {
		note, short := count(moved)+" moved away", t.Arrow+" "+count(moved)
		if left := len(leaving) - moved; left > 0 {
			note, short = note+", "+count(left)+" to go", short+" of "+count(len(leaving))
		}
		if b.Col()+2+draw.Width(note) > end {
			note = short
		}
		b.Text("  "+note, t.Moved)
	} else if w := m.WhatIf; w != nil && w.Strands > 0 {
		note := "its loss strands " + count(w.Strands)
		if b.Col()+2+draw.Width(note) <= end {
			b.Text("  "+note, t.Busy)
		}
	}
}

// unitLine shows the units of the i-th of some lines of a card, so many beside
// each other: those that move first, and then those in trouble.
func (s *Screen) unitLine(env *screens.Env, m *state.Machine, i, lines, across, end int) {
	b := &s.buf
	leaving, _ := m.LeavingAt(env.Now)
	rows := inTrouble(m.Rows, m.Bad)
	room, n, start := lines*across, len(rows)+len(leaving), b.Col()
	for c := range across {
		at := i*across + c
		to := start + (end-start+2)*(c+1)/across - 2
		switch {
		case n > room && at == room-1:
			b.Text("… "+count(n-room+1)+" more", env.Theme.Dim)
		case at < len(leaving):
			r := leaving[at]
			machine := "?"
			if r.Machine != "" {
				machine = env.Snap.Called(r.Machine)
			}
			s.moveLine(env, r, env.Theme.Arrow, env.Theme.Arrow+" ", machine, to)
		case at < n:
			s.unit(env, m, rows[at-len(leaving)], to)
		}
		if c < across-1 {
			b.To(to + 2)
		}
	}
}

// unit shows a unit in a card up to a column, with its age or what is wrong with it.
func (s *Screen) unit(env *screens.Env, m *state.Machine, r *state.Row, end int) {
	b, t := &s.buf, env.Theme
	glyph := widgets.RowGlyph(t, r)
	if r.Move.Fresh(env.Now) && r.Move.From != m.ID {
		s.moveLine(env, r, glyph, "from ", env.Snap.Called(r.Move.From), end)
		return
	}
	b.Text(glyph+" ", widgets.Ink(t, r.Mood))
	tail, ink := widgets.Since(r.Since, env.Now), t.Dim
	name := strings.TrimSuffix(r.Unit, ".service")
	switch asked := env.Pending(r.Unit); {
	case asked != "":
		tail, ink = asked, t.Busy
	case r.Move.Running():
		tail = widgets.Watch(r.Move.Clock(env.Now))
	case r.Mood >= state.Busy:
		tail, ink = widgets.Says(r, end-b.Col()-1-draw.Width(name), env.Now), widgets.Ink(t, r.Mood)
	}
	b.Cell(name, end-b.Col()-draw.Width(tail)-1, draw.Left, t.Text)
	b.Space(1)
	b.Text(tail, ink)
}

// moveLine shows a unit that came or went, with its stopwatch. Where room is
// short, the way is: the unit's name and the clock say more.
func (s *Screen) moveLine(env *screens.Env, r *state.Row, glyph, way, machine string, end int) {
	b, t := &s.buf, env.Theme
	ink, clock := t.Moved, ""
	switch {
	case r.Move.Running():
		ink, clock = t.Bad, widgets.Watch(r.Move.Clock(env.Now))
	case !r.Move.Planned || r.Move.Measured:
		clock = widgets.Outage(r.Move.Outage)
	}
	b.Text(glyph+" ", ink)
	name := strings.TrimSuffix(r.Unit, ".service")
	room := end - b.Col() - draw.Width(name) - draw.Width(clock) - 2 // for the way
	switch {
	case draw.Width(way+machine) <= room:
		machine = way + machine
	case draw.Width(machine) > room:
		machine = draw.Fit(machine, max(2, room))
	}
	tail := machine + " " + clock
	b.Cell(name, end-b.Col()-draw.Width(tail)-1, draw.Left, t.Text)
	b.Space(1)
	b.Text(tail, ink)
}

// lines draws the machines where there is no room for boxes, one a line.
func (s *Screen) lines(env *screens.Env) {
	b, t := &s.buf, env.Theme
	for i, m := range s.plan.machines {
		if i == s.at {
			b.Base(t.Cursor)
			b.Text(t.Glyphs.Cursor, t.Key)
		} else {
			b.Space(1)
		}
		state := m.Word
		if age := troubleAge(m, env.Now); age != "" {
			state += " " + age
		}
		ink := widgets.Ink(t, m.Mood)
		b.Text(widgets.Glyph(t, m.Mood)+" ", ink)
		b.Cell(m.Label, max(6, min(20, s.width/4)), draw.Left, t.Text)
		b.Space(1)
		b.Cell(state, 12, draw.Left, ink)
		b.Space(1)
		beside := s.width >= 60 // the tally
		end := s.width
		if beside {
			end -= 20
		}
		s.tally(env, m, end)
		if beside {
			b.Space(2)
			if m.Use != nil {
				s.use(t, m, 26)
			}
		}
		if role := m.Role(); b.Left() > draw.Width(role)+2 {
			b.To(s.width - draw.Width(role) - 1)
			b.Text(role, t.Dim)
		}
		b.End()
	}
	if s.plan.hidden > 0 {
		b.Space(2)
		b.Text("… "+count(s.plan.hidden)+" more machines: press "+env.Keys.Key(keys.GoMachines), t.Dim)
		b.End()
	}
}
