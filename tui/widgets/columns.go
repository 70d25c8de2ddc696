package widgets

import (
	"cmp"
	"slices"

	"fleettop/tui/draw"
	"fleettop/tui/theme"
)

// Column is a column of a table.
type Column struct {
	Title    string
	Width    int // least width, for a column that grows
	Most     int // of a column that grows; 0 for no limit
	Grows    bool
	Priority int // the lower, the longer it stays when room is short
	Align    draw.Align
}

const gap = 2

// Layout chooses the columns that fit a width, and how wide each is; 0 for
// one that is left out.
func Layout(columns []Column, width int) []int {
	order := make([]int, len(columns))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(columns[a].Priority, columns[b].Priority) })
	widths := make([]int, len(columns))
	left := width
	var grow []int
	for n, i := range order {
		need := columns[i].Width
		if n > 0 {
			need += gap
		}
		if need > left {
			break // nothing less important in its place: the table would look another way at each width
		}
		widths[i] = columns[i].Width
		left -= need
		if columns[i].Grows {
			grow = append(grow, i)
		}
	}
	for _, i := range grow { // the more important one first
		more := left
		if most := columns[i].Most; most > 0 {
			more = min(more, max(0, most-widths[i]))
		}
		widths[i] += more
		left -= more
	}
	return widths
}

// Head writes the titles, marking the column the table is sorted by.
func Head(b *draw.Buf, t *theme.Theme, columns []Column, widths []int, by int, down bool) {
	for i, c := range columns {
		if widths[i] == 0 {
			continue
		}
		ink, title := t.Dim, c.Title
		if i == by {
			ink = t.Strong
			mark := t.Up
			if down {
				mark = t.Down
			}
			if c.Align == draw.Right {
				title = mark + title
			} else {
				title += mark
			}
		}
		b.Cell(title, widths[i], c.Align, ink)
		b.Space(gap)
	}
}

// ColumnAt is the column at a place of a line, from the table's left edge; -1 for none.
func ColumnAt(widths []int, x int) int {
	at := 0
	for i, w := range widths {
		if w == 0 {
			continue
		}
		if x >= at && x < at+w {
			return i
		}
		at += w + gap
	}
	return -1
}

// Gap is the room between two columns.
func Gap(b *draw.Buf) { b.Space(gap) }
