// Package machinelist is the screen of all machines, with the evidence for
// what is thought of them.
package machinelist

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"fleettop/cluster"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/screens/listing"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// Screen lists machines.
type Screen struct {
	listing.List[*state.Machine]
	listing.Marks
	order order
}

type order struct {
	column int
	down   bool
}

// New returns a list of machines.
func New() *Screen {
	return &Screen{List: listing.New(func(m *state.Machine) string { return m.ID })}
}

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Machines }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "machines" }

func (s *Screen) sync(env *screens.Env) {
	if s.Stale(env, s.order) {
		s.Items = s.Items[:0]
		for _, m := range env.Snap.Machines {
			if env.Filter.Empty() || m.Matches(env.Filter) {
				s.Items = append(s.Items, m)
			}
		}
		if by := columns[s.order.column].compare; by != nil {
			slices.SortStableFunc(s.Items, by)
		}
		if s.order.down {
			slices.Reverse(s.Items)
		}
	}
	s.Sync((s.Height - 2) / s.perItem())
}

// perItem is how many lines a machine takes: a second one has the evidence,
// where there is no column for it.
func (s *Screen) perItem() int {
	if s.Width < 100 && s.Height >= 14 && len(s.Items)*2 <= s.Height-2 {
		return 2
	}
	return 1
}

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.sync(env)
	if s.Move(a) {
		return nil
	}
	if title, is := sorts[a]; is {
		s.sortBy(columnOf(title))
		return nil
	}
	m, ok := s.At()
	switch a {
	case keys.Enter:
		if ok {
			return screens.OpenMachine{ID: m.ID}
		}
	case keys.Mark:
		if ok {
			s.Toggle(m.ID)
			s.Move(keys.Down)
		}
	case keys.MarkAll:
		var all []string
		for _, m := range s.Items {
			all = append(all, m.ID)
		}
		s.ToggleAll(all)
	case keys.SortNext:
		s.order.column = (s.order.column + 1) % len(columns)
	case keys.SortPrev:
		s.order.column = (s.order.column + len(columns) - 1) % len(columns)
	case keys.Reverse:
		s.order.down = !s.order.down
	}
	return nil
}

// Target implements screens.Screen: the marked machines that are shown, or the
// one under the cursor where none is marked.
func (s *Screen) Target(env *screens.Env) screens.Target {
	s.sync(env)
	var t screens.Target
	if s.Marked() == 0 {
		if m, ok := s.At(); ok {
			t.Machines, t.Text = []string{m.ID}, m.ID
		}
		return t
	}
	for _, m := range s.Items {
		if s.Has(m.ID) {
			t.Machines = append(t.Machines, m.ID)
		}
	}
	if len(t.Machines) == 0 {
		t.Why = s.Hidden("machine")
	}
	return t
}

type column struct {
	widgets.Column
	compare func(a, b *state.Machine) int
	draw    func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align)
}

var columns = []column{
	{widgets.Column{Title: "MACHINE", Width: 10, Most: 28, Grows: true, Priority: 0}, nil,
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			b.Cell(m.Label, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "STATE", Width: 16, Priority: 1},
		func(a, b *state.Machine) int {
			return cmp.Or(-cmp.Compare(a.Mood, b.Mood), cmp.Compare(a.Word, b.Word))
		},
		drawState},
	{widgets.Column{Title: "UNITS", Width: 5, Priority: 2, Align: draw.Right},
		func(a, b *state.Machine) int { return cmp.Compare(len(a.Rows), len(b.Rows)) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			b.Cell(strconv.Itoa(len(m.Rows)), w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "ROLE", Width: 12, Priority: 4},
		func(a, b *state.Machine) int { return -cmp.Compare(a.Role(), b.Role()) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			ink := env.Theme.Dim
			if m.Leader {
				ink = env.Theme.Info
			}
			b.Cell(dash(m.Role()), w, a, ink)
		}},
	{widgets.Column{Title: "CPU%", Width: 5, Priority: 5, Align: draw.Right},
		func(a, b *state.Machine) int { return cmp.Compare(cpu(a), cpu(b)) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			text := "–"
			if m.Use != nil {
				text = widgets.Cores(m.Use.Share())
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "MEM", Width: 5, Priority: 6, Align: draw.Right},
		func(a, b *state.Machine) int { return cmp.Compare(memory(a), memory(b)) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			text := "–"
			if m.Use != nil {
				text = widgets.Bytes(m.Use.Memory)
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "LOAD", Width: 5, Priority: 8, Align: draw.Right},
		func(a, b *state.Machine) int { return cmp.Compare(load(a), load(b)) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			text := "–"
			if m.Use != nil {
				text = strconv.FormatFloat(m.Use.Load1, 'f', 2, 64)
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "UP", Width: 4, Priority: 9, Align: draw.Right},
		func(a, b *state.Machine) int { return cmp.Compare(uptime(a), uptime(b)) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			text := "–"
			if m.Use != nil {
				text = widgets.Age(secs(m.Use.Uptime))
			}
			b.Cell(text, w, a, env.Theme.Text)
		}},
	{widgets.Column{Title: "ADDRESS", Width: 15, Priority: 3},
		func(a, b *state.Machine) int { return cmp.Compare(a.Address, b.Address) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			b.Cell(dash(m.Address), w, a, env.Theme.Dim)
		}},
	{widgets.Column{Title: "METADATA", Width: 16, Priority: 7},
		func(a, b *state.Machine) int { return cmp.Compare(metadata(a), metadata(b)) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			b.Cell(dash(metadata(m)), w, a, env.Theme.Dim)
		}},
	{widgets.Column{Title: "VERSION", Width: 10, Priority: 10},
		func(a, b *state.Machine) int { return cmp.Compare(a.Version, b.Version) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			b.Cell(dash(m.Version), w, a, env.Theme.Dim)
		}},
}

func drawState(env *screens.Env, b *draw.Buf, m *state.Machine, w int, _ draw.Align) {
	t := env.Theme
	ink := widgets.Ink(t, m.Mood)
	end := b.Col() + w
	b.Text(widgets.Glyph(t, m.Mood)+" ", ink)
	word := m.Word
	switch {
	case m.Health.State == cluster.Suspect && !m.Health.SilentSince.IsZero():
		word += " " + widgets.Watch(env.Now.Sub(m.Health.SilentSince))
	case !m.WordSince().IsZero():
		word += " " + widgets.Since(m.WordSince(), env.Now)
	}
	b.Cell(word, end-b.Col(), draw.Left, ink)
}

func metadata(m *state.Machine) string {
	pairs := make([]string, 0, len(m.Metadata))
	for k, v := range m.Metadata {
		pairs = append(pairs, k+"="+v)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}

func dash(s string) string { return cmp.Or(s, "–") }
