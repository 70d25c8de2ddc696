package tui

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
	"fleettop/units"
)

// bar is the last line of the screen.
func (b *bench) bar() string {
	lines := strings.Split(ansi.Strip(b.View()), "\n")
	return lines[len(lines)-1]
}

// TestHelpAndQuitAreAlwaysInTheKeyBar at each size, on each screen.
func TestHelpAndQuitAreAlwaysInTheKeyBar(t *testing.T) {
	for _, w := range []int{40, 60, 80, 120, 200} {
		b := newBench(t, w, 24, false, false, calm()...)
		for _, keys := range [][]string{{"1"}, {"2"}, {"3"}, {"4"}, {"5"}, {"6"}, {"2", "enter"}, {"3", "enter"}} {
			b.press(keys...)
			if bar := b.bar(); !strings.Contains(bar, "? help") || !strings.Contains(bar, "q quit") ||
				ansi.StringWidth(bar) > w {
				t.Errorf("at %d columns, after %v, the key bar is %q", w, keys, bar)
			}
		}
	}
}

// TestTheKeyBarShowsWhatCanBeDoneHere to what is under the cursor.
func TestTheKeyBarShowsWhatCanBeDoneHere(t *testing.T) {
	l := tuitest.Cluster(3, 3)
	l.Machines[1].Schedule = cluster.Cordoned
	l.Units[1].Desired, l.Assignments[1].Desired = units.Loaded, units.Loaded
	l.Statuses[1].Active, l.Statuses[1].Sub = "inactive", "dead"
	lines := []*api.Line{l, tuitest.Failed(3, 1)}
	for _, c := range []struct {
		keys       []string
		yes, never string
	}{
		{[]string{"1"}, "K power off, c cordon, d drain", "B power on, s start, x stop, uncordon, esc"},
		{[]string{"1", "right"}, "c uncordon", "c cordon"},
		{[]string{"3", "G"}, "B power on", "K power off"},
		{[]string{"2", "G"}, "s start, e edit", "x stop, r restart, c cordon"},
		{[]string{"2", "/", "'web@1", "enter"}, "x stop, r restart, esc back", "s start"},
		{[]string{"3", "g", "enter"}, "esc back", "d drain"},
	} {
		b := newBench(t, 200, 30, false, false, lines...)
		for _, key := range c.keys {
			b.press(key)
			b.View() // which gives the screen its size
		}
		bar := b.bar()
		for _, hint := range strings.Split(c.yes, ", ") {
			if !strings.Contains(bar, hint) {
				t.Errorf("after %v the key bar lacks %q: %s", c.keys, hint, bar)
			}
		}
		for _, hint := range strings.Split(c.never, ", ") {
			if strings.Contains(bar, hint) {
				t.Errorf("after %v the key bar has %q: %s", c.keys, hint, bar)
			}
		}
	}
}
