package terminal

import (
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rivo/uniseg"
	"pgregory.net/rapid"

	"fleettop/tui/draw"
)

// screen is as much of a terminal as a Terminal writes for.
type screen struct {
	cells         [][]cell
	row, col      int
	look          string
	width, height int
}

func newScreen(w, h int) *screen {
	s := &screen{width: w, height: h}
	for range h {
		s.cells = append(s.cells, cellsOf("", w, nil))
	}
	return s
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	for len(text) > 0 {
		if text[0] == 0x1b {
			n := sequence(text)
			s.obey(text[:n])
			text = text[n:]
			continue
		}
		cluster, rest, _, _ := uniseg.FirstGraphemeClusterInString(text, -1)
		w := draw.Width(cluster)
		s.cells[s.row][s.col] = cell{cluster, s.look}
		for i := 1; i < w; i++ {
			s.cells[s.row][s.col+i] = cell{"", s.look}
		}
		s.col += w
		text = rest
	}
	return len(p), nil
}

func (s *screen) obey(seq string) {
	switch {
	case isReset(seq):
		s.look = ""
	case strings.HasSuffix(seq, "m"):
		s.look += seq
	case strings.HasSuffix(seq, "H"):
		s.row, s.col = 0, 0
		if r, c, ok := strings.Cut(strings.Trim(seq, "\x1b[H"), ";"); ok {
			s.row, _ = strconv.Atoi(r)
			s.col, _ = strconv.Atoi(c)
			s.row, s.col = s.row-1, s.col-1
		}
	case seq == "\x1b[2J":
		*s = *newScreen(s.width, s.height)
	case seq == "\x1b[K" || seq == "\x1b[0K":
		for i := s.col; i < s.width; i++ {
			s.cells[s.row][i] = cell{" ", ""}
		}
	}
}

func TestPaintShowsTheFrame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, h := rapid.IntRange(4, 30).Draw(t, "w"), rapid.IntRange(1, 5).Draw(t, "h")
		s := newScreen(w, h)
		term, err := Open(strings.NewReader(""), s, false)
		if err != nil {
			t.Fatal(err)
		}
		defer term.Close()
		piece := rapid.SampledFrom([]string{"a", "b", " ", "    ", "ab", "漢", "é", "→", "\x1b[31m", "\x1b[m", "\x1b[1;7m",
			"é", "          "})
		for range rapid.IntRange(1, 6).Draw(t, "frames") {
			var lines []string
			for range h {
				lines = append(lines, strings.Join(rapid.SliceOfN(piece, 0, 30).Draw(t, "line"), ""))
			}
			term.Paint(strings.Join(lines, "\n"), w, h)
			term.Flush(time.Minute)
			for row, line := range lines {
				want := cellsOf(line, w, nil)
				for col, c := range s.cells[row] {
					if c.text != want[col].text || c.text != " " && c.look != want[col].look ||
						c.text == " " && strings.Contains(c.look+want[col].look, "7m") && c.look != want[col].look {
						t.Fatalf("line %d column %d: shows %q, want %q\nframe %q", row, col, c, want[col], line)
					}
				}
			}
		}
	})
}

func TestSmallChangeIsFewBytes(t *testing.T) {
	var out strings.Builder
	term, err := Open(strings.NewReader(""), &out, false)
	if err != nil {
		t.Fatal(err)
	}
	line := func(n int) string {
		return "\x1b[32m● active\x1b[m   web@1.service  running   n1   " + strconv.Itoa(n) + "   3m   0.1   12M"
	}
	frame := func(n int) string {
		return strings.Repeat(line(1)+"\n", 20) + line(n) + strings.Repeat("\n"+line(2), 19)
	}
	paint := func(n int) {
		term.Paint(frame(n), 120, 40)
		term.Flush(time.Minute)
	}
	paint(1)
	out.Reset()
	paint(1)
	if out.Len() > 0 {
		t.Errorf("the same frame again is %q", out.String())
	}
	paint(7)
	if out.Len() > 40 {
		t.Errorf("one digit is %d bytes: %q", out.Len(), out.String())
	}
	out.Reset()
	term.Leave()
	term.Leave()
	term.Close()
	if out.String() != leave {
		t.Errorf("leaving writes %q", out.String())
	}
}

// stuck is a terminal that takes nothing any more.
type stuck struct{ free chan struct{} }

func (s stuck) Write([]byte) (int, error) {
	<-s.free
	return 0, io.ErrClosedPipe
}

// TestATerminalThatTakesNothing: frames are dropped, and it is left in bounded time.
func TestATerminalThatTakesNothing(t *testing.T) {
	out := stuck{make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		term, err := Open(strings.NewReader(""), out, false)
		if err != nil {
			t.Error(err)
			return
		}
		for range 1000 {
			term.Paint("frame", 10, 2)
		}
		term.Emit("\x1b]52;c;\a")
		term.Close()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("it waits for a terminal that takes nothing")
	}
	close(out.free)
}
