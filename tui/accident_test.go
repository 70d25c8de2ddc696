package tui

import (
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/daemon/api/client"
	"fleettop/journal"
	"fleettop/tui/tuitest"
)

// TestHiddenMarksNeverAct marks rows, hides some of them by a filter, and acts.
func TestHiddenMarksNeverAct(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 6))
	b.press("2", "*", "/", "'web@1", "enter")
	b.shows("6 marked, 5 of them hidden")
	b.press("x")
	b.shows("Stop 1 unit?")
	b.press("esc")
	b.press("/", "'web@2", "enter", "s")
	if got := b.client.acted; len(got) != 1 || strings.Join(got[0].Units, " ") != "web@2.service" {
		t.Fatalf("with five hidden marks it asks for %+v", got)
	}

	// None of the marked ones is shown: the row under the cursor isn't meant either.
	b.press("esc", "'G", "space", "/", "'web@3", "enter")
	b.shows("1 marked, 1 of them hidden")
	for _, key := range []string{"s", "x", "r", "u", "D", "L", "e", "l"} {
		b.press(key)
		b.shows("No marked unit is shown here")
		if b.confirm != nil || len(b.client.acted) != 1 || b.tab != tabUnits {
			t.Fatalf("%s does something to what isn't marked", key)
		}
	}

	b.press("3", "*", "/", "'n2", "enter", "c")
	if got := b.client.told; len(got) != 1 || got[0] != "cordon "+tuitest.MachineID(2) {
		t.Errorf("with two hidden marks the machines are told %q", got)
	}
}

// TestRestartAndCordonAskOrAreUndone, and say what happened.
func TestRestartAndCordonAskOrAreUndone(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "r")
	b.shows("Restart 1 unit?")
	b.press("enter") // No is the default
	if len(b.client.acted) != 0 {
		t.Fatalf("r alone did %+v", b.client.acted)
	}
	b.press("r", "y")
	b.shows("web@1.service is being restarted.")
	st := tuitest.Runs("web@1.service", 1, 10, "active", "running")
	st.Generation = 2
	u := tuitest.Unit("web@1.service")
	u.Generation = 2
	b.clock = b.clock.Add(300 * time.Millisecond)
	b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{u}, Statuses: []cluster.Status{st}})
	b.shows("Restarted web@1.service on n1, active after 0.3 s.")

	b.press("3", "c")
	b.shows("n1 takes no more units. z undoes the cordon (5 s).")
	m := tuitest.Machine(1)
	m.Schedule = cluster.Cordoned
	b.line(&api.Line{Kind: api.LineChange, Machines: []api.Machine{m}})
	b.press("c")
	b.shows("n1 takes units again.")
	m.Schedule = cluster.Drained // which c doesn't take back by the way
	b.line(&api.Line{Kind: api.LineChange, Machines: []api.Machine{m}})
	b.press("c")
	b.shows("n1 is drained, and takes no units: d takes that back.")
	if got := b.client.told; len(got) != 2 {
		t.Errorf("the machines were told %q", got)
	}
}

// TestAGlobalUnitSaysSo before it is stopped everywhere, as only one row of it is marked.
func TestAGlobalUnitSaysSo(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 2))
	u := tuitest.Unit("agent.service")
	u.Global = true
	l := &api.Line{Kind: api.LineChange, Units: []api.Unit{u}}
	for i := 1; i <= 3; i++ {
		l.Assignments = append(l.Assignments, tuitest.On(u.Name, i, 10))
		l.Statuses = append(l.Statuses, tuitest.Runs(u.Name, i, 10, "active", "running"))
	}
	b.line(l)
	for key, word := range map[string]string{"x": "stopped", "r": "restarted", "u": "unloaded", "D": "destroyed"} {
		b.press("2", "g", key)
		b.shows("agent.service is global: it is " + word + " on all 3 machines")
		b.press("esc", "esc")
	}
	b.press("2", "*", "x")
	b.shows("Stop 3 units?")
	b.shows("agent.service is global")
	b.press("esc", "esc", "2", "G", "x")
	b.hides("global")
}

