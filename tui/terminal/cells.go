package terminal

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/rivo/uniseg"

	"fleettop/tui/draw"
)

// cell is one column of a line. The columns a wide character covers after its
// first have no text.
type cell struct {
	text string
	look string // the sequences that are on
}

// cellsOf splits a line into the cells of a screen of some width.
func cellsOf(line string, width int, into []cell) []cell {
	into = into[:0]
	look := ""
	for len(line) > 0 && len(into) < width {
		if line[0] == '\x1b' {
			n := sequence(line)
			if isReset(line[:n]) {
				look = ""
			} else {
				look += line[:n]
			}
			line = line[n:]
			continue
		}
		if c := line[0]; c >= 0x20 && c < 0x7f && (len(line) == 1 || line[1] < 0x80) {
			into = append(into, cell{line[:1], look})
			line = line[1:]
			continue
		}
		cluster, rest, _, _ := uniseg.FirstGraphemeClusterInString(line, -1)
		w := draw.Width(cluster)
		line = rest
		if w == 0 || len(into)+w > width {
			continue
		}
		into = append(into, cell{cluster, look})
		for range w - 1 {
			into = append(into, cell{"", look})
		}
	}
	for len(into) < width {
		into = append(into, cell{" ", ""})
	}
	return into
}

// sequence is the length of the escape sequence a line begins with.
func sequence(line string) int {
	if len(line) < 2 || line[1] != '[' {
		return 1
	}
	for i := 2; i < len(line); i++ {
		if c := line[i]; c >= 0x40 && c <= 0x7e {
			return i + 1
		}
	}
	return len(line)
}

func isReset(seq string) bool { return seq == "\x1b[m" || seq == "\x1b[0m" }

// patch writes what turns one line of the screen into another.
func patch(out *strings.Builder, row int, old, next []cell) {
	from := 0
	for from < len(next) && from < len(old) && old[from] == next[from] {
		from++
	}
	if from == len(next) {
		return
	}
	to := len(next)
	if len(old) == len(next) {
		for to > from && old[to-1] == next[to-1] {
			to--
		}
	}
	for from > 0 && next[from].text == "" {
		from--
	}
	for to < len(next) && next[to].text == "" {
		to++
	}
	look := ""
	for col := from; col < to; {
		// A long stretch that is the same is cheaper jumped over than written.
		same := 0
		for col+same < to && len(old) == len(next) && old[col+same] == next[col+same] {
			same++
		}
		if col == from || same > 8 {
			if col != from {
				col += same
				for next[col].text == "" {
					col--
				}
			}
			out.WriteString(ansi.CursorPosition(col+1, row+1))
			if rest := blankFrom(next, col); rest {
				look = restyle(out, look, "")
				out.WriteString(ansi.EraseLineRight)
				break
			}
		}
		c := next[col]
		col++
		if c.text == "" {
			continue
		}
		look = restyle(out, look, c.look)
		out.WriteString(c.text)
		if c.text == " " && c.look == "" && blankFrom(next, col) && to-col > 4 {
			out.WriteString(ansi.EraseLineRight)
			break
		}
	}
	restyle(out, look, "")
}

func blankFrom(cells []cell, col int) bool {
	for _, c := range cells[col:] {
		if c.text != " " || c.look != "" {
			return false
		}
	}
	return true
}

func restyle(out *strings.Builder, now, want string) string {
	if now == want {
		return now
	}
	if now != "" && !strings.HasPrefix(want, now) {
		out.WriteString("\x1b[m")
		now = ""
	}
	out.WriteString(want[len(now):])
	return want
}
