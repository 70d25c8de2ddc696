package health

import (
	"context"
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/units/broadcast"
)

// seen is what a daemon sees itself.
type seen struct {
	health  map[string]cluster.Health
	changed broadcast.Signal
}

func (s *seen) Health() map[string]cluster.Health { return s.health }
func (s *seen) Changed() <-chan struct{}          { return s.changed.Changed() }

func led() *cluster.Snapshot {
	snap := cluster.NewSnapshot(1)
	for _, id := range []string{"m1", "m2", "m3"} {
		snap.Machines[id] = cluster.Machine{ID: id, Name: "n" + id[1:]}
	}
	snap.Leader = cluster.Leader{Machine: "m1", Run: "r1", Term: 1}
	snap.Verdicts["m3"] = cluster.Health{State: cluster.Failed, Evidence: "no answer for 0.6 s", By: "m1"}
	return snap
}

// TestTheLeadersVerdictIsShown: by a daemon that sees less, too.
func TestTheLeadersVerdictIsShown(t *testing.T) {
	own := &seen{health: map[string]cluster.Health{
		"m2": {State: cluster.Up, Evidence: "this machine"}, "m3": {State: cluster.Up, Evidence: "its daemon answers"}}}
	s := NewShown("m2", own, nil)
	snap := led()
	shown := s.Of(snap, true)
	if h := shown["m3"]; h.State != cluster.Failed || h.By != "m1" {
		t.Errorf("led: %+v", h)
	}
	if h := shown["m2"]; h.State != cluster.Up || h.By != "m2" {
		t.Errorf("without a verdict yet: %+v", h)
	}
	if h := shown["m1"]; h.State != cluster.Failed || h.By != "" {
		t.Errorf("unknown to all: %+v", h)
	}
	// Without a leader, or a store, it shows what it sees itself, and says so.
	unled := led()
	unled.Leader = cluster.Leader{}
	for what, shown := range map[string]map[string]cluster.Health{"no leader": s.Of(unled, true),
		"no store": s.Of(snap, false)} {
		if h := shown["m3"]; h.State != cluster.Up || h.Evidence != "as n2 sees it: its daemon answers" || h.By != "m2" {
			t.Errorf("%s: %+v", what, h)
		}
		if h := shown["m2"]; h.Evidence != "this machine" {
			t.Errorf("%s: of itself: %+v", what, h)
		}
	}
	if got := s.Of(nil, false); len(got) != 0 {
		t.Errorf("of nothing: %+v", got)
	}
}

// views is a View that a test turns.
type views struct {
	snap    *cluster.Snapshot
	changed broadcast.Signal
}

func (v *views) LastKnown() (*cluster.Snapshot, bool, time.Time, <-chan struct{}) {
	return v.snap, v.snap != nil, time.Time{}, v.changed.Changed()
}

// TestShownTellsOfChanges: of the leader's verdicts, of its own sight, and not of other changes.
func TestShownTellsOfChanges(t *testing.T) {
	own, view := &seen{}, &views{}
	s := NewShown("m2", own, view)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	before := s.Changed()
	go func() { s.Run(ctx); close(ended) }()
	<-before
	changed := s.Changed()
	own.changed.Notify()
	<-changed
	cancel()
	<-ended
}
