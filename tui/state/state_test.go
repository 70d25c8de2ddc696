package state_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
	"fleettop/units"
)

var noon = tuitest.Noon

// fold returns a reducer that has seen lines.
func fold(lines ...*api.Line) *state.Reducer {
	r := state.NewReducer()
	for _, l := range lines {
		r.Apply(l, noon)
		r.Snapshot(noon)
	}
	return r
}

func TestAFailureIsAMoveWithAStopwatch(t *testing.T) {
	r := fold(tuitest.Cluster(3, 3))
	name := "web@3.service" // on n3
	row := func() *state.Row { return r.Snapshot(noon).Row(name) }
	if got := row(); got.Word != "active" || got.Move != nil || got.Host != "n3" {
		t.Fatalf("at first %+v", got)
	}

	doubt := tuitest.Machine(3)
	doubt.Health = cluster.Health{State: cluster.Suspect, SilentSince: noon.Add(-400 * time.Millisecond)}
	if !r.Apply(&api.Line{Kind: api.LineChange, Machines: []api.Machine{doubt}}, noon) {
		t.Error("a suspicion is not urgent")
	}
	if got := row(); got.Word != "suspect" || got.Move == nil || !got.Move.Doubt ||
		got.Move.Clock(noon) != 400*time.Millisecond {
		t.Fatalf("in doubt %+v, move %+v", got, got.Move)
	}

	r.Apply(tuitest.Failed(3, 800*time.Millisecond), noon)
	if got := row(); got.Word != "lost" || got.Mood != state.Bad || got.Move.To != "" || !got.Move.Running() {
		t.Fatalf("lost %+v, move %+v", got, got.Move)
	}
	if n := r.Snapshot(noon).Moving; n != 1 {
		t.Errorf("%d rows move, want 1", n)
	}

	r.Apply(tuitest.Moved(name, 3, 1, 20, 100*time.Millisecond), noon)
	got := row()
	if got.Host != "n1" || got.Word != "starting" || got.Move.FromName != "n3" || got.Move.ToName != "n1" ||
		got.Move.Clock(noon) != 800*time.Millisecond {
		t.Fatalf("given to n1 %+v, move %+v", got, got.Move)
	}

	st := tuitest.Runs(name, 1, 20, "active", "running")
	r.Apply(&api.Line{Kind: api.LineChange, Statuses: []cluster.Status{st}}, noon.Add(200*time.Millisecond))
	r.Snapshot(noon.Add(200 * time.Millisecond))
	if got := row(); got.Move.Running() || got.Move.Outage != time.Second || got.Move.Measured {
		t.Fatalf("active again %+v, move %+v", got, got.Move)
	}

	o := cluster.Outage{Detect: 710 * time.Millisecond, Decide: 20 * time.Millisecond, Start: 190 * time.Millisecond}
	r.Apply(tuitest.Active(name, 3, 1, 20, 0, o), noon)
	got = row()
	if got.Move.Outage != o.Total() || !got.Move.Measured {
		t.Errorf("the cluster measured %s, the row has %+v", o.Total(), got.Move)
	}
	s := r.Snapshot(noon)
	if n1, n3 := s.Machine(tuitest.MachineID(1)), s.Machine(tuitest.MachineID(3)); len(n1.Coming) != 1 ||
		len(n3.Leaving) != 1 || len(n3.Rows) != 0 {
		t.Errorf("n1 gets %d, n3 loses %d and has %d", len(n1.Coming), len(n3.Leaving), len(n3.Rows))
	}
	if !got.Move.Fresh(noon.Add(state.MovedFor-time.Second)) || got.Move.Fresh(noon.Add(state.MovedFor+time.Second)) {
		t.Error("the mark does not stay for its time")
	}
}

func TestAMeasurementBeforeTheAssignmentCounts(t *testing.T) {
	// A watch that begins anew reads the timeline before it sees what it tells of.
	o := cluster.Outage{Detect: 500 * time.Millisecond, Start: 40 * time.Millisecond}
	name := "web@3.service"
	active := tuitest.Active(name, 3, 1, 20, 0, o)
	r := fold(tuitest.Cluster(3, 3), tuitest.Failed(3, time.Second),
		&api.Line{Kind: api.LineChange, Events: active.Events}, tuitest.Moved(name, 3, 1, 20, 0))
	r.Apply(&api.Line{Kind: api.LineChange, Statuses: active.Statuses}, noon.Add(3*time.Second))
	if m := r.Snapshot(noon.Add(3 * time.Second)).Row(name).Move; m == nil || m.Outage != o.Total() {
		t.Errorf("the row's move is %+v, want an outage of %s", m, o.Total())
	}
}

