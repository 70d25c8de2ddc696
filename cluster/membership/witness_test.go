package membership

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

func blind(context.Context, string) Verdict { return Unknown }

// testify answers probes as id(n), and questions with look.
func testify(t *testing.T, n int, look Looker) string {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := ServeProbes(ctx, l, id(n), look); err != nil {
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
