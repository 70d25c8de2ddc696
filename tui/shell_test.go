package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"fleettop/cluster"
	"fleettop/cluster/schedule"
	"fleettop/daemon/api"
	"fleettop/tui/keys"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/tuitest"
)

// fakeClient is a daemon on paper.
type fakeClient struct {
	mu      sync.Mutex // guards what follows
	acted   []api.ActionRequest
	told    []string // machines and verbs
	refuse  error
	content string
	log     []api.LogLine
	lines   chan *api.Line
}

func (c *fakeClient) Endpoint() string { return "unix:///run/fleettop/fleettop.sock" }

func (c *fakeClient) Watch(ctx context.Context, _ api.WatchOptions, f func(*api.State, *api.Line) error) error {
	var s api.State
	c.mu.Lock()
	lines := c.lines
	c.mu.Unlock()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case l, ok := <-lines:
			if !ok {
				return errors.New("the daemon ended the stream")
			}
			s.Apply(l)
			if err := f(&s, l); err != nil {
				return err
			}
		}
	}
}

func (c *fakeClient) Stats(ctx context.Context, _ func(api.Stats) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func (c *fakeClient) Events(context.Context, string, int) ([]cluster.Event, error) { return nil, nil }

func (c *fakeClient) Unit(_ context.Context, name string) (*api.UnitDetail, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.content == "panic" {
		panic("a fault of the console")
	}
	d := &api.UnitDetail{}
	d.Unit = tuitest.Unit(name)
	d.Content = c.content
	return d, nil
}

func (c *fakeClient) Explain(_ context.Context, name string) (*schedule.Explanation, error) {
	return &schedule.Explanation{Unit: name, On: []string{tuitest.MachineID(1)}, Reason: "fewest units (1) of 2 eligible machines", Verdicts: []schedule.Verdict{
		{Machine: tuitest.MachineID(1), Name: "n1", OK: true, Reason: "1 unit"}, {Machine: tuitest.MachineID(2), Name: "n2", OK: true, Reason: "2 units"},
		{Machine: tuitest.MachineID(3), Name: "n3", Reason: "lacks ssd=true"}}}, nil
}

func (c *fakeClient) Journal(ctx context.Context, _ api.JournalOptions, f func(api.LogLine) error) error {
	for _, l := range c.log {
		if err := f(l); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (c *fakeClient) Act(_ context.Context, req api.ActionRequest) (*api.ActionReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.acted = append(c.acted, req)
	if c.refuse != nil {
		return nil, c.refuse
	}
	reply := &api.ActionReply{}
	for _, name := range req.Units {
		reply.Results = append(reply.Results, api.UnitResult{Name: name, Generation: 2, Changed: true})
	}
	for _, f := range req.Files {
		reply.Results = append(reply.Results, api.UnitResult{Name: f.Name, Generation: 1, Changed: true})
	}
	return reply, nil
}

func (c *fakeClient) Schedule(_ context.Context, machine, verb string) (*api.Machine, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, verb+" "+machine)
	return &api.Machine{}, c.refuse
}

// paper is a source whose snapshots the test makes.
type paper struct{ client *fakeClient }

func (p paper) Snapshots() <-chan *state.Snapshot {
	none := make(chan *state.Snapshot)
	close(none)
	return none
}
func (p paper) Look(bool)       {}
func (p paper) Current() Client { return p.client }

// desk is a host that only remembers.
type desk struct{ copied string }

func (d *desk) Copy(text string) { d.copied = text }
func (d *desk) Suspend()         {}
func (d *desk) Redraw()          {}

// bench is a shell under test.
type bench struct {
	*shell
	t       testing.TB
	client  *fakeClient
	desk    *desk
	reducer *state.Reducer
	clock   time.Time
}

type power struct{}

func (power) Off(string) error { return nil }
func (power) On(string) error  { return nil }

func newBench(t testing.TB, w, h int, colour, readOnly bool, lines ...*api.Line) *bench {
	t.Helper()
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	if colour {
		r.SetColorProfile(termenv.ANSI)
	}
	look, err := theme.New(r, theme.Options{})
	if err != nil {
		t.Fatal(err)
	}
	km, err := keys.NewMap(nil, readOnly, true)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, client: &fakeClient{content: unitFile}, desk: &desk{}, reducer: state.NewReducer(), clock: tuitest.Noon}
	b.shell = newShell(setup{theme: look, keys: km, source: paper{b.client}, host: b.desk, power: power{}, readOnly: readOnly, now: func() time.Time { return b.clock },
		after: func(time.Duration, tea.Msg) tea.Cmd { return nil }})
	b.width, b.height = w, h
	b.reducer.SetConn(state.Conn{Up: true, Endpoint: b.client.Endpoint(), Since: b.clock, Seen: b.clock})
	for _, l := range lines {
		b.line(l)
	}
	t.Cleanup(b.closeAll)
	return b
}

const unitFile = `[Unit]
Description=A service of the demo

# restarts by itself
[Service]
ExecStart=/bin/sh -c 'while :; do echo "alive"; sleep 1; done'
Restart=always

[X-Fleet]
MachineMetadata=ssd=true
Conflicts=web@*.service
`

// line folds a line in and shows the shell what came of it.
func (b *bench) line(l *api.Line) {
	b.reducer.Apply(l, b.clock)
	b.send(snapshotMsg{b.reducer.Snapshot(b.clock)})
}

// send hands a message to the shell, and carries out the commands that follow
// but for those that wait.
func (b *bench) send(msg tea.Msg) {
	_, cmd := b.Update(msg)
	b.run(cmd)
}

func (b *bench) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	got := make(chan tea.Msg, 1)
	go func() { got <- cmd() }()
	select {
	case msg := <-got:
		switch msg := msg.(type) {
		case nil, tickMsg, snapshotMsg:
		case tea.BatchMsg:
			for _, c := range msg {
				b.run(c)
			}
		default:
			b.send(msg)
		}
	case <-time.After(100 * time.Millisecond): // more lines of a log, which may never come
	}
}