func TestAFalseAlarmLeavesNoMark(t *testing.T) {
	doubt := tuitest.Machine(2)
	doubt.Health = cluster.Health{State: cluster.Suspect, SilentSince: noon.Add(-time.Second)}
	r := fold(tuitest.Cluster(3, 3), &api.Line{Kind: api.LineChange, Machines: []api.Machine{doubt}},
		&api.Line{Kind: api.LineChange, Machines: []api.Machine{tuitest.Machine(2)}})
	if got := r.Snapshot(noon).Row("web@2.service"); got.Move != nil || got.Word != "active" {
		t.Errorf("after a false alarm %+v, move %+v", got, got.Move)
	}
}

func TestAFailoverIsOneBlock(t *testing.T) {
	o := cluster.Outage{Detect: 710 * time.Millisecond, Decide: 20 * time.Millisecond, Start: 390 * time.Millisecond}
	lines := []*api.Line{tuitest.Cluster(3, 3),
		{Kind: api.LineChange, Events: []cluster.Event{tuitest.Event(0, time.Minute,
			cluster.Event{Kind: cluster.EventUnit, Unit: "web@3.service", Text: "started web@3.service", By: "root"})}},
		tuitest.Failed(3, 4*time.Second), tuitest.Moved("web@3.service", 3, 1, 20, 1500*time.Millisecond)}
	r := fold(lines...)
	s := r.Snapshot(noon)
	if n := len(s.Timeline); n != 2 || len(s.Timeline[1].Block) != 2 || s.Timeline[1].Complete {
		t.Fatalf("under way: %d entries, the last %+v", n, s.Timeline[n-1])
	}
	key := s.Timeline[1].Key()
	r.Apply(tuitest.Active("web@3.service", 3, 1, 20, time.Second, o), noon)
	r.Apply(tuitest.Summed(3, 1, 900*time.Millisecond, o), noon)
	s = r.Snapshot(noon)
	e := s.Timeline[1]
	if len(s.Timeline) != 2 || len(e.Block) != 4 || !e.Complete || e.Moved != 1 || e.Active != 1 || e.Key() != key ||
		e.Kind != cluster.EventFailover {
		t.Errorf("summed up: %+v", e)
	}
	r.AddEvents(e.Block, noon) // again, as from an older page
	if s := r.Snapshot(noon); len(s.Timeline) != 2 {
		t.Errorf("the same events again make %d entries", len(s.Timeline))
	}
}

func TestWords(t *testing.T) {
	name := "a.service"
	unit := func(d units.DesiredState, gen int64) api.Unit {
		u := tuitest.Unit(name)
		u.Desired, u.Generation = d, gen
		return u
	}
	on := []api.Assignment{tuitest.On(name, 1, 5)}
	status := func(active, sub string) []cluster.Status {
		return []cluster.Status{tuitest.Runs(name, 1, 5, active, sub)}
	}
	broken := status("inactive", "dead")
	broken[0].Error = "disk full"
	old := status("active", "running")
	old[0].Epoch = 4
	skipped := status("inactive", "dead")
	skipped[0].Result = units.ResultCondition
	stopped := status("inactive", "dead")
	stopped[0].ByHand = units.HandStopped
	for _, c := range []struct {
		word string
		line api.Line
	}{
		{"inactive", api.Line{Units: []api.Unit{unit(units.Inactive, 1)}}},
		{"waiting", api.Line{Units: []api.Unit{unit(units.Launched, 1)}}},
		{"unplaced", api.Line{Units: []api.Unit{unit(units.Launched, 1)},
			Unplaced: []api.Unplaced{{Unit: name, Reason: "no machine has ssd=true"}}}},
		{"starting", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on}},
		{"starting", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on, Statuses: old}},
		{"active", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on,
			Statuses: status("active", "running")}},
		{"changing", api.Line{Units: []api.Unit{unit(units.Launched, 2)}, Assignments: on,
			Statuses: status("active", "running")}},
		{"failed", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on,
			Statuses: status("failed", "failed")}},
		{"skipped", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on, Statuses: skipped}},
		{"finished", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on,
			Statuses: status("inactive", "dead")}},
		{"error", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on, Statuses: broken}},
		{"loaded", api.Line{Units: []api.Unit{unit(units.Loaded, 1)}, Assignments: on, Statuses: status("inactive", "dead")}},
		{"stopping", api.Line{Units: []api.Unit{unit(units.Loaded, 2)}, Assignments: on,
			Statuses: status("active", "running")}},
		{"active", api.Line{Units: []api.Unit{unit(units.Loaded, 1)}, Assignments: on,
			Statuses: status("active", "running")}},
		{"stopped", api.Line{Units: []api.Unit{unit(units.Launched, 1)}, Assignments: on, Statuses: stopped}},
		{"stopping", api.Line{Units: []api.Unit{unit(units.Inactive, 1)}, Statuses: status("active", "running")}},
	} {
		c.line.Kind, c.line.Machines = api.LineSnapshot, []api.Machine{tuitest.Machine(1)}
		if got := fold(&c.line).Snapshot(noon).Row(name); got.Word != c.word {
			t.Errorf("%+v\nis %q, want %q", c.line, got.Word, c.word)
		}
	}
}

