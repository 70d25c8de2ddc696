package state_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

// TestAgesAreMonotonic: times of other clocks get this one's monotonic reading,
// so that a step of the clock changes no age, and one that is ahead has an age
// from when it was heard of.
func TestAgesAreMonotonic(t *testing.T) {
	now := time.Now()
	r := state.NewReducer()
	l := tuitest.Cluster(2, 2)
	l.Statuses[0].Since = now.Round(0).Add(-time.Minute)
	l.Statuses[1].Since = now.Round(0).Add(time.Hour) // that machine's clock is ahead
	l.Machines[0].Health.Since = now.Round(0).Add(-time.Hour)
	l.Machines[1].Schedule, l.Machines[1].ScheduledAt = cluster.Cordoned, now.Round(0).Add(-time.Second)
	l.Store = &api.Store{Since: now.Round(0).Add(-time.Minute)}
	r.Apply(l, now)
	s := r.Snapshot(now)
	for name, at := range map[string]time.Time{"a unit": s.Row("web@1.service").Since,
		"one ahead": s.Row("web@2.service").Since, "a machine": s.Machines[0].Health.Since,
		"a cordon": s.Machines[1].WordSince(), "the store": s.Store.Since} {
		if !strings.Contains(at.String(), "m=") {
			t.Errorf("the time of %s has no monotonic reading: %s", name, at)
		}
	}
	later := now.Add(5 * time.Second)
	r.Apply(&api.Line{Kind: api.LineChange, Statuses: l.Statuses, Machines: l.Machines}, later)
	s = r.Snapshot(later)
	for name, age := range map[string]time.Duration{"web@1.service": 65 * time.Second,
		"web@2.service": 5 * time.Second} {
		if got := later.Sub(s.Row(name).Since); got != age {
			t.Errorf("%s has an age of %s, want %s", name, got, age)
		}
	}
}

// TestAgesAreTheClusters: a console whose clock is an hour off shows the ages
// that the daemon's clock gives, and the order of what happened stays.
func TestAgesAreTheClusters(t *testing.T) {
	for _, ahead := range []time.Duration{-time.Hour, 0, 700 * time.Millisecond, time.Hour} {
		here := noon.Add(-ahead) // while the cluster's clocks say noon
		r := state.NewReducer()
		l := tuitest.Cluster(2, 2)
		l.Time = noon
		l.Machines[1].Health.Since = noon.Add(-5 * time.Minute)
		l.Events = []cluster.Event{tuitest.Event(1, time.Minute, cluster.Event{Kind: cluster.EventUnit, Text: "one"}),
			tuitest.Event(2, time.Second, cluster.Event{Kind: cluster.EventUnit, Text: "two"})}
		r.Apply(l, here)
		r.AddEvents([]cluster.Event{tuitest.Event(0, 2*time.Minute, cluster.Event{Kind: cluster.EventUnit, Text: "zero"})},
			here)
		s := r.Snapshot(here)
		want := 42 * time.Minute
		if ahead.Abs() < time.Second { // that is the way the line took
			want += -ahead
		}
		if got := here.Sub(s.Row("web@1.service").Since); got != want {
			t.Errorf("with clocks %s ahead a unit is active for %s, want %s", ahead, got, want)
		}
		if got := here.Sub(s.Machines[1].Health.Since).Round(time.Second * 2); got != 5*time.Minute {
			t.Errorf("with clocks %s ahead a machine is up for %s", ahead, got)
		}
		var order string
		for _, e := range s.Timeline {
			order += e.Text + " "
		}
		if order != "zero one two " {
			t.Errorf("with clocks %s ahead the timeline is %s", ahead, order)
		}
	}
}

// TestACordonHasItsOwnAge, and none where it isn't known.
func TestACordonHasItsOwnAge(t *testing.T) {
	r := fold(tuitest.Cluster(3, 3))
	m := tuitest.Machine(2)
	m.Schedule, m.ScheduledAt = cluster.Drained, noon.Add(-time.Minute)
	old := tuitest.Machine(3)
	old.Schedule = cluster.Cordoned // by a daemon that noted no time
	r.Apply(&api.Line{Kind: api.LineChange, Machines: []api.Machine{m, old}}, noon)
	s := r.Snapshot(noon)
	if age := noon.Sub(s.Machine(m.ID).WordSince()); age != time.Minute {
		t.Errorf("it is drained for %s", age)
	}
	if !s.Machine(old.ID).WordSince().IsZero() {
		t.Errorf("it is cordoned since %s", s.Machine(old.ID).WordSince())
	}
	if age := noon.Sub(s.Machines[0].WordSince()); age != 3*time.Hour {
		t.Errorf("it is up for %s", age)
	}
}

