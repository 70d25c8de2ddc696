package widgets

import (
	"io"
	"slices"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"pgregory.net/rapid"

	"fleettop/tui/draw"
	"fleettop/tui/keys"
	"fleettop/tui/theme"
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
			l.Do(rapid.SampledFrom([]keys.Action{keys.Down, keys.Up, keys.Top, keys.Bottom, keys.HalfDown, keys.PageUp}).Draw(t,
				"move"), key)
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
	for width, want := range map[int][]int{9: {0, 0, 0}, 10: {10, 0, 0}, 20: {10, 0, 8}, 26: {16, 0, 8}, 27: {10, 5, 8},
		40: {23, 5, 8}} {
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
		{"enter", few(), []string{"enter"}, No}, {"esc", few(), []string{"esc"}, No}, {"chosen", few(),
			[]string{"tab", "enter"}, Yes}, {"y", few(), []string{"y"}, Yes},
		{"there and back", few(), []string{"left", "left", "enter"}, No}, {"many, y", many(), []string{"y"},
			Open}, {"many, enter", many(), []string{"tab", "enter"}, Open},
		{"many, counted", many(), []string{"6", "enter"}, Yes}, {"many, miscounted", many(), []string{"5", "enter"},
			Open}, {"many, corrected", many(), []string{"5", "backspace", "6", "enter"}, Yes},
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

// TestAPromptTakesALongPaste types and pastes more than fits: the end is shown,
// with the cursor.
func TestAPromptTakesALongPaste(t *testing.T) {
	look, err := theme.New(lipgloss.NewRenderer(io.Discard), theme.Options{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPrompt(":", "")
	p.Update(tea.KeyMsg{Type: tea.KeyRunes, Paste: true, Runes: []rune(strings.Repeat("数据 \x1b[2J\n", 50_000) +
		"the end")})
	var b draw.Buf
	b.Reset(40)
	p.Draw(&b, look)
	b.End()
	if line := b.String(); !strings.HasSuffix(line, "the end_") || draw.Width(line) > 40 ||
		strings.ContainsRune(line, 0x1b) {
		t.Errorf("it shows %q", line)
	}
	p.Update(tea.KeyMsg{Type: tea.KeyHome})
	b.Reset(40)
	p.Draw(&b, look)
	b.End()
	if line := b.String(); !strings.HasPrefix(line, ":数据  [2J") || draw.Width(line) > 40 {
		t.Errorf("its beginning is %q", line)
	}
}

func TestClauses(t *testing.T) {
	const silent = "no answer for 0.7 s, probe timed out"
	for _, c := range []struct {
		text         string
		width, lines int
		want         string
	}{
		{silent, 40, 1, silent}, {silent, 21, 2, "no answer for 0.7 s|probe timed out"}, {silent, 21, 1,
			"no answer for 0.7 s"},
		{"no answer for 12.7 s, probe timed out", 19, 3, "no answer for|12.7 s|probe timed out"},
		{"no answer for 12.7 s, probe timed out", 19, 2, "no answer for|12.7 s"},
		{"gossip lost it; its daemon answers", 40, 1, "gossip lost it; its daemon answers"},
		{"its daemon answers and is not connected to the store", 21, 1, "its daemon answers a…"}, {"", 20, 2, ""},
	} {
		if got := strings.Join(Clauses(c.text, c.width, c.lines), "|"); got != c.want {
			t.Errorf("%q in %d lines of %d is %q, want %q", c.text, c.lines, c.width, got, c.want)
		}
	}
}
