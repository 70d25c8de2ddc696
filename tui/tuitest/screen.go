package tuitest

import (
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/rivo/uniseg"

	"fleettop/tui/draw"
	"fleettop/units/broadcast"
)

// Cell is one column of a Screen. The columns that a wide character covers
// after its first have no text.
type Cell struct {
	Text string
	Look string // the sequences that are on, in their order
}

// Screen is as much of a terminal as the console writes for. Its methods may
// be called from any goroutine.
type Screen struct {
	Width, Height int

	mu       sync.Mutex // guards what follows
	cells    [][]Cell
	row, col int
	look     string
	rest     []byte // of a sequence or a character that is not whole yet
	strange  []string
	changed  broadcast.Signal
}

// NewScreen returns an empty screen.
func NewScreen(width, height int) *Screen {
	s := &Screen{Width: width, Height: height}
	s.clear()
	return s
}

func (s *Screen) clear() {
	s.cells = make([][]Cell, s.Height)
	for i := range s.cells {
		s.cells[i] = make([]Cell, s.Width)
		for j := range s.cells[i] {
			s.cells[i][j] = Cell{Text: " "}
		}
	}
}

// Write implements io.Writer.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := string(append(s.rest, p...))
	s.rest = nil
	for len(text) > 0 {
		switch {
		case text[0] == 0x1b:
			n := sequence(text)
			if n == 0 {
				s.rest = []byte(text)
				text = ""
				break
			}
			s.obey(text[:n])
			text = text[n:]
		case text[0] == '\r':
			s.col = 0
			text = text[1:]
		case text[0] == '\n':
			s.down()
			text = text[1:]
		case text[0] < 0x20:
			text = text[1:]
		case !utf8.FullRuneInString(text):
			s.rest = []byte(text)
			text = ""
		default:
			cluster, rest, _, _ := uniseg.FirstGraphemeClusterInString(text, -1)
			s.put(cluster)
			text = rest
		}
	}
	s.changed.Notify()
	return len(p), nil
}

func (s *Screen) down() {
	if s.row++; s.row == s.Height {
		s.row--
		s.cells = append(s.cells[1:], make([]Cell, s.Width))
		for j := range s.cells[s.row] {
			s.cells[s.row][j] = Cell{Text: " "}
		}
	}
}

func (s *Screen) put(cluster string) {
	w := draw.Width(cluster)
	if s.col+w > s.Width {
		s.col = 0
		s.down()
	}
	for i := range w {
		s.cells[s.row][s.col+i] = Cell{Look: s.look}
	}
	s.cells[s.row][s.col].Text = cluster
	s.col += w
}

// sequence is the length of the escape sequence a text begins with; 0 if it isn't whole.
func sequence(text string) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '[':
		for i := 2; i < len(text); i++ {
			if c := text[i]; c >= 0x40 && c <= 0x7e {
				return i + 1
			}
		}
		return 0
	case ']':
		if i := strings.IndexByte(text, '\a'); i >= 0 {
			return i + 1
		}
		if i := strings.Index(text, "\x1b\\"); i >= 0 {
			return i + 2
		}
		return 0
	}
	return 2
}

func (s *Screen) obey(seq string) {
	last := seq[len(seq)-1]
	switch {
	case seq == "\x1b[m" || seq == "\x1b[0m":
		s.look = ""
	case strings.HasPrefix(seq, "\x1b[") && last == 'm':
		s.look += seq
	case strings.HasPrefix(seq, "\x1b[") && last == 'H':
		s.row, s.col = 0, 0
		if r, c, ok := strings.Cut(seq[2:len(seq)-1], ";"); ok {
			s.row, _ = strconv.Atoi(r)
			s.col, _ = strconv.Atoi(c)
			s.row, s.col = min(max(s.row-1, 0), s.Height-1), min(max(s.col-1, 0), s.Width-1)
		}
	case seq == "\x1b[2J":
		s.clear()
	case seq == "\x1b[K" || seq == "\x1b[0K":
		for i := s.col; i < s.Width; i++ {
			s.cells[s.row][i] = Cell{Text: " "}
		}
	case strings.HasPrefix(seq, "\x1b[?1049"): // another screen: what was on it doesn't matter here
		s.clear()
		s.row, s.col = 0, 0
		s.strange = append(s.strange, seq)
	default:
		s.strange = append(s.strange, seq)
	}
}

// Others are the sequences that moved or drew nothing, such as modes.
func (s *Screen) Others() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.strange...)
}

// Cells is a copy of what is shown.
func (s *Screen) Cells() [][]Cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([][]Cell, len(s.cells))
	for i := range s.cells {
		out[i] = append([]Cell(nil), s.cells[i]...)
	}
	return out
}

// String is the text of the screen.
func (s *Screen) String() string {
	var b strings.Builder
	for _, row := range s.Cells() {
		var line strings.Builder
		for _, c := range row {
			line.WriteString(c.Text)
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// Changed is closed at the next write.
func (s *Screen) Changed() <-chan struct{} { return s.changed.Changed() }
