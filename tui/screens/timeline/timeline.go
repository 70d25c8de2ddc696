// Package timeline is the screen of everything that happened; a failover is
// one block with its phases.
package timeline

import (
	"strconv"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// Screen is the timeline, the newest first.
type Screen struct {
	width, height int
	buf           draw.Buf
	list          widgets.List
	below         int             // lines of the status
	folded        map[string]bool // blocks whose lines are hidden, by key

	items []item
	gen   uint64
	query string
	made  bool
	folds int
}

// item is a line: an entry's head, or an event of its block.
type item struct {
	entry *state.Entry
	event *cluster.Event // nil for the head
}

func (i item) key() string {
	if i.event != nil {
		return i.entry.Key() + " " + i.event.ID
	}
	return i.entry.Key()
}

// New returns a timeline.
func New() *Screen { return &Screen{folded: map[string]bool{}} }

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Timeline }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "timeline" }

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return true }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Update implements screens.Screen.
func (s *Screen) Update(*screens.Env, tea.Msg) tea.Cmd { return nil }

func (s *Screen) sync(env *screens.Env) {
	if !s.made || s.gen != env.Snap.Gen || s.query != env.Filter.String() || s.folds < 0 {
		// At the top one watches what is new: the cursor goes with it.
		atTop := s.list.Index() <= 0
		s.made, s.gen, s.query, s.folds = true, env.Snap.Gen, env.Filter.String(), len(s.folded)
		s.items = s.items[:0]
		for i := len(env.Snap.Timeline) - 1; i >= 0; i-- {
			e := env.Snap.Timeline[i]
			if !env.Filter.Empty() && !e.Matches(env.Filter, env.Snap.Called) {
				continue
			}
			s.items = append(s.items, item{entry: e})
			if s.folded[e.Key()] {
				continue
			}
			for n := range e.Block {
				s.items = append(s.items, item{e, &e.Block[n]})
			}
		}
		if atTop && len(s.items) > 0 {
			s.list.SelectKey(s.items[0].key())
		}
	}
	s.list.Sync(len(s.items), s.key)
	s.below = 1
	if w := draw.Width(s.text()); w > s.width-14 {
		s.below = min(1+(w+6)/(s.width-4), s.height/3)
	}
	s.list.SetHeight(s.height - s.below)
}

func (s *Screen) key(i int) string { return s.items[i].key() }

func (s *Screen) at() *item {
	if i := s.list.Index(); i >= 0 {
		return &s.items[i]
	}
	return nil
}

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.sync(env)
	if s.list.Do(a, s.key) {
		return nil
	}
	it := s.at()
	if it == nil {
		return nil
	}
	switch a {
	case keys.Enter:
		switch {
		case it.event == nil && len(it.entry.Block) > 0:
			s.fold(it.entry.Key(), !s.folded[it.entry.Key()])
		case it.event != nil && it.event.Unit != "":
			return screens.OpenUnit{Unit: it.event.Unit}
		case it.entry.Unit != "":
			return screens.OpenUnit{Unit: it.entry.Unit}
		case it.entry.Machine != "":
			return screens.OpenMachine{ID: it.entry.Machine}
		}
	case keys.Left:
		s.fold(it.entry.Key(), true)
		s.list.SelectKey(it.entry.Key())
	case keys.Right:
		s.fold(it.entry.Key(), false)
	}
	return nil
}

func (s *Screen) fold(key string, on bool) {
	if on {
		s.folded[key] = true
	} else {
		delete(s.folded, key)
	}
	s.folds = -1
}

// Target implements screens.Screen.
func (s *Screen) Target(env *screens.Env) screens.Target {
	s.sync(env)
	it := s.at()
	if it == nil {
		return screens.Target{}
	}
	e := it.entry.Event
	if it.event != nil {
		e = *it.event
	}
	return screens.Target{Text: e.Time.Format("2006-01-02T15:04:05.000Z07:00") + "  " + e.Text}
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	s.sync(env)
	b, t := &s.buf, env.Theme
	b.Reset(s.width)
	from, to := s.list.Visible()
	for i := from; i < to; i++ {
		it, under := s.items[i], i == s.list.Index()
		if under {
			b.Base(t.Cursor)
			b.Text(t.Glyphs.Cursor+" ", t.Key)
		} else {
			b.Space(2)
		}
		if it.event == nil {
			widgets.Event(b, t, it.entry, env.Now)
			if s.folded[it.entry.Key()] {
				b.Text("  …", t.Dim)
			}
			b.End()
			continue
		}
		s.phase(env, it)
		b.End()
	}
	if len(s.items) == 0 {
		b.End()
		b.Space(2)
		if env.Filter.Empty() {
			b.Text("Nothing has happened yet.", t.Dim)
		} else {
			b.Text("Nothing matches "+env.Filter.String()+". Esc takes the filter away.", t.Dim)
		}
		b.End()
	}
	b.Blank(s.height - s.below)
	s.status(env)
	return b.String()
}

// status is the last line, or where what is under the cursor doesn't fit, the
// whole of it.
func (s *Screen) status(env *screens.Env) {
	b, t := &s.buf, env.Theme
	if s.below > 1 {
		text := draw.Wrap(s.text(), s.width-4)
		for _, line := range text[:min(len(text), s.below)] {
			b.Space(2)
			b.Text(line, t.Info)
			b.End()
		}
		b.Blank(s.height)
		return
	}
	b.Space(2)
	b.Text(entries(len(env.Snap.Timeline)), t.Dim)
	if !env.Filter.Empty() {
		b.Text("  filter ", t.Dim)
		b.Text(env.Filter.String(), t.Key)
	}
	b.End()
}

// text is what is under the cursor.
func (s *Screen) text() string {
	it := s.at()
	switch {
	case it == nil:
		return ""
	case it.event != nil:
		return it.event.Text
	}
	return widgets.EventText(it.entry)
}

// phase is a line of a block: how long after the first it happened, and what.
func (s *Screen) phase(env *screens.Env, it item) {
	b, t := &s.buf, env.Theme
	last := it.event == &it.entry.Block[len(it.entry.Block)-1]
	edge := t.Box[5]
	if last {
		edge = t.Box[3]
	}
	b.Space(8)
	b.Text(edge+" ", t.Border)
	after := it.event.Time.Sub(it.entry.Block[0].Time)
	b.Cell("+"+widgets.Outage(max(0, after)), 8, draw.Right, t.Dim)
	b.Space(1)
	glyph, ink := widgets.EventMark(t, it.event)
	b.Text(glyph+" ", ink)
	b.Text(it.event.Text, t.Text)
}

func entries(n int) string {
	if n == 1 {
		return "1 entry"
	}
	return strconv.Itoa(n) + " entries"
}

// Click puts the cursor on a line.
func (s *Screen) Click(env *screens.Env, line int) {
	s.sync(env)
	if from, to := s.list.Visible(); from+line < to {
		s.list.Select(from+line, s.key)
	}
}