func TestFilters(t *testing.T) {
	s := fold(tuitest.Cluster(4, 12), tuitest.Failed(3, time.Second)).Snapshot(noon)
	for text, want := range map[string]int{
		"": 12, "web": 12, "web@1.": 1, "~wb1srv": 4, "!web": 0, "machine=n3": 3, "!machine=n3": 9, "state=lost": 3,
		"state=active machine=n1": 3, "state=running": 9, "WEB@2": 1, "template=web@.service": 12, "template=": 0, "nosuch=1": 0, "n4": 3,
		"moved=yes": 3,
	} {
		var table state.Table
		if got := len(table.Items(s, state.ParseQuery(text), state.Order{}, "")); got != want {
			t.Errorf("%q leaves %d rows, want %d", text, got, want)
		}
	}
	if q := state.ParseQuery("rack=2"); !s.Machines[0].Matches(q) || s.Machines[1].Matches(q) {
		t.Error("metadata is no field of machines")
	}
}

// TestRowsOfAUnit finds those of a global one among others of similar names.
func TestRowsOfAUnit(t *testing.T) {
	l := tuitest.Cluster(3, 3)
	for _, name := range []string{"web@1", "web@1.service-2", "web@1.servicex", "a.service", "z.service"} {
		u := tuitest.Unit(name)
		u.Global = true
		l.Units = append(l.Units, u)
		for i := 1; i <= 3; i++ {
			l.Assignments = append(l.Assignments, tuitest.On(name, i, 10))
		}
	}
	s := fold(l).Snapshot(noon)
	for _, name := range []string{"web@1.service", "web@1", "web@1.service-2", "web@1.servicex", "a.service",
		"z.service", "none", "zz", "web@"} {
		want := 0
		for _, r := range s.Rows {
			if r.Unit == name {
				want++
			}
		}
		got := s.Of(name)
		for _, r := range got {
			if r.Unit != name {
				t.Errorf("among the rows of %s is one of %s", name, r.Unit)
			}
		}
		if len(got) != want {
			t.Errorf("%s has %d rows, want %d", name, len(got), want)
		}
	}
}

func TestOrders(t *testing.T) {
	s := fold(tuitest.Cluster(11, 22)).Snapshot(noon)
	var table state.Table
	items := table.Items(s, state.Query{}, state.Order{Column: state.ByMachine}, "")
	if a, b := items[3].Row.Host, items[21].Row.Host; a != "n2" || b != "n11" {
		t.Errorf("by machine the 4th is on %s and the last on %s", a, b)
	}
	items = table.Items(s, state.Query{}, state.Order{Group: state.GroupMachine}, "")
	if len(items) != 33 || items[0].Head != "n1" || items[0].Count != 2 {
		t.Errorf("%d items, the first is %+v", len(items), items[0])
	}
	if got := table.Items(s, state.Query{}, state.Order{}, tuitest.MachineID(5)); len(got) != 2 {
		t.Errorf("n5 has %d units, want 2", len(got))
	}
}

// TestReducerAgrees folds changes one by one and compares with a reducer that
// sees only where they lead.
func TestReducerAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machines := rapid.IntRange(1, 4).Draw(t, "machines")
		first := tuitest.Cluster(machines, rapid.IntRange(0, 8).Draw(t, "units"))
		var folded api.State
		step := state.NewReducer()
		apply := func(l *api.Line) {
			folded.Apply(l)
			step.Apply(l, noon)
		}
		apply(first)
		for range rapid.IntRange(0, 30).Draw(t, "changes") {
			apply(draw(t, machines))
			if rapid.Bool().Draw(t, "look") {
				snap := step.Snapshot(noon)
				was := fmt.Sprint(words(snap))
				defer func() {
					if now := fmt.Sprint(words(snap)); now != was {
						t.Fatalf("a snapshot changed after it was made:\n%s\n%s", was, now)
					}
				}()
			}
		}
		whole := state.NewReducer()
		whole.Apply(lineOf(&folded), noon)
		got, want := words(step.Snapshot(noon)), words(whole.Snapshot(noon))
		if !slices.Equal(got, want) {
			t.Fatalf("step by step:\n%q\nat once:\n%q", got, want)
		}
		seen := map[string]bool{}
		for i, r := range step.Snapshot(noon).Rows {
			if seen[r.ID] || step.Snapshot(noon).Row(r.ID) != r {
				t.Fatalf("row %d, %s, is there twice or can't be found", i, r.ID)
			}
			seen[r.ID] = true
		}
	})
}

