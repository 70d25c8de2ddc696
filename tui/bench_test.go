package tui

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
)

// BenchmarkFrame draws screens of 10,000 units on 1,000 machines.
func BenchmarkFrame(b *testing.B) {
	for _, key := range []string{"1", "2", "3", "4"} {
		name := map[string]string{"1": "overview", "2": "units", "3": "machines", "4": "timeline"}[key]
		b.Run(name, func(b *testing.B) {
			sh := newBench(b, 120, 40, true, false, tuitest.Cluster(1000, 10000), tuitest.Failed(7, time.Second))
			sh.press(key)
			for i := range 1000 {
				sh.reducer.AddEvents([]cluster.Event{tuitest.Event(i, time.Duration(i)*time.Second,
					cluster.Event{Kind: cluster.EventUnit, Unit: "web@1.service", Text: "started web@1.service",
						By: "root"})}, sh.clock)
			}
			sh.send(snapshotMsg{sh.reducer.Snapshot(sh.clock)})
			sh.View()
			b.ReportAllocs()
			for b.Loop() {
				sh.View()
			}
		})
	}
}

// tube is a terminal that counts what is written to it.
type tube struct {
	mu    sync.Mutex
	n     int
	text  strings.Builder
	wrote chan struct{}
}

func (t *tube) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n += len(p)
	t.text.Write(p)
	select {
	case t.wrote <- struct{}{}:
	default:
	}
	return len(p), nil
}

// take returns what was written since the last time.
func (t *tube) take() (int, string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, text := t.n, t.text.String()
	t.n = 0
	t.text.Reset()
	return n, text
}

// console is the whole console over a fake daemon and a fake terminal.
type console struct {
	client *fakeClient
	keys   *io.PipeWriter
	out    *tube
	ended  chan error
}

// elsewhere is the environment of a terminal of these tests, whatever theirs is.
func elsewhere(name string) string {
	return map[string]string{"TERM": "xterm-256color", "LANG": "C.UTF-8"}[name]
}