// press types keys, named as Bubble Tea does; a word in quotes is typed letter by letter.
func (b *bench) press(names ...string) {
	for _, n := range names {
		if text, ok := strings.CutPrefix(n, "'"); ok {
			for _, r := range text {
				b.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{r}})
			}
			continue
		}
		b.send(keyNamed(n))
	}
}

func keyNamed(n string) tea.KeyMsg {
	for k, name := range map[tea.KeyType]string{tea.KeyEnter: "enter", tea.KeyEsc: "esc", tea.KeyTab: "tab", tea.KeyDown: "down", tea.KeyUp: "up",
		tea.KeyRight: "right", tea.KeyLeft: "left", tea.KeyBackspace: "backspace", tea.KeyCtrlD: "ctrl+d", tea.KeyCtrlU: "ctrl+u"} {
		if n == name {
			return tea.KeyMsg{Type: k}
		}
	}
	if n == "space" {
		return tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(n)}
}

// shows fails the test unless the screen has a text.
func (b *bench) shows(text string) {
	b.t.Helper()
	if screen := ansi.Strip(b.View()); !strings.Contains(screen, text) {
		b.t.Errorf("the screen does not show %q:\n%s", text, screen)
	}
}

func (b *bench) hides(text string) {
	b.t.Helper()
	if screen := ansi.Strip(b.View()); strings.Contains(screen, text) {
		b.t.Errorf("the screen shows %q:\n%s", text, screen)
	}
}

