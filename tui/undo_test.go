package tui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/tuitest"
	"fleettop/units"
)

// TestAStopIsUndone for five seconds after the line that says that it is done, and the daemon is
// asked to do so only if nobody changed the unit meanwhile.
func TestAStopIsUndone(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "x", "y")
	b.shows("web@1.service is being stopped. z undoes the stop (5 s).")
	b.clock = b.clock.Add(6 * time.Second)
	b.hides("undoes")
	b.line(carriedOut(units.Loaded, "inactive", "dead", 1))
	b.shows("Stopped web@1.service on n1 after 6.0 s. z undoes the stop (5 s).")
	b.clock = b.clock.Add(1200 * time.Millisecond)
	b.press("j") // takes the line away, and not the way back
	b.shows("z undo the stop (4 s)")
	b.client.generations = map[string]int64{"web@1.service": 3}
	b.press("z")
	b.shows("Undoing the stop: web@1.service is being started.")
	got := b.client.acted[len(b.client.acted)-1]
	if got.Verb != api.Start || !slices.Equal(got.Units, []string{"web@1.service"}) || got.Generations["web@1.service"] != 2 {
		t.Errorf("undoing asks for %+v", got)
	}
	up := carriedOut(units.Launched, "active", "running", 1)
	up.Units[0].Generation, up.Assignments[0].Generation, up.Statuses[0].Generation = 3, 3, 3
	b.line(up)
	b.shows("Undid the stop. Started web@1.service on n1")
	b.hides("undoes")
	b.press("z")
	b.shows("There is nothing to undo")
	if n := len(b.client.acted); n != 2 {
		t.Errorf("%d orders, expected the stop and the start", n)
	}
}

// TestEachUnitIsSetBackToWhatItWas, also where that differs, and what wasn't changed is left alone.
func TestEachUnitIsSetBackToWhatItWas(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.line(carriedOut(units.Loaded, "inactive", "dead", 2))
	b.client.generations = map[string]int64{"web@2.service": 3}
	b.press("2", "*", "u", "y", "z")
	var got []string
	for _, req := range b.client.acted[1:] {
		got = append(got, string(req.Verb)+" "+strings.Join(req.Units, " "))
	}
	slices.Sort(got)
	if want := []string{"load web@2.service", "start web@1.service web@3.service"}; !slices.Equal(got, want) {
		t.Errorf("undoing asks for %q, want %q", got, want)
	}

	b.client.generations = map[string]int64{"web@1.service": 7} // another one was faster, unseen here
	b.press("2", "g", "x", "y")
	b.shows("web@1.service is being stopped.")
	b.hides("undoes")
}

// TestWhatCannotBeUndoneOffersNothing, and an undo that is refused says so.
func TestWhatCannotBeUndoneOffersNothing(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	for _, key := range []string{"r", "D"} {
		b.press("2", key, "y")
		b.hides("undoes")
	}
	b.press("j", "x", "y")
	b.client.refuse = api.Refuse(api.CodeConflict, "see what it is now", "web@2.service was changed by ann meanwhile")
	b.press("z")
	b.shows("The stop was not undone: ")
	b.shows("changed by ann meanwhile")
	b.hides("undoes")
}

// TestMachinesGetTheirScheduleBack, each its own, if it is still as the order left it.
func TestMachinesGetTheirScheduleBack(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	m := tuitest.Machine(2)
	m.Schedule = cluster.Cordoned
	b.line(&api.Line{Kind: api.LineChange, Machines: []api.Machine{m}})
	b.press("3", "*", "d", "y")
	b.shows("n1, n2, n3 are being drained. z undoes the drain (5 s).")
	b.press("z")
	b.shows("n1, n3 take units again. n2 takes no more units. Units that have moved stay where they are.")
	id := tuitest.MachineID
	want := []string{"drain " + id(1) + " " + id(2) + " " + id(3), "uncordon " + id(1) + " " + id(3), "cordon " + id(2)}
	if !slices.Equal(b.client.told, want) || !slices.Equal(b.client.after, []string{"", "drain", "drain"}) {
		t.Errorf("the machines were told %q after %q, want %q", b.client.told, b.client.after, want)
	}
}

// TestMarksTakenAwayComeBack with the key that undoes.
func TestMarksTakenAwayComeBack(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 3))
	b.press("2", "*", "esc")
	b.shows("3 marks taken away. z undoes that (5 s).")
	b.hides("3 marked,")
	b.press("z")
	b.shows("3 rows marked again.")
	b.press("j")
	b.shows("3 marked")
	b.press("esc")
	b.clock = b.clock.Add(undoFor)
	b.press("z")
	b.shows("There is nothing to undo: an act can be undone for 5 s")
}

// TestAnAppliedFileIsTakenBack unless the unit has another one by now.
func TestAnAppliedFileIsTakenBack(t *testing.T) {
	b := newBench(t, 120, 30, false, false, tuitest.Cluster(3, 3))
	b.host = &typist{desk: b.desk, old: "Restart=always", new: "Restart=no"}
	apply := func() { b.press("2", "e", "y") }
	apply()
	b.shows("Applied web@1.service. z undoes the change (5 s).")
	b.client.content = b.client.acted[0].Files[0].Content
	b.press("z")
	b.shows("web@1.service has the file again that it had before.")
	if got := b.client.acted[1]; !got.Replace || got.Files[0].Content != unitFile || got.Generations["web@1.service"] == 0 {
		t.Errorf("undoing sends %+v", got)
	}
	b.client.content = unitFile
	apply()
	b.press("z") // it has the content from before, so another one applied that
	b.shows("The change was not undone. Nothing was applied: root changed web@1.service meanwhile.")
	if n := len(b.client.acted); n != 3 {
		t.Errorf("%d requests, expected three", n)
	}
}

// TestAGlobalUnitSaysSoWhereNothingAsks.
func TestAGlobalUnitSaysSoWhereNothingAsks(t *testing.T) {
	b := newBench(t, 120, 24, false, false, tuitest.Cluster(3, 2))
	u := tuitest.Unit("agent.service")
	u.Global, u.Desired = true, units.Inactive
	b.line(&api.Line{Kind: api.LineChange, Units: []api.Unit{u}})
	b.press("2", "G", "s")
	b.shows("agent.service is being started. It is global: on every machine that can take it.")
	l := &api.Line{Kind: api.LineChange}
	for i := 1; i <= 3; i++ {
		l.Assignments = append(l.Assignments, tuitest.On(u.Name, i, 10))
	}
	b.line(l)
	b.press("s")
	b.shows("It is global: on all 3 machines.")
}
