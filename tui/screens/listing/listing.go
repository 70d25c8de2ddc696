// Package listing is what the screens that list things share: the things that
// pass the filter, the cursor that stays on its thing, and the marks.
package listing

import (
	"maps"
	"slices"
	"strconv"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/screens"
	"fleettop/tui/theme"
	"fleettop/tui/widgets"
)

// List is the part of a screen that lists things of type T. The screen embeds
// it, fills Items when they are stale, and then calls Sync.
type List[T any] struct {
	Width, Height int
	Buf           draw.Buf
	Items         []T

	key    func(T) string
	cursor widgets.List
	made   made
}

// made is what Items were made from.
type made struct {
	gen   uint64
	query string
	order any
}

// New returns a list of things with keys.
func New[T any](key func(T) string) List[T] { return List[T]{key: key} }

// SetSize implements screens.Screen.
func (l *List[T]) SetSize(w, h int) { l.Width, l.Height = w, h }

// Filters implements screens.Screen.
func (l *List[T]) Filters() bool { return true }

// Update implements screens.Screen.
func (l *List[T]) Update(*screens.Env, tea.Msg) tea.Cmd { return nil }

// Stale tells, once, that Items are to be made anew: there is another
// snapshot, another filter, or another order, which must be comparable.
func (l *List[T]) Stale(env *screens.Env, order any) bool {
	now := made{env.Snap.Gen, env.Filter.String(), order}
	stale := l.Items == nil || now != l.made
	l.made = now
	return stale
}

// Sync tells the cursor of the items, and how many are visible.
func (l *List[T]) Sync(visible int) {
	l.cursor.SetHeight(visible)
	l.cursor.Sync(len(l.Items), l.keyAt)
}

func (l *List[T]) keyAt(i int) string { return l.key(l.Items[i]) }

// Move carries out an action that moves the cursor, and reports whether it was one.
func (l *List[T]) Move(a keys.Action) bool { return l.cursor.Do(a, l.keyAt) }

// Select puts the cursor on the item with a key, at the next Sync.
func (l *List[T]) Select(key string) { l.cursor.SelectKey(key) }

// Index is the cursor's item; -1 without items.
func (l *List[T]) Index() int { return l.cursor.Index() }

// At is what is under the cursor; ok is false for nothing.
func (l *List[T]) At() (item T, ok bool) {
	i := l.cursor.Index()
	if i < 0 || i >= len(l.Items) {
		return item, false
	}
	return l.Items[i], true
}

// Click puts the cursor on the n-th visible item.
func (l *List[T]) Click(n int) {
	if from, to := l.cursor.Visible(); n >= 0 && from+n < to {
		l.cursor.Select(from+n, l.keyAt)
	}
}

// Visible calls f for each visible item, and reports whether the cursor is on it.
func (l *List[T]) Visible(f func(item T, under bool)) {
	from, to := l.cursor.Visible()
	for i := from; i < to; i++ {
		f(l.Items[i], i == l.cursor.Index())
	}
}

// Scrolls reports whether there are more items than visible ones.
func (l *List[T]) Scrolls() bool {
	from, to := l.cursor.Visible()
	return len(l.Items) > to-from
}

// Below says how many items come after the last visible one; empty for none.
func (l *List[T]) Below() string {
	if _, to := l.cursor.Visible(); to < len(l.Items) {
		return ", … " + strconv.Itoa(len(l.Items)-to) + " more"
	}
	return ""
}

// None says why there is nothing: the filter, or else a sentence.
func (l *List[T]) None(env *screens.Env, what, sentence string) {
	if !env.Filter.Empty() {
		sentence = what + " matches " + draw.Clean(env.Filter.String()) + ". Esc takes the filter away."
	}
	l.Buf.End()
	for _, line := range draw.Wrap(sentence, l.Width-4) {
		l.Buf.Space(2)
		l.Buf.Text(line, env.Theme.Dim)
		l.Buf.End()
	}
}

// Count begins the last line: how much there is, and the filter.
func (l *List[T]) Count(env *screens.Env, text string) {
	b, t := &l.Buf, env.Theme
	b.Space(2)
	b.Text(text, t.Dim)
	if !env.Filter.Empty() {
		b.Text("  filter ", t.Dim)
		b.Text(draw.Clean(env.Filter.String()), t.Key)
	}
}

// Marks are the things that are marked, by key.
type Marks struct{ on map[string]bool }

// Has reports whether a thing is marked.
func (m *Marks) Has(key string) bool { return m.on[key] }

// Marked implements screens.Marker.
func (m *Marks) Marked() int { return len(m.on) }

// ClearMarks implements screens.Marker.
func (m *Marks) ClearMarks() (were []string) {
	were = slices.Sorted(maps.Keys(m.on))
	clear(m.on)
	return were
}

// Mark implements screens.Marker.
func (m *Marks) Mark(keys []string) {
	for _, key := range keys {
		if !m.on[key] {
			m.Toggle(key)
		}
	}
}

// Toggle marks a thing, or takes its mark away.
func (m *Marks) Toggle(key string) {
	if m.on[key] {
		delete(m.on, key)
		return
	}
	if m.on == nil {
		m.on = map[string]bool{}
	}
	m.on[key] = true
}

// ToggleAll marks all of some things, or none if they were.
func (m *Marks) ToggleAll(all []string) {
	left := 0
	for _, key := range all {
		if !m.on[key] {
			left++
		}
	}
	for _, key := range all {
		if left == 0 || !m.on[key] {
			m.Toggle(key)
		}
	}
}

// Gutter writes the two columns before a thing: whether the cursor is on it,
// whether it is marked, and else a sign of its own.
func (m *Marks) Gutter(b *draw.Buf, t *theme.Theme, key string, under bool, sign string, ink draw.Ink) {
	marked := m.on[key]
	switch {
	case marked && under && t.Cursor == (draw.Ink{}): // nothing else shows the cursor
		b.Text(t.Glyphs.Cursor+t.Glyphs.Mark, t.Mark)
	case marked:
		b.Cell(t.Glyphs.Mark, 2, draw.Left, t.Mark)
	case under:
		b.Cell(t.Glyphs.Cursor, 2, draw.Left, t.Key)
	default:
		b.Cell(sign, 2, draw.Left, ink)
	}
}

// Draw says on the last line how many there are, and how many of them are shown.
func (m *Marks) Draw(env *screens.Env, b *draw.Buf, shown int) {
	n := len(m.on)
	if n == 0 {
		return
	}
	text := strconv.Itoa(n) + " marked"
	if shown < n {
		text += ", " + strconv.Itoa(n-shown) + " of them hidden"
	}
	b.Text("  "+text, env.Theme.Mark)
}

// Hidden says why nothing is done to marks none of which is shown.
func (m *Marks) Hidden(what string) string {
	return "No marked " + what + " is shown here, and hidden ones are left alone. Esc takes the marks away."
}
