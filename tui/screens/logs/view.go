package logs

import (
	"strings"

	"fleettop/journal"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/theme"
	"fleettop/units/wording"
)

// View implements screens.Screen. Only what is visible is laid out, from the
// end up when following, from the first line down when paused.
func (s *Screen) View(env *screens.Env) string {
	b := &s.buf
	b.Reset(s.width)
	s.head(env)
	room := s.height - b.Lines()
	switch {
	case len(s.units) == 0:
		s.instead(env, "No log is open: press l on a unit, or on several marked ones.")
	case len(s.page.shown) == 0:
		s.instead(env, s.nothing(env))
	default:
		charted := s.charted()
		if charted {
			room -= chartLines
		}
		first, skip := s.place(env, room)
		if charted {
			s.chart(env, first, s.last(env, first, room+skip))
		}
		at := -1
		if s.paused {
			at = s.cursor()
		}
		for i := first; i < len(s.page.shown) && b.Lines() < s.height; i++ {
			s.entry(env, s.page.shown[i], i == at, skip, s.height)
			skip = 0
		}
	}
	b.Blank(s.height)
	return b.String()
}

// place is the first entry that is visible in a room of so many lines, and how many of its lines are not.
func (s *Screen) place(env *screens.Env, room int) (first, skip int) {
	if s.paused {
		return s.pausedPlace(env, room), 0
	}
	shown := s.page.shown
	lines := 0
	for first = len(shown); first > 0 && lines < room; {
		first--
		lines += s.linesOf(env, shown[first])
	}
	return first, max(0, lines-room)
}

// last is the last entry that is visible, from one on.
func (s *Screen) last(env *screens.Env, first, room int) int {
	last := first
	for lines := s.linesOf(env, s.page.shown[last]); last+1 < len(s.page.shown); last++ {
		if lines += s.linesOf(env, s.page.shown[last+1]); lines > room {
			break
		}
	}
	return last
}

// instead writes a sentence in the place of lines.
func (s *Screen) instead(env *screens.Env, text string) {
	b := &s.buf
	b.End()
	for _, line := range draw.Wrap(text, s.width-4) {
		if b.Lines() < s.height {
			b.Space(2)
			b.Text(line, env.Theme.Dim)
			b.End()
		}
	}
}

func (s *Screen) nothing(env *screens.Env) string {
	bounds := s.span.describe(env.Now)
	switch {
	case s.trouble != "":
		return s.trouble
	case !s.page.filter.Empty():
		return "No line passes the filter " + s.page.filter.String() + ". Esc takes it away."
	case !s.span.follows() && !s.whole:
		return "Loading."
	case s.span.errors && !s.whole:
		return "Looking for errors."
	case s.span.errors && bounds != "":
		return "No error was logged " + between(bounds) + ". " + env.Keys.Key(keys.OnlyErrors) + " shows all lines."
	case s.span.errors:
		return "No error was logged lately. " + env.Keys.Key(keys.OnlyErrors) + " shows all lines."
	case bounds != "":
		return "Nothing was logged " + between(bounds) + ". Esc takes the bounds away."
	}
	return "Nothing logged yet."
}

// between is bounds in a sentence.
func between(bounds string) string {
	if strings.HasPrefix(bounds, "since ") || strings.HasPrefix(bounds, "until ") {
		return bounds
	}
	return "from " + bounds
}

// head says whose log this is, and how it is shown.
func (s *Screen) head(env *screens.Env) {
	b, t := &s.buf, env.Theme
	b.Text(t.Box[4]+" ", t.Border)
	title := "Log"
	if len(s.units) > 0 {
		title = strings.Join(s.units, ", ")
	}
	b.Text(draw.Fit(title, max(12, min(s.width/2, s.width-24))), t.Title)
	b.Space(1)
	if len(s.units) > 0 {
		s.progress(env)
		note := wording.Number(len(s.page.shown)) + " lines"
		if len(s.page.shown) == 1 {
			note = "1 line"
		}
		if s.span.errors {
			note = wording.Count(len(s.page.shown), "error")
		}
		if bounds := s.span.describe(env.Now); bounds != "" {
			note = bounds + " " + t.Dot + " " + note
			if s.span.follows() {
				note = t.Dot + " " + note
			}
		}
		if s.page.dropped > 0 {
			note += ", " + wording.Number(s.page.dropped) + " older dropped"
		}
		b.Text(note+" ", t.Dim)
		if !s.page.filter.Empty() {
			b.Text("filter "+s.page.filter.String()+" ", t.Key)
		}
		if s.search != "" {
			b.Text("/"+draw.Clean(s.search)+" ", t.Key)
		}
	}
	b.Fill(t.Box[4], b.Left(), t.Border)
	b.End()
}

// progress says whether what is logged now is what is shown.
func (s *Screen) progress(env *screens.Env) {
	b, t := &s.buf, env.Theme
	switch {
	case s.trouble != "" && len(s.page.shown) > 0:
		b.Text(s.trouble+" ", t.Busy)
	case s.trouble != "":
		b.Text("waiting ", t.Busy)
	case s.fetching || !s.span.follows() && !s.whole:
		b.Text("loading ", t.Busy)
	case s.behind > 0:
		b.Text(wording.Span(s.behind)+" behind ", t.Busy)
	case s.paused && s.unread() > 0:
		b.Text("paused, "+wording.Number(s.unread())+" new ", t.Busy)
	case s.paused && s.span.follows():
		b.Text("paused ", t.Busy)
	case s.span.follows():
		b.Text("following ", t.Good)
	}
}

