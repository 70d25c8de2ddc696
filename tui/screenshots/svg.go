package main

import (
	"fmt"
	"html"
	"strconv"
	"strings"

	"fleettop/tui/tuitest"
)

const (
	cellWidth  = 8.4
	cellHeight = 18
	margin     = 14
	background = "#1b1d23"
	foreground = "#d7dae0"
)

// palette is the terminal's sixteen colours.
var palette = []string{"#1b1d23", "#e06c75", "#7fc77f", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#d7dae0",
	"#6b7280", "#ff7b86", "#98e098", "#ffd68a", "#82c4ff", "#dc9cf0", "#7fd6e0", "#ffffff"}

// look is how a cell is drawn.
type look struct {
	fg, bg    string
	bold      bool
	underline bool
}

// lookOf reads the sequences that are on.
func lookOf(seqs string) look {
	l := look{fg: foreground, bg: background}
	reverse, faint := false, false
	for _, seq := range strings.Split(seqs, "\x1b[") {
		codes := strings.Split(strings.TrimSuffix(seq, "m"), ";")
		for i := 0; i < len(codes); i++ {
			n, err := strconv.Atoi(codes[i])
			switch {
			case err != nil:
			case n == 0:
				l, reverse, faint = look{fg: foreground, bg: background}, false, false
			case n == 1:
				l.bold = true
			case n == 2:
				faint = true
			case n == 4:
				l.underline = true
			case n == 7:
				reverse = true
			case (n == 38 || n == 48) && i+2 < len(codes): // one of 256
				c, _ := strconv.Atoi(codes[i+2])
				if i += 2; n == 38 {
					l.fg = colour256(c)
				} else {
					l.bg = colour256(c)
				}
			case n >= 30 && n <= 37:
				l.fg = palette[n-30]
			case n >= 90 && n <= 97:
				l.fg = palette[n-90+8]
			case n >= 40 && n <= 47:
				l.bg = palette[n-40]
			}
		}
	}
	if reverse {
		l.fg, l.bg = l.bg, l.fg
	}
	if faint {
		l.fg = palette[8]
	}
	return l
}

// colour256 is one of the 256 colours: the palette, a cube, and greys.
func colour256(n int) string {
	switch {
	case n < 16:
		return palette[n]
	case n >= 232:
		grey := 8 + 10*(n-232)
		return fmt.Sprintf("#%02x%02x%02x", grey, grey, grey)
	}
	steps := []int{0, 0x5f, 0x87, 0xaf, 0xd7, 0xff}
	n -= 16
	return fmt.Sprintf("#%02x%02x%02x", steps[n/36], steps[n/6%6], steps[n%6])
}

// svg draws a screen.
func svg(cells [][]tuitest.Cell) string {
	var b strings.Builder
	open(&b, len(cells[0]), len(cells))
	for row, line := range cells {
		drawRow(&b, row, line)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// open begins a picture of a terminal of a size in cells.
func open(b *strings.Builder, width, height int) {
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" xml:space="preserve" `+
		`font-family="JetBrains Mono,DejaVu Sans Mono,Menlo,Consolas,monospace" font-size="14">`+"\n",
		float64(width)*cellWidth+2*margin, height*cellHeight+2*margin)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", background)
}

func drawRow(b *strings.Builder, row int, line []tuitest.Cell) {
	for col := 0; col < len(line); {
		end := col + 1
		for end < len(line) && line[end].Look == line[col].Look && !alone(line[end].Text) && !alone(line[col].Text) {
			end++
		}
		for end < len(line) && line[end].Text == "" {
			end++
		}
		run(b, row, col, line[col:end])
		col = end
	}
}

// alone reports whether a character gets a place of its own, as fonts disagree
// on its width.
func alone(text string) bool { return len(text) != 1 }

// run draws cells that look the same.
func run(b *strings.Builder, row, col int, cells []tuitest.Cell) {
	l := lookOf(cells[0].Look)
	var text strings.Builder
	for _, c := range cells {
		text.WriteString(c.Text)
	}
	x, y := margin+float64(col)*cellWidth, margin+row*cellHeight
	if l.bg != background {
		fmt.Fprintf(b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", x, y, float64(len(cells))*cellWidth+0.3, cellHeight, l.bg)
	}
	shown := strings.TrimRight(text.String(), " ")
	if shown == "" {
		return
	}
	attrs := ""
	if l.bold {
		attrs += ` font-weight="bold"`
	}
	if l.underline {
		attrs += ` text-decoration="underline"`
	}
	w := float64(len(cells)-(len(text.String())-len(shown))) * cellWidth
	fmt.Fprintf(b, `<text x="%.1f" y="%d" textLength="%.1f" fill="%s"%s>%s</text>`+"\n",
		x, y+cellHeight-5, w, l.fg, attrs, html.EscapeString(shown))
}
