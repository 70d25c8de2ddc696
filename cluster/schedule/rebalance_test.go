package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"fleettop/cluster"
)

// ask writes what a rebalance planned into the machines' records.
func (s *scene) ask(list []Asked, parallel int) *scene {
	of := map[string][]cluster.Shed{}
	for _, a := range list {
		of[a.From] = append(of[a.From], a.Shed)
	}
	change := cluster.Change{Revision: s.snap.Revision + 1, Machines: map[string]*cluster.Machine{}}
	for id, sheds := range of {
		m := s.snap.Machines[id]
		m.SetSheds(sheds, parallel)
		change.Machines[id] = &m
	}
	s.snap = s.snap.With(change)
	return s
}

// runAll has all units run where they are.
func (s *scene) runAll() *scene {
	for k := range s.snap.Assignments {
		s.says(k.Unit, k.Machine, "active")
	}
	return s
}

func askedFor(list []Asked) string {
	var lines []string
	for _, a := range list {
		lines = append(lines, a.Unit+" "+a.From+">"+a.To+": "+a.Reason)
	}
	return strings.Join(lines, "|")
}

func TestRebalance(t *testing.T) {
	a, b, c, d := "a.service", "b.service", "c.service", "d.service"
	w1, w2, w3, w4 := "w@1.service", "w@2.service", "w@3.service", "w@4.service"
	for name, tc := range map[string]struct {
		scene *scene
		how   Balance
		want  string
	}{
		"balanced": {newScene("n1", "n2").unit(a).unit(b).unit(c).on(a, "n1").on(b, "n1").on(c, "n2"), Balance{}, ""},
		"one too many": {newScene("n1", "n2").unit(a).unit(b).unit(c).on(a, "n1").on(b, "n1").on(c, "n1"), Balance{},
			"a.service n1>n2: n1 has 3 units, n2 has 0"},
		"pinned, global and exclusive stay": {newScene("n1", "n2").fences("n1", "").fences("n2", "").unit(a, "MachineID=n1").unit(b, "Global=true").unit(c, "Exclusive=true").
			unit(d, "MachineOf=a.service").on(a, "n1").on(b, "n1", "n2").on(c, "n1").on(d, "n1"), Balance{}, ""},
		"exclusive, asked for": {newScene("n1", "n2").fences("n1", "").fences("n2", "").unit(a, "MachineID=n1").unit(c, "Exclusive=true").
			on(a, "n1").on(c, "n1"), Balance{Exclusive: true}, "c.service n1>n2: n1 has 2 units, n2 has 0"},
		"at most": {newScene("n1", "n2").unit(a).unit(b).unit(c).unit(d).on(a, "n1").on(b, "n1").on(c, "n1").on(d, "n1"), Balance{MostMoves: 1},
			"a.service n1>n2: n1 has 4 units, n2 has 0"},
		"a template spreads": {newScene("n1", "n2").unit(a).unit(b).unit(w1).unit(w2).on(w1, "n1").on(w2, "n1").on(a, "n2").unit(c).on(c, "n1"), Balance{},
			"w@1.service n1>n2: n1 has 3 units, n2 has 1"},
		"instances spread though the loads are equal within one": {newScene("n1", "n2").unit(w1).unit(w2).unit(w3).unit(w4).unit(a).unit(b).unit(c).
			on(w1, "n1").on(w2, "n1").on(w3, "n1").on(w4, "n1").on(a, "n2").on(b, "n2").on(c, "n2"), Balance{},
			"w@1.service n1>n2: n1 has 4 instances of w@.service, n2 has 0"},
		"a cordoned machine takes none": {newScene("n1", "n2").unit(a).unit(b).on(a, "n1").on(b, "n1").mark("n2", cluster.Cordoned), Balance{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "a template spreads" {
				delete(tc.scene.snap.Units, b)
			}
			if got := askedFor(New().Rebalance(tc.scene.runAll().input(), tc.how)); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

// TestRebalanceIsCarriedOut: one after the other, start-first, by any leader; what fails stays, and isn't tried again.
func TestRebalanceIsCarriedOut(t *testing.T) {
	s, p := newScene("n1", "n2"), New()
	for _, name := range []string{"a.service", "b.service", "c.service", "d.service", "e.service"} {
		s.unit(name).on(name, "n1")
	}
	s.runAll()
	s.ask(p.Rebalance(s.input(), Balance{}), 1)
	s.wantNext(t, p, noon, "a.service n1>n2+")
	s.wantNext(t, New(), noon, "")
	s.says("a.service", "n2", "active").wantNext(t, p, noon, "a.service n1>-")
	s.wantNext(t, p, noon, "b.service n1>n2+")
	s.says("b.service", "n2", "failed").wantNext(t, p, noon, "b.service n2>-|b.service n1>n1|b.service stays on n1: it failed (exit-code) on n2")
	for range 2 {
		s.wantNext(t, p, noon, "")
	}
	m := s.snap.Machines["n1"]
	m.SetSheds(nil, 0)
	s.snap = s.snap.With(cluster.Change{Revision: s.snap.Revision + 1, Machines: map[string]*cluster.Machine{"n1": &m}})
	s.wantNext(t, p, noon, "b.service n1>n1")
	s.wantNext(t, p, noon, "")
	// What isn't taken any more stays, with the reason.
	s, p = newScene("n1", "n2").unit("a.service").unit("b.service").on("a.service", "n1").on("b.service", "n1").runAll(), New()
	s.ask(p.Rebalance(s.input(), Balance{}), 1).state("n2", cluster.Failed)
	s.wantNext(t, p, noon, "a.service n1>n1|a.service stays on n1: n2 failed")
	s.state("n2", cluster.Up).wantNext(t, p, noon, "")
	// What was placed anew since it was asked for is another assignment, and stays.
	s, p = newScene("n1", "n2").unit("a.service").unit("b.service").on("a.service", "n1").on("b.service", "n1").runAll(), New()
	s.ask(p.Rebalance(s.input(), Balance{}), 1)
	k := cluster.UnitOnMachine{Unit: "a.service", Machine: "n1"}
	anew := s.snap.Assignments[k]
	anew.Epoch++
	s.snap = s.snap.With(cluster.Change{Revision: s.snap.Revision + 1,
		Assignments: map[cluster.UnitOnMachine]*cluster.Assignment{k: &anew}})
	s.wantNext(t, p, noon, "")
}

// TestRebalanceHolds: the machines end with as many units as each other, within one, where nothing ties units to
// machines; never more moves than needed; what is moved may be there; a second rebalance asks for nothing.
func TestRebalanceHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "machines")
		s := newScene()
		for k := range n {
			s.machine(fmt.Sprintf("n%d", k))
		}
		free := rapid.Bool().Draw(t, "free")
		for k := range rapid.IntRange(0, 14).Draw(t, "units") {
			name := rapid.SampledFrom([]string{"u%d.service", "w@%d.service"}).Draw(t, "kind")
			name = fmt.Sprintf(name, k)
			var options []string
			if !free {
				options = rapid.SampledFrom([][]string{nil, nil, {"Conflicts=u0.service"}, {"Conflicts=w@*.service"}, {"MachineID=n0"},
					{"MachineOf=u0.service"}, {"Global=true"}, {"Replaces=u1.service"}}).Draw(t, "options")
			}
			s.unit(name, options...).on(name, fmt.Sprintf("n%d", rapid.IntRange(0, n-1).Draw(t, "on")))
		}
		p := New()
		for range 4 { // as the leader leaves them, before
			s.snap = apply(s.snap, p.Plan(s.input(), noon).Moves)
		}
		s.runAll()
		plan := p.Rebalance(s.input(), Balance{})
		if free {
			loads := map[string]int{}
			for k := range s.snap.Assignments {
				loads[k.Machine]++
			}
			units, needed := len(s.snap.Assignments), 0
			var sizes []int
			for k := range n {
				sizes = append(sizes, loads[fmt.Sprintf("n%d", k)])
			}
			slices.Sort(sizes)
			slices.Reverse(sizes)
			for k, size := range sizes {
				fair := units / n
				if k < units%n {
					fair++
				}
				needed += max(0, size-fair)
			}
			swaps := 0
			for _, a := range plan {
				if strings.Contains(a.Reason, "instances") {
					swaps++
				}
			}
			if len(plan)-swaps > needed {
				t.Fatalf("%d moves, %d are needed: %s", len(plan), needed, askedFor(plan))
			}
		}
		s.ask(plan, rapid.IntRange(1, 3).Draw(t, "parallel"))
		for round := 0; ; round++ {
			r := p.Plan(s.input(), noon.Add(time.Duration(round)*time.Second))
			s.snap = apply(s.snap, r.Moves)
			s.runAll()
			if len(r.Moves) == 0 {
				break
			}
			if round > 20+4*len(plan) {
				t.Fatalf("it doesn't end: %v", says(r))
			}
		}
		if free {
			least, most := 1<<30, 0
			for k := range n {
				load := 0
				for a := range s.snap.Assignments {
					if a.Machine == fmt.Sprintf("n%d", k) {
						load++
					}
				}
				least, most = min(least, load), max(most, load)
			}
			if most-least > 1 {
				t.Fatalf("one machine has %d units and another %d", most, least)
			}
			for k := range s.snap.Assignments {
				if a := s.snap.Assignments[k]; a.Stay.Reason != "" {
					t.Fatalf("%s stays: %s", k.Unit, a.Stay.Reason)
				}
			}
		}
		checkConstraints(t, s.input(), s.snap, p.Plan(s.input(), noon))
		if again := p.Rebalance(s.input(), Balance{}); free && len(again) > 0 {
			t.Fatalf("a second one asks for %s", askedFor(again))
		}
	})
}
