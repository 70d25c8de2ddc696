package tui

import (
	"strings"
	"testing"

	"fleettop/journal"
	"fleettop/tui/tuitest"
)

// TestColoursOfLogLines: colours that a log's writer chose are shown, what else steers a terminal is made
// visible, and a search finds text across a change of colour.
func TestColoursOfLogLines(t *testing.T) {
	b := newBench(t, 100, 20, true, true, calm()...)
	b.client.log = []journal.Entry{{Time: tuitest.Noon, Unit: "web@3.service", Machine: tuitest.MachineID(3), Priority: 6,
		Message: "\x1b[32mINFO\x1b[0m listening on \x1b[36m:80\x1b[0m \x1b[2J"}}
	b.press("2", "/", "'@3", "enter", "l")
	b.await("INFO listening on :80 ^[[2J")
	for _, want := range []string{"\x1b[32mINFO\x1b[m", "\x1b[36m:80\x1b[m"} {
		if !strings.Contains(b.View(), want) {
			t.Errorf("the screen lacks %q:\n%q", want, b.View())
		}
	}
	b.press("/", "'info list", "enter")
	if !strings.Contains(b.View(), b.theme.Match.On+"INFO list") {
		t.Errorf("what was searched for isn't marked:\n%q", b.View())
	}
}