// TestWhatComesLastIsOnTop whatever the clocks say that stamped events.
func TestWhatComesLastIsOnTop(t *testing.T) {
	event := func(n int, ago time.Duration) cluster.Event {
		return tuitest.Event(n, ago, cluster.Event{Kind: cluster.EventUnit, Text: fmt.Sprint("event ", n)})
	}
	r := fold(tuitest.Cluster(1, 1))
	r.AddEvents([]cluster.Event{event(1, time.Hour), event(2, 2*time.Hour)}, noon)
	happens := func(after time.Duration, n int, ago time.Duration) {
		r.Apply(&api.Line{Kind: api.LineChange, Events: []cluster.Event{event(n, ago)}}, noon.Add(after))
	}
	happens(0, 3, -time.Hour)                   // the leader's clock was ahead, and is set
	happens(10*time.Second, 4, -10*time.Second) // as it should be
	happens(20*time.Second, 5, time.Hour)       // another leader's clock is behind
	happens(30*time.Second, 6, -25*time.Second) // a little late, after
	happens(31*time.Second, 7, -22*time.Second) // which an older one comes
	r.AddEvents([]cluster.Event{event(8, 90*time.Minute), event(3, -time.Hour)}, noon.Add(32*time.Second))
	order := func(r *state.Reducer) string {
		var list []string
		for _, e := range r.Snapshot(noon).Timeline {
			list = append(list, strings.TrimPrefix(e.Text, "event "))
		}
		return strings.Join(list, " ")
	}
	if got := order(r); got != "2 8 1 3 4 5 7 6" {
		t.Errorf("the order is %s, want 2 8 1 3 4 5 7 6", got)
	}
	again := tuitest.Cluster(1, 1) // the connection was lost for a moment
	again.Events = []cluster.Event{event(2, 2*time.Hour), event(4, -10*time.Second), event(9, -50*time.Second),
		event(3, -time.Hour)}
	r.Apply(again, noon.Add(time.Minute))
	if got := order(r); got != "2 8 1 3 4 5 7 6 9" {
		t.Errorf("after another connection the order is %s, want 2 8 1 3 4 5 7 6 9", got)
	}
}

// TestACrashLoopIsNotGreen between two crashes, and is again when it stays up.
func TestACrashLoopIsNotGreen(t *testing.T) {
	r := fold(tuitest.Cluster(2, 2))
	now := noon
	look := func(restarts int, since time.Time) *state.Row {
		st := tuitest.Runs("web@1.service", 1, 10, "active", "running")
		st.Restarts, st.Since = restarts, since
		r.Apply(&api.Line{Kind: api.LineChange, Statuses: []cluster.Status{st}}, now)
		return r.Snapshot(now).Row("web@1.service")
	}
	for n, want := range []state.Mood{state.Good, state.Good, state.Bad, state.Bad} {
		now = now.Add(20 * time.Second)
		if row := look(n+1, now); row.Mood != want {
			t.Errorf("after %d restarts it is %s", n+1, row.Word)
		}
	}
	st := tuitest.Runs("web@1.service", 1, 10, "activating", "start")
	st.Restarts, st.Since = 4, now
	for active, sub := range map[string]string{"activating": "start", "deactivating": "stop-sigterm"} {
		st.Active, st.Sub = active, sub
		r.Apply(&api.Line{Kind: api.LineChange, Statuses: []cluster.Status{st}}, now)
		if row := r.Snapshot(now).Row("web@1.service"); !row.Loops() {
			t.Errorf("while it is %s it is %s", active, row.Word)
		}
	}
	look(4, now)
	if next := r.Next(); !next.Equal(now.Add(30 * time.Second)) {
		t.Errorf("it is looked at again at %s, want 30 s after %s", next, now)
	}
	if row := r.Snapshot(now.Add(29 * time.Second)).Row("web@1.service"); !row.Loops() {
		t.Errorf("after 29 s of running it is %s", row.Word)
	}
	now = r.Next()
	if row := r.Snapshot(now).Row("web@1.service"); row.Word != "active" || row.Mood != state.Good {
		t.Errorf("after 30 quiet seconds it is %s", row.Word)
	}
	if !r.Next().IsZero() {
		t.Errorf("it is looked at again at %s", r.Next())
	}
	now = now.Add(time.Hour)
	if row := look(5, now); row.Mood != state.Good {
		t.Errorf("one restart later it is %s", row.Word)
	}

	// A console that opens in the middle of a loop.
	l := tuitest.Cluster(1, 2)
	l.Statuses[0].Restarts, l.Statuses[0].Since = 57, noon.Add(-2*time.Second)
	l.Statuses[1].Restarts, l.Statuses[1].Since = 57, noon.Add(-2*time.Hour)
	s := fold(l).Snapshot(noon)
	if a, b := s.Row("web@1.service"), s.Row("web@2.service"); a.Word != "crashing" || b.Word != "active" {
		t.Errorf("at first sight they are %s and %s", a.Word, b.Word)
	}
}

// TestMovedAwayCountsWhatMoved: of three units of a dead machine one has another.
func TestMovedAwayCountsWhatMoved(t *testing.T) {
	r := fold(tuitest.Cluster(3, 9), tuitest.Failed(3, time.Second), tuitest.Moved("web@3.service", 3, 1, 20,
		time.Second),
		&api.Line{Kind: api.LineChange, Gone: &api.Gone{Assignments: []api.Placement{{Machine: tuitest.MachineID(3),
			Unit: "web@6.service"}}}})
	m := r.Snapshot(noon).Machine(tuitest.MachineID(3))
	if rows, moved := m.LeavingAt(noon); len(rows) != 2 || moved != 1 {
		t.Errorf("%d are leaving, %d moved, want 2 and 1", len(rows), moved)
	}
	o := cluster.Outage{Start: time.Second}
	r.Apply(tuitest.Active("web@3.service", 3, 1, 20, 0, o), noon)
	m = r.Snapshot(noon).Machine(tuitest.MachineID(3))
	if rows, _ := m.LeavingAt(noon.Add(2 * state.MovedFor)); len(rows) != 1 { // which still has no place
		t.Errorf("later %d are leaving, want 1", len(rows))
	}
}
