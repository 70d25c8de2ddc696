package schedule

import (
	"slices"
	"strings"
	"testing"

	"fleettop/cluster"
	"fleettop/units"
)

// onceOn submits a oneshot, gives it to a machine and reports it from there.
func (s *scene) onceOn(name, machine, active string, options ...string) *scene {
	content := "[Service]\nType=oneshot\nExecStart=/bin/true\n[X-Fleet]\n" + strings.Join(options, "\n") + "\n"
	s.snap.Units[name] = cluster.Unit{Name: name, Content: content, Hash: "once" + strings.Join(options, ""), Desired: units.Launched, Generation: 1}
	s.on(name, machine)
	a := s.snap.Assignments[cluster.UnitOnMachine{Machine: machine, Unit: name}]
	s.snap.Statuses[cluster.UnitOnMachine{Machine: machine, Unit: name}] = cluster.Status{Machine: machine, Epoch: a.Epoch, Generation: a.Generation,
		Status: units.Status{Name: name, Load: "loaded", Active: active, Sub: "dead", Result: "success"}}
	return s
}

// report changes what a machine says of a unit.
func (s *scene) report(name, machine string, change func(*cluster.Status)) *scene {
	k := cluster.UnitOnMachine{Machine: machine, Unit: name}
	st := s.snap.Statuses[k]
	change(&st)
	s.snap.Statuses[k] = st
	return s
}

// TestFinishedIsFinished: what ran and ended well on n2 isn't run again
// elsewhere, be its status still there when it moves or gone for long.
func TestFinishedIsFinished(t *testing.T) {
	const a = "a.service"
	for name, c := range map[string]struct {
		scene *scene
		want  bool
	}{
		"finished":           {newScene("n1", "n2").onceOn(a, "n2", "inactive"), true},
		"was running":        {newScene("n1", "n2").onceOn(a, "n2", "activating"), false},
		"failed":             {newScene("n1", "n2").onceOn(a, "n2", "failed"), false},
		"is to run again":    {newScene("n1", "n2").onceOn(a, "n2", "inactive", "Rerun=true"), false},
		"is not":             {newScene("n1", "n2").onceOn(a, "n2", "inactive", "Rerun=false"), true},
		"not carried out":    {newScene("n1", "n2").onceOn(a, "n2", "inactive").report(a, "n2", func(st *cluster.Status) { st.Generation = 0 }), false},
		"of an earlier stay": {newScene("n1", "n2").onceOn(a, "n2", "inactive").report(a, "n2", func(st *cluster.Status) { st.Epoch-- }), false},
		"skipped there": {newScene("n1", "n2").onceOn(a, "n2", "inactive").report(a, "n2", func(st *cluster.Status) { st.Result = units.ResultCondition }),
			false},
		"its start went wrong": {newScene("n1", "n2").onceOn(a, "n2", "inactive").report(a, "n2", func(st *cluster.Status) { st.Error = "canceled" }), false},
	} {
		t.Run(name, func(t *testing.T) {
			for _, how := range []string{"failed", "failed, its status gone before", "drained"} {
				s := *c.scene
				p := New()
				if how == "failed, its status gone before" {
					s.snap = apply(s.snap, p.Plan(s.input(), noon).Moves)
					gone := *s.snap
					gone.Statuses = map[cluster.UnitOnMachine]cluster.Status{}
					s.snap = &gone
				}
				if how == "drained" {
					drained := *s.snap
					drained.Machines = map[string]cluster.Machine{"n1": s.snap.Machines["n1"]}
					m := s.snap.Machines["n2"]
					m.Schedule = cluster.Drained
					drained.Machines["n2"] = m
					s.snap = &drained
				} else {
					s.health = map[string]cluster.Health{"n1": {State: cluster.Up}, "n2": {State: cluster.Failed}}
				}
				r := p.Plan(s.input(), noon)
				if got := says(r); !slices.Equal(got, []string{"a.service n2>n1"}) {
					t.Fatalf("%s: %v", how, got)
				}
				if got := r.Moves[0].To.Finished; got != c.want {
					t.Errorf("%s: finished is %v, want %v", how, got, c.want)
				}
			}
		})
	}
}

