package engine

import (
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units"
)

// TestMovesSayHowItWas: an event of a unit that leaves a dead machine says where and how it was,
// so that the timeline can be walked back past it.
func TestMovesSayHowItWas(t *testing.T) {
	now := time.Date(2026, 11, 27, 10, 0, 0, 0, time.UTC)
	from := cluster.Assignment{Machine: "m3", Unit: "web.service", Epoch: 5, Reason: "fewest units"}
	snap := cluster.NewSnapshot(9)
	snap.Machines["m1"], snap.Machines["m3"] = cluster.Machine{ID: "m1", Name: "n1"}, cluster.Machine{ID: "m3", Name: "n3"}
	key := cluster.UnitOnMachine{Machine: "m3", Unit: "web.service"}
	snap.Assignments[key] = from
	snap.Statuses[key] = cluster.Status{Machine: "m3", Epoch: 5,
		Status: units.Status{Name: "web.service", Active: "active", Sub: "running", Since: now.Add(-time.Hour)}}
	term := newTerm(cluster.Leader{Machine: "m1"}, nil)
	term.name(snap)
	term.snap = snap
	to := from
	to.Machine, to.Epoch, to.Reason = "m1", 10, "moved from n3: machine failed"
	term.tell(cluster.Move{Unit: "web.service", From: &from, To: &to, Reason: to.Reason}, now)
	events := term.events()
	if len(events) != 1 {
		t.Fatalf("events: %+v", events)
	}
	e := events[0]
	if e.Reason != to.Reason || e.Was == nil || !e.Was.Places || len(e.Was.On) != 1 || e.Was.On[0] != "m3" ||
		e.Was.Reason != "fewest units" || e.Was.Active != "active" || !e.Was.Since.Equal(now.Add(-time.Hour)) {
		t.Errorf("the event says that it was %+v", e.Was)
	}

	// A status of an earlier stay says nothing of this one.
	from.Epoch = 6
	term.tell(cluster.Move{Unit: "web.service", From: &from, To: &to, Reason: to.Reason}, now)
	if e := term.events()[0]; e.Was.Active != "" {
		t.Errorf("the event says that it was %+v", e.Was)
	}
}
