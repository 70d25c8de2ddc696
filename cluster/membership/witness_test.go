package membership

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// eyes is a Witness: what it sees, and whom it was told of.
type eyes struct {
	look   func(ctx context.Context, about string) Verdict
	doubts chan string
}

func (e eyes) Look(ctx context.Context, id string) Verdict { return e.look(ctx, id) }
func (e eyes) Doubt(id string)                             { e.doubts <- id }

var blind = eyes{look: func(context.Context, string) Verdict { return Unknown }}

// testify answers probes as id(n), and questions with look.
func testify(t *testing.T, n int, look func(context.Context, string) Verdict) string {
	t.Helper()
	return testifyAs(t, n, eyes{look: look})
}

func testifyAs(t *testing.T, n int, witness Witness) string {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := ServeProbes(ctx, l, id(n), witness); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return l.Addr().String()
}

// A witness says what it sees of the machine that it is asked about.
func TestAsk(t *testing.T) {
	for _, want := range []Verdict{Answered, Reached, Refused, Hung, Silent, Heard, Unknown} {
		addr := testify(t, 1, func(_ context.Context, about string) Verdict {
			if about != id(2) {
				t.Errorf("asked about %s", about)
			}
			return want
		})
		if got := Ask(t.Context(), addr, id(1), id(2), time.Minute); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if got := Ask(t.Context(), addr, id(3), id(2), time.Minute); got != Unknown {
			t.Errorf("at the address another machine answers: %s", got)
		}
	}
}

// What doesn't answer, answers late, or answers something else, says nothing.
func TestAskWithoutAnswer(t *testing.T) {
	closed := listen(t)
	closed.Close()
	slow := make(chan struct{})
	defer close(slow)
	for name, addr := range map[string]string{
		"nothing listens": closed.Addr().String(),
		"mute":            reply(t, func(net.Conn) {}),
		"older daemon":    reply(t, func(c net.Conn) { c.Close() }),
		"nonsense":        reply(t, func(c net.Conn) { c.Write([]byte("fleettop-saw everything " + id(1) + "\n")) }),
		"slow":            testify(t, 1, func(context.Context, string) Verdict { <-slow; return Silent }),
	} {
		if got := Ask(t.Context(), addr, id(1), id(2), 50*time.Millisecond); got != Unknown {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// More questions than a machine looks at a time are answered at once.
func TestTooManyQuestions(t *testing.T) {
	var looking sync.WaitGroup
	looking.Add(looksAtOnce)
	enough := make(chan struct{})
	addr := testify(t, 1, func(context.Context, string) Verdict { looking.Done(); <-enough; return Silent })
	var asking sync.WaitGroup
	for range looksAtOnce {
		asking.Go(func() {
			if got := Ask(t.Context(), addr, id(1), id(2), time.Minute); got != Silent {
				t.Errorf("one of the first: %s", got)
			}
		})
	}
	looking.Wait()
	if got := Ask(t.Context(), addr, id(1), id(2), time.Minute); got != Unknown {
		t.Errorf("one too many: %s", got)
	}
	close(enough)
	asking.Wait()
}

// A doubt reaches the machine that it is told; one that doesn't listen, or doesn't
// know the word, does no harm.
func TestDoubt(t *testing.T) {
	told := make(chan string, 1)
	addr := testifyAs(t, 1, eyes{doubts: told})
	Doubt(t.Context(), addr, id(2), time.Minute)
	select {
	case about := <-told:
		if about != id(2) {
			t.Errorf("told of %s", about)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the doubt didn't arrive")
	}
	closed := listen(t)
	closed.Close()
	Doubt(t.Context(), closed.Addr().String(), id(2), time.Minute)
	Doubt(t.Context(), reply(t, func(c net.Conn) { c.Close() }), id(2), time.Minute)
	Doubt(t.Context(), reply(t, func(net.Conn) {}), id(2), time.Millisecond)
}
