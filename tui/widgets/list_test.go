package widgets

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fleettop/tui/keys"
)

// TestTheCursorStaysOnItsItem changes a list in any way: as long as the item
// under the cursor is there, the cursor is on it, and where it can be on the
// same line of the screen.
func TestTheCursorStaysOnItsItem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l List
		height := rapid.IntRange(1, 8).Draw(t, "height")
		l.SetHeight(height)
		items := rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 1, 40, rapid.ID[int]).Draw(t, "items")
		slices.Sort(items)
		key := func(i int) string { return string(rune('A' + items[i])) }
		l.Sync(len(items), key)
		for range 8 {
			l.Do(rapid.SampledFrom([]keys.Action{keys.Down, keys.Up, keys.Top, keys.Bottom, keys.HalfDown, keys.PageUp}).Draw(t, "move"), key)
			under := items[l.Index()]
			from, _ := l.Visible()
			line, n := l.Index()-from, len(items)
			items = rapid.SliceOfNDistinct(rapid.IntRange(0, 60), 1, 40, rapid.ID[int]).Draw(t, "next")
			slices.Sort(items)
			l.Sync(len(items), key)
			from, to := l.Visible()
			if i := l.Index(); i < from || i >= to || to > len(items) {
				t.Fatalf("the cursor at %d is not among %d to %d of %d", i, from, to, len(items))
			}
			if at := slices.Index(items, under); at >= 0 {
				if l.Index() != at {
					t.Fatalf("the cursor was on %d, and is on %d", under, items[l.Index()])
				}
				free := at >= line && len(items)-at >= height-line && n >= height
				if free && l.Index()-from != line {
					t.Fatalf("the item was on line %d, and is on line %d", line, l.Index()-from)
				}
			}
		}
	})
}

func TestLayoutDropsByPriority(t *testing.T) {
	columns := []Column{{Width: 10, Grows: true, Priority: 0}, {Width: 5, Priority: 2}, {Width: 8, Priority: 1}}
	for width, want := range map[int][]int{9: {0, 0, 0}, 10: {10, 0, 0}, 20: {10, 0, 8}, 26: {16, 0, 8}, 27: {10, 5, 8}, 40: {23, 5, 8}} {
		if got := Layout(columns, width); !slices.Equal(got, want) {
			t.Errorf("%d columns of room are used as %v, want %v", width, got, want)
		}
	}
}

func TestConfirmDefaultsToNo(t *testing.T) {
	few := func() *Confirm { return &Confirm{Targets: []string{"a", "b"}} }
	many := func() *Confirm { return &Confirm{Targets: []string{"a", "b", "c", "d", "e", "f"}} }
	for _, c := range []struct {
		name   string
		dialog *Confirm
		keys   []string
		want   Answer
	}{
		{"enter", few(), []string{"enter"}, No}, {"esc", few(), []string{"esc"}, No}, {"chosen", few(), []string{"tab", "enter"}, Yes}, {"y", few(), []string{"y"}, Yes},
		{"there and back", few(), []string{"left", "left", "enter"}, No}, {"many, y", many(), []string{"y"}, Open}, {"many, enter", many(), []string{"tab", "enter"}, Open},
		{"many, counted", many(), []string{"6", "enter"}, Yes}, {"many, miscounted", many(), []string{"5", "enter"}, Open}, {"many, corrected", many(), []string{"5", "backspace", "6", "enter"}, Yes},
	} {
		got := Open
		for _, k := range c.keys {
			got = c.dialog.Key(k)
		}
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
