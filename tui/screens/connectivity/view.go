package connectivity

import (
	"fmt"
	"slices"

	"fleettop/daemon/api"
	"fleettop/tui/draw"
	"fleettop/tui/screens"
	"fleettop/tui/theme"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

const (
	cellWidth = 11 // letters, an age and a blank
	legend    = "G gossip, P probe, S session in the store, A API; a hyphen: it doesn't work. Then the age of the last sign of life."
)

// span is text in an ink.
type span struct {
	text string
	ink  draw.Ink
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	b, t := &s.buf, env.Theme
	b.Reset(s.width)
	switch text := s.trouble(); {
	case s.got == nil && text != "":
		s.text(text, t.Busy, 3)
	case s.got == nil:
		s.text("Asking all machines …", t.Dim, 1)
	default:
		s.matrix(env, text)
	}
	b.Blank(s.height)
	return b.String()
}

// text writes a sentence in at most some lines.
func (s *Screen) text(text string, ink draw.Ink, most int) {
	lines := draw.Wrap(text, s.width-2)
	for _, line := range lines[:min(most, len(lines))] {
		s.line(span{line, ink})
	}
}

// line writes a line, if there is still room for it.
func (s *Screen) line(spans ...span) {
	if s.buf.Lines() >= s.height {
		return
	}
	s.buf.Space(1)
	for _, p := range spans {
		s.buf.Text(p.text, p.ink)
	}
	s.buf.End()
}

func (s *Screen) matrix(env *screens.Env, trouble string) {
	t := env.Theme
	if trouble != "" {
		s.text(trouble, t.Busy, 2)
	}
	answered := 0
	well := true
	for i := range s.got.Views {
		v := &s.got.Views[i]
		if v.Error == "" {
			answered++
		}
		well = well && v.Error == "" && v.Store == api.Answered &&
			!slices.ContainsFunc(v.Contacts, func(c api.Contact) bool { return !c.Well() })
	}
	ink := t.Good
	if !well {
		ink = t.Bad
	}
	for _, sentence := range s.got.Sentences {
		s.text(draw.Clean(sentence), ink, 3)
	}
	s.line(span{fmt.Sprintf("%d of %s answered %s, %s ago", answered,
		wording.Count(len(s.got.Machines), "machine"), env.Snap.Called(s.got.Asked), widgets.Since(s.at, env.Now)), t.Dim})
	s.line()
	names := 8
	for _, m := range s.got.Machines {
		names = max(names, min(16, draw.Width(m.Label())))
	}
	columns := max(1, (s.width-names-4)/cellWidth)
	s.first = max(0, min(s.first, len(s.got.Machines)-columns))
	last := min(len(s.got.Machines), s.first+columns)
	s.head(t, names, last)
	// What is said of the row under the cursor needs a line for each machine.
	rest := s.height - s.buf.Lines()
	rows := min(len(s.got.Machines), max(3, rest-len(s.got.Machines)-2, rest/2))
	s.cursor.SetHeight(max(1, min(rows, rest)))
	s.cursor.Sync(len(s.got.Machines), s.rowKey)
	from, to := s.cursor.Visible()
	for i := from; i < to; i++ {
		s.row(env, i, names, last)
	}
	s.details(env, s.cursor.Index(), names)
	s.text(legend, t.Dim, s.height-s.buf.Lines())
}

// head names the columns: the machines that are looked at.
func (s *Screen) head(t *theme.Theme, names, last int) {
	b := &s.buf
	b.Space(2)
	b.Cell("FROM", names, draw.Left, t.Dim)
	b.Space(1)
	for _, m := range s.got.Machines[s.first:last] {
		b.Cell(draw.Clean(m.Label()), cellWidth-1, draw.Left, t.Dim)
		b.Space(1)
	}
	if more := len(s.got.Machines) - (last - s.first); more > 0 {
		b.Text("…", t.Dim)
	}
	b.End()
}

// row is what one machine sees.
func (s *Screen) row(env *screens.Env, i, names, last int) {
	b, t := &s.buf, env.Theme
	v, under := &s.got.Views[i], i == s.cursor.Index()
	if under {
		b.Base(t.Cursor)
		b.Cell(t.Glyphs.Cursor, 2, draw.Left, t.Key)
	} else {
		b.Space(2)
	}
	b.Cell(draw.Clean(s.got.Machines[i].Label()), names, draw.Left, t.Text)
	b.Space(1)
	if v.Error != "" {
		b.Text(t.Glyphs.Bad+" "+draw.Clean(v.Error), t.Bad)
		b.End()
		return
	}
	for _, m := range s.got.Machines[s.first:last] {
		text, ink := s.cell(t, v, m.ID)
		b.Cell(text, cellWidth-1, draw.Left, ink)
		b.Space(1)
	}
	b.End()
}

// cell is what a machine sees of another one, and of the store where that is itself.
func (s *Screen) cell(t *theme.Theme, v *api.Connections, id string) (string, draw.Ink) {
	c := v.Of(id)
	switch {
	case c == nil && v.Store == api.Answered:
		return t.Dot, t.Dim
	case c == nil:
		return "no store", t.Bad
	}
	text, ink := c.Letters(), t.Good
	if c.Gossip != "" {
		text += " " + widgets.Watch(api.Span(c.GossipAge))
	}
	switch {
	case !c.Reaches():
		ink = t.Bad
	case !c.Well():
		ink = t.Busy
	}
	return text, ink
}

// details tells in words what the machine under the cursor sees.
func (s *Screen) details(env *screens.Env, i, names int) {
	if i < 0 || i >= len(s.got.Views) {
		return
	}
	t, v := env.Theme, &s.got.Views[i]
	s.line()
	if v.Error != "" {
		s.text("What "+draw.Clean(s.got.Machines[i].Label())+" sees isn't known: "+draw.Clean(v.Error)+".", t.Bad, 3)
		return
	}
	ink := t.Dim
	if v.Store != api.Answered {
		ink = t.Bad
	}
	s.line(span{"From " + draw.Clean(s.got.Machines[i].Label()) + ": ", t.Title},
		span{v.DescribeStore(), ink})
	for n := range v.Contacts {
		if s.buf.Lines() >= s.height-1 {
			return
		}
		c := &v.Contacts[n]
		b := &s.buf
		b.Space(2)
		b.Cell(draw.Clean(env.Snap.Called(c.Machine)), names, draw.Left, t.Text)
		works := [...]bool{c.Hears(), c.Probe == api.Answered, c.Session, c.API == api.Answered}
		for k, clause := range c.Describe() {
			ink := t.Dim
			if !works[k] {
				ink = t.Bad
			}
			if clause = draw.Clean(clause); b.Left() < draw.Width(clause)+2 && k > 0 && b.Lines() < s.height-2 {
				b.End()
				b.Space(names + 2)
			}
			b.Text("  "+clause, ink)
		}
		b.End()
	}
}