func TestStopAsksAndTheRowSaysSo(t *testing.T) {
	b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "j", "x")
	b.shows("Stop 1 unit?")
	b.shows("web@2.service")
	b.press("enter") // No is the default
	if len(b.client.acted) != 0 {
		t.Fatalf("enter did %+v", b.client.acted)
	}
	b.press("x", "left", "enter")
	if got := b.client.acted; len(got) != 1 || got[0].Verb != api.Stop || got[0].Units[0] != "web@2.service" {
		t.Fatalf("asked for %+v", got)
	}
	b.shows("stopping…")

	u := tuitest.Unit("web@2.service")
	u.Desired, u.Generation = "loaded", 2
	a := tuitest.On(u.Name, 2, 10)
	a.Desired, a.Generation = "loaded", 2
	b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{u}, Assignments: []api.Assignment{a}})
	b.shows("stopping…")
	st := tuitest.Runs(u.Name, 2, 10, "inactive", "dead")
	st.Generation = 2
	b.line(&api.Line{Kind: api.LineChange, Statuses: []cluster.Status{st}})
	b.hides("stopping")
	b.shows("loaded")
}

func TestManyTargetsAreFrozenAndCounted(t *testing.T) {
	b := newBench(t, 100, 30, false, false, tuitest.Cluster(3, 8))
	b.press("2", "*", "D")
	b.shows("Destroy 8 units?")
	more := tuitest.Unit("web@9.service")
	b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{more}})
	b.press("y", "enter", "'7", "enter")
	if len(b.client.acted) != 0 {
		t.Fatalf("destroyed without the count: %+v", b.client.acted)
	}
	b.press("backspace", "'8", "enter")
	if got := b.client.acted; len(got) != 1 || len(got[0].Units) != 8 {
		t.Fatalf("asked for %+v", got)
	}
}

func TestReadOnlyHidesAndRefuses(t *testing.T) {
	b := newBench(t, 120, 30, false, true, tuitest.Cluster(3, 3))
	b.press("2")
	for _, k := range []string{"s", "x", "r", "L", "u", "D", "n", "e"} {
		b.press(k)
		b.shows("only reads")
	}
	b.press("3", "d")
	b.shows("only reads")
	for _, command := range []string{"stop web@1.service", "drain n1", "uncordon n1", "submit /etc/hosts", "destroy"} {
		b.press(":", "'"+command, "enter")
		if b.confirm != nil || len(b.client.acted)+len(b.client.told) > 0 {
			t.Fatalf("%s: %+v %+v", command, b.client.acted, b.client.told)
		}
	}
	b.press("6")
	b.hides("stop the unit")
	b.press("2", "q")
}

func TestRefusalsAreSentences(t *testing.T) {
	b := newBench(t, 140, 24, false, false, tuitest.Cluster(3, 3))
	b.client.refuse = &api.Error{Code: api.CodeUnavailable, Message: "the store has no quorum", Hint: "nothing was changed; try again when it has"}
	b.press("2", "s")
	b.shows("The store has no quorum: nothing was changed; try again when it has")
	b.hides("starting…")
}

func TestRowsStayUnderTheCursor(t *testing.T) {
	b := newBench(t, 100, 16, false, false, tuitest.Cluster(3, 40))
	b.press("2", "G", "k", "k", "k")
	under := func() (line int, unit string) {
		for i, l := range strings.Split(ansi.Strip(b.View()), "\n") {
			if strings.HasPrefix(l, "▌") {
				return i, strings.Fields(l)[1]
			}
		}
		t.Fatalf("no cursor:\n%s", ansi.Strip(b.View()))
		return 0, ""
	}
	line, unit := under()
	for i := range 20 {
		b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{tuitest.Unit(fmt.Sprintf("a%d.service", i))}, Gone: &api.Gone{Units: []string{fmt.Sprintf("a%d.service", i-3)}}})
		if l, u := under(); u != unit || l != line {
			t.Fatalf("the cursor was on %s in line %d, and is on %s in line %d", unit, line, u, l)
		}
	}
}

