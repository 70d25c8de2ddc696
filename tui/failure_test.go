package tui

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

// stranding is a machine that died, one of whose units no other machine takes.
func stranding() []*api.Line {
	lines := storm()
	return append(lines, &api.Line{Kind: api.LineChange,
		Gone: &api.Gone{Assignments: []api.Placement{{Machine: tuitest.MachineID(3), Unit: "web@6.service"},
			{Machine: tuitest.MachineID(2), Unit: "web@6.service"}}},
		Unplaced: []api.Unplaced{{Unit: "web@6.service", Reason: "no machine has gpu=true"}},
		Events: []cluster.Event{tuitest.Event(9, 200*time.Millisecond, cluster.Event{Kind: cluster.EventMoved,
			Unit: "web@6.service", From: tuitest.MachineID(3), Machine: tuitest.MachineID(3), Unplaced: true,
			Text: "web@6.service has no place: no machine has gpu=true"})}})
}

// TestAFailureIsNoticedOnEveryScreen for ten seconds, and then no more.
func TestAFailureIsNoticedOnEveryScreen(t *testing.T) {
	for _, w := range []int{40, 80, 120, 200} {
		b := newBench(t, w, 24, false, false, stranding()...)
		for _, tab := range []string{"1", "2", "3", "4", "5", "6"} {
			b.press(tab)
			text := strings.Join(strings.Fields(ansi.Strip(b.View())), " ")
			want := "n3 failed: 1 unit moved, 1 has nowhere to go, worst outage 0.62 s"
			if w == 40 {
				want = "n3 failed: 1 moved, 1"
			}
			if !strings.Contains(text, want) {
				t.Errorf("at %d columns screen %s doesn't say %q:\n%s", w, tab, want, ansi.Strip(b.View()))
			}
		}
		b.clock = b.clock.Add(state.FailureFor)
		b.hides("failed:  ")
		b.hides("n3 failed: 1 ")
		b.shows("2/3 machines up")
	}
}

// TestFailureText is true at each moment of a failover.
func TestFailureText(t *testing.T) {
	for want, f := range map[string]state.Failure{
		"n2 failed: 9 units moved, 2 have nowhere to go, worst outage 0.73 s": {Machines: []string{"n2"}, Moved: 9,
			Active: 9, Nowhere: 2, Worst: 730 * time.Millisecond},
		"n2 and n3 failed: 9 units moved (4 active), longest outage so far 1.2 s": {Machines: []string{"n2", "n3"}, Moved: 9,
			Active: 4, Running: true, Worst: 1230 * time.Millisecond},
		"3 machines failed: 1 unit has nowhere to go": {Machines: []string{"n1", "n2", "n3"}, Nowhere: 1},
		"n2 failed: 3 units to move":                  {Machines: []string{"n2"}, Waiting: 3},
		"n2 failed: no unit ran there":                {Machines: []string{"n2"}},
	} {
		if got := failureText(f, false); got != want {
			t.Errorf("%+v:\n got %q\nwant %q", f, got, want)
		}
	}
}

// TestARunningOutageIsShown of a unit without a place, to a console that was
// opened later, too; its return is told at the top and in the failover's block.
func TestARunningOutageIsShown(t *testing.T) {
	b := newBench(t, 120, 40, false, false, stranding()...)
	b.clock = b.clock.Add(2 * time.Minute)
	b.shows("n3 → ? 2m")

	late := tuitest.Cluster(3, 3)
	late.Machines[2] = tuitest.Failed(3, time.Minute).Machines[0]
	late.Units = append(late.Units, tuitest.Unit("gpu.service"))
	late.Unplaced = []api.Unplaced{{Unit: "gpu.service", Reason: "no machine has gpu=true"}}
	lost := tuitest.Event(9, 20*time.Second, cluster.Event{Kind: cluster.EventMoved, Unit: "gpu.service",
		From: tuitest.MachineID(3), Machine: tuitest.MachineID(3), Unplaced: true, Text: "gpu.service has no place"})
	late.Events = []cluster.Event{lost}
	o := newBench(t, 120, 40, false, false, late)
	o.press("2", "/", "'gpu", "enter")
	o.shows("n3 → ? 1m")
	found := lost
	found.ID, found.Time, found.Kind, found.Unplaced = "z", tuitest.Noon, cluster.EventPlaced, false
	o.line(&api.Line{Kind: api.LineChange, Events: []cluster.Event{found}})
	o.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{late.Units[3]}})

	back := "web@6.service is active on n1 after 2min without a place"
	sum := tuitest.Summed(3, 1, 100*time.Millisecond, cluster.Outage{Start: time.Second})
	sum.Events[0].Text = "n3 failed · 1 unit moved · 1 unit without a place · worst outage 1.00s = detect 0.00 + start 1.00"
	b.line(sum)
	outage := &cluster.Outage{Detect: time.Second, Decide: 2 * time.Minute}
	b.line(&api.Line{Kind: api.LineChange, Assignments: []api.Assignment{tuitest.On("web@6.service", 1, 40)},
		Statuses: []cluster.Status{tuitest.Runs("web@6.service", 1, 40, "active", "running")},
		Gone:     &api.Gone{Unplaced: []string{"web@6.service"}},
		Events: []cluster.Event{tuitest.Event(20, -2*time.Minute, cluster.Event{Kind: cluster.EventActive,
			Unit: "web@6.service", From: tuitest.MachineID(3), To: tuitest.MachineID(1), Machine: tuitest.MachineID(1),
			Outage: outage, Text: back})}})
	b.shows("2/3 machines up") // what is minutes old is no news
	b.press("4")
	screen := ansi.Strip(b.View())
	if n := strings.Count(screen, back); n < 2 {
		t.Errorf("its return is told %d times, want on top and in the block:\n%s", n, screen)
	}
	b.shows("1 unit without a place, active again since · worst outage")
}