// TestFinishedIsWrittenDownOnce: a status alone makes a plan, the assignment
// says so from then on, and a new generation takes it back.
func TestFinishedIsWrittenDownOnce(t *testing.T) {
	const a = "a.service"
	s := newScene("n1").onceOn(a, "n1", "activating")
	p := New()
	if r := p.Plan(s.input(), noon); len(r.Moves) > 0 {
		t.Fatalf("while it runs: %v", says(r))
	}
	ended := s.snap.With(cluster.Change{Revision: 1001, Statuses: map[cluster.UnitOnMachine]*cluster.Status{}})
	s.snap = ended
	s.report(a, "n1", func(st *cluster.Status) { st.Active = "inactive" })
	r := p.Plan(s.input(), noon)
	if len(r.Moves) != 1 || !r.Moves[0].To.Finished || r.Moves[0].Reason != "it ran and finished" || r.Moves[0].To.Epoch != r.Moves[0].From.Epoch {
		t.Fatalf("when it has ended: %+v", r.Moves)
	}
	s.snap = apply(s.snap, r.Moves)
	if r := p.Plan(s.input(), noon); len(r.Moves) > 0 {
		t.Errorf("once more: %v", says(r))
	}
	e, err := p.Explain(s.input(), a)
	if err != nil || e.Moving != "it ran and finished, and isn't run again where it moves (Rerun=true would)" {
		t.Errorf("explain says %q, %v", e.Moving, err)
	}
	s.desired(a, units.Launched) // a new generation
	if r := New().Plan(s.input(), noon); len(r.Moves) != 1 || r.Moves[0].To.Finished {
		t.Errorf("started again: %+v", r.Moves)
	}
}

// TestFinishedWithoutAPlace: what finished, and was taken from its machine while no
// other one took it, is still finished when it gets a place.
func TestFinishedWithoutAPlace(t *testing.T) {
	const a = "a.service"
	s := newScene("n1").onceOn(a, "n1", "inactive").mark("n1", cluster.Drained)
	next := func() (r Result) {
		t.Helper()
		r = New().Plan(s.input(), noon)
		found := map[string]cluster.Unplaced{}
		for _, u := range r.Unplaced {
			found[u.Unit] = cluster.Unplaced{Reason: u.Reason, Finished: u.Finished}
		}
		change := cluster.Change{Revision: s.snap.Revision + 1, Findings: cluster.Findings{Unplaced: s.snap.NewUnplaced(found)},
			Machines: map[string]*cluster.Machine{}}
		s.snap = apply(s.snap, r.Moves).With(change)
		return r
	}
	r := next()
	if len(r.Unplaced) != 1 || !r.Unplaced[0].Finished || !strings.HasSuffix(r.Unplaced[0].Reason, "; it ran and finished") ||
		len(s.snap.Assignments) != 0 {
		t.Fatalf("drained: %+v", r)
	}
	s.snap = s.snap.With(cluster.Change{Revision: s.snap.Revision + 1, Statuses: map[cluster.UnitOnMachine]*cluster.Status{
		{Machine: "n1", Unit: a}: nil}})
	if r = next(); len(r.Moves) > 0 || !r.Unplaced[0].Finished || !s.snap.Unplaced[a].Finished {
		t.Fatalf("a moment later: %+v", r)
	}
	again := s.snap.With(cluster.Change{Revision: s.snap.Revision, Machines: map[string]*cluster.Machine{
		"n1": {ID: "n1", Name: "n1"}}})
	s.snap = again
	if r := New().Plan(s.input(), noon); len(r.Moves) != 1 || !r.Moves[0].To.Finished {
		t.Errorf("given back: %+v", r.Moves)
	}
	u := s.snap.Units[a]
	u.Generation++
	s.snap = again.With(cluster.Change{Revision: s.snap.Revision, Units: map[string]*cluster.Unit{a: &u}})
	if r := New().Plan(s.input(), noon); len(r.Moves) != 1 || r.Moves[0].To.Finished {
		t.Errorf("started again: %+v", r.Moves)
	}
}

func TestExplainRerun(t *testing.T) {
	s := newScene("n1").onceOn("a.service", "n1", "inactive", "Rerun=true")
	e, err := New().Explain(s.input(), "a.service")
	if err != nil || e.Moving != "it runs again where it moves, finished or not (Rerun=true)" {
		t.Errorf("explain says %q, %v", e.Moving, err)
	}
}
