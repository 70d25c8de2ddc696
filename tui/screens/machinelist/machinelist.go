// Package machinelist is the screen of all machines, with the evidence for
// what is thought of them.
package machinelist

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/widgets"
)

// Screen lists machines.
type Screen struct {
	width, height int
	buf           draw.Buf
	list          widgets.List
	marks         map[string]bool // by machine ID
	sorted        int             // column
	down          bool

	items []*state.Machine
	made  struct {
		gen    uint64
		query  string
		sorted int
		down   bool
	}
}

// New returns a list of machines.
func New() *Screen { return &Screen{marks: map[string]bool{}} }

// Place implements screens.Screen.
func (s *Screen) Place() keys.Place { return keys.Machines }

// Title implements screens.Screen.
func (s *Screen) Title(*screens.Env) string { return "machines" }

// Filters implements screens.Screen.
func (s *Screen) Filters() bool { return true }

// SetSize implements screens.Screen.
func (s *Screen) SetSize(w, h int) { s.width, s.height = w, h }

// Update implements screens.Screen.
func (s *Screen) Update(*screens.Env, tea.Msg) tea.Cmd { return nil }

// Marked implements screens.Marker.
func (s *Screen) Marked() int { return len(s.marks) }

// ClearMarks implements screens.Marker.
func (s *Screen) ClearMarks() { clear(s.marks) }

func (s *Screen) sync(env *screens.Env) {
	now := s.made
	now.gen, now.query, now.sorted, now.down = env.Snap.Gen, env.Filter.String(), s.sorted, s.down
	if s.items == nil || now != s.made {
		s.made = now
		s.items = s.items[:0]
		for _, m := range env.Snap.Machines {
			if env.Filter.Empty() || m.Matches(env.Filter) {
				s.items = append(s.items, m)
			}
		}
		if by := columns[s.sorted].compare; by != nil {
			slices.SortStableFunc(s.items, by)
		}
		if s.down {
			slices.Reverse(s.items)
		}
	}
	s.list.SetHeight((s.height - 2) / s.perItem())
	s.list.Sync(len(s.items), s.key)
}

// perItem is how many lines a machine takes: a second one has the evidence,
// where there is no column for it.
func (s *Screen) perItem() int {
	if s.width < 100 && s.height >= 14 && len(s.items)*2 <= s.height-2 {
		return 2
	}
	return 1
}

func (s *Screen) key(i int) string { return s.items[i].ID }

func (s *Screen) machine() *state.Machine {
	if i := s.list.Index(); i >= 0 {
		return s.items[i]
	}
	return nil
}

// Do implements screens.Screen.
func (s *Screen) Do(env *screens.Env, a keys.Action) screens.Intent {
	s.sync(env)
	if s.list.Do(a, s.key) {
		return nil
	}
	m := s.machine()
	switch a {
	case keys.Enter:
		if m != nil {
			return screens.OpenMachine{ID: m.ID}
		}
	case keys.Mark:
		if m != nil {
			if s.marks[m.ID] {
				delete(s.marks, m.ID)
			} else {
				s.marks[m.ID] = true
			}
			s.list.Do(keys.Down, s.key)
		}
	case keys.MarkAll:
		all := len(s.marks) == len(s.items)
		clear(s.marks)
		for _, m := range s.items {
			if !all {
				s.marks[m.ID] = true
			}
		}
	case keys.SortNext:
		s.sorted = (s.sorted + 1) % len(columns)
	case keys.SortPrev:
		s.sorted = (s.sorted + len(columns) - 1) % len(columns)
	case keys.Reverse:
		s.down = !s.down
	}
	return nil
}

// Target implements screens.Screen.
func (s *Screen) Target(env *screens.Env) screens.Target {
	s.sync(env)
	var t screens.Target
	for _, m := range env.Snap.Machines {
		if s.marks[m.ID] {
			t.Machines = append(t.Machines, m.ID)
		}
	}
	if m := s.machine(); m != nil && len(t.Machines) == 0 {
		t.Machines, t.Text = []string{m.ID}, m.ID
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
	{widgets.Column{Title: "CPU", Width: 5, Priority: 5, Align: draw.Right},
		func(a, b *state.Machine) int { return cmp.Compare(cpu(a), cpu(b)) },
		func(env *screens.Env, b *draw.Buf, m *state.Machine, w int, a draw.Align) {
			text := "–"
			if m.Use != nil {
				text = widgets.Cores(m.Use.CPU)
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
	case !m.Health.Since.IsZero():
		word += " " + widgets.Since(m.Health.Since, env.Now)
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
