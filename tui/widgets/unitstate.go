package widgets

import (
	"cmp"
	"time"

	"fleettop/tui/draw"
	"fleettop/tui/state"
	"fleettop/tui/theme"
)

// StateWidth is how wide a column of states is on a screen of a width: the
// narrowest has room for the word, the widest for all that is said.
func StateWidth(screen int) int {
	switch {
	case screen < 56:
		return 10
	case screen < 100:
		return 14
	}
	return 24 // ↻ crashing, 275 restarts
}

// RowGlyph is the symbol of a row's state.
func RowGlyph(t *theme.Theme, r *state.Row) string {
	if r.Loops() {
		return t.Again
	}
	return Glyph(t, r.Mood)
}

// Says is the longest of the forms of a row's state that fits, or the shortest.
func Says(r *state.Row, room int, now time.Time) string {
	forms := r.Says(now)
	for _, f := range forms {
		if draw.Width(f) <= room {
			return f
		}
	}
	return forms[len(forms)-1]
}

// State writes a row's state into w columns: a glyph and words, or what was
// asked of the unit and isn't confirmed.
func State(b *draw.Buf, t *theme.Theme, r *state.Row, asked string, w int, now time.Time) {
	glyph, ink := RowGlyph(t, r), Ink(t, r.Mood)
	if asked != "" {
		glyph, ink = t.Glyphs.Busy, t.Busy
	}
	end := b.Col() + w
	b.Text(glyph+" ", ink)
	b.Cell(cmp.Or(asked, Says(r, end-b.Col(), now)), end-b.Col(), draw.Left, ink)
}