func words(s *state.Snapshot) []string {
	var out []string
	for _, r := range s.Rows {
		out = append(out, fmt.Sprintf("%s on %s: %s %s", r.ID, r.Host, r.Word, r.Reason))
	}
	for _, m := range s.Machines {
		out = append(out, fmt.Sprintf("%s %s: %d units, %d bad", m.Label, m.Word, len(m.Rows), m.Bad))
	}
	return out
}

// draw is a random change.
func draw(t *rapid.T, machines int) *api.Line {
	l := &api.Line{Kind: api.LineChange}
	name := fmt.Sprintf("web@%d.service", rapid.IntRange(1, 10).Draw(t, "unit"))
	on := rapid.IntRange(1, machines).Draw(t, "machine")
	epoch := rapid.Int64Range(1, 3).Draw(t, "epoch")
	at := []api.Placement{{Machine: tuitest.MachineID(on), Unit: name}}
	switch rapid.IntRange(0, 8).Draw(t, "what") {
	case 0:
		u := tuitest.Unit(name)
		u.Global = rapid.Bool().Draw(t, "global")
		u.Desired = rapid.SampledFrom([]units.DesiredState{units.Inactive, units.Loaded, units.Launched}).Draw(t, "desired")
		l.Units = []api.Unit{u}
	case 1:
		l.Gone = &api.Gone{Units: []string{name}}
	case 2:
		l.Assignments = []api.Assignment{tuitest.On(name, on, epoch)}
	case 3:
		l.Gone = &api.Gone{Assignments: at}
	case 4:
		l.Statuses = []cluster.Status{tuitest.Runs(name, on, epoch,
			rapid.SampledFrom([]string{"active", "failed", "inactive", "activating"}).Draw(t, "active"), "")}
	case 5:
		l.Gone = &api.Gone{Statuses: at}
	case 6:
		m := tuitest.Machine(on)
		m.Health.State = rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Suspect, cluster.Failed}).Draw(t,
			"health")
		l.Machines = []api.Machine{m}
	case 7:
		l.Unplaced = []api.Unplaced{{Unit: name, Reason: "nowhere"}}
	case 8:
		l.Gone = &api.Gone{Unplaced: []string{name}}
	}
	return l
}

// lineOf is the snapshot a state would be sent as.
func lineOf(s *api.State) *api.Line {
	l := &api.Line{Kind: api.LineSnapshot, Leader: &s.Leader, Store: &s.Store, Events: s.Events}
	for _, m := range s.Machines {
		l.Machines = append(l.Machines, m)
	}
	for _, u := range s.Units {
		l.Units = append(l.Units, u)
	}
	for _, a := range s.Assignments {
		l.Assignments = append(l.Assignments, a)
	}
	for _, st := range s.Statuses {
		l.Statuses = append(l.Statuses, st)
	}
	for name, reason := range s.Unplaced {
		l.Unplaced = append(l.Unplaced, api.Unplaced{Unit: name, Reason: reason})
	}
	return l
}

func BenchmarkApply1000Changes(b *testing.B) {
	r := state.NewReducer()
	r.Apply(tuitest.Cluster(1000, 10000), noon)
	r.Snapshot(noon)
	lines := [2]*api.Line{}
	for n := range lines {
		lines[n] = &api.Line{Kind: api.LineChange}
		for i := range 1000 {
			name := fmt.Sprintf("web@%d.service", i*10+1)
			lines[n].Statuses = append(lines[n].Statuses, tuitest.Runs(name, i*10%1000+1, 10,
				[2]string{"active", "activating"}[n], "running"))
		}
	}
	for i := 0; b.Loop(); i++ {
		r.Apply(lines[i%2], noon)
		r.Snapshot(noon)
	}
}

func BenchmarkFilter10000Units(b *testing.B) {
	r := state.NewReducer()
	r.Apply(tuitest.Cluster(1000, 10000), noon)
	s := r.Snapshot(noon)
	for _, text := range []string{"web@12", "~wb19s", "machine=n77 !web@9"} {
		b.Run(text, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				var table state.Table
				table.Items(s, state.ParseQuery(text), state.Order{Column: state.ByMachine}, "")
			}
		})
	}
}
