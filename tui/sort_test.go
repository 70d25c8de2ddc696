package tui

import (
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
)

// first is the first line of the list on the screen.
func (b *bench) first() string {
	b.t.Helper()
	return strings.Split(ansi.Strip(b.View()), "\n")[b.headLines+1]
}

// clickOn clicks on a text of a line of the screen.
func (b *bench) clickOn(line int, text string) {
	b.t.Helper()
	before, _, ok := strings.Cut(strings.Split(ansi.Strip(b.View()), "\n")[line], text)
	if !ok {
		b.t.Fatalf("line %d has no %q:\n%s", line, text, ansi.Strip(b.View()))
	}
	b.send(tea.MouseMsg{X: ansi.StringWidth(before), Y: line, Button: tea.MouseButtonLeft, Action: tea.MouseActionPress})
}

// TestOneKeySorts by what is looked for, and again turns the order around.
func TestOneKeySorts(t *testing.T) {
	b := newBench(t, 160, 24, false, false, tuitest.Cluster(3, 3))
	for i, memory := range []int64{20, 60, 40} {
		b.reducer.PutStats(api.Stats{Machine: tuitest.MachineID(i + 1), CPUs: 1, Memory: memory << 20,
			Units: []api.UnitStats{{Name: "web@" + string(rune('1'+i)) + ".service", Memory: memory << 20}}})
	}
	b.send(snapshotMsg{b.reducer.Snapshot(b.clock)})
	for _, c := range []struct{ screen, key, first string }{
		{"2", "M", "web@2"}, {"2", "M", "web@1"}, {"2", "M", "web@2"},
		{"2", "O", "web@1"}, {"2", "O", "web@3"}, {"2", "N", "web@1"}, {"2", "N", "web@3"},
		{"3", "M", "n2"}, {"3", "M", "n1"}, {"3", "N", "n1"}, {"3", "N", "n3"},
	} {
		b.press(c.screen, c.key)
		if got := b.first(); !strings.Contains(got, c.first) {
			t.Errorf("%s %s: the first is %q, want %s", c.screen, c.key, got, c.first)
		}
	}
	for _, key := range []string{"S", "A", "R", "C", "U"} { // each names a column there is
		b.press("2", key, "3", key)
	}
}

// TestAClickOnAHeadSorts once the mouse was switched on, and not while it is off.
func TestAClickOnAHeadSorts(t *testing.T) {
	b := newBench(t, 160, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "N", "N")
	b.View()
	b.clickOn(b.headLines, "UNIT")
	if !strings.Contains(b.first(), "web@3") {
		t.Error("a click sorts while the mouse is off")
	}
	b.press("m")
	b.shows("The mouse works in the console")
	if !b.desk.mouse {
		t.Error("the terminal isn't asked for the mouse")
	}
	b.clickOn(b.headLines, "UNIT")
	if !strings.Contains(b.first(), "web@1") {
		t.Errorf("a click on the head doesn't turn the order around: %s", b.first())
	}
	b.clickOn(b.headLines, "MACHINE")
	b.clickOn(b.headLines, "MACHINE")
	if !strings.Contains(b.first(), "web@3") {
		t.Errorf("two clicks on MACHINE sort by %q", b.first())
	}
	b.clickOn(b.headLines-1, "machines")
	b.clickOn(b.headLines, "MACHINE")
	if !strings.Contains(b.first(), "n3") {
		t.Errorf("a click on a head of the machines sorts by %q", b.first())
	}
	b.press("m")
	b.shows("The mouse is left to the terminal")
	if b.desk.mouse {
		t.Error("the terminal is still asked for the mouse")
	}
}

// TestTabsCanBeClickedWhereTheyAreShort, too.
func TestTabsCanBeClickedWhereTheyAreShort(t *testing.T) {
	b := newBench(t, 40, 15, false, false, tuitest.Cluster(3, 3))
	b.press("m")
	b.View()
	for tab, text := range map[int]string{tabUnits: "2", tabLogs: "5", tabMachines: "3"} {
		b.press("1")
		b.clickOn(b.headLines-1, text)
		if b.tab != tab {
			t.Errorf("a click on %s shows screen %d", text, b.tab+1)
		}
	}
}

// TestTypedLinesComeBack: each prompt has its own history.
func TestTypedLinesComeBack(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 12))
	b.press("2", "/", "'@11", "enter", "esc", "/", "'@12", "enter", "esc")
	b.press(":", "'open web@7.service", "enter", "esc")
	b.press("/", "up")
	b.shows("web@12.service")
	b.press("up")
	b.shows("web@11.service")
	b.hides("web@12.service")
	b.press("enter")
	b.shows("filter @11")
	b.press("esc", ":", "up")
	if got := b.prompt.Value(); got != "open web@7.service" {
		t.Errorf("the command line has %q", got)
	}
}
