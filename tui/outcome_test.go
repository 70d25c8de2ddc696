package tui

import (
	"fmt"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
	"fleettop/units"
)

// carriedOut is the line that says that units are as asked, some time later.
func carriedOut(desired units.DesiredState, active, sub string, on ...int) *api.Line {
	l := &api.Line{Kind: api.LineChange}
	for _, i := range on {
		name := fmt.Sprintf("web@%d.service", i)
		u, a, st := tuitest.Unit(name), tuitest.On(name, i, 10), tuitest.Runs(name, i, 10, active, sub)
		u.Desired, u.Generation, a.Desired, a.Generation, st.Generation = desired, 2, desired, 2, 2
		l.Units, l.Assignments, l.Statuses = append(l.Units, u), append(l.Assignments, a), append(l.Statuses, st)
	}
	return l
}

// TestEveryActSaysWhatHappened when the stream has shown it, and not before.
func TestEveryActSaysWhatHappened(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	later := func() { b.clock = b.clock.Add(1200 * time.Millisecond) }
	b.press("2", "x", "y")
	b.shows("web@1.service is being stopped.")
	later()
	b.line(carriedOut(units.Loaded, "inactive", "dead", 1))
	b.shows("Stopped web@1.service on n1 after 1.2 s.")

	b.press("D", "y")
	later()
	b.line(&api.Line{Kind: api.LineChange, Gone: &api.Gone{Units: []string{"web@1.service"},
		Assignments: []api.Placement{{Machine: tuitest.MachineID(1), Unit: "web@1.service"}},
		Statuses:    []api.Placement{{Machine: tuitest.MachineID(1), Unit: "web@1.service"}}}})
	b.shows("Destroyed web@1.service.")

	b.press("g", "r", "y")
	later()
	b.line(carriedOut(units.Launched, "failed", "failed", 2))
	b.shows("Restarted web@2.service on n2. Its state now: ")
	if !b.notice.bad {
		t.Error("that a unit failed is said as if it were well")
	}
}

// TestSeveralUnitsAreOneLine, said when the last of them is as asked.
func TestSeveralUnitsAreOneLine(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "*", "r", "y")
	b.clock = b.clock.Add(time.Second)
	b.line(carriedOut(units.Launched, "active", "running", 1, 2))
	b.hides("Restarted")
	b.clock = b.clock.Add(time.Second)
	b.line(carriedOut(units.Launched, "active", "running", 3))
	b.shows("Restarted 3 units, the last after 2.0 s.")

	b = newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "*", "r", "y")
	b.line(carriedOut(units.Launched, "active", "running", 1, 2))
	b.clock = b.clock.Add(pendingPatience + time.Second)
	b.line(&api.Line{Kind: api.LineChange})
	b.shows("After 31.0 s 1 of 3 units are not restarted yet: web@3.service.")
}

// TestAUnitWithoutAPlaceSaysWhy it wasn't started.
func TestAUnitWithoutAPlaceSaysWhy(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 0))
	u := tuitest.Unit("gpu.service")
	u.Desired = units.Inactive
	b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{u}})
	b.press("2", "s")
	u.Desired, u.Generation = units.Launched, 2
	b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{u},
		Unplaced: []api.Unplaced{{Unit: u.Name, Reason: "3 machines lack gpu=true"}}})
	b.shows("Started gpu.service, but it has no machine: 3 machines lack gpu=true.")
}

// TestAnotherOrderTakesThePlaceOfTheFirst, whose end is not waited for any more.
func TestAnotherOrderTakesThePlaceOfTheFirst(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "r", "y", "x", "y")
	b.line(&api.Line{Kind: api.LineChange, Statuses: []cluster.Status{tuitest.Runs("web@1.service", 1, 10, "active",
		"running")}})
	b.line(carriedOut(units.Loaded, "inactive", "dead", 1))
	b.shows("Stopped web@1.service on n1")
	if len(b.pending) > 0 {
		t.Errorf("still waited for: %+v", b.pending)
	}
}
