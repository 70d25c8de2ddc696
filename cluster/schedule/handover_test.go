package schedule

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"fleettop/cluster"
	"fleettop/units"
)

// adopted makes a unit one that is being adopted from a machine.
func (s *scene) adopted(name, from string) *scene {
	u := s.snap.Units[name]
	u.AdoptedFrom = from
	s.snap.Units[name] = u
	return s
}

// released asks for a unit's release.
func (s *scene) released(name string) *scene {
	u := s.snap.Units[name]
	u.Released = true
	u.Generation++
	s.snap.Units[name] = u
	return s
}

// runs makes a machine report that it carried out a unit's assignment.
func (s *scene) runs(name, machine string) *scene {
	a := s.snap.Assignments[cluster.UnitOnMachine{Machine: machine, Unit: name}]
	return s.report(name, machine, func(st *cluster.Status) {
		*st = cluster.Status{Machine: machine, Epoch: a.Epoch, Generation: a.Generation,
			Status: units.Status{Name: name, Hash: a.Hash, Load: "loaded", Active: "active", Sub: "running"}}
	})
}

// carryOut plans and applies once, with the units that the moves change.
func (s *scene) carryOut(p *Planner) Result {
	r := p.Plan(s.input(), noon)
	c := cluster.Change{Revision: s.snap.Revision, Units: map[string]*cluster.Unit{}}
	for _, m := range r.Moves {
		if m.Becomes != nil {
			c.Units[m.Unit] = m.Becomes
		} else if m.Forget {
			c.Units[m.Unit] = nil
		}
	}
	s.snap = apply(s.snap, r.Moves).With(c)
	return r
}

func TestAdoptedWhereItRuns(t *testing.T) {
	const a = "a.service"
	for name, c := range map[string]struct {
		scene *scene
		want  string
	}{
		"not where there is most room": {newScene("n1", "n2").unit("b.service").on("b.service", "n2").unit(a).adopted(a, "n2"), a + " ->n2"},
		"drained": {newScene("n1", "n2").mark("n2", cluster.Drained).unit(a).adopted(a, "n2"),
			a + ": it is adopted from n2, which is drained: it may run there under the host's file, so no other machine gets it"},
		"failed": {newScene("n1", "n2").state("n2", cluster.Failed).unit(a).adopted(a, "n2"),
			a + ": it is adopted from n2, which failed: it may run there under the host's file, so no other machine gets it"},
		"its options forbid the machine": {newScene("n1", "n2").unit(a, "MachineID=n1").adopted(a, "n2"),
			a + ": MachineID allows only n1, which is not the one it is adopted from"},
		"in conflict": {newScene("n1", "n2").unit("b.service").on("b.service", "n2").unit(a, "Conflicts=b.service").adopted(a, "n2"),
			a + ": it is adopted from n2, which conflicts with b.service: it may run there under the host's file, so no other machine gets it"},
		"of a machine that left": {newScene("n1").unit(a).adopted(a, "n2"),
			a + ": it is adopted from the machine n2, which is not in the cluster; `fleettop destroy a.service` forgets it"},
		"with the one that it follows": {newScene("n1", "n2").unit(a, "MachineOf=b.service").adopted(a, "n2").unit("b.service").adopted("b.service", "n2"),
			a + " ->n2|b.service ->n2"},
		"given, and its machine failed": {newScene("n1", "n2").unit(a).adopted(a, "n2").on(a, "n2").state("n2", cluster.Failed),
			a + ": it is adopted from n2, which failed: it may run there under the host's file, so no other machine gets it; it goes on there when n2 is back"},
		"given, and its machine was drained": {newScene("n1", "n2").unit(a).adopted(a, "n2").on(a, "n2").mark("n2", cluster.Drained), ""},
		"given, and another came to replace it": {newScene("n1", "n2").unit(a).adopted(a, "n2").on(a, "n2").unit("b.service", "Replaces=a.service"),
			"b.service ->n1"},
		"global": {newScene("n1", "n2").unit(a, "Global=true").adopted(a, cluster.EveryMachine), a + " ->n1|" + a + " ->n2"},
	} {
		t.Run(name, func(t *testing.T) {
			r := New().Plan(c.scene.input(), noon)
			if got := strings.Join(says(r), "|"); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
			for _, m := range r.Moves {
				if u := c.scene.snap.Units[m.Unit]; m.To != nil && m.To.TakeOver != u.ChangesHands() {
					t.Errorf("%s takes over: %v", m.Unit, m.To.TakeOver)
				}
			}
		})
	}
}

