package input

import (
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// TestWhilePausedOthersReadTheTerminal pauses and goes on, many times: what is
// written meanwhile is for others, and nothing is lost or read twice.
func TestWhilePausedOthersReadTheTerminal(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	msgs, gone := make(chan tea.Msg, 100), make(chan struct{})
	r, err := Start(in, true, false, func(m tea.Msg) { msgs <- m }, func() { close(gone) })
	if err != nil {
		t.Fatal(err)
	}
	next := func(want string) {
		t.Helper()
		select {
		case m := <-msgs:
			if fmt.Sprint(m) != want {
				t.Fatalf("got %v, want %s", m, want)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s never comes", want)
		}
	}
	for range 200 {
		fmt.Fprint(out, "a")
		next("a")
		r.Pause()
		fmt.Fprint(out, "editor")
		buf := make([]byte, 6)
		if _, err := io.ReadFull(in, buf); err != nil || string(buf) != "editor" {
			t.Fatalf("the other reads %q, %v", buf, err)
		}
		r.Resume()
	}
	out.Close()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the end isn't noticed")
	}
	r.Pause() // after the end, too
	r.Close()
}
