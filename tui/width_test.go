package tui

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
)

// named is a cluster whose units have names of so many letters.
func named(machines, units, letters int) *api.Line {
	l := tuitest.Cluster(machines, units)
	for i := range l.Units {
		name := fmt.Sprintf("%0*d.service", letters, i)
		l.Units[i].Name, l.Assignments[i].Unit, l.Statuses[i].Name = name, name, name
	}
	return l
}

// TestCardsUseTheWholeScreen: the cards share its width, and list all their units.
func TestCardsUseTheWholeScreen(t *testing.T) {
	for _, c := range []struct{ machines, units, letters, w, h int }{
		{3, 90, 12, 200, 60}, {3, 180, 12, 200, 60}, {5, 100, 12, 200, 60}, {3, 24, 34, 120, 40}, {4, 12, 30, 120, 40},
		{3, 9, 5, 80, 24},
	} {
		l := named(c.machines, c.units, c.letters)
		b := newBench(t, c.w, c.h, false, false, l)
		screen := ansi.Strip(b.View())
		for _, u := range l.Units {
			if name := strings.TrimSuffix(u.Name, ".service"); !strings.Contains(screen, name) {
				t.Errorf("%+v: %s is not listed:\n%s", c, name, screen)
				break
			}
		}
		tops := 0
		for _, line := range strings.Split(screen, "\n") {
			if strings.HasPrefix(line, "╭") {
				if tops++; tops == 1 && ansi.StringWidth(line) != c.w {
					t.Errorf("%+v: the cards take %d columns:\n%s", c, ansi.StringWidth(line), line)
				}
			}
		}
		if tops == 0 {
			t.Errorf("%+v: there are no cards:\n%s", c, screen)
		}
	}
}

// TestCutListsSayHowMuchIsMissing: in a card, among what needs a look, in the
// timeline, and below a list.
func TestCutListsSayHowMuchIsMissing(t *testing.T) {
	l := tuitest.Cluster(2, 60)
	for i := range l.Statuses {
		if l.Statuses[i].Name < "web@5" { // those in trouble are the last by name
			continue
		}
		l.Statuses[i].Active, l.Statuses[i].Sub = "failed", "failed"
	}
	for i := range 50 {
		l.Events = append(l.Events, tuitest.Event(i, time.Hour, cluster.Event{Kind: cluster.EventUnit, Text: "x"}))
	}
	b := newBench(t, 80, 30, false, false, l)
	screen := ansi.Strip(b.View())
	more := 0
	for _, line := range strings.Split(screen, "\n") {
		more += strings.Count(line, "… ")
	}
	if more < 4 { // two cards, what needs a look, the timeline
		t.Errorf("%d of 4 lists say that there is more:\n%s", more, screen)
	}
	b.shows("more: press 4")
	first, _, _ := strings.Cut(screen[strings.Index(screen, " units  ✖"):], "╰")
	if !strings.Contains(first, "✖ web@") {
		t.Errorf("the cards don't have those in trouble first:\n%s", screen)
	}
	b.press("2")
	b.shows("1/60 units, … 35 more")
	b.press("G")
	b.hides(" more")
	if row := strings.Split(screen, "\n"); len(row) != 30 {
		t.Errorf("the screen has %d lines", len(row))
	}
}

// TestALongNameIsNotCut at 120 columns, where there is something to leave out instead.
func TestALongNameIsNotCut(t *testing.T) {
	l := named(3, 6, 32)
	b := newBench(t, 120, 40, false, false, l)
	b.press("2")
	b.shows(l.Units[0].Name)
	b.shows("RESTARTS")
	wide := newBench(t, 200, 60, false, false, l)
	wide.press("2")
	wide.shows("DESCRIPTION")
	wide.shows("A service")
	wide.shows("c8faa44")
}

// TestTheSelectedRowKeepsItsStatesColour under the cursor.
func TestTheSelectedRowKeepsItsStatesColour(t *testing.T) {
	l := tuitest.Cluster(1, 2)
	l.Statuses[0].Active, l.Statuses[0].Exit, l.Statuses[0].Result = "failed", "exit 3", "exit-code"
	b := newBench(t, 120, 40, true, false, l)
	b.press("2")
	for _, line := range strings.Split(b.View(), "\n") {
		if strings.Contains(line, "exit 3") {
			if want := b.theme.Cursor.On + b.theme.Bad.On + "exit 3"; !strings.Contains(line, want) {
				t.Errorf("the row is %q, want %q in it", line, want)
			}
			return
		}
	}
	t.Error("no row says exit 3")
}

// TestWhatRecoveredJustMoved and needs no look.
func TestWhatRecoveredJustMoved(t *testing.T) {
	b := newBench(t, 120, 40, false, false, storm()...)
	screen := ansi.Strip(b.View())
	look, moved := strings.Index(screen, "Needs a look"), strings.Index(screen, "Just moved 1 unit")
	if moved < look || look < 0 {
		t.Fatalf("there is no %q below %q:\n%s", "Just moved", "Needs a look", screen)
	}
	if part := screen[moved:]; !strings.Contains(part, "web@3.service") ||
		strings.Contains(screen[look:moved], "web@3.service") {
		t.Errorf("web@3.service isn't among what moved:\n%s", screen)
	}
	for range 4 { // the cursor goes through both
		b.press("j")
	}
	b.press("G")
	b.press("enter")
	b.shows("web@3.service")
}