// TestTakenOverIsOneLikeAnyOther: once its machine has taken it over, a unit moves.
func TestTakenOverIsOneLikeAnyOther(t *testing.T) {
	const a = "a.service"
	s, p := newScene("n1", "n2").unit(a).adopted(a, "n2"), New()
	s.carryOut(p)
	if r := s.carryOut(p); len(r.Moves) > 0 {
		t.Fatalf("before it was taken over: %v", says(r))
	}
	s.runs(a, "n2").report(a, "n2", func(st *cluster.Status) { st.Load, st.Error = "error", "no room" })
	if r := s.carryOut(p); len(r.Moves) > 0 {
		t.Fatalf("when it could not be taken over: %v", says(r))
	}
	s.runs(a, "n2").report(a, "n2", func(st *cluster.Status) { st.Error = "it ended at once, and its Restart= starts it again" })
	r := s.carryOut(p)
	if len(r.Moves) != 1 || r.Moves[0].To == nil || r.Moves[0].To.TakeOver || r.Moves[0].To.Generation != 2 {
		t.Fatalf("taken over: %+v", r.Moves)
	}
	if u := s.snap.Units[a]; u.Generation != 2 || u.AdoptedFrom != "" {
		t.Errorf("the unit: %+v", u)
	}
	if r := s.runs(a, "n2").carryOut(p); len(r.Moves) > 0 {
		t.Errorf("afterwards: %v", says(r))
	}
	s.state("n2", cluster.Failed)
	if got := says(s.carryOut(p)); !slices.Equal(got, []string{a + " n2>n1"}) {
		t.Errorf("when its machine failed: %v", got)
	}
	if to := s.snap.Assignments[cluster.UnitOnMachine{Machine: "n1", Unit: a}]; to.TakeOver {
		t.Error("the machine that it moved to takes it over from its host")
	}
}

func TestReleasedStaysWhereItIs(t *testing.T) {
	const a = "a.service"
	for name, becomes := range map[string]func(*scene){
		"failed":          func(s *scene) { s.state("n2", cluster.Failed) },
		"drained":         func(s *scene) { s.mark("n2", cluster.Drained) },
		"its target gone": func(s *scene) { delete(s.snap.Units, "t.service") },
		"replaced":        func(s *scene) { s.unit("b.service", "Replaces=a.service") },
		"conflict": func(s *scene) {
			s.unit("c.service", "Conflicts=a.service").on("c.service", "n2")
			s.snap.Assignments[cluster.UnitOnMachine{Machine: "n2", Unit: "c.service"}] = cluster.Assignment{Machine: "n2", Unit: "c.service",
				Hash: s.snap.Units["c.service"].Hash, Desired: units.Launched, Generation: 1, Epoch: 0}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, p := newScene("n1", "n2").unit("t.service").on("t.service", "n2").unit(a, "MachineOf=t.service").on(a, "n2").released(a), New()
			if r := s.carryOut(p); len(r.Moves) != 1 || !r.Moves[0].To.Release || r.Moves[0].To.Machine != "n2" {
				t.Fatalf("released: %v", says(r))
			}
			becomes(s)
			for _, m := range s.carryOut(p).Moves {
				if m.Unit == a {
					t.Errorf("it moved: %+v", m)
				}
			}
		})
	}
}

func TestReleasedIsForgotten(t *testing.T) {
	const a = "a.service"
	s, p := newScene("n1", "n2").unit(a, "Global=true").on(a, "n1", "n2").released(a), New()
	s.carryOut(p)
	s.machine("n3")
	given := func(st *cluster.Status) { st.Released, st.Load = "/etc/systemd/system/a.service", "released" }
	s.runs(a, "n1").runs(a, "n2").report(a, "n1", given)
	if r := s.carryOut(p); len(r.Moves) > 0 {
		t.Fatalf("while n2 has it: %v", says(r))
	}
	s.report(a, "n2", given)
	if r := s.carryOut(p); len(r.Moves) != 1 || !r.Moves[0].Forget {
		t.Fatalf("when both gave it to their hosts: %+v", r.Moves)
	}
	s.carryOut(p)
	if len(s.snap.Units)+len(s.snap.Assignments) > 0 {
		t.Errorf("left: %v %v", s.snap.Units, s.snap.Assignments)
	}
}

// TestHandoverNeverMoves: whatever the cluster is like, a unit that changes hands
// is given to no machine but its own.
func TestHandoverNeverMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScene(t)
		for _, name := range slices.Sorted(maps.Keys(s.snap.Units)) {
			u := s.snap.Units[name]
			switch rapid.IntRange(0, 3).Draw(t, "hands") {
			case 0:
				u.AdoptedFrom = "n1"
				if strings.Contains(u.Content, "Global=true") {
					u.AdoptedFrom = cluster.EveryMachine
				}
			case 1:
				u.Released = true
			}
			s.snap.Units[name] = u
		}
		for _, m := range New().Plan(s.input(), noon).Moves {
			u := s.snap.Units[m.Unit]
			if m.To == nil || u.AdoptedFrom == cluster.EveryMachine && m.From == nil || !u.ChangesHands() || m.From != nil && m.From.Machine == m.To.Machine {
				continue
			}
			if m.From != nil || u.Released || m.To.Machine != u.AdoptedFrom {
				t.Fatalf("%s: %+v -> %+v", m.Unit, m.From, m.To)
			}
		}
	})
}
