package engine

import (
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// updated is how many machines have the current content of a unit.
func updated(s *cluster.Snapshot, name string) int {
	n := 0
	for k, a := range s.Assignments {
		if k.Unit == name && a.Hash == s.Units[name].Hash {
			n++
		}
	}
	return n
}

// TestRoll: a global unit is updated on one machine after the other. A failure
// holds that, is told once, and a new leader goes on from there.
func TestRoll(t *testing.T) {
	const g = "g.service"
	r := newRig(t, "n1", "n2", "n3")
	stop := r.lead("n3")
	r.demand(g, "Global=true")
	r.until("all placed", placed(3))
	for _, id := range []string{"n1", "n2", "n3"} {
		r.run(id)
	}
	update := func(hash string) {
		t.Helper()
		u := r.cluster.Snapshot().Units[g]
		u.Hash, u.Generation, u.Restart = hash, u.Generation+1, u.Generation+1
		errs, err := r.store.PutUnits(r.ctx, []cluster.Unit{u})
		r.must(err)
		r.must(errs[0])
	}
	update("h-2")
	r.until("n1 is updated", func(s *cluster.Snapshot) bool { return updated(s, g) == 1 })
	r.run("n1")
	r.until("n2 is updated", func(s *cluster.Snapshot) bool { return updated(s, g) == 2 })
	a := r.cluster.Snapshot().Assignments[cluster.UnitOnMachine{Machine: "n2", Unit: g}]
	r.must(r.session["n2"].PutStatuses(r.ctx, []cluster.Status{{Machine: "n2", Epoch: a.Epoch, Generation: a.Generation,
		Status: units.Status{Name: g, Hash: a.Hash, Load: "loaded", Active: "failed", Sub: "failed",
			Result: "exit-code"}}}, nil))
	const held = "g.service is updated on no other machine: it failed (exit-code) on n2"
	r.event(cluster.EventUnit, held)

	r.must(stop())
	r.must(r.store.Evict(r.ctx, "n3", "run-n3"))
	again := New(Config{Self: "n1", Store: r.store, View: r.view, Health: r.health})
	r.engine = again
	r.lead("n1")
	r.event(cluster.EventLeader, "n1 leads the cluster")
	if n := updated(r.cluster.Snapshot(), g); n != 2 {
		t.Errorf("updated on %d machines, want 2", n)
	}
	r.run("n2") // its Restart= made good for it
	r.until("n3 is updated", func(s *cluster.Snapshot) bool { return updated(s, g) == 3 })
	events, err := r.store.Events(r.ctx, time.Time{}, 1000)
	r.must(err)
	told := 0
	for _, e := range events {
		if strings.Contains(e.Text, held) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}
