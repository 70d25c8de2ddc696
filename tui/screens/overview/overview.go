// Package overview is the first screen: machines as cards, what needs a look,
// and the timeline running below.
package overview

import (
	"slices"
	"strconv"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// Screen is the overview.
type Screen struct {
	width, height int
	buf           draw.Buf
	under         string // key of what the cursor is on: a machine's ID, or a row's
	at            int    // its index
	plan          plan
}

// New returns an overview.
func New() *Screen { return &Screen{} }

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Overview }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "overview" }

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return true }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Update implements screens.Screen.
func (s *Screen) Update(*screens.Env, tea.Msg) tea.Cmd { return nil }

// anchor keeps the cursor on what it was on.
func (s *Screen) anchor() {
	n := s.count()
	if n == 0 {
		s.at = 0
		return
	}
	for i := range n {
		if s.keyAt(i) == s.under {
			s.at = i
			return
		}
	}
	s.at = max(0, min(s.at, n-1))
	s.under = s.keyAt(s.at)
}

func (s *Screen) count() int { return len(s.plan.machines) + len(s.plan.rows) }

func (s *Screen) keyAt(i int) string {
	if i < len(s.plan.machines) {
		return "m " + s.plan.machines[i].ID
	}
	return "u " + s.plan.rows[i-len(s.plan.machines)].ID
}

func (s *Screen) machine() *state.Machine {
	if s.at < len(s.plan.machines) {
		return s.plan.machines[s.at]
	}
	return nil
}

func (s *Screen) row() *state.Row {
	if i := s.at - len(s.plan.machines); i >= 0 && i < len(s.plan.rows) {
		return s.plan.rows[i]
	}
	return nil
}

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.layout(env)
	n, m := s.count(), len(s.plan.machines)
	to := s.at
	switch a {
	case keys.Right:
		to++
	case keys.Left:
		to--
	case keys.Down:
		if to += s.plan.cols; s.at < m && to > m {
			to = m
		} else if s.at >= m {
			to = s.at + 1
		}
	case keys.Up:
		if to -= s.plan.cols; s.at > m {
			to = s.at - 1
		} else if s.at == m {
			to = m - 1
		} else if to < 0 {
			to = s.at
		}
	case keys.Top:
		to = 0
	case keys.Bottom:
		to = n - 1
	case keys.Enter:
		if m := s.machine(); m != nil {
			return screens.OpenMachine{ID: m.ID}
		}
		if r := s.row(); r != nil {
			return screens.OpenUnit{Unit: r.Unit}
		}
	}
	if n > 0 {
		s.at = max(0, min(to, n-1))
		s.under = s.keyAt(s.at)
	}
	return nil
}

// Target implements screens.Screen.
func (s *Screen) Target(env *screens.Env) screens.Target {
	s.layout(env)
	if m := s.machine(); m != nil {
		return screens.Target{Machines: []string{m.ID}, Text: m.Label}
	}
	if r := s.row(); r != nil {
		return screens.Target{Units: []string{r.Unit}, Text: r.Unit}
	}
	return screens.Target{}
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	s.layout(env)
	b, t := &s.buf, env.Theme
	b.Reset(s.width)
	p := &s.plan
	if len(env.Snap.Machines) == 0 {
		b.End()
		b.Space(2)
		if env.Snap.Conn.Up {
			b.Text("This cluster has no machines yet.", t.Dim)
		} else {
			b.Text("Waiting for the daemon.", t.Dim)
		}
		b.End()
	}
	if p.cards {
		s.cards(env)
	} else {
		s.lines(env)
	}
	s.section(env, "Needs a look", p.looks, 0)
	s.section(env, "Just moved", p.moved, len(p.looks.rows))
	s.timeline(env)
	b.Blank(s.height)
	return b.String()
}

func (s *Screen) heading(env *screens.Env, title, note string) {
	b, t := &s.buf, env.Theme
	b.Text(t.Box[4]+" ", t.Border)
	b.Text(title, t.Title)
	b.Space(1)
	if note != "" {
		b.Text(note+" ", t.Dim)
	}
	b.Fill(t.Box[4], b.Left(), t.Border)
	b.End()
}

// section is a list of units with its heading; the first of them is the at-th on the screen.
func (s *Screen) section(env *screens.Env, title string, list section, at int) {
	if len(list.rows)+list.more == 0 {
		return
	}
	s.heading(env, title, wording.Count(len(list.rows)+list.more, "unit"))
	for i, r := range list.rows {
		s.trouble(env, r, s.at == len(s.plan.machines)+at+i)
	}
	if list.more > 0 {
		b := &s.buf
		b.Space(2)
		b.Text("… "+count(list.more)+" more", env.Theme.Dim)
		b.End()
	}
}

// trouble is a row with what is wrong with it.
func (s *Screen) trouble(env *screens.Env, r *state.Row, under bool) {
	b, t := &s.buf, env.Theme
	if under {
		b.Base(t.Cursor)
		b.Text(t.Glyphs.Cursor, t.Key)
	} else {
		b.Space(1)
	}
	b.Space(1)
	widgets.State(b, t, r, env.Pending(r.Unit), widgets.StateWidth(s.width), env.Now)
	b.Space(1)
	name := max(10, min(48, s.width*3/10-1))
	b.Cell(widgets.UnitName(r.Unit, name), name, draw.Left, t.Text)
	b.Space(2)
	widgets.Machine(b, t, r, widgets.MachineWidth(env.Snap, s.width/4), env.Now)
	b.Space(2)
	b.Text(r.Why(), t.Dim)
	b.End()
}

// timeline is what happened, the newest first, on the lines that are left.
func (s *Screen) timeline(env *screens.Env) {
	b := &s.buf
	left := s.height - b.Lines()
	if left < 2 {
		return
	}
	list := env.Snap.Timeline
	if !env.Filter.Empty() {
		list = slices.Collect(func(yield func(*state.Entry) bool) {
			for _, e := range env.Snap.Timeline {
				if e.Matches(env.Filter, env.Snap.Called) && !yield(e) {
					return
				}
			}
		})
	}
	note := ""
	if more := len(list) - (left - 1); more > 0 {
		note = "… " + count(more) + " more: press " + env.Keys.Key(keys.GoTimeline)
	}
	s.heading(env, "Timeline", note)
	for i := len(list) - 1; i >= 0 && b.Lines() < s.height; i-- {
		b.Space(1)
		widgets.Event(b, env.Theme, list[i], env.Now)
		b.End()
	}
}

func count(n int) string { return strconv.Itoa(n) }
