package print

import (
	"io"
	"strings"

	"fleettop/tui/draw"
)

// Cell is a text of a table and its colour.
type Cell struct {
	Text   string
	Colour Colour
}

// Text returns a cell without a colour.
func Text(text string) Cell { return Cell{Text: text} }

// Coloured returns a cell with a colour.
func Coloured(text string, colour Colour) Cell { return Cell{Text: text, Colour: colour} }

// Table writes rows with columns aligned by display width, the last one not
// padded. Nothing in a cell can steer the terminal. The error is w's.
func Table(w io.Writer, colour bool, rows [][]Cell) error {
	var widths []int
	for _, row := range rows {
		for i := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			row[i].Text = draw.Clean(row[i].Text)
			widths[i] = max(widths[i], draw.Width(row[i].Text))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, c := range row {
			b.WriteString(Paint(colour, c.Colour, c.Text))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-draw.Width(c.Text)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}
