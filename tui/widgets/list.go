// Package widgets are the parts screens are built from.
package widgets

import "fleettop/tui/keys"

// List is a cursor over items that come and go. It stays on its item, and the
// item stays on its line of the screen, when others move around it.
type List struct {
	key    string
	index  int
	top    int
	height int
	n      int
}

// SetHeight tells how many items are visible.
func (l *List) SetHeight(h int) {
	l.height = max(1, h)
	l.clamp()
}

// Sync tells the list of its items: how many there are, and the key of each.
func (l *List) Sync(n int, key func(i int) string) {
	l.n = n
	switch {
	case n == 0:
		l.index, l.top, l.key = 0, 0, ""
		return
	case l.key == "":
		l.key = key(min(l.index, n-1))
	}
	at := -1
	if l.index < n && key(l.index) == l.key {
		at = l.index
	}
	for i := 0; at < 0 && i < n; i++ {
		if key(i) == l.key {
			at = i
		}
	}
	if at < 0 { // it is gone: the one in its place is next
		at = min(l.index, n-1)
		l.key = key(at)
	}
	l.top += at - l.index
	l.index = at
	l.clamp()
}

func (l *List) clamp() {
	l.index = max(0, min(l.index, l.n-1))
	if l.index < l.top {
		l.top = l.index
	}
	if l.height > 0 && l.index >= l.top+l.height {
		l.top = l.index - l.height + 1
	}
	l.top = max(0, min(l.top, l.n-l.height))
}

// Select puts the cursor on an item.
func (l *List) Select(i int, key func(i int) string) {
	if l.n == 0 {
		return
	}
	l.index = max(0, min(i, l.n-1))
	l.key = key(l.index)
	l.clamp()
}

// SelectKey puts the cursor on the item with a key, at the next Sync.
func (l *List) SelectKey(key string) { l.key = key }

// Do moves the cursor, and reports whether the action was one that does.
func (l *List) Do(a keys.Action, key func(i int) string) bool {
	to := l.index
	switch a {
	case keys.Down:
		to++
	case keys.Up:
		to--
	case keys.Top:
		to = 0
	case keys.Bottom:
		to = l.n - 1
	case keys.HalfDown:
		to += l.height / 2
		l.top += l.height / 2
	case keys.HalfUp:
		to -= l.height / 2
		l.top -= l.height / 2
	case keys.PageDown:
		to += l.height
		l.top += l.height
	case keys.PageUp:
		to -= l.height
		l.top -= l.height
	default:
		return false
	}
	l.Select(to, key)
	return true
}

// Index is the cursor's item; -1 without items.
func (l *List) Index() int {
	if l.n == 0 {
		return -1
	}
	return l.index
}

// Len is how many items there are.
func (l *List) Len() int { return l.n }

// Visible is the range of items on the screen.
func (l *List) Visible() (from, to int) { return l.top, min(l.n, l.top+l.height) }

// Scroll is a view over lines without a cursor.
type Scroll struct{ top, height, n int }

// Set tells how many lines there are, and how many are visible.
func (s *Scroll) Set(n, height int) {
	s.n, s.height = n, max(1, height)
	s.top = max(0, min(s.top, n-s.height))
}

// Do scrolls, and reports whether the action was one that does.
func (s *Scroll) Do(a keys.Action) bool {
	switch a {
	case keys.Down:
		s.top++
	case keys.Up:
		s.top--
	case keys.Top:
		s.top = 0
	case keys.Bottom:
		s.top = s.n
	case keys.HalfDown:
		s.top += s.height / 2
	case keys.HalfUp:
		s.top -= s.height / 2
	case keys.PageDown:
		s.top += s.height
	case keys.PageUp:
		s.top -= s.height
	default:
		return false
	}
	s.top = max(0, min(s.top, s.n-s.height))
	return true
}

// Visible is the range of lines on the screen.
func (s *Scroll) Visible() (from, to int) { return s.top, min(s.n, s.top+s.height) }
