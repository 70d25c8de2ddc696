package schedule

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/units"
)

// drawScene makes up a cluster in any state, reachable or not.
func drawScene(t *rapid.T) *scene {
	s := newScene()
	var ids []string
	for k := range rapid.IntRange(0, 6).Draw(t, "machines") {
		id := fmt.Sprintf("n%d", k)
		ids = append(ids, id)
		var metadata []string
		if rapid.Bool().Draw(t, "ssd") {
			metadata = append(metadata, "ssd=true")
		}
		s.machine(id, metadata...)
		s.state(id, rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Up, cluster.Up, cluster.Suspect,
			cluster.DaemonGone, cluster.Failed, cluster.Down}).Draw(t, "state"))
		s.mark(id, rapid.SampledFrom([]cluster.Schedulability{cluster.Schedulable, cluster.Schedulable, cluster.Cordoned,
			cluster.Drained}).Draw(t, "schedule"))
	}
	ids = append(ids, "gone")
	names := []string{"a.service", "b.service", "c.service", "d.service", "w@1.service", "w@2.service", "w@3.service"}
	options := rapid.SampledFrom([][]string{nil, nil, nil, {"MachineMetadata=ssd=true"}, {"MachineID=n1"}, {"MachineOf=a.service"},
		{"MachineOf=b.service"}, {"Conflicts=w@*.service"}, {"Conflicts=a.service"}, {"Replaces=b.service"}, {"Replaces=w@?.service"}, {"Global=true"}})
	for _, name := range names {
		s.unit(name, options.Draw(t, "options")...)
		where := rapid.SliceOfNDistinct(rapid.SampledFrom(ids), 0, 2, rapid.ID[string]).Draw(t, "on")
		s.on(name, where...)
		switch rapid.IntRange(0, 9).Draw(t, "then") {
		case 0:
			s.desired(name, units.Inactive)
		case 1:
			delete(s.snap.Units, name)
		case 2:
			s.unit(name, options.Draw(t, "new options")...)
		case 3:
			s.desired(name, units.Loaded)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "hold") == 0 {
		s.hold = "too many vanished"
	}
	return s
}

// mostRounds is after how many plans a cluster that doesn't change must be settled.
const mostRounds = 3

// TestPlanHolds checks, for clusters in any state, what must hold of a plan
// and of the cluster after it.
func TestPlanHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		in := s.input()
		p := New()
		r := p.Plan(in, noon)
		checkMoves(t, in, r)
		if again := New().Plan(in, noon); !reflect.DeepEqual(again, r) {
			t.Fatalf("another planner says\n%v\nnot\n%v", says(again), says(r))
		}
		after := in
		after.Snapshot = apply(in.Snapshot, r.Moves)
		checkPlaced(t, in, after.Snapshot, r)
		checkConstraints(t, in, after.Snapshot, r)
		checkHealthyStay(t, in, r)
		// One that was replaced may leave room for a global unit, which the next plan sees.
		for round := 0; ; round++ {
			more := p.Plan(after, noon)
			if len(more.Moves) == 0 {
				break
			}
			if round == mostRounds {
				t.Fatalf("not settled: first\n%v\nat last\n%v", says(r), says(more))
			}
			after.Snapshot = apply(after.Snapshot, more.Moves)
			checkPlaced(t, after, after.Snapshot, more)
			checkConstraints(t, after, after.Snapshot, more)
		}
	})
}

// checkPlaced: every wanted unit is in one place, or unplaced with a reason.
func checkPlaced(t *rapid.T, in Input, after *cluster.Snapshot, r Result) {
	places := map[string]int{}
	for k := range after.Assignments {
		places[k.Unit]++
	}
	for _, u := range r.Unplaced {
		left := 0
		for _, l := range r.Left {
			if l.Unit == u.Unit {
				left++
			}
		}
		if u.Reason == "" || places[u.Unit] != left {
			t.Fatalf("unplaced %+v in %d places, left in %d", u, places[u.Unit], left)
		}
	}
	for name, u := range after.Units {
		global := parse(&u, files{}).req.Global
		unplaced := slices.ContainsFunc(r.Unplaced, func(x Unplaced) bool { return x.Unit == name })
		switch n := places[name]; {
		case !wants(u) && n > 0:
			t.Fatalf("%s is not wanted and in %d places", name, n)
		case wants(u) && !global && n > 1:
			t.Fatalf("%s is in %d places", name, n)
		case wants(u) && n == 0 && !unplaced:
			t.Fatalf("%s is nowhere, without a reason", name)
		}
	}
}

