package tui

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/journal"
	"fleettop/tui/screens"
	"fleettop/tui/state"
	"fleettop/tui/theme"
	"fleettop/tui/tuitest"
)

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

func TestTheHeaderSaysThatFailoversAreHeld(t *testing.T) {
	b := newBench(t, 200, 24, false, false, tuitest.Cluster(3, 3))
	b.hides("held")
	leader := cluster.Leader{Machine: tuitest.MachineID(1), Hold: "2 of 3 machines vanished at once; drain the dead"}
	b.line(&api.Line{Kind: api.LineChange, Leader: &leader})
	b.shows("Failovers are held: 2 of 3 machines vanished at once; drain the dead")
	b.line(&api.Line{Kind: api.LineStore, Store: &api.Store{}})
	b.shows("The cluster's store has no quorum.") // what is known of the hold is old by then
	b.line(&api.Line{Kind: api.LineStore, Store: &api.Store{Connected: true}})
	leader.Hold = ""
	b.line(&api.Line{Kind: api.LineChange, Leader: &leader})
	b.hides("held")
	b.shows("3/3 machines up")
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
	b.client.refuse = &api.Error{Code: api.CodeUnavailable, Message: "the store has no quorum",
		Hint: "nothing was changed; try again when it has"}
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
		b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{tuitest.Unit(fmt.Sprintf("a%d.service", i))},
			Gone: &api.Gone{Units: []string{fmt.Sprintf("a%d.service", i-3)}}})
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
	b.client.log = []journal.Entry{
		{Time: at, Unit: "web@1.service", Machine: tuitest.MachineID(1), Priority: 6,
			Message: "clear \x1b[2J and \x9b31m ring \a"},
		{Kind: journal.KindDivider, Time: at, Text: "moved n1 → n2, 1.1 s"},
		{Time: at.Add(time.Second), Unit: "web@1.service", Machine: tuitest.MachineID(2), Priority: 3, Message: "disk full"},
	}
	b.press("2", "l")
	b.await("disk full")
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

// TestBackFromTheLog: esc leads from a log to where it was opened, also if that is
// a screen above a tab; from the log's own tab it leads to the overview.
func TestBackFromTheLog(t *testing.T) {
	for _, keys := range [][]string{{"1", "G"}, {"2"}, {"2", "j", "enter"}, {"3", "enter"}} {
		b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 3),
			tuitest.Moved("web@3.service", 3, 1, 20, time.Second))
		b.press(keys...)
		tab, top := b.tab, b.top()
		b.press("l")
		if b.tab != tabLogs || len(b.stack) > 0 {
			t.Fatalf("after %q, l opens no log", keys)
		}
		b.press("esc")
		if b.tab != tab || b.top() != top {
			t.Errorf("opened after %q, esc leads from the log to tab %d, not %d, or to another screen of it", keys, b.tab, tab)
		}
	}
	b := newBench(t, 100, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "l", "3", "5", "esc")
	if b.tab != tabOverview {
		t.Errorf("esc leads from the log's tab to tab %d", b.tab)
	}
}

func TestEveryScreenFitsEverySize(t *testing.T) {
	for _, size := range [][2]int{{40, 12}, {41, 13}, {60, 20}, {80, 24}, {200, 60}} {
		b := newBench(t, size[0], size[1], true, false, tuitest.Cluster(7, 30), tuitest.Failed(3, time.Second),
			tuitest.Moved("web@3.service", 3, 1, 20, time.Second))
		for _, k := range []string{"1", "2", "3", "4", "5", "6", "2", "enter", "p", "x", "esc", "esc", "D", "esc", ":", "'s",
			"esc", "/", "'web", "enter"} {
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

// TestWhatIsSaidIsNotCutOff says long things on a small screen: what became of
// an order, what is wrong with the cluster, and what is about to be destroyed.
func TestWhatIsSaidIsNotCutOff(t *testing.T) {
	for _, size := range [][2]int{{40, 12}, {80, 24}} {
		b := newBench(t, size[0], size[1], true, false, tuitest.Cluster(3, 4))
		whole := func(text string) {
			t.Helper()
			joined := strings.NewReplacer(" ", "", "\n", "", "│", "")
			if !strings.Contains(joined.Replace(ansi.Strip(b.View())), joined.Replace(text)) {
				t.Errorf("%dx%d does not show %q:\n%s", size[0], size[1], text, ansi.Strip(b.View()))
			}
			if lines := strings.Split(b.View(), "\n"); len(lines) != size[1] {
				t.Errorf("%d lines", len(lines))
			}
		}
		b.say("The editor failed: exit status 1. Name another one in $EDITOR; the file is in /tmp/fleettop-edit-1/web@1.service.", true)
		whole("the file is in /tmp/fleettop-edit-1/web@1.service.")
		b.notice.until = b.clock

		b.press("2", "*", "D")
		for i := range 4 {
			whole(fmt.Sprintf("web@%d.service", i+1))
		}
		whole("There is no way back.")
		b.press("esc")

		held := tuitest.Cluster(3, 4)
		held.Leader.Hold = "2 of 3 machines vanished at once, this side may be cut off"
		b.line(held)
		whole("Failovers are held:")
		whole("may be")
		whole("cut off")
		b.reducer.SetConn(state.Conn{Endpoint: b.client.Endpoint(), Err: "connection refused", Since: b.clock,
			Seen: b.clock.Add(-12 * time.Second)})
		b.send(snapshotMsg{b.reducer.Snapshot(b.clock)})
		whole("Data 12s old. No daemon")
		b.hides("…")
	}
}

// TestWithoutAnyInk is a terminal that knows no escape sequences: what is
// chosen must be seen all the same.
func TestWithoutAnyInk(t *testing.T) {
	b := newBench(t, 80, 24, false, false, tuitest.Cluster(3, 3))
	bare, err := theme.New(lipgloss.NewRenderer(io.Discard), theme.Options{Bare: true, Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	b.theme = bare
	b.shows("[1 overview]")
	b.shows("[n1]")
	b.press("2", "j", "space", "k")
	b.shows("[2 units]")
	b.shows(">+web@2")
	b.press("x")
	b.shows("[ No ]")
	b.press("left")
	b.shows("[ stop ]")
	b.press("esc", ":", "'sto")
	b.shows(":sto_")
	if screen := strings.ReplaceAll(b.View(), "\x1b[m", ""); screen != ansi.Strip(screen) { // an end alone is not written
		t.Errorf("it has sequences: %q", screen)
	}
}

// TestAUnitIsAskedForAgain looks at a unit while no daemon answers; when one
// does, its file and its placement are shown though nothing else changed.
func TestAUnitIsAskedForAgain(t *testing.T) {
	b := newBench(t, 80, 30, false, false, tuitest.Cluster(3, 3))
	b.client.away = true
	b.press("2", "enter")
	b.shows("No daemon answers")
	b.client.away = false
	b.clock = b.clock.Add(3 * time.Second)
	b.send(screens.Tick{})
	b.shows("fewest units (1) of 2 eligible machines")
	b.hides("No daemon answers")
}
