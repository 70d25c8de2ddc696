package membership

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve answers probes as id(n) until the test ends, and checks that it ends well.
func serve(t *testing.T, n int) string {
	t.Helper()
	l := listen(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ServeProbes(ctx, l, id(n), blind) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("ServeProbes: %v", err)
			}
		case <-time.After(60 * time.Second):
			t.Error("ServeProbes didn't return after its context ended")
		}
	})
	return l.Addr().String()
}

// reply accepts connections and lets answer do with them what it wants.
func reply(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			answer(c)
		}
	}()
	return l.Addr().String()
}

// probe returns all that a probe tells.
func probe(ctx context.Context, addr string, allowed, late time.Duration) []Verdict {
	var told []Verdict
	Probe(ctx, addr, id(1), Patience{allowed, late}, func(v Verdict) { told = append(told, v) })
	return told
}

func TestProbeVerdicts(t *testing.T) {
	const patience = 150 * time.Millisecond
	closed := listen(t)
	closed.Close()
	read := func(c net.Conn) { bufio.NewReader(c).ReadString('\n') }
	for _, c := range []struct {
		name, addr string
		want       Verdict
	}{
		{"lives", serve(t, 1), Answered},
		{"another ID", serve(t, 2), Refused},
		{"nobody listens", closed.Addr().String(), Refused},
		{"mute", reply(t, func(net.Conn) {}), Hung},
		{"never accepts", listen(t).Addr().String(), Hung},
		{"hangs up", reply(t, func(c net.Conn) { read(c); c.Close() }), Hung},
		{"talks nonsense", reply(t, func(c net.Conn) { read(c); fmt.Fprintln(c, "220 mail.example ESMTP") }), Hung},
		{"talks for ever", reply(t, func(c net.Conn) { read(c); fmt.Fprint(c, strings.Repeat("x", 4096)) }), Hung},
		{"half an answer", reply(t, func(c net.Conn) { read(c); fmt.Fprint(c, probeAnswer+id(1)) }), Hung},
		{"no port", "127.0.0.1", Unknown},
		{"no such host", "nobody.invalid:1", Unknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			told := probe(t.Context(), c.addr, patience, 0)
			if got := told[len(told)-1]; got != c.want {
				t.Errorf("verdict %s, want %s", got, c.want)
			}
			if reached := slices.Contains(told, Reached); reached != (c.want == Answered || c.want == Hung ||
				c.name == "another ID") {
				t.Errorf("told %q", told)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("took %s", d)
			}
		})
	}
}

// A full backlog drops our SYN as a dead machine would.
func TestProbeOfSilence(t *testing.T) {
	l := listen(t)
	addr := l.Addr().String()
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	shrinkBacklog(t, raw)
	for range 4 {
		c, err := net.DialTimeout("tcp", addr, 50*time.Millisecond)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
	}
	if got := probe(t.Context(), addr, 100*time.Millisecond, 0); !slices.Equal(got, []Verdict{Silent}) {
		t.Errorf("verdicts %q, want %s", got, Silent)
	}
}

// A connection that is let in late is one of a machine that lives: the kernel
// sends its SYN a second time.
func TestProbeHearsALateAnswer(t *testing.T) {
	l := listen(t)
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	shrinkBacklog(t, raw)
	for range 4 { // fill the backlog
		if c, err := net.DialTimeout("tcp", l.Addr().String(), 50*time.Millisecond); err == nil {
			defer c.Close()
		}
	}
	var told []Verdict
	Probe(t.Context(), l.Addr().String(), id(1), Patience{50 * time.Millisecond, 20 * time.Second}, func(v Verdict) {
		if told = append(told, v); v == Silent {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- ServeProbes(ctx, l, id(1), blind) }()
			t.Cleanup(func() { cancel(); <-done })
		}
	})
	if want := []Verdict{Silent, Reached, Answered}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestProbeCancelledSaysNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := reply(t, func(net.Conn) { cancel() })
	start := time.Now()
	if got := probe(ctx, addr, 2*time.Minute, 0); got[len(got)-1] != Unknown {
		t.Errorf("verdicts %q, want %s", got, Unknown)
	}
	if d := time.Since(start); d > time.Minute {
		t.Errorf("cancelled probe took %s", d)
	}
}

func TestProbesAreAnsweredInAFlood(t *testing.T) {
	addr := serve(t, 1)
	for range 3 * probeConns { // connections that never ask
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if got := probe(t.Context(), addr, time.Second, 0); got[len(got)-1] != Answered {
		t.Errorf("verdicts %q in a flood, want %s", got, Answered)
	}
}

func TestServerHangsUpOnNonsense(t *testing.T) {
	addr := serve(t, 1)
	for _, line := range []string{"GET / HTTP/1.1\n", strings.Repeat("x", 100_000)} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, line)
		c.SetReadDeadline(time.Now().Add(60 * time.Second))
		if n, err := c.Read(make([]byte, 100)); err == nil {
			t.Errorf("answered %d bytes to %.10q", n, line)
		} else if ne, ok := err.(net.Error); ok && ne.Timeout() {
			t.Errorf("didn't hang up on %.10q", line)
		}
	}
}

func TestServeProbesReportsABrokenListener(t *testing.T) {
	l := listen(t)
	l.Close()
	if err := ServeProbes(t.Context(), l, id(1), blind); err == nil {
		t.Error("no error from a closed listener")
	}
}