func TestCommandLine(t *testing.T) {
	b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 12))
	b.press(":", "'sto", "tab", "' we", "tab")
	if got := b.prompt.Value(); got != "stop web@" {
		t.Errorf("completed to %q", got)
	}
	b.press("tab", "tab")
	if got := b.prompt.Value(); got != "stop web@10.service" {
		t.Errorf("the second choice is %q", got)
	}
	b.press("enter")
	b.shows("web@10.service")
	b.press("esc", ":", "'start web@1?.service", "enter")
	if got := b.client.acted; len(got) != 1 || len(got[0].Units) != 3 {
		t.Errorf("a glob asked for %+v", got)
	}
	b.press(":", "'cordon n2", "enter")
	if got := b.client.told; len(got) != 1 || got[0] != "cordon "+tuitest.MachineID(2) {
		t.Errorf("told %q", got)
	}
	b.press(":", "'open web@7.service", "enter")
	b.shows("Placement")
	b.press(":", "'nonsense", "enter")
	b.shows("There is no command nonsense")
}

func TestFilterAsYouType(t *testing.T) {
	b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 12))
	b.press("2", "/", "'@11")
	b.shows("web@11.service")
	b.hides("web@2.service")
	b.press("esc")
	b.shows("web@2.service")
	b.press("~", "'w9", "enter")
	b.shows("web@9.service")
	b.hides("web@2.service")
	b.press("esc")
	b.shows("web@2.service")
}

func TestCopyAndPaste(t *testing.T) {
	b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "y")
	if b.desk.copied != "web@1.service" {
		t.Errorf("copied %q", b.desk.copied)
	}
	b.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("D"), Paste: true})
	if b.confirm != nil {
		t.Error("pasted text acts")
	}
}

func TestLogsAreShownNotObeyed(t *testing.T) {
	b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 3))
	at := tuitest.Noon
	b.client.log = []api.LogLine{
		{Time: at, Unit: "web@1.service", Machine: tuitest.MachineID(1), Priority: 6, Message: "clear \x1b[2J and \x9b31m ring \a"},
		{Kind: api.LogDivider, Time: at, Text: "moved n1 → n2, 1.1 s"},
		{Time: at.Add(time.Second), Unit: "web@1.service", Machine: tuitest.MachineID(2), Priority: 3, Message: "disk full"},
	}
	b.press("2", "l")
	b.await("disk full", true)
	b.shows(`clear ^[[2J and \x9b31m ring ^G`)
	b.shows("moved n1 → n2, 1.1 s")
	b.press("g", "]")
	b.shows("paused")
	b.press("/", "'full", "enter", "space")
	b.shows("following")
	for _, r := range b.View() {
		if r == '\a' || r == 0x9b {
			t.Fatalf("the screen has %q in it", r)
		}
	}
}

func TestEveryScreenFitsEverySize(t *testing.T) {
	for _, size := range [][2]int{{40, 12}, {41, 13}, {60, 20}, {80, 24}, {200, 60}} {
		b := newBench(t, size[0], size[1], true, false, tuitest.Cluster(7, 30), tuitest.Failed(3, time.Second),
			tuitest.Moved("web@3.service", 3, 1, 20, time.Second))
		for _, k := range []string{"1", "2", "3", "4", "5", "6", "2", "enter", "p", "x", "esc", "esc", "D", "esc", ":", "'s", "esc", "/", "'web", "enter"} {
			b.press(k)
			lines := strings.Split(b.View(), "\n")
			if len(lines) != size[1] {
				t.Errorf("%dx%d after %s: %d lines", size[0], size[1], k, len(lines))
			}
			for i, l := range lines {
				if w := ansi.StringWidth(l); w > size[0] {
					t.Errorf("%dx%d after %s: line %d is %d wide: %q", size[0], size[1], k, i, w, ansi.Strip(l))
				}
			}
		}
	}
}

func contains(screen, text string) bool { return strings.Contains(ansi.Strip(screen), text) }
