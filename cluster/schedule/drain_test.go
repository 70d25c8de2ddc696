package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/units"
)

// drain marks a machine, with a pace.
func (s *scene) drain(id string, parallel int) *scene {
	m := s.snap.Machines[id]
	m.SetDrained(parallel, false, noon)
	s.snap.Machines[id] = m
	return s
}

// says makes a machine say of a unit how it is, in the epoch that it has there.
func (s *scene) says(unit, machine, active string) *scene {
	k := cluster.UnitOnMachine{Machine: machine, Unit: unit}
	a := s.snap.Assignments[k]
	result := "success"
	if active == "failed" {
		result = "exit-code"
	}
	s.snap = s.snap.With(cluster.Change{Revision: s.snap.Revision + 1, Statuses: map[cluster.UnitOnMachine]*cluster.Status{k: {Machine: machine,
		Status: units.Status{Name: unit, Hash: a.Hash, Load: "loaded", Active: active, Result: result}, Epoch: a.Epoch, Generation: a.Generation}}})
	return s
}

// next carries out what a plan says, and renders it: + is a start beside the old copy.
func (s *scene) next(p *Planner, now time.Time) string {
	r := p.Plan(s.input(), now)
	s.snap = apply(s.snap, r.Moves)
	lines := says(r)
	for k, m := range r.Moves {
		if m.Keep {
			lines[k] += "+"
		}
		if m.StopFirst {
			lines[k] += " stop first"
		}
	}
	for _, st := range r.Stays {
		lines = append(lines, st.Unit+" stays on "+st.Machine+": "+st.Reason)
	}
	return strings.Join(lines, "|")
}