func runConsole(t testing.TB, w, h int, plain bool) *console {
	t.Helper()
	in, keys := io.Pipe()
	c := &console{client: &fakeClient{lines: make(chan *api.Line)}, keys: keys, out: &tube{wrote: make(chan struct{}, 1)},
		ended: make(chan error, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	sizes := make(chan Size, 1)
	sizes <- Size{w, h}
	go func() {
		c.ended <- Run(ctx, Options{Client: c.client, In: in, Out: c.out, Sizes: sizes, Env: elsewhere, NoColor: true,
			Plain: plain})
	}()
	t.Cleanup(func() {
		cancel()
		select {
		case <-c.ended:
		case <-time.After(60 * time.Second):
			t.Error("the console does not end")
		}
	})
	return c
}

// await waits until the terminal was told a text, and returns all it was told until then.
func (c *console) await(t testing.TB, text string, limit time.Duration) string {
	t.Helper()
	var all strings.Builder
	deadline := time.After(limit)
	for {
		_, got := c.out.take()
		all.WriteString(got)
		if strings.Contains(all.String(), text) {
			return all.String()
		}
		select {
		case <-c.out.wrote:
		case <-deadline:
			t.Fatalf("%q was not written within %s, but %q", text, limit, all.String())
		}
	}
}

func (c *console) types(t testing.TB, text string) {
	t.Helper()
	if _, err := c.keys.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func restarts(n int) *api.Line {
	st := tuitest.Runs("web@3.service", 3, 10, "active", "running")
	st.Restarts, st.Since = n, time.Now().Add(-time.Hour)
	return &api.Line{Kind: api.LineChange, Statuses: []cluster.Status{st}}
}

func TestOneRowChangingIsFewBytes(t *testing.T) {
	c := runConsole(t, 120, 40, false)
	c.client.lines <- tuitest.Cluster(3, 30)
	c.await(t, "any one machine may die", 60*time.Second)
	if _, err := c.keys.Write([]byte("2")); err != nil {
		t.Fatal(err)
	}
	c.await(t, "RESTARTS", 60*time.Second)
	c.silent(t, 300*time.Millisecond)
	const seconds = 2
	began := time.Now()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for i := range 10 * seconds {
		<-tick.C
		c.client.lines <- restarts(i)
	}
	n, text := c.out.take()
	most := int(1500 * max(seconds, time.Since(began).Seconds())) // on a busy machine it is longer
	if n == 0 || n > most {
		t.Errorf("%d bytes in %s, want some and at most %d: %q", n, time.Since(began), most, text)
	}
}

func TestIdleIsSilent(t *testing.T) {
	c := runConsole(t, 120, 40, false)
	c.client.lines <- tuitest.Cluster(3, 30) // its ages are minutes and more
	c.await(t, "any one machine may die", 60*time.Second)
	c.silent(t, 2500*time.Millisecond)
}

// silent waits until nothing was written for a while.
func (c *console) silent(t testing.TB, while time.Duration) {
	t.Helper()
	for limit := time.Now().Add(60 * time.Second); ; {
		c.out.take()
		time.Sleep(while)
		n, text := c.out.take()
		if n == 0 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("it isn't silent for %s, although nothing happens: the last %d bytes are %q", while, n, text)
		}
	}
}

// TestKeyToScreenUnderLoad presses keys while a thousand changes a second come in.
func TestKeyToScreenUnderLoad(t *testing.T) {
	c := runConsole(t, 120, 40, false)
	c.client.lines <- tuitest.Cluster(100, 1000)
	c.await(t, "any one machine may die", 60*time.Second)
	calm := c.threeQuarters(t)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			l := &api.Line{Kind: api.LineChange}
			for i := range 20 {
				name := fmt.Sprintf("web@%d.service", (n*20+i)%1000+1)
				st := tuitest.Runs(name, (n*20+i)%100+1, 10, "active", "running")
				st.Restarts = n
				l.Statuses = append(l.Statuses, st)
			}
			select {
			case <-stop:
				return
			case c.client.lines <- l:
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	busy := c.threeQuarters(t)
	t.Logf("of four keys three are on the screen after %s, and after %s without changes", busy, calm)
	// Others share the processor with this test: what a key takes without changes says how many.
	if busy > 30*time.Millisecond+5*calm {
		t.Errorf("a quarter of the keys takes longer than %s while changes come in, and %s without", busy, calm)
	}
}

// threeQuarters presses keys, and returns what those take that aren't among the slowest quarter.
func (c *console) threeQuarters(t *testing.T) time.Duration {
	t.Helper()
	const tries = 40
	took := make([]time.Duration, tries)
	for i := range tries {
		key, want := "6", "this help"
		if i%2 == 1 {
			key, want = "1", "Timeline"
		}
		time.Sleep(time.Duration(37+i) * time.Millisecond)
		c.out.take()
		began := time.Now()
		c.types(t, key)
		c.await(t, want, 60*time.Second)
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[tries*3/4]
}

func TestTheConsoleOutlivesTheDaemon(t *testing.T) {
	c := runConsole(t, 120, 40, false)
	c.await(t, "Connecting to", 60*time.Second)
	c.client.lines <- tuitest.Cluster(3, 3)
	c.await(t, "any one machine may die", 60*time.Second)
	gone := c.client.lines
	c.client.mu.Lock()
	c.client.lines = make(chan *api.Line)
	c.client.mu.Unlock()
	close(gone)
	c.await(t, "Trying again", 60*time.Second)
	c.client.lines <- tuitest.Cluster(5, 4)
	c.await(t, " n5 ", 60*time.Second)
	if _, err := c.keys.Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	c.await(t, "\x1b[?1049l", 60*time.Second)
	if err := <-c.ended; err != nil {
		t.Errorf("quitting ends with %v", err)
	}
	c.ended <- nil
}

func TestACrashLeavesTheTerminalClean(t *testing.T) {
	c := runConsole(t, 120, 40, false)
	c.client.lines <- tuitest.Cluster(3, 3)
	c.await(t, "any one machine may die", 60*time.Second)
	c.client.lines <- &api.Line{Kind: api.LineChange, Machines: []api.Machine{tuitest.Machine(1)}}
	c.client.mu.Lock()
	c.client.content = "panic"
	c.client.mu.Unlock()
	if _, err := c.keys.Write([]byte("2\r")); err != nil {
		t.Fatal(err)
	}
	c.await(t, "\x1b[?1049l", 60*time.Second)
	err := <-c.ended
	if err == nil || !strings.Contains(err.Error(), "crashed") {
		t.Errorf("a crash ends with %v", err)
	}
	c.ended <- nil
}

// TestPlainTerminalsGetASCII goes through the screens of a terminal whose font
// has nothing else, during a failure.
func TestPlainTerminalsGetASCII(t *testing.T) {
	c := runConsole(t, 80, 24, true)
	var all strings.Builder
	for _, l := range []*api.Line{tuitest.Cluster(3, 30), tuitest.Failed(3, time.Second),
		tuitest.Moved("web@3.service", 3, 1, 20, time.Second),
		tuitest.Summed(3, 1, time.Second, cluster.Outage{})} {
		c.client.lines <- l
	}
	for _, step := range []struct{ keys, sees string }{{"", "worst outage"}, {"2", "STATE^"}, {"\r", "Placement"},
		{"4", "+0.00s"}, {"6", "more below"}, {"2*D", "Destroy 30 units?"}} {
		if _, err := c.keys.Write([]byte(step.keys)); err != nil {
			t.Fatal(err)
		}
		all.WriteString(c.await(t, step.sees, 60*time.Second))
	}
	for _, r := range all.String() {
		if r > 0x7e {
			t.Fatalf("it was told %q", r)
		}
	}
}
