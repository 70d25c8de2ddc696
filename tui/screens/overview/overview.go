// Package overview is the first screen: machines as cards, what needs a look,
// and the timeline running below.
package overview

import (
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

// plan is what is shown where.
type plan struct {
	machines []*state.Machine
	hidden   int // machines there is no room for
	rows     []*state.Row
	more     int // rows there is no room for
	cols     int
	cards    bool // boxes; else a line each
	extra    int  // lines of units in a card
	events   int
}

const (
	cardLeast  = 26
	cardMost   = 46
	cardLines  = 5 // with its borders, without units
	eventLeast = 5
)

// layout plans the screen. Machines keep their places; only where there is no
// room for all, those in trouble come first.
func (s *Screen) layout(env *screens.Env) {
	p := plan{}
	for _, m := range env.Snap.Machines {
		if env.Filter.Empty() || m.Matches(env.Filter) {
			p.machines = append(p.machines, m)
		}
	}
	p.rows = s.needing(env)
	n := len(p.machines)
	least := eventLeast
	if s.height < 14 {
		least = 3
	}
	most := 0
	for _, m := range p.machines {
		most = max(most, unitLines(m, env.Now))
	}
	p.cols = max(1, min(s.width/cardLeast, n))
	lines := (n + p.cols - 1) / p.cols
	rowRoom := min(len(p.rows), max(2, s.height/3))
	head := 0
	if rowRoom > 0 {
		head = 1
	}
	p.cards = n > 0 && lines*cardLines+rowRoom+head+least <= s.height
	left := s.height - rowRoom - head
	if p.cards {
		left -= lines * cardLines
		spare := (left - least - 3) / lines
		p.extra = max(0, min(spare, most, 10))
		left -= lines * p.extra
	} else {
		fit := max(1, min(n, left-least))
		if fit < n {
			p.machines = worstFirst(p.machines)
			p.hidden = n - fit + 1
			p.machines = p.machines[:max(0, fit-1)]
		}
		p.cols = 1
		left -= min(n, fit)
	}
	p.more = len(p.rows) - rowRoom
	p.rows = p.rows[:rowRoom]
	p.events = max(0, left-1)
	s.plan = p
	s.anchor()
}

func worstFirst(list []*state.Machine) []*state.Machine {
	out := make([]*state.Machine, 0, len(list))
	for mood := state.Bad; ; mood-- {
		for _, m := range list {
			worst := m.Mood
			if m.Bad > 0 && worst < state.Busy {
				worst = state.Busy
			}
			if worst == mood {
				out = append(out, m)
			}
		}
		if mood == state.Idle {
			return out
		}
	}
}

// needing are the rows somebody should look at: those in trouble, those on
// their way, those that moved not long ago.
func (s *Screen) needing(env *screens.Env) []*state.Row {
	var bad, moving, moved []*state.Row
	c := env.Snap.Counts
	for _, r := range env.Snap.Rows {
		switch {
		case r.Mood != state.Bad && r.Move == nil:
		case !env.Filter.Empty() && !r.Matches(env.Filter):
		case r.Move.Fresh(env.Now) && r.Move.Running():
			moving = append(moving, r)
		case r.Mood == state.Bad:
			bad = append(bad, r)
		case r.Move.Fresh(env.Now):
			moved = append(moved, r)
		}
		if len(bad)+len(moving) > c.Moods[state.Bad]+env.Snap.Moving+50 {
			break
		}
	}
	return append(append(moving, bad...), moved...)
}

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
	if len(p.rows) > 0 {
		s.heading(env, "Needs a look", wording.Count(len(p.rows)+p.more, "unit"))
		for i, r := range p.rows {
			s.trouble(env, r, s.at == len(p.machines)+i)
		}
	}
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
	word, ink := r.Word, widgets.Ink(t, r.Mood)
	if asked := env.Pending(r.Unit); asked != "" {
		word, ink = asked, t.Busy
	}
	b.Text(widgets.Glyph(t, r.Mood)+" ", ink)
	b.Cell(word, 9, draw.Left, ink)
	b.Space(1)
	name := max(10, min(32, s.width*3/10-1))
	b.Cell(widgets.UnitName(r.Unit, name), name, draw.Left, t.Text)
	b.Space(2)
	widgets.Machine(b, t, r, widgets.MachineWidth(env.Snap, s.width/4), env.Now)
	b.Space(2)
	why := r.Error
	if r.Machine == "" && why == "" {
		why = r.Reason
	}
	if why == "" && r.Result != "" && r.Result != "success" {
		why = r.Result
	}
	if why == "" && r.Restarts > 0 {
		why = wording.Count(r.Restarts, "restart")
	}
	b.Text(why, t.Dim)
	b.End()
}

func (s *Screen) timeline(env *screens.Env) {
	b := &s.buf
	left := s.height - b.Lines()
	if left < 2 {
		return
	}
	s.heading(env, "Timeline", "")
	list := env.Snap.Timeline
	for i := len(list) - 1; i >= 0 && b.Lines() < s.height; i-- {
		if !env.Filter.Empty() && !list[i].Matches(env.Filter, env.Snap.Called) {
			continue
		}
		b.Space(1)
		widgets.Event(b, env.Theme, list[i], env.Now)
		b.End()
	}
}

func count(n int) string { return strconv.Itoa(n) }