func (s *scene) wantNext(t *testing.T, p *Planner, now time.Time, want string) {
	t.Helper()
	if got := s.next(p, now); got != want {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
}

// TestDrainStartFirst: the new copy is active before the old one is stopped, and only then the next unit goes.
func TestDrainStartFirst(t *testing.T) {
	a, b := "a.service", "b.service"
	s, p := newScene("n1", "n2").unit(a).unit(b).on(a, "n2").on(b, "n2").unit("g.service", "Global=true").on("g.service", "n1", "n2"), New()
	s.says(a, "n2", "active").says(b, "n2", "active").drain("n2", 1)
	s.wantNext(t, p, noon, "a.service n2>n1+")
	s.wantNext(t, p, noon, "")
	s.says(a, "n1", "activating").wantNext(t, New(), noon, "")
	s.says(a, "n1", "active").wantNext(t, New(), noon, "a.service n2>-") // another leader
	s.wantNext(t, p, noon, "b.service n2>n1+")
	s.says(b, "n1", "active").wantNext(t, p, noon, "b.service n2>-")
	s.wantNext(t, p, noon, "g.service n2>-")
	s.wantNext(t, p, noon, "")
}

// TestDrainFails: what fails elsewhere runs on where it was, is told, and the next one goes.
func TestDrainFails(t *testing.T) {
	a, b := "a.service", "b.service"
	s, p := newScene("n1", "n2").unit(a).unit(b, "MachineID=n2").on(a, "n2").on(b, "n2"), New()
	s.says(a, "n2", "active").says(b, "n2", "active").drain("n2", 1)
	nowhere := "MachineID allows only n2, which is drained"
	s.wantNext(t, p, noon, "a.service n2>n1+")
	failed := "it failed (exit-code) on n1"
	s.says(a, "n1", "failed").wantNext(t, p, noon, "a.service n1>-|a.service n2>n2|a.service stays on n2: "+failed)
	s.wantNext(t, p, noon, "b.service n2>n2|a.service stays on n2: "+failed+"|b.service stays on n2: "+nowhere)
	for range 2 {
		s.wantNext(t, p, noon, "a.service stays on n2: "+failed+"|b.service stays on n2: "+nowhere)
	}
	s.drain("n2", 0) // asked for again, it is tried again
	s.snap.Machines = map[string]cluster.Machine{"n1": s.snap.Machines["n1"], "n2": s.snap.Machines["n2"]}
	s.wantNext(t, p, noon, "a.service n2>n1+")
	s.wantNext(t, p, noon.Add(drainPatience+time.Minute), "a.service n1>-|a.service n2>n2|"+
		"a.service stays on n2: it isn't active after 6m0s on n1")
	m := s.snap.Machines["n2"]
	m.SetSchedule(cluster.Schedulable, noon)
	s.snap.Machines = map[string]cluster.Machine{"n1": s.snap.Machines["n1"], "n2": m}
	s.wantNext(t, p, noon, "a.service n2>n2|b.service n2>n2")
	s.wantNext(t, p, noon, "")
}

// TestDrainPace: at most as many as asked for, units tied by MachineOf= together, stop-first where a second run does harm.
func TestDrainPace(t *testing.T) {
	s, p := newScene("n1", "n2").unit("a.service").unit("b.service", "MachineOf=c.service").unit("c.service").unit("d.timer").
		unit("e.service").fences("n1", "").fences("n2", "").unit("x.service", "Exclusive=true"), New()
	for _, u := range []string{"a.service", "b.service", "c.service", "d.timer", "e.service", "x.service"} {
		s.on(u, "n2").says(u, "n2", "active")
	}
	s.drain("n2", 3)
	s.wantNext(t, p, noon, "a.service n2>n1+|b.service n2>n1+|c.service n2>n1+")
	s.says("a.service", "n1", "active").wantNext(t, p, noon, "a.service n2>-")
	s.wantNext(t, p, noon, "d.timer n2>n1 stop first")
	s.says("b.service", "n1", "active").says("c.service", "n1", "active").wantNext(t, p, noon, "b.service n2>-|c.service n2>-")
	s.wantNext(t, p, noon, "e.service n2>n1+|x.service n2>n1")
}

// TestDrainAndDeath: a machine that dies while it is drained, or while a unit moves to it.
func TestDrainAndDeath(t *testing.T) {
	make := func() (*scene, *Planner) {
		s, p := newScene("n1", "n2", "n3").unit("a.service").unit("b.service").on("a.service", "n2").on("b.service", "n2"), New()
		s.says("a.service", "n2", "active").says("b.service", "n2", "active").drain("n2", 1)
		s.wantNext(t, p, noon, "a.service n2>n1+")
		return s, p
	}
	s, p := make()
	s.state("n2", cluster.Failed).wantNext(t, p, noon, "a.service n2>-|b.service n2>n3")
	s, p = make()
	s.state("n1", cluster.Failed).wantNext(t, p, noon, "a.service n1>-")
	s.wantNext(t, p, noon, "a.service n2>n3+")
	s.says("a.service", "n3", "active").wantNext(t, p, noon, "a.service n2>-")
	s.wantNext(t, p, noon, "b.service n2>n3+")
	s, p = make()
	s.desired("a.service", units.Inactive).wantNext(t, p, noon, "a.service n1>-|a.service n2>-|b.service n2>n1+")
}

// TestDrainHolds: whatever happens on the way, a unit that runs start-first always
// runs, no more move than asked for, and it ends.
func TestDrainHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, p := newScene("n1", "n2", "n3", "n4"), New()
		var names []string
		for k := range rapid.IntRange(1, 8).Draw(t, "units") {
			name := fmt.Sprintf("u%d.service", k)
			var options []string
			if k > 0 {
				options = rapid.SampledFrom([][]string{nil, nil, {"MachineOf=u0.service"}, {"Conflicts=u0.service"}, {"MachineID=n2"}}).Draw(t, "options")
			}
			names = append(names, name)
			s.unit(name, options...)
		}
		s.snap = apply(s.snap, New().Plan(s.input(), noon).Moves)
		for k := range s.snap.Assignments {
			s.says(k.Unit, k.Machine, "active")
		}
		parallel := rapid.IntRange(1, 3).Draw(t, "parallel")
		s.drain("n2", parallel)
		broken := rapid.SampledFrom(names).Draw(t, "broken")
		biggest := 0
		for round := 0; ; round++ {
			if round > 20*len(names) {
				t.Fatal("it doesn't end")
			}
			if rapid.IntRange(0, 2).Draw(t, "leader") == 0 {
				p = New()
			}
			r := p.Plan(s.input(), noon.Add(time.Duration(round)*time.Second))
			s.snap = apply(s.snap, r.Moves)
			onTheWay, waiting := 0, false
			for k := range s.snap.Statuses {
				if _, there := s.snap.Assignments[k]; !there {
					s.snap = s.snap.With(cluster.Change{Revision: s.snap.Revision + 1,
						Statuses: map[cluster.UnitOnMachine]*cluster.Status{k: nil}})
				}
			}
			for k, a := range s.snap.Assignments {
				if st := s.snap.Statuses[k]; a.MovedFrom == "n2" && st.Epoch != a.Epoch {
					onTheWay++
					waiting = true
				}
			}
			biggest = max(biggest, onTheWay)
			if tied := slices.ContainsFunc(names, func(n string) bool {
				return strings.Contains(s.snap.Units[n].Content, "MachineOf")
			}); onTheWay > parallel && !tied {
				t.Fatalf("%d units move at a time, %d may", onTheWay, parallel)
			}
			for _, name := range names {
				active, placed := false, false
				for k, st := range s.snap.Statuses {
					active = active || k.Unit == name && st.Active == "active"
				}
				for k := range s.snap.Assignments {
					placed = placed || k.Unit == name
				}
				if placed && !active && name != broken {
					t.Fatalf("%s runs nowhere", name)
				}
			}
			if !waiting && len(r.Moves) == 0 {
				break
			}
			for k, a := range s.snap.Assignments {
				if st := s.snap.Statuses[k]; st.Epoch != a.Epoch && rapid.Bool().Draw(t, "done") {
					how := "active"
					if k.Unit == broken && k.Machine != "n2" {
						how = "failed"
					}
					s.says(k.Unit, k.Machine, how)
				}
			}
		}
		for k, a := range s.snap.Assignments {
			if k.Machine == "n2" && a.Stay.Reason == "" {
				t.Fatalf("%s is still on n2, without a reason", k.Unit)
			}
		}
	})
}