// checkConstraints: what is on a machine may be there.
func checkConstraints(t *rapid.T, in Input, after *cluster.Snapshot, r Result) {
	w, _ := newWorld(after, nil)
	for k, a := range after.Assignments {
		m, ok := after.Machines[k.Machine]
		state := in.Health[k.Machine].State
		if in.Hold != "" && ok && state == cluster.Failed && m.Schedule != cluster.Drained {
			continue
		}
		left := slices.Contains(r.Left, k)
		if left && state.Runs() {
			t.Fatalf("%s is left with %s, which is %s", k.Unit, k.Machine, state)
		}
		u := after.Units[k.Unit]
		demands := parse(&u, files{})
		req := demands.req
		host := &w.machines[w.byID[k.Machine]]
		switch {
		case !ok || !state.Runs() && !left:
			t.Fatalf("%s is on %s, which is %s %s", k.Unit, k.Machine, state, m.Schedule)
		case w.lacks(host, &demands, true).kind != fits:
			t.Fatalf("%s is on %s, which %+v", k.Unit, k.Machine, w.lacks(host, &demands, true))
		case slices.ContainsFunc(r.Rolls, func(roll Roll) bool { return roll.Unit == k.Unit }): // one machine after the other
		case a.Generation != u.Generation || a.Content != u.Content || a.Desired != u.Desired:
			t.Fatalf("%s on %s is not up to date", k.Unit, k.Machine)
		}
		for _, target := range req.MachineOf {
			if _, ok := after.Assignments[cluster.UnitOnMachine{Machine: k.Machine, Unit: target}]; !ok {
				t.Fatalf("%s is on %s without %s", k.Unit, k.Machine, target)
			}
		}
		for o := range after.Assignments {
			if o.Machine == k.Machine && o.Unit != k.Unit && matchesAny(req.Conflicts, o.Unit) {
				t.Fatalf("%s conflicts with %s on %s", k.Unit, o.Unit, k.Machine)
			}
		}
	}
}

// TestFilterAgreesWithReasons: the machines that take a unit are those that
// have nothing to say against it, for every constraint.
func TestFilterAgreesWithReasons(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := New()
		in := drawScene(t).input()
		p.sync(in)
		pl := p.plan(in, noon)
		clear(pl.evicted)
		for i := range pl.units {
			u := &pl.units[i]
			if u.at < 0 || u.parsed.err != "" {
				continue
			}
			m := u.at
			pl.unassign(int32(i), m)
			able := slices.Clone(pl.able(int32(i), nil))
			for m := range pl.machines {
				why := pl.verdict(u, int32(m))
				if slices.Contains(able, int32(m)) != (why.kind == fits) {
					t.Fatalf("%s may be on %v, and %s %s", u.name, able, pl.machines[m].name, pl.describeOne(why))
				}
			}
			pl.assign(int32(i), m)
		}
	})
}

// checkHealthyStay: a unit that may stay on a running machine isn't moved.
func checkHealthyStay(t *rapid.T, in Input, r Result) {
	w, _ := newWorld(in.Snapshot, nil)
	tied := func(name string) bool { // others can make it move
		for _, u := range in.Snapshot.Units {
			req := parse(&u, files{}).req
			if len(req.Conflicts)+len(req.Replaces) > 0 || u.Name == name && len(req.MachineOf) > 0 {
				return true
			}
		}
		return false
	}
	for _, m := range r.Moves {
		if m.From == nil || (m.To != nil && m.From.Machine == m.To.Machine) || tied(m.Unit) {
			continue
		}
		u, ok := in.Snapshot.Units[m.Unit]
		rec, known := in.Snapshot.Machines[m.From.Machine]
		demands := parse(&u, files{})
		host := &w.machines[w.byID[m.From.Machine]]
		twice := 0
		for k := range in.Snapshot.Assignments {
			if k.Unit == m.Unit {
				twice++
			}
		}
		if ok && wants(u) && known && in.Health[m.From.Machine].State.Runs() && rec.Schedule != cluster.Drained &&
			w.lacks(host, &demands, true).kind == fits && twice < 2 {
			t.Fatalf("healthy %s was moved: %s", m.Unit, m.Reason)
		}
	}
}

// TestWarmPlannerAgrees drives one planner through changes and compares it
// with a new one at each step: its memory must not change an answer.
func TestWarmPlannerAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		warm := New()
		for range 6 {
			in := s.input()
			got, want := warm.Plan(in, noon), New().Plan(in, noon)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("a warm planner says\n%v\nnot\n%v", says(got), says(want))
			}
			if len(in.Snapshot.Machines) == 0 {
				return
			}
			id := fmt.Sprintf("n%d", rapid.IntRange(0, len(in.Snapshot.Machines)-1).Draw(t, "machine"))
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				s.snap = apply(s.snap, got.Moves)
			case 1:
				s.state(id, rapid.SampledFrom([]cluster.HealthState{cluster.Up, cluster.Failed, cluster.Suspect}).Draw(t, "state"))
			case 2:
				warm.WhatIf(in, id)
			case 3:
				if _, err := warm.Explain(in, "a.service"); err != nil && in.Snapshot.Units["a.service"].Name != "" {
					t.Fatal(err)
				}
			}
		}
	})
}
