// Package unitlist is the screen of all units, or of those of one machine.
package unitlist

import (
	"strconv"

	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/screens/lasthour"
	"fleettop/tui/screens/listing"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
	"fleettop/units/wording"
)

// Screen lists units.
type Screen struct {
	listing.List[state.Item]
	listing.Marks        // by row ID
	machine       string // only its units, if set
	order         state.Order
	table         state.Table
	hour          *lasthour.Part // what the machine used
	named         struct {       // the longest name of a snapshot
		gen   uint64
		width int
	}
}

// New returns a list of all units, or of those of a machine.
func New(machine string) *Screen {
	return &Screen{List: listing.New(state.Item.Key), machine: machine, hour: lasthour.New(""), order: state.Order{Column: state.ByState}}
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

func (s *Screen) sync(env *screens.Env) {
	s.Items = s.table.Items(env.Snap, env.Filter, s.order, s.machine)
	s.Sync(s.Height - 2 - s.above())
}

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.sync(env)
	if s.Move(a) {
		return nil
	}
	if by, ok := sorts[a]; ok {
		s.sortBy(by)
		return nil
	}
	switch a {
	case keys.Enter:
		if r := s.row(); r != nil {
			return screens.OpenUnit{Unit: r.Unit}
		}
	case keys.Mark:
		if r := s.row(); r != nil {
			s.Toggle(r.ID)
			s.Move(keys.Down)
		}
	case keys.MarkAll:
		var all []string
		for _, it := range s.Items {
			if it.Row != nil {
				all = append(all, it.Row.ID)
			}
		}
		s.ToggleAll(all)
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

func (s *Screen) sort(by int) {
	for i, c := range columns {
		if c.by == s.order.Column {
			s.order.Column = columns[(i+by+len(columns))%len(columns)].by
			return
		}
	}
}

func (s *Screen) row() *state.Row {
	it, _ := s.At()
	return it.Row
}

// Target implements screens.Screen: the marked rows that are shown, or the row
// under the cursor where none is marked.
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
	if s.Marked() == 0 {
		if r := s.row(); r != nil {
			add(r)
			t.Text, t.On = r.Unit, r.Machine
		}
		return t
	}
	for _, it := range s.Items {
		if it.Row != nil && s.Has(it.Row.ID) {
			add(it.Row)
		}
	}
	if len(t.Units) == 0 {
		t.Why = s.Hidden("unit")
	}
	return t
}

// Shown implements screens.Lister.
func (s *Screen) Shown(env *screens.Env) []string {
	s.sync(env)
	var list []string
	seen := map[string]bool{}
	for _, it := range s.Items {
		if it.Row != nil && !seen[it.Row.Unit] {
			seen[it.Row.Unit] = true
			list = append(list, it.Row.Unit)
		}
	}
	return list
}

// View implements screens.Screen.
func (s *Screen) View(env *screens.Env) string {
	s.sync(env)
	b := &s.Buf
	b.Reset(s.Width)
	layout := s.layout(env)
	s.lastHour(env)
	b.Space(2)
	widgets.Head(b, env.Theme, layout.columns, layout.widths, layout.sorted, s.order.Down)
	b.End()
	s.Visible(func(it state.Item, under bool) { s.item(env, layout, it, under) })
	if len(s.Items) == 0 {
		s.empty(env)
	}
	b.Blank(s.Height - 1)
	s.status(env)
	return b.String()
}

func (s *Screen) empty(env *screens.Env) {
	why := "There are no units yet. Press n to submit a file, or run fleettop start myapp.service."
	switch {
	case env.Snap.Conn.Seen.IsZero():
		why = "Waiting for the daemon."
	case s.machine != "":
		why = "This machine has no units."
	case env.Past:
		why = "There were no units then."
	}
	s.None(env, "No unit", why)
}

// status is the last line: what of all that is shown.
func (s *Screen) status(env *screens.Env) {
	rows, marked := 0, 0
	for _, it := range s.Items {
		if it.Row == nil {
			continue
		}
		rows++
		if s.Has(it.Row.ID) {
			marked++
		}
	}
	text := wording.Count(rows, "unit")
	if s.Scrolls() {
		text = strconv.Itoa(s.Index()+1) + "/" + text
	}
	text += s.Below()
	if s.order.Group != state.Ungrouped {
		text += " by " + s.order.Group.String()
	}
	s.Count(env, text)
	s.Marks.Draw(env, &s.Buf, marked)
	s.Buf.End()
}

func (s *Screen) item(env *screens.Env, l layout, it state.Item, under bool) {
	b, t := &s.Buf, env.Theme
	if under {
		b.Base(t.Cursor)
	}
	if it.Row == nil {
		b.Text(it.Head, t.Title)
		b.Text("  "+wording.Count(it.Count, "unit"), t.Dim)
		if it.Bad > 0 {
			b.Text("  "+t.Glyphs.Bad+" "+strconv.Itoa(it.Bad)+" in trouble", t.Bad)
		}
		b.End()
		return
	}
	r := it.Row
	sign := ""
	if r.Move.Fresh(env.Now) {
		sign = t.Bar
	}
	s.Gutter(b, t, r.ID, under, sign, t.Moved)
	for i, c := range l.columns {
		if l.widths[i] > 0 {
			columns[i].draw(env, b, r, l.widths[i], c.Align)
			widgets.Gap(b)
		}
	}
	b.End()
}

// Click puts the cursor on a line.
func (s *Screen) Click(env *screens.Env, line int) {
	s.sync(env)
	s.List.Click(line - 1 - s.above())
}
