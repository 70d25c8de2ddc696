// Package draw builds lines of text for a terminal: cells padded and cut by
// display width, in inks that were prepared once per theme.
package draw

import "strings"

// reset ends an ink.
const reset = "\x1b[m"

// Ink is how text looks: the escape sequences that switch it on. The zero Ink
// is the terminal's own.
type Ink struct {
	On string
	// Solid inks keep others from showing on top of them: reversed text has
	// no room for a second colour, but for that of an Over ink.
	Solid bool
	// Over inks show on top of all others: what they say must not be hidden by the cursor.
	Over bool
}

// Apply returns text in the ink, for the rare text that isn't written through a Buf.
func (i Ink) Apply(text string) string {
	if i.On == "" || text == "" {
		return text
	}
	return i.On + text + reset
}

// Align says where a cell's text goes.
type Align uint8

// Alignments.
const (
	Left Align = iota
	Right
	Center
)

// Buf builds lines of a given width. What doesn't fit is cut off. Its zero
// value has no width; Reset gives it one and may be called again and again.
type Buf struct {
	b     []byte
	width int
	col   int
	base  Ink
	lines int
}

// Reset empties the buffer and sets the width of its lines.
func (b *Buf) Reset(width int) {
	b.b, b.width, b.col, b.base, b.lines = b.b[:0], width, 0, Ink{}, 0
}

// Width is the width of the lines.
func (b *Buf) Width() int { return b.width }

// Col is the column the next text goes to.
func (b *Buf) Col() int { return b.col }

// Left is how many columns are left on the line.
func (b *Buf) Left() int { return b.width - b.col }

// Lines is how many lines were ended.
func (b *Buf) Lines() int { return b.lines }

// Base sets the ink below all others up to the end of the line; the line is
// then filled to its full width.
func (b *Buf) Base(i Ink) { b.base = i }

// Text writes text and cuts it at the end of the line.
func (b *Buf) Text(text string, ink Ink) {
	if text == "" || b.col >= b.width {
		return
	}
	w := Width(text)
	if b.col+w > b.width {
		text = Fit(text, b.width-b.col)
		w = Width(text)
	}
	b.write(text, ink)
	b.col += w
}

// Cell writes text into exactly w columns, cut with an ellipsis if it is longer.
func (b *Buf) Cell(text string, w int, align Align, ink Ink) {
	if w = min(w, b.width-b.col); w <= 0 {
		return
	}
	tw := Width(text)
	if tw > w {
		text = Fit(text, w)
		tw = Width(text)
	}
	before := 0
	switch align {
	case Right:
		before = w - tw
	case Center:
		before = (w - tw) / 2
	}
	b.Space(before)
	if text != "" {
		b.write(text, ink)
		b.col += tw
	}
	b.Space(w - tw - before)
}

// Raw writes text that has its own escape sequences and a known width.
func (b *Buf) Raw(text string, width int) {
	if b.col+width > b.width {
		return
	}
	b.b = append(b.b, text...)
	b.col += width
}

// Space writes n blanks.
func (b *Buf) Space(n int) { b.Fill(" ", n, Ink{}) }

// Fill writes a string of one column n times.
func (b *Buf) Fill(s string, n int, ink Ink) {
	if n = min(n, b.width-b.col); n <= 0 {
		return
	}
	on := b.open(ink)
	for range n {
		b.b = append(b.b, s...)
	}
	if on {
		b.b = append(b.b, reset...)
	}
	b.col += n
}

// To writes blanks up to a column.
func (b *Buf) To(col int) { b.Space(col - b.col) }

// End ends the line.
func (b *Buf) End() {
	if b.base != (Ink{}) {
		b.Space(b.width - b.col)
		b.base = Ink{}
	}
	b.b = append(b.b, '\n')
	b.col = 0
	b.lines++
}

// Blank ends lines until there are n of them.
func (b *Buf) Blank(n int) {
	for b.lines < n {
		b.End()
	}
}

// String is what was built, without the last line's end.
func (b *Buf) String() string { return strings.TrimSuffix(string(b.b), "\n") }

func (b *Buf) write(text string, ink Ink) {
	on := b.open(ink)
	b.b = append(b.b, text...)
	if on {
		b.b = append(b.b, reset...)
	}
}

func (b *Buf) open(ink Ink) bool {
	if b.base.On != "" {
		b.b = append(b.b, b.base.On...)
		if !b.base.Solid || ink.Over {
			b.b = append(b.b, ink.On...)
		}
		return true
	}
	b.b = append(b.b, ink.On...)
	return ink.On != ""
}
