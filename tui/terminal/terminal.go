// Package terminal holds the terminal while the console is on it, and paints
// frames: only the cells that changed are written, in one synchronized update,
// and when it is left it is as it was before.
package terminal

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"
)

// stopPatience is more than it takes to be stopped.
const stopPatience = 300 * time.Millisecond

const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[2J\x1b[H"
	leave = "\x1b[m\x1b[?2004l\x1b[?1049l\x1b[?25h"

	mouseOn  = "\x1b[?1000h\x1b[?1006h"
	mouseOff = "\x1b[?1000l\x1b[?1006l"

	// DEC mode 2026: the terminal shows what is between them at once.
	beginSync = "\x1b[?2026h"
	endSync   = "\x1b[?2026l"
)

// Terminal is a terminal that is held. Its methods may be called from any goroutine.
type Terminal struct {
	out   io.Writer
	tty   *os.File // nil where the other end isn't a local terminal
	mouse bool

	mu     sync.Mutex // guards what follows
	cooked *term.State
	held   bool
	width  int
	height int
	shown  []string
	cells  [][]cell
	spare  []cell
	buf    strings.Builder
	err    error
}

// Open holds the terminal behind in and out. Where in is no local terminal,
// whoever is at the other end has made it raw.
func Open(in io.Reader, out io.Writer, mouse bool) (*Terminal, error) {
	t := &Terminal{out: out, mouse: mouse}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.tty = f
	}
	return t, t.Enter()
}

// Enter takes the terminal, also again after Leave.
func (t *Terminal) Enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held {
		return nil
	}
	if t.tty != nil {
		cooked, err := term.MakeRaw(int(t.tty.Fd()))
		if err != nil {
			return err
		}
		t.cooked = cooked
	}
	t.held, t.shown = true, nil
	t.write(enter)
	if t.mouse {
		t.write(mouseOn)
	}
	return nil
}

// Leave gives the terminal back, as it was. It may be called more than once.
func (t *Terminal) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.held {
		return
	}
	t.held = false
	if t.mouse {
		t.write(mouseOff)
	}
	t.write(leave)
	if t.cooked != nil {
		_ = term.Restore(int(t.tty.Fd()), t.cooked)
	}
}

// Suspend leaves the terminal, stops the process until it is continued, and
// takes the terminal again.
func (t *Terminal) Suspend() error {
	if t.tty == nil {
		return nil // there is no shell to come back from
	}
	t.Leave()
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	if err := syscall.Kill(0, syscall.SIGTSTP); err != nil {
		return err
	}
	select {
	case <-resumed:
	case <-time.After(stopPatience): // nobody could continue it, so the kernel did not stop it
	}
	return t.Enter()
}

// Size is the terminal's size, if it is a local one.
func (t *Terminal) Size() (width, height int, ok bool) {
	if t.tty == nil {
		return 0, 0, false
	}
	w, h, err := term.GetSize(int(t.tty.Fd()))
	return w, h, err == nil && w > 0 && h > 0
}

// Repaint forgets what is on the screen, so that the next frame is written whole.
func (t *Terminal) Repaint() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shown = nil
}

// Err is the first error of writing, such as that the terminal is gone.
func (t *Terminal) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// Emit writes a sequence that isn't part of a frame.
func (t *Terminal) Emit(seq string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held {
		t.write(seq)
	}
}

func (t *Terminal) write(s string) {
	if _, err := io.WriteString(t.out, s); err != nil && t.err == nil {
		t.err = err
	}
}

// Paint shows a frame: lines for a screen of a size. It writes nothing if the
// frame is on the screen already.
func (t *Terminal) Paint(frame string, width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.held || width <= 0 || height <= 0 {
		return
	}
	whole := t.shown == nil || width != t.width || height != t.height
	if whole {
		t.width, t.height = width, height
		t.shown = make([]string, height)
		t.cells = make([][]cell, height)
	}
	t.buf.Reset()
	rest := frame
	for row := range height {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if t.cells[row] != nil && t.shown[row] == line {
			continue
		}
		t.spare = cellsOf(line, width, t.spare)
		old := t.cells[row]
		if old == nil {
			old = cellsOf("", width, nil)
		}
		patch(&t.buf, row, old, t.spare)
		t.shown[row], t.cells[row], t.spare = line, t.spare, old
	}
	if t.buf.Len() == 0 && !whole {
		return
	}
	begin := beginSync
	if whole {
		begin += "\x1b[m\x1b[2J"
	}
	t.write(begin + t.buf.String() + endSync)
}