// TestTypedAtOnceIsNoAnswer: text that comes at once, as pasted into a terminal
// without bracketed paste, doesn't answer the question that it opens.
func TestTypedAtOnceIsNoAnswer(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2")
	b.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune("xylophone")})
	if b.confirm == nil || len(b.client.acted) > 0 {
		t.Errorf("it did %+v", b.client.acted)
	}
}

// TestTheFirstLetterReplacesTheOldText of filters and searches; other keys keep it.
func TestTheFirstLetterReplacesTheOldText(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 12))
	b.press("2", "/", "'web@1", "enter", "/", "'@2", "enter")
	b.shows("filter @2")
	b.press("/", "left", "right", "'.s", "enter")
	b.shows("filter @2.s")
	b.press("/", "enter")
	b.shows("filter @2.s")
	b.press("/", "backspace", "enter")
	b.hides("filter @2")
	b.press("~", "'w9", "enter", "~", "'w8", "enter")
	b.shows("filter ~w8")
	b.client.log = []journal.Entry{{Time: tuitest.Noon, Unit: "web@8.service", Message: "a first word"}}
	b.press("l")
	b.await("a first word")
	b.press("/", "'first", "enter", "/", "'second", "enter")
	b.shows("/second ")
}

// TestCopiedIsSaidWhereItIsKnown.
func TestCopiedIsSaidWhereItIsKnown(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "y")
	b.hides("Copied")
	b.shows("Sent web@1.service to the terminal.")
	b.desk.taken = "tmux's buffer"
	b.press("y")
	b.shows("Copied web@1.service into tmux's buffer.")
}

// TestSaveAsksBeforeItOverwrites: what is written is tested with the screen; the question
// is the shell's.
func TestSaveAsksBeforeItOverwrites(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	path := t.TempDir() + "/web.log"
	b.client.log = []journal.Entry{{Time: tuitest.Noon, Unit: "web@1.service", Message: "a first word"}}
	b.press("2", "l")
	b.await("a first word")
	save := func() { b.press(":", "'save "+path, "enter") }
	save()
	b.shows("Saved 1 line to ")
	save()
	b.shows("Overwrite 1 file?")
	b.press("enter")
	b.shows("Nothing was done.")
	save()
	b.press("y")
	b.shows("Saved 1 line to ")
	b.press(":", "'save", "enter")
	b.shows("save --raw web.log")
}

// TestNothingWasDoneIsSaidWhereItIsTrue: an order that broke off in the middle may have been carried out.
func TestNothingWasDoneIsSaidWhereItIsTrue(t *testing.T) {
	b := newBench(t, 140, 24, false, false, tuitest.Cluster(3, 3))
	b.client.refuse = &client.UnreachableError{Endpoint: b.client.Endpoint(), Err: syscall.ECONNREFUSED}
	b.press("2", "s")
	b.shows("nothing was done")
	b.client.refuse = &client.UnreachableError{Endpoint: b.client.Endpoint(), Err: io.ErrUnexpectedEOF}
	b.press("s")
	b.hides("nothing was done")
	b.shows("went away meanwhile")
}

// TestDrainSaysBeforehandWhatHasNoOtherPlace, and several machines are one order.
func TestDrainSaysBeforehandWhatHasNoOtherPlace(t *testing.T) {
	b := newBench(t, 140, 24, false, false, tuitest.Cluster(3, 6))
	b.press("3", "*", "d")
	b.shows("Drain 3 machines?")
	const effect = "9 units would move to other machines. No other place for db.service and 1 other: left there (2 machines lack ssd=true). 1 global unit would stop there."
	if b.confirm.Effect != effect {
		t.Errorf("it says %q, want %q", b.confirm.Effect, effect)
	}
	b.press("y")
	b.shows("n1, n2, n3 are being drained")
	if got := b.client.told; len(got) != 1 || strings.Count(got[0], " ") != 3 {
		t.Errorf("the machines are told %q, want one order for three", got)
	}
	b.send(progressMsg{api.Progress{Done: 320, Total: 10000}})
	b.shows("320 of 10000 done.")
}
