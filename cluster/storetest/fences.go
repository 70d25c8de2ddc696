package storetest

import (
	"errors"
	"testing"
	"time"

	"fleettop/cluster"
)

var fenceCases = []testCase{
	{"a fence is renewed by a living session only", fenceRenewed},
	{"a move that relies on the end of a fence is skipped where it was renewed or may be", fenceGuards},
	{"a session confirms what its machine has", fenceConfirms},
}

func fenceRenewed(t *testing.T, open func() cluster.Store) {
	s := open()
	f := follow(t, s, cluster.Scope{})
	n := register(t, open(), runOf("m1", "run"), ttl)
	must(t, n.RenewFence(t.Context(), 3*time.Second))
	var first int64
	f.until("the fence", func(snap *cluster.Snapshot) bool {
		first = snap.Fences["m1"].Revision
		return snap.Fences["m1"] == cluster.Fence{Machine: "m1", Run: "run", Lease: 3 * time.Second, Revision: first} && first > 0
	})
	must(t, n.RenewFence(t.Context(), 3*time.Second))
	f.until("its renewal", func(snap *cluster.Snapshot) bool { return snap.Fences["m1"].Revision > first })
	last := f.snap.Fences["m1"].Revision
	must(t, s.Evict(t.Context(), "m1", "run"))
	if err := n.RenewFence(t.Context(), 3*time.Second); !errors.Is(err, cluster.ErrSessionLost) {
		t.Errorf("renewed after the eviction: %v", err)
	}
	f.until("the eviction", gone("m1"))
	if now := snapshot(t, s).Fences["m1"].Revision; now != last {
		t.Errorf("the last renewal is at revision %d, was at %d", now, last)
	}
}

func fenceGuards(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u := unit("db.service")
	put(t, s, u)
	n := register(t, open(), runOf("m1", "run"), ttl)
	must(t, n.RenewFence(t.Context(), time.Second))
	one, two := assignment("m1", u), assignment("m2", u)
	apply(t, s, l, []cluster.Move{{Unit: u.Name, To: one, Generation: 1}}, nil)
	stale := snapshot(t, s).Fences["m1"]
	move := func(relies cluster.Fence) []cluster.Move {
		return []cluster.Move{{Unit: u.Name, From: one, To: two, Generation: 1, Fenced: &relies}}
	}
	apply(t, s, l, move(stale), cluster.ErrConflict) // the machine has a run
	must(t, n.RenewFence(t.Context(), time.Second))
	must(t, s.Evict(t.Context(), "m1", "run"))
	apply(t, s, l, move(stale), cluster.ErrConflict) // and renewed its fence since
	apply(t, s, l, move(cluster.Fence{Machine: "m1"}), cluster.ErrConflict)
	apply(t, s, l, move(snapshot(t, s).Fences["m1"]), nil)
	if snap := snapshot(t, s); len(snap.Assignments) != 1 || !snap.Assignments[on("m2", u.Name)].Equal(*two) {
		t.Errorf("after the move: %+v", snap.Assignments)
	}
	never := cluster.Fence{Machine: "m2"}
	apply(t, s, l, []cluster.Move{{Unit: u.Name, From: two, Generation: 1, Fenced: &never}}, nil)
}

func fenceConfirms(t *testing.T, open func() cluster.Store) {
	s := open()
	l := lead(t, s, "m0")
	u := unit("db.service")
	put(t, s, u)
	n := register(t, open(), runOf("m1", "run"), ttl)
	one := assignment("m1", u)
	confirm := func(wanted error) {
		t.Helper()
		if err := n.Confirm(t.Context(), *one); !errors.Is(err, wanted) {
			t.Errorf("confirmed with %v, want %v", err, wanted)
		}
	}
	confirm(cluster.ErrConflict)
	apply(t, s, l, []cluster.Move{{Unit: u.Name, To: one, Generation: 1}}, nil)
	confirm(nil)
	leaving := *one
	leaving.Leaving = true
	apply(t, s, l, []cluster.Move{{Unit: u.Name, From: one, To: &leaving, Generation: 1}}, nil)
	confirm(cluster.ErrConflict)
	apply(t, s, l, []cluster.Move{{Unit: u.Name, From: &leaving, To: one, Generation: 1}}, nil)
	must(t, s.Evict(t.Context(), "m1", "run"))
	confirm(cluster.ErrSessionLost)
}
