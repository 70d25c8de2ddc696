package engine

import (
	"strings"
	"testing"
	"time"

	"fleettop/cluster"
)

// TestWhatADrillLeadsToIsMarked: it is no failure, and what comes
// long after it is one.
func TestWhatADrillLeadsToIsMarked(t *testing.T) {
	term := newTerm(cluster.Leader{}, nil)
	now := time.Unix(1000, 0)
	snap := cluster.NewSnapshot(1)
	snap.Machines["n3"] = cluster.Machine{ID: "n3", Drill: cluster.Drill{ID: "d1"}}
	term.seeDrills(snap, now)
	event := func(at time.Time, from string) cluster.Event {
		term.event(cluster.Event{Kind: cluster.EventMoved, Time: at, Machine: "n1", From: from, Text: "a.service n3 -> n1"})
		return term.pending[len(term.pending)-1]
	}
	if e := event(now, "n3"); e.Drill != "" {
		t.Errorf("asked for only: %+v", e)
	}
	m := snap.Machines["n3"]
	m.Drill.Began = now
	snap = snap.With(cluster.Change{Revision: 2, Machines: map[string]*cluster.Machine{"n3": &m}})
	term.seeDrills(snap, now)
	if e := event(now, "n3"); e.Drill != "d1" || !strings.HasPrefix(e.Text, "drill: a.service") {
		t.Errorf("under way: %+v", e)
	}
	if e := event(now, "n2"); e.Drill != "" {
		t.Errorf("of another machine: %+v", e)
	}
	m.Drill = cluster.Drill{}
	snap = snap.With(cluster.Change{Revision: 3, Machines: map[string]*cluster.Machine{"n3": &m}})
	term.seeDrills(snap, now.Add(time.Minute))
	if e := event(now.Add(time.Minute+time.Second), "n3"); e.Drill != "d1" {
		t.Errorf("just over: %+v", e)
	}
	if e := event(now.Add(2*time.Minute), "n3"); e.Drill != "" {
		t.Errorf("long over: %+v", e)
	}
}
