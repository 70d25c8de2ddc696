package storetest

import (
	"fmt"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

var applyCases = []testCase{
	{"moves place, change, move and withdraw", applyKinds},
	{"moves decided on something else are skipped", applyConflicts},
	{"one move that is skipped keeps no other from being made", applyMixed},
	{"a unit is never seen in two places or none while it moves", applyAtomic},
	{"global units are on many machines", applyGlobal},
	{"a move changes or removes its unit in the same step", applyToUnit},
	{"a unit is on two machines while it starts on one before it stops on the other", applyKeep},
}

// apply makes moves and checks each one's outcome.
func apply(t testing.TB, s cluster.Store, l cluster.Leader, moves []cluster.Move, wanted ...error) int64 {
	t.Helper()
	revision, errs, err := s.Apply(t.Context(), l.Term, moves, cluster.Findings{})
	want(t, errs, err, wanted...)
	return revision
}

func applyKinds(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u := unit("web.service")
	put(t, s, u)
	f := follow(t, s, cluster.Scope{})
	only := func(what string, a *cluster.Assignment, revision int64) {
		t.Helper()
		f.until(what, func(snap *cluster.Snapshot) bool { return snap.Revision >= revision })
		if f.snap.Revision != revision {
			t.Errorf("%s: written at revision %d, seen at %d", what, revision, f.snap.Revision)
		}
		if a == nil {
			if len(f.snap.Assignments) != 0 {
				t.Errorf("%s: %+v", what, f.snap.Assignments)
			}
			return
		}
		got := f.snap.Assignments[on(a.Machine, a.Unit)]
		if !got.Equal(*a) || len(f.snap.Assignments) != 1 {
			t.Errorf("%s: %+v", what, f.snap.Assignments)
		}
	}
	one := assignment("m1", u)
	only("a placement", one, apply(t, s, l, []cluster.Move{{Unit: u.Name, To: one, Generation: 1}}, nil))
	changed := *one
	changed.Desired, changed.Restart, changed.Since = units.Loaded, 1, time.Now()
	only("a change", &changed, apply(t, s, l, []cluster.Move{{Unit: u.Name, From: one, To: &changed, Generation: 1}}, nil))
	two := assignment("m2", u)
	only("a move", two, apply(t, s, l, []cluster.Move{{Unit: u.Name, From: &changed, To: two, Generation: 1}}, nil))
	errs, err := s.DeleteUnits(t.Context(), []string{u.Name})
	want(t, errs, err, nil)
	only("a withdrawal", nil, apply(t, s, l, []cluster.Move{{Unit: u.Name, From: two}}, nil))
	if revision := apply(t, s, l, nil); revision != 0 {
		t.Errorf("no moves were written at %d", revision)
	}
}

func applyToUnit(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u := unit("web.service")
	u.AdoptedFrom = "m1"
	put(t, s, u)
	f := follow(t, s, cluster.Scope{})
	seen := func(revision int64) *cluster.Snapshot {
		t.Helper()
		f.until("the move", func(snap *cluster.Snapshot) bool { return snap.Revision >= revision })
		return f.snap
	}
	first := assignment("m1", u)
	first.TakeOver = true
	apply(t, s, l, []cluster.Move{{Unit: u.Name, To: first, Generation: 1}}, nil)
	next := u
	next.Generation, next.AdoptedFrom = 2, ""
	second := *first
	second.Generation, second.TakeOver = 2, false
	snap := seen(apply(t, s, l, []cluster.Move{{Unit: u.Name, From: first, To: &second, Generation: 1, Becomes: &next}},
		nil))
	if got := snap.Units[u.Name]; got.Generation != 2 || got.AdoptedFrom != "" || got.Content != u.Content {
		t.Errorf("the unit became %+v", got)
	}
	if got := snap.Assignments[on("m1", u.Name)]; !got.Equal(second) {
		t.Errorf("its assignment became %+v", got)
	}
	apply(t, s, l, []cluster.Move{{Unit: u.Name, From: &second, Generation: 1, Forget: true}}, cluster.ErrConflict)
	snap = seen(apply(t, s, l, []cluster.Move{{Unit: u.Name, From: &second, Generation: 2, Forget: true}}, nil))
	if len(snap.Units) != 0 || len(snap.Assignments) != 0 {
		t.Errorf("left of a unit that was forgotten: %+v %+v", snap.Units, snap.Assignments)
	}
}

func applyConflicts(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u, v := unit("web.service"), unit("db.service")
	put(t, s, u, v)
	here, there := assignment("m1", u), assignment("m2", u)
	apply(t, s, l, []cluster.Move{{Unit: u.Name, To: here, Generation: 1}}, nil)
	older := *here
	older.Epoch--
	before := snapshot(t, s)
	for what, m := range map[string]cluster.Move{
		"placed where it is":    {Unit: u.Name, To: here, Generation: 1},
		"another generation":    {Unit: u.Name, From: here, To: there, Generation: 2},
		"a unit taken for gone": {Unit: u.Name, From: here},
		"a unit that is gone": {Unit: "gone.service", To: assignment("m1", unit("gone.service")),
			Generation: 1},
		"from an assignment that changed": {Unit: u.Name, From: &older, To: there, Generation: 1},
		"from where it isn't":             {Unit: u.Name, From: there, To: here, Generation: 1},
		"withdrawn from where it isn't":   {Unit: v.Name, From: assignment("m1", v), Generation: 1},
		"changed where it isn't": {Unit: v.Name, From: assignment("m1", v), To: assignment("m1", v),
			Generation: 1},
		"withdrawn by an old assignment":      {Unit: u.Name, From: &older, Generation: 1},
		"moved, but its unit was resubmitted": {Unit: v.Name, To: assignment("m1", v), Generation: 3},
	} {
		t.Log(what)
		if revision := apply(t, s, l, []cluster.Move{m}, cluster.ErrConflict); revision != 0 {
			t.Errorf("%s: written at %d", what, revision)
		}
	}
	if after := snapshot(t, s); len(after.Assignments) != 1 ||
		!after.Assignments[on("m1", u.Name)].Equal(before.Assignments[on("m1", u.Name)]) {
		t.Errorf("something was written: %+v", after.Assignments)
	}
}

func applyMixed(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	list := many(150)
	put(t, s, list...)
	place, shift := make([]cluster.Move, len(list)), make([]cluster.Move, len(list))
	wanted := make([]error, len(list))
	for i, u := range list {
		place[i] = cluster.Move{Unit: u.Name, To: assignment("m1", u), Generation: 1}
		shift[i] = cluster.Move{Unit: u.Name, From: place[i].To, To: assignment("m2", u), Generation: 1}
	}
	place[70].Generation, wanted[70] = 2, cluster.ErrConflict
	apply(t, s, l, place, wanted...)
	shift[20].From, wanted[20] = assignment("m3", list[20]), cluster.ErrConflict // and 70 is nowhere
	began := time.Now()
	apply(t, s, l, shift, wanted...)
	t.Logf("150 moves in %v", time.Since(began))
	count := map[string]int{}
	for k := range snapshot(t, s).Assignments {
		count[k.Machine]++
	}
	if count["m1"] != 1 || count["m2"] != len(list)-2 {
		t.Errorf("the machines have %v", count)
	}
	// Moves of one unit in one call are made in their order.
	u := list[0]
	apply(t, s, l, []cluster.Move{
		{Unit: u.Name, From: assignment("m2", u), Generation: 1},
		{Unit: u.Name, To: assignment("m2", u), Generation: 1},
		{Unit: u.Name, To: assignment("m2", u), Generation: 1},
	}, nil, nil, cluster.ErrConflict)
}

func applyAtomic(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u := unit("web.service")
	put(t, s, u)
	apply(t, s, l, []cluster.Move{{Unit: u.Name, To: assignment("m0", u), Generation: 1}}, nil)
	f := follow(t, open(), cluster.Scope{})
	const hops = 30
	moved := make(chan error, 1)
	go func() {
		for i := range hops {
			_, errs, err := s.Apply(t.Context(), l.Term, []cluster.Move{{Unit: u.Name, Generation: 1,
				From: assignment(fmt.Sprintf("m%d", i), u), To: assignment(fmt.Sprintf("m%d", i+1), u)}}, cluster.Findings{})
			if err == nil {
				err = errs[0]
			}
			if err != nil {
				moved <- err
				return
			}
		}
		moved <- nil
	}()
	f.until("the last hop", func(snap *cluster.Snapshot) bool {
		if len(snap.Assignments) != 1 {
			t.Fatalf("the unit is in %d places: %v", len(snap.Assignments), snap.Assignments)
		}
		_, there := snap.Assignments[on(fmt.Sprintf("m%d", hops), u.Name)]
		return there
	})
	must(t, <-moved)
}

func applyGlobal(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u := unit("agent.service")
	put(t, s, u)
	moves := make([]cluster.Move, 130)
	for i := range moves {
		moves[i] = cluster.Move{Unit: u.Name, To: assignment(fmt.Sprintf("m%d", i), u), Generation: 1}
	}
	apply(t, s, l, moves, make([]error, len(moves))...)
	if n := len(snapshot(t, s).Assignments); n != len(moves) {
		t.Errorf("on %d machines, want %d", n, len(moves))
	}
}

// applyKeep: a unit starts on one machine before it stops on the other, and either may go.
func applyKeep(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u := unit("web.service")
	put(t, s, u)
	one, two := assignment("m1", u), assignment("m2", u)
	two.MovedFrom, two.Epoch = "m1", one.Epoch+1
	beside := cluster.Move{Unit: u.Name, From: one, To: two, Keep: true, Generation: 1}
	apply(t, s, l, []cluster.Move{{Unit: u.Name, To: one, Generation: 1}}, nil)
	apply(t, s, l, []cluster.Move{beside}, nil)
	if snap := snapshot(t, s); len(snap.Assignments) != 2 || !snap.Assignments[on("m1", u.Name)].Equal(*one) ||
		!snap.Assignments[on("m2", u.Name)].Equal(*two) {
		t.Errorf("beside: %+v", snap.Assignments)
	}
	apply(t, s, l, []cluster.Move{beside}, cluster.ErrConflict)
	kept := *one
	kept.Stay = cluster.Stay{Reason: "it failed", Attempt: 3, Tried: true}
	apply(t, s, l, []cluster.Move{{Unit: u.Name, From: two, Generation: 1}, {Unit: u.Name, From: one, To: &kept, Generation: 1}}, nil, nil)
	if snap := snapshot(t, s); len(snap.Assignments) != 1 || !snap.Assignments[on("m1", u.Name)].Equal(kept) {
		t.Errorf("taken back: %+v", snap.Assignments)
	}
	apply(t, s, l, []cluster.Move{{Unit: u.Name, From: one, To: two, Keep: true, Generation: 1}}, cluster.ErrConflict)
}
