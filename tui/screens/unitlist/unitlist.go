// Package unitlist is the screen of all units, or of those of one machine.
package unitlist

import (
	"strconv"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/widgets"
)

// Screen lists units.
type Screen struct {
	machine string // only its units, if set
	order   state.Order
	table   state.Table
	list    widgets.List
	marks   map[string]bool // by row ID
	items   []state.Item
	buf     draw.Buf
	width   int
	height  int
}

// New returns a list of all units, or of those of a machine.
func New(machine string) *Screen {
	return &Screen{machine: machine, order: state.Order{Column: state.ByUnit}, marks: map[string]bool{}}
}

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Units }

// Title implements screens.Screen.
func (s *Screen) Title(env *screens.Env) string {
	if s.machine == "" {
		return "units"
	}
	return "units of " + env.Snap.Called(s.machine)
}

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return true }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Update implements screens.Screen.
func (s *Screen) Update(*screens.Env, tea.Msg) tea.Cmd { return nil }

// Select puts the cursor on a unit.
func (s *Screen) Select(unit string) { s.list.SelectKey(unit) }

func (s *Screen) sync(env *screens.Env) {
	s.items = s.table.Items(env.Snap, env.Filter, s.order, s.machine)
	s.list.SetHeight(s.height - 2)
	s.list.Sync(len(s.items), s.key)
}

func (s *Screen) key(i int) string { return s.items[i].Key() }

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.sync(env)
	if s.list.Do(a, s.key) {
		return nil
	}
	switch a {
	case keys.Enter:
		if r := s.row(); r != nil {
			return screens.OpenUnit{Unit: r.Unit}
		}
	case keys.Mark:
		if r := s.row(); r != nil {
			s.toggle(r.ID)
			s.list.Do(keys.Down, s.key)
		}
	case keys.MarkAll:
		s.markAll()
	case keys.SortNext:
		s.sort(1)
	case keys.SortPrev:
		s.sort(-1)
	case keys.Reverse:
		s.order.Down = !s.order.Down
	case keys.Group:
		s.order.Group = s.order.Group.Next()
	}
	return nil
}

func (s *Screen) toggle(id string) {
	if s.marks[id] {
		delete(s.marks, id)
	} else {
		s.marks[id] = true
	}
}

// markAll marks all rows shown, or none if they were.
func (s *Screen) markAll() {
	all := true
	for _, it := range s.items {
		all = all && (it.Row == nil || s.marks[it.Row.ID])
	}
	for _, it := range s.items {
		switch {
		case it.Row == nil:
		case all:
			delete(s.marks, it.Row.ID)
		default:
			s.marks[it.Row.ID] = true
		}
	}
}

func (s *Screen) sort(by int) {
	for i, c := range columns {
		if c.by == s.order.Column {
			s.order.Column = columns[(i+by+len(columns))%len(columns)].by
			return
		}
	}
}

func (s *Screen) row() *state.Row {
	if i := s.list.Index(); i >= 0 && i < len(s.items) {
		return s.items[i].Row
	}
	return nil
}

// Marked implements screens.Marker.
func (s *Screen) Marked() int { return len(s.marks) }

// ClearMarks implements screens.Marker.
func (s *Screen) ClearMarks() { clear(s.marks) }

// Target implements screens.Screen: the marked rows, or the one under the cursor.
func (s *Screen) Target(env *screens.Env) screens.Target {
	s.sync(env)
	var t screens.Target
	seen := map[string]bool{}
	add := func(r *state.Row) {
		if !seen[r.Unit] {
			seen[r.Unit] = true
			t.Units = append(t.Units, r.Unit)
		}
	}
	if len(s.marks) > 0 {
		for _, r := range env.Snap.Rows {
			if s.marks[r.ID] {
				add(r)
			}
		}
	}
	if r := s.row(); r != nil && len(t.Units) == 0 {
		add(r)
		t.Text = r.Unit
	}
	return t
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	s.sync(env)
	b := &s.buf
	b.Reset(s.width)
	layout := s.layout(env)
	b.Space(2)
	widgets.Head(b, env.Theme, layout.columns, layout.widths, layout.sorted, s.order.Down)
	b.End()
	from, to := s.list.Visible()
	for i := from; i < to; i++ {
		s.item(env, layout, s.items[i], i == s.list.Index())
	}
	if len(s.items) == 0 {
		s.empty(env)
	}
	b.Blank(s.height - 1)
	s.status(env)
	return b.String()
}

func (s *Screen) empty(env *screens.Env) {
	t, b := env.Theme, &s.buf
	b.End()
	b.Space(2)
	switch {
	case env.Snap.Gen == 0 || env.Snap.Conn.Seen.IsZero():
		b.Text("Waiting for the daemon.", t.Dim)
	case !env.Filter.Empty():
		b.Text("No unit matches "+env.Filter.String()+". Esc takes the filter away.", t.Dim)
	case s.machine != "":
		b.Text("This machine has no units.", t.Dim)
	default:
		b.Text("There are no units yet. Press n to submit a file, or run fleettop start myapp.service.", t.Dim)
	}
	b.End()
}

// status is the last line: what of all that is shown.
func (s *Screen) status(env *screens.Env) {
	b, t := &s.buf, env.Theme
	rows := 0
	for _, it := range s.items {
		if it.Row != nil {
			rows++
		}
	}
	b.Space(2)
	from, to := s.list.Visible()
	if len(s.items) > to-from {
		b.Text(strconv.Itoa(s.list.Index()+1)+"/", t.Dim)
	}
	b.Text(widgets.Plural(rows, "unit"), t.Dim)
	if s.order.Group != state.Ungrouped {
		b.Text(" by "+s.order.Group.String(), t.Dim)
	}
	if !env.Filter.Empty() {
		b.Text("  filter ", t.Dim)
		b.Text(env.Filter.String(), t.Key)
	}
	if n := len(s.marks); n > 0 {
		b.Text("  "+strconv.Itoa(n)+" marked", t.Mark)
	}
	b.End()
}

func (s *Screen) item(env *screens.Env, l layout, it state.Item, under bool) {
	b, t := &s.buf, env.Theme
	if under {
		b.Base(t.Cursor)
	}
	if it.Row == nil {
		b.Text(it.Head, t.Title)
		b.Text("  "+widgets.Plural(it.Count, "unit"), t.Dim)
		if it.Bad > 0 {
			b.Text("  "+t.Glyphs.Bad+" "+strconv.Itoa(it.Bad)+" in trouble", t.Bad)
		}
		b.End()
		return
	}
	r := it.Row
	s.gutter(t, r, under, env)
	for i, c := range l.columns {
		if l.widths[i] > 0 {
			columns[i].draw(env, b, r, l.widths[i], c.Align)
			widgets.Gap(b)
		}
	}
	b.End()
}

// gutter shows the cursor, the mark and that a row moved not long ago.
func (s *Screen) gutter(t *theme.Theme, r *state.Row, under bool, env *screens.Env) {
	b := &s.buf
	switch {
	case s.marks[r.ID]:
		b.Text(t.Glyphs.Mark, t.Mark)
	case under:
		b.Text(t.Glyphs.Cursor, t.Key)
	case r.Move.Fresh(env.Now):
		b.Text(t.Bar, t.Moved)
	default:
		b.Space(1)
	}
	b.Space(1)
}

// Click puts the cursor on a line.
func (s *Screen) Click(env *screens.Env, line int) {
	s.sync(env)
	if from, to := s.list.Visible(); line >= 1 && from+line-1 < to {
		s.list.Select(from+line-1, s.key)
	}
}
