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

	"fleettop/units/broadcast"
)

// stopPatience is more than it takes to be stopped.
const stopPatience = 300 * time.Millisecond

// leavePatience is how long a terminal may take to take what it is left with.
const leavePatience = 250 * time.Millisecond

const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?2004h\x1b[2J\x1b[H"
	leave = "\x1b[m\x1b[?2004l\x1b[?1049l\x1b[?25h"

	mouseOn  = "\x1b[?1000h\x1b[?1006h"
	mouseOff = "\x1b[?1000l\x1b[?1006l"

	// DEC mode 2026: the terminal shows what is between them at once.
	beginSync = "\x1b[?2026h"
	endSync   = "\x1b[?2026l"
)

// Terminal is a terminal that is held. Its methods may be called from any
// goroutine, and none waits long for a terminal that takes nothing: a goroutine
// of its own writes, and of frames that come meanwhile it shows the last.
type Terminal struct {
	out  io.Writer
	tty  *os.File      // nil where the other end isn't a local terminal
	wake chan struct{} // has one when there is something to write
	gone chan struct{} // closed with the writer

	mu     sync.Mutex // guards what follows
	cooked *term.State
	mouse  bool // events are asked for
	held   bool
	closed bool
	queue  []string // to be written as they are, before the frame
	frame  frame    // to be painted
	due    bool     // the frame is
	whole  bool     // the screen is to be painted whole
	seqs   uint64   // how much was asked of the writer
	did    uint64   // and done
	idle   broadcast.Signal
	err    error

	// What follows belongs to the writer.
	width  int
	height int
	shown  []string
	cells  [][]cell
	spare  []cell
	buf    strings.Builder
}

type frame struct {
	text          string
	width, height int
}

// Open holds the terminal behind in and out; Close ends that. Where in is no
// local terminal, the other end has made it raw.
func Open(in io.Reader, out io.Writer, mouse bool) (*Terminal, error) {
	t := &Terminal{out: out, mouse: mouse, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.tty = f
	}
	go t.write()
	return t, t.Enter()
}

// Local reports whether it is a terminal of this machine.
func (t *Terminal) Local() bool { return t.tty != nil }

// Files are the terminal as another program gets it: its standard input,
// output and error.
func (t *Terminal) Files() (in io.Reader, out, err io.Writer) {
	if f, ok := t.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return t.tty, f, f
	}
	return t.tty, t.tty, t.tty
}

// Enter takes the terminal, also again after Leave.
func (t *Terminal) Enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held || t.closed {
		return nil
	}
	if t.tty != nil {
		cooked, err := term.MakeRaw(int(t.tty.Fd()))
		if err != nil {
			return err
		}
		t.cooked = cooked
	}
	t.held = true
	t.begin()
	return nil
}

// begin has the screen set up and painted whole; the caller holds mu.
func (t *Terminal) begin() {
	seq := enter
	if t.mouse {
		seq += mouseOn
	}
	t.whole = true
	t.ask(seq)
}

// SetMouse asks for mouse events, or no longer.
func (t *Terminal) SetMouse(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mouse = on; !t.held {
		return
	}
	if on {
		t.ask(mouseOn)
	} else {
		t.ask(mouseOff)
	}
}

// Continue takes the terminal again after a stop from outside, from which a
// shell came back with a terminal of its own.
func (t *Terminal) Continue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.held || t.tty == nil {
		return
	}
	_, _ = term.MakeRaw(int(t.tty.Fd()))
	t.begin()
}

// Leave gives the terminal back, as it was. It may be called more than once. A
// terminal that takes nothing gets its mode back all the same.
func (t *Terminal) Leave() {
	t.mu.Lock()
	if !t.held {
		t.mu.Unlock()
		return
	}
	t.held, t.due = false, false
	seq := leave
	if t.mouse {
		seq = mouseOff + leave
	}
	t.ask(seq)
	t.mu.Unlock()
	t.Flush(leavePatience)
	if t.tty != nil && t.cooked != nil {
		_ = term.Restore(int(t.tty.Fd()), t.cooked)
	}
}

// Close leaves the terminal for good.
func (t *Terminal) Close() {
	t.Leave()
	t.mu.Lock()
	t.closed = true
	t.poke()
	t.mu.Unlock()
	select {
	case <-t.gone:
	case <-time.After(leavePatience): // it hangs in a write, and ends with the process or the connection
	}
}

// Flush waits until all is written, but not longer than some time.
func (t *Terminal) Flush(limit time.Duration) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	t.mu.Lock()
	upTo := t.seqs
	t.mu.Unlock()
	for {
		t.mu.Lock()
		done, idle := t.did >= upTo, t.idle.Changed()
		t.mu.Unlock()
		if done {
			return
		}
		select {
		case <-idle:
		case <-deadline.C:
			return
		}
	}
}

// ask has a sequence written; the caller holds mu.
func (t *Terminal) ask(seq string) {
	t.queue = append(t.queue, seq)
	t.poke()
}

// poke tells the writer that there is something; the caller holds mu.
func (t *Terminal) poke() {
	t.seqs++
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// write writes what is asked for until Close.
func (t *Terminal) write() {
	defer close(t.gone)
	for range t.wake {
		t.mu.Lock()
		queue, f, due, whole, upTo, closed := t.queue, t.frame, t.due && t.held, t.whole, t.seqs, t.closed
		t.queue, t.due = nil, false
		if due {
			t.whole = false
		}
		t.mu.Unlock()
		text := strings.Join(queue, "")
		if due {
			text += t.paint(f, whole)
		}
		var err error
		if text != "" {
			_, err = io.WriteString(t.out, text)
		}
		t.mu.Lock()
		if t.err == nil {
			t.err = err
		}
		t.did = upTo
		t.idle.Notify()
		t.mu.Unlock()
		if closed {
			return
		}
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
	t.whole = true
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
		t.ask(seq)
	}
}

// Paint shows a frame: lines for a screen of a size. Nothing is written for a
// frame that is on the screen already.
func (t *Terminal) Paint(text string, width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.held || width <= 0 || height <= 0 {
		return
	}
	t.frame, t.due = frame{text, width, height}, true
	t.poke()
}

// paint is what turns what is on the screen into a frame.
func (t *Terminal) paint(f frame, whole bool) string {
	whole = whole || t.shown == nil || f.width != t.width || f.height != t.height
	if whole {
		t.width, t.height = f.width, f.height
		t.shown = make([]string, f.height)
		t.cells = make([][]cell, f.height)
	}
	t.buf.Reset()
	rest := f.text
	for row := range f.height {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		if t.cells[row] != nil && t.shown[row] == line {
			continue
		}
		t.spare = cellsOf(line, f.width, t.spare)
		old := t.cells[row]
		if old == nil {
			old = cellsOf("", f.width, nil)
		}
		patch(&t.buf, row, old, t.spare)
		t.shown[row], t.cells[row], t.spare = line, t.spare, old
	}
	if t.buf.Len() == 0 && !whole {
		return ""
	}
	begin := beginSync
	if whole {
		begin += "\x1b[m\x1b[2J"
	}
	return begin + t.buf.String() + endSync
}