// pausedPlace is the first entry visible around the cursor, as little moved as can be.
func (s *Screen) pausedPlace(env *screens.Env, room int) int {
	shown := s.page.shown
	at := s.page.index(s.at)
	top := at
	if s.top != nil {
		top = min(at, s.page.index(s.top))
	} else {
		// It was following: what was on the screen stays on it.
		for lines := s.linesOf(env, shown[at]); top > 0; top-- {
			if lines += s.linesOf(env, shown[top-1]); lines > room {
				break
			}
		}
	}
	lines := 0
	for i := top; i <= at; i++ {
		lines += s.linesOf(env, shown[i])
	}
	for ; lines > room && top < at; top++ {
		lines -= s.linesOf(env, shown[top])
	}
	s.top = shown[top]
	return top
}

// margin is how wide what stands before the text is.
func (s *Screen) margin(env *screens.Env) (unit, machine, total int) {
	total = 1
	switch s.stamps {
	case timeStamps:
		total += len(s.clock())
	case dateStamps:
		total += 20
	}
	if len(s.units) > 1 || len(s.units) == 1 && strings.ContainsAny(s.units[0], "*?[") {
		unit = min(18, s.width/5)
		total += unit + 1
	}
	if s.width >= 70 {
		machine = 4
		for _, m := range env.Snap.Machines {
			machine = max(machine, min(12, draw.Width(m.Label)))
		}
		total += machine + 1
	}
	return unit, machine, total
}

// clock is how times are shown: to the millisecond where there is room.
func (s *Screen) clock() string {
	if s.width < 60 {
		return "15:04:05 "
	}
	return "15:04:05.000 "
}

func (s *Screen) linesOf(env *screens.Env, e *entry) int {
	if !s.wrap || e.Kind != "" {
		return 1
	}
	_, _, margin := s.margin(env)
	return len(e.broken(max(10, s.width-margin)))
}

// entry writes an entry, without its first skip lines and not past a line of
// the screen.
func (s *Screen) entry(env *screens.Env, e *entry, under bool, skip, until int) {
	b, t := &s.buf, env.Theme
	if e.Kind != "" {
		s.divider(env, e, under)
		return
	}
	unit, machine, margin := s.margin(env)
	lines := []string{e.view}
	if s.wrap {
		lines = e.broken(max(10, s.width-margin))
	}
	at := 0 // where the line begins in the text
	for i, line := range lines {
		if len(e.hues) > 0 {
			at += max(0, strings.Index(e.view[at:], line))
		}
		from := at
		at = min(len(e.view), at+len(line))
		if i < skip || b.Lines() >= until {
			continue
		}
		if under {
			b.Base(t.Cursor)
		}
		if i == 0 {
			s.prefix(env, e, unit, machine, under)
		}
		b.To(margin)
		s.message(t, e, line, from)
		b.End()
	}
}

func (s *Screen) prefix(env *screens.Env, e *entry, unit, machine int, under bool) {
	b, t := &s.buf, env.Theme
	if under {
		b.Text(t.Glyphs.Cursor, t.Key)
	} else {
		b.Space(1)
	}
	at := e.Time.In(env.Now.Location())
	switch s.stamps {
	case timeStamps:
		b.Text(at.Format(s.clock()), t.Dim)
	case dateStamps:
		b.Text(at.Format("2006-01-02 15:04:05 "), t.Dim)
	}
	source := t.Source(e.Unit, e.Machine)
	if unit > 0 {
		b.Cell(strings.TrimSuffix(e.Unit, ".service"), unit, draw.Left, source)
		b.Space(1)
	}
	if machine > 0 {
		b.Cell(env.Snap.Called(e.Machine), machine, draw.Left, source)
		b.Space(1)
	}
}

// message writes a line in the colour of its priority, or in those that its writer gave it, what was
// searched for marked. The line begins at a place in the entry's text.
func (s *Screen) message(t *theme.Theme, e *entry, line string, from int) {
	ink := t.Text
	switch {
	case e.Priority <= 3:
		ink = t.Bad
	case e.Priority == 4:
		ink = t.Busy
	case e.Priority >= 7:
		ink = t.Dim
	}
	low := strings.ToLower(line)
	if s.search == "" || len(low) != len(line) {
		s.coloured(t, e, line, from, ink)
		return
	}
	for {
		i := strings.Index(low, s.search)
		if i < 0 {
			break
		}
		s.coloured(t, e, line[:i], from, ink)
		s.buf.Text(line[i:i+len(s.search)], t.Match)
		line, low, from = line[i+len(s.search):], low[i+len(s.search):], from+i+len(s.search)
	}
	s.coloured(t, e, line, from, ink)
}

// coloured writes text that begins at a place in the entry's: where its writer gave it no colour, in an ink.
func (s *Screen) coloured(t *theme.Theme, e *entry, text string, from int, ink draw.Ink) {
	for _, part := range inColours(text, from, e.hues) {
		if part.colour == noColour {
			s.buf.Text(part.text, ink)
		} else {
			s.buf.Text(part.text, t.Hues[part.colour])
		}
	}
}

// divider writes that the unit moved, or that lines are missing.
func (s *Screen) divider(env *screens.Env, e *entry, under bool) {
	b, t := &s.buf, env.Theme
	if under {
		b.Base(t.Cursor)
	}
	text, ink := e.view, t.Moved
	if e.Kind == journal.KindMissed {
		ink = t.Busy
		if text == "" {
			text = wording.Count(e.Missed, "line") + " lost"
		}
	}
	b.Text(" "+t.Box[4]+t.Box[4]+" ", ink)
	b.Text(text+" ", ink)
	b.Fill(t.Box[4], b.Left()-1, ink)
	b.End()
}
