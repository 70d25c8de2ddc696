package tui

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/journal"
	"fleettop/tui/keys"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/tuitest"
	"fleettop/units"
)

// fakeClient is a daemon on paper.
type fakeClient struct {
	mu          sync.Mutex // guards what follows
	acted       []api.ActionRequest
	told        []string         // machines and verbs
	generations map[string]int64 // that acts make of units; 2 where they say nothing
	after       []string         // by what they were told it was to be only if they are still so
	refuse      error
	content     string
	away        bool         // nobody answers
	older       atomic.Int32 // how often older events were asked for
	log         []journal.Entry
	asked       api.JournalOptions // of a log, the last time
	lines       chan *api.Line
	reach       *api.Connectivity

	history   []api.StatsHistory
	processes []api.UnitProcesses
}

func (c *fakeClient) StatsHistory(_ context.Context, unit string, machines ...string) (out []api.StatsHistory, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.history {
		if h.Unit == unit && slices.Contains(machines, h.Machine) {
			out = append(out, h)
		}
	}
	return out, nil
}

func (c *fakeClient) Processes(_ context.Context, _ string, machines ...string) (out []api.UnitProcesses, _ error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.processes {
		if slices.Contains(machines, p.Machine) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (c *fakeClient) Connectivity(context.Context) (*api.Connectivity, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away || c.reach == nil {
		return nil, &client.UnreachableError{Endpoint: c.Endpoint(), Err: errors.New("connection refused")}
	}
	return c.reach, nil
}

func (c *fakeClient) Endpoint() string { return "unix:///run/fleettop/fleettop.sock" }

func (c *fakeClient) Watch(ctx context.Context, o api.WatchOptions, f func(*api.State, *api.Line) error) error {
	var s api.State
	c.mu.Lock()
	lines := c.lines
	c.mu.Unlock()
	beat := time.NewTicker(o.Heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-beat.C:
			o.Alive()
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
	if c.away {
		return nil, &client.UnreachableError{Endpoint: c.Endpoint(), Err: errors.New("connection refused")}
	}
	d := &api.UnitDetail{}
	d.Unit = tuitest.Unit(name)
	d.Content = c.content
	return d, nil
}

func (c *fakeClient) Explain(_ context.Context, name string) (*api.Explanation, error) {
	return &api.Explanation{Unit: name, On: []string{tuitest.MachineID(1)},
		Reason: "fewest units (1) of 2 eligible machines", Verdicts: []api.Verdict{
			{Machine: tuitest.MachineID(1), Name: "n1", OK: true, Reason: "1 unit"}, {Machine: tuitest.MachineID(2), Name: "n2",
				OK: true, Reason: "2 units"},
			{Machine: tuitest.MachineID(3), Name: "n3", Reason: "lacks ssd=true"}}}, nil
}

func (c *fakeClient) Journal(ctx context.Context, o api.JournalOptions, f func(journal.Entry) error) error {
	c.mu.Lock()
	c.asked = o
	c.mu.Unlock()
	if !o.Follow && o.Lines > 0 && o.Since == "" && len(c.log) < o.Lines {
		return nil // there is nothing older
	}
	filter := journal.Filter{Errors: o.Errors}
	filter.Since, _ = time.Parse(time.RFC3339Nano, o.Since)
	filter.Until, _ = time.Parse(time.RFC3339Nano, o.Until)
	for _, l := range c.log {
		if !filter.Match(&l) && l.Kind == "" {
			continue
		}
		if err := f(l); err != nil {
			return err
		}
	}
	if !o.Follow {
		return nil
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
		reply.Results = append(reply.Results, api.UnitResult{Name: name, Generation: cmp.Or(c.generations[name], 2), Changed: true,
			Desired: map[api.Verb]units.DesiredState{api.Start: units.Launched, api.Restart: units.Launched,
				api.Load: units.Loaded, api.Stop: units.Loaded, api.Unload: units.Inactive}[req.Verb],
			Global: strings.HasPrefix(name, "agent.")})
	}
	for _, f := range req.Files {
		reply.Results = append(reply.Results, api.UnitResult{Name: f.Name, Generation: 1, Changed: true})
	}
	return reply, nil
}

func (c *fakeClient) ScheduleAll(_ context.Context, req api.MachinesRequest) (*api.MachinesReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, req.Verb+" "+strings.Join(req.Machines, " "))
	c.after = append(c.after, req.After)
	reply := &api.MachinesReply{}
	for _, id := range req.Machines {
		reply.Machines = append(reply.Machines, api.MachineResult{Asked: id, Changed: true})
	}
	return reply, c.refuse
}

func (c *fakeClient) PlanDrain(_ context.Context, machines ...string) (*api.DrainPlan, error) {
	return &api.DrainPlan{Moves: 3 * len(machines), Global: []string{"agent.service"},
		Stranded: []api.Unplaced{{Unit: "db.service", Reason: "2 machines lack ssd=true"},
			{Unit: "cache.service"}}}, nil
}

func (c *fakeClient) PlanDrill(_ context.Context, machine string) (*api.DrillPlan, error) {
	p := &api.DrillPlan{Machine: machine, MachineName: "n3", Leader: true, Global: []string{"agent.service"},
		Moves:   []api.DrillMove{{Unit: "web@1.service", ToName: "n1"}, {Unit: "web@2.service", ToName: "n2"}},
		Nowhere: []api.Unplaced{{Unit: "db.service", Reason: "2 machines lack ssd=true"}}}
	if c.refuse != nil {
		p.Refusal = api.Refuse(api.CodeConflict, "wait until it is over", "no drill of n3 now: a drill of n2 is under way")
	}
	return p, nil
}

func (c *fakeClient) Drill(_ context.Context, machine string, req api.DrillRequest) (*api.DrillReply, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf("drill %s %v", machine, req.Seconds))
	return &api.DrillReply{Machine: machine, MachineName: "n3", ID: "d1", Seconds: req.Seconds,
		Global: []string{"agent.service"}}, nil
}

// paper is a source whose snapshots the test makes.
type paper struct{ client *fakeClient }

func (p paper) Snapshots() <-chan *state.Snapshot {
	none := make(chan *state.Snapshot)
	close(none)
	return none
}
func (p paper) Look(bool)       {}
func (p paper) LoadOlder()      { p.client.older.Add(1) }
func (p paper) Current() Client { return p.client }

// desk is a host that only remembers.
type desk struct {
	copied  string
	taken   string // what is known to have taken it
	mouse   bool
	cluster string // switched to
}

func (d *desk) Copy(text string) string {
	d.copied = text
	return d.taken
}
func (d *desk) Suspend()              {}
func (d *desk) Redraw()               {}
func (d *desk) Mouse(on bool)         { d.mouse = on }
func (d *desk) Switch(cluster string) { d.cluster = cluster }

// bench is a shell under test.
type bench struct {
	*shell
	t       testing.TB
	client  *fakeClient
	desk    *desk
	reducer *state.Reducer
	clock   time.Time
	late    chan tea.Msg // from commands that wait for a log
}

type power struct{}

func (power) Off(string) error { return nil }
func (power) On(string) error  { return nil }

func newBench(t testing.TB, w, h int, colour, readOnly bool, lines ...*api.Line) *bench {
	t.Helper()
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.Ascii)
	if colour {
		r.SetColorProfile(termenv.ANSI256)
	}
	look, err := theme.New(r, theme.Options{})
	if err != nil {
		t.Fatal(err)
	}
	km, _ := keys.NewMap(nil, readOnly, true)
	b := &bench{t: t, client: &fakeClient{content: unitFile}, desk: &desk{}, reducer: state.NewReducer(),
		clock: tuitest.Noon, late: make(chan tea.Msg, 1000)}
	b.shell = newShell(setup{theme: look, keys: km, source: paper{b.client}, host: b.desk, power: power{},
		readOnly: readOnly, toAct: "start it without --read-only", now: func() time.Time { return b.clock },
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

// send hands a message to the shell, and carries out the commands that follow.
func (b *bench) send(msg tea.Msg) {
	_, cmd := b.Update(msg)
	b.run(cmd)
}

func (b *bench) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	if waitsForLog(cmd) {
		go func() {
			if msg := cmd(); msg != nil {
				b.late <- msg
			}
		}()
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
	case <-time.After(patience):
		b.t.Fatalf("after %s a command that isn't of a log still has no result: %s", patience, nameOf(cmd))
	}
}

const patience = 20 * time.Second

// waitsForLog reports whether a command waits for more lines of a log, which may never come.
// The compiler names a closure after the function that it was inlined into, too.
func waitsForLog(cmd tea.Cmd) bool {
	name := nameOf(cmd)
	return strings.Contains(name, "/tui/screens/logs.") && strings.Contains(name, "wait.func")
}

func nameOf(cmd tea.Cmd) string { return runtime.FuncForPC(reflect.ValueOf(cmd).Pointer()).Name() }

// await waits for a text on the screen, taking what arrives of logs meanwhile.
func (b *bench) await(text string) {
	b.t.Helper()
	limit := time.After(patience)
	for !contains(b.View(), text) {
		select {
		case msg := <-b.late:
			b.send(msg)
		case <-limit:
			b.t.Fatalf("%q is not on the screen after %s:\n%s", text, patience, ansi.Strip(b.View()))
		}
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
	for k, name := range map[tea.KeyType]string{tea.KeyEnter: "enter", tea.KeyEsc: "esc", tea.KeyTab: "tab",
		tea.KeyDown: "down", tea.KeyUp: "up",
		tea.KeyRight: "right", tea.KeyLeft: "left", tea.KeyBackspace: "backspace", tea.KeyCtrlD: "ctrl+d",
		tea.KeyCtrlU: "ctrl+u"} {
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

func contains(screen, text string) bool { return strings.Contains(ansi.Strip(screen), text) }
