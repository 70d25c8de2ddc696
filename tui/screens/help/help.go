// Package help is the screen that tells what the keys do. It is made from the
// table of keys.
package help

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/theme"
	"fleettop/tui/widgets"
)

// Screen is the help.
type Screen struct {
	width, height int
	buf           draw.Buf
	scroll        widgets.Scroll
}

// New returns the help.
func New() *Screen { return &Screen{} }

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Help }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "help" }

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return false }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Update implements screens.Screen.
func (s *Screen) Update(*screens.Env, tea.Msg) tea.Cmd { return nil }

// Target implements screens.Screen.
func (s *Screen) Target(*screens.Env) screens.Target { return screens.Target{} }

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.scroll.Do(a)
	return nil
}

// line is a line of the help: a heading, a key, or text.
type line struct{ head, key, text string }

func lines(env *screens.Env) []line {
	var out []line
	group := ""
	for _, b := range env.Keys.Table() {
		if b.Group != group {
			if group != "" {
				out = append(out, line{})
			}
			group = b.Group
			out = append(out, line{head: group})
		}
		shown := make([]string, len(b.Keys))
		for i, k := range b.Keys {
			shown[i] = keys.Show(k)
		}
		out = append(out, line{key: strings.Join(shown, " "), text: b.Help})
	}
	out = append(out, line{}, line{head: "A log's past"},
		line{key: ":since 10:30", text: "the log from a time on; also -15m, yesterday 10:30, 2026-01-31 10:30"},
		line{key: ":until 10:45", text: "the log up to a time; :since and :until alone show all of it"},
		line{key: ":goto 10:31:07", text: "the first line at or after a time; what is missing is loaded"},
		line{}, line{head: "Filters"},
		line{key: "web", text: "what has web in its name, its machine's name or its state"},
		line{key: "~wb1", text: "what has w, b and 1 in that order"},
		line{key: "!web", text: "what has no web"},
		line{key: "state=failed",
			text: "a field: unit, state, machine, template, active, sub, hash, kind, by, or a machine's metadata"},
		line{}, line{head: "Signs"},
		line{key: env.Theme.Glyphs.Good, text: "as it should be"}, line{key: env.Theme.Glyphs.Busy,
			text: "on its way, or in doubt"},
		line{key: env.Theme.Glyphs.Bad, text: "needs somebody"}, line{key: env.Theme.Glyphs.Idle, text: "not wanted to run"},
		line{key: "n3 " + env.Theme.Arrow + " n1 0.9s",
			text: "moves from n3 to n1; the clock runs until it is active, and then shows the outage"})
	return out
}

// View implements screens.Screen. Wide screens have two columns.
func (s *Screen) View(env *screens.Env) string {
	b, t := &s.buf, env.Theme
	b.Reset(s.width)
	cols := 1
	if s.width >= 110 {
		cols = 2
	}
	all := broken(lines(env), s.width/cols-2)
	per := (len(all) + cols - 1) / cols
	for cols > 1 && per < len(all) && all[per].head == "" {
		per++ // a group begins a column
	}
	s.scroll.Set(per, s.height-1)
	from, to := s.scroll.Visible()
	for i := from; i < to; i++ {
		for c := range cols {
			if n := c*per + i; n < len(all) && (c > 0 || i < per) {
				b.To(c * s.width / cols)
				s.draw(t, all[n])
			}
		}
		b.End()
	}
	b.Blank(s.height - 1)
	b.Space(2)
	if to < per {
		b.Text("more below", t.Dim)
	}
	b.End()
	return b.String()
}

// textAt is the column of what a key does.
const textAt = 17

// broken are the lines with none longer than a width.
func broken(all []line, width int) []line {
	var out []line
	for _, l := range all {
		text := draw.Wrap(l.text, width-textAt)
		l.text = text[0]
		out = append(out, l)
		for _, more := range text[1:] {
			out = append(out, line{text: more})
		}
	}
	return out
}

func (s *Screen) draw(t *theme.Theme, l line) {
	b := &s.buf
	b.Space(2)
	if l.head != "" {
		b.Text(l.head, t.Title)
		return
	}
	b.Cell(l.key, textAt-3, draw.Left, t.Key)
	b.Space(1)
	b.Text(l.text, t.Text)
}
