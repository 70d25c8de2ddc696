package tui

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
)

// TestATerminalsAnswersDoNothing sends answers to another program's queries, whole and
// split, to a console on the screen of machines, where c and d act.
func TestATerminalsAnswersDoNothing(t *testing.T) {
	for _, parts := range [][]string{
		{"\x1b]11;rgb:1d1d/cdcd/2121\x1b\\"}, {"\x1b]11;rgb:1d1d/", "cdcd/2121\a"}, {"\x1bP>|xterm(388) cd\x1b\\"},
		{"\x1b_Gi=31;c\x1b", "\\"}, {"\x1b[?62;1;", "2c"}, {"\x1b^dc\x1b\\"},
	} {
		c := runConsole(t, 120, 40, false)
		c.client.lines <- tuitest.Cluster(3, 3)
		c.await(t, "any one machine may die", 20*time.Second)
		c.types(t, "3")
		c.await(t, "METADATA", 20*time.Second)
		for _, p := range parts {
			c.types(t, p)
			time.Sleep(150 * time.Millisecond) // as a slow line does
		}
		c.types(t, "6")
		c.await(t, "this help", 20*time.Second)
		c.client.mu.Lock()
		if told := c.client.told; len(told) > 0 {
			t.Errorf("%q: the machines were told %q", parts, told)
		}
		c.client.mu.Unlock()
	}
}

// clogged is a terminal that takes nothing from some moment on.
type clogged struct {
	*tube
	full atomic.Bool
	free chan struct{}
}

func (c *clogged) Write(p []byte) (int, error) {
	if c.full.Load() {
		<-c.free
		return 0, io.ErrClosedPipe
	}
	return c.tube.Write(p)
}

// TestWhateverItDoesTheConsoleEnds holds up the goroutine that draws, or the
// terminal, and ends the console in each way there is.
func TestWhateverItDoesTheConsoleEnds(t *testing.T) {
	for _, busy := range []string{"drawing", "writing", "connecting", "nothing"} {
		for _, end := range []string{"q", "ctrl-c", "signal", "hang-up"} {
			t.Run(busy+", "+end, func(t *testing.T) {
				t.Parallel()
				in, keys := io.Pipe()
				out := &clogged{tube: &tube{wrote: make(chan struct{}, 1)}, free: make(chan struct{})}
				var held atomic.Bool
				free := make(chan struct{})
				client := &fakeClient{lines: make(chan *api.Line)}
				asked := make(chan struct{}, 100)
				other := func(api.Machine) (Client, error) {
					asked <- struct{}{}
					<-free
					return nil, io.EOF
				}
				sizes := make(chan Size, 1)
				sizes <- Size{80, 24}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() {
					ended <- Run(ctx, Options{Client: client, Other: other, Env: elsewhere, In: in, Out: out, Sizes: sizes,
						prepare: func(s *shell) {
							s.now = func() time.Time {
								if held.Load() {
									<-free
								}
								return time.Now()
							}
						}})
				}()
				c := &console{client: client, keys: keys, out: out.tube, ended: ended}
				client.lines <- tuitest.Cluster(3, 3)
				c.await(t, "machine may die", 20*time.Second)
				held.Store(busy == "drawing")
				out.full.Store(busy == "writing")
				if busy == "connecting" {
					close(client.lines)
					<-asked
				}
				c.types(t, "2")
				time.Sleep(50 * time.Millisecond) // so that it is busy; none of what follows depends on it
				began := time.Now()
				var want error
				switch end {
				case "q":
					c.types(t, "jjq")
				case "ctrl-c":
					c.types(t, "\x03")
				case "signal":
					cancel()
					want = context.Canceled
				case "hang-up":
					keys.Close()
					want = ErrGone
				}
				select {
				case err := <-ended:
					if !errors.Is(err, want) && busy != "writing" {
						t.Errorf("it ends with %v, want %v", err, want)
					}
					t.Logf("it took %s", time.Since(began))
				case <-time.After(20 * time.Second):
					t.Error("it doesn't end")
				}
				if _, text := out.take(); busy != "writing" && !strings.HasSuffix(text, "\x1b[?25h") {
					t.Errorf("the terminal was left with %q", text[max(0, len(text)-40):])
				}
				cancel()
				keys.Close()
				close(free)
				close(out.free)
			})
		}
	}
}
