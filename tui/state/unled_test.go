package state_test

import (
	"testing"
	"time"

	"fleettop/cluster"
	"fleettop/daemon/api"
	"fleettop/tui/state"
	"fleettop/tui/tuitest"
)

// TestUnled: the console knows since when no one leads, by its own clock.
func TestUnled(t *testing.T) {
	r := state.NewReducer()
	first := tuitest.Cluster(2, 2)
	first.Leader = &cluster.Leader{Machine: "m1", Run: "r1", Term: 1}
	r.Apply(first, tuitest.Noon)
	leader := func(run string, after time.Duration) time.Time {
		r.Apply(&api.Line{Kind: api.LineChange, Leader: &cluster.Leader{Run: run}}, tuitest.Noon.Add(after))
		return r.Snapshot(tuitest.Noon.Add(after)).Unled
	}
	if at := r.Snapshot(tuitest.Noon).Unled; !at.IsZero() {
		t.Errorf("led, and unled since %s", at)
	}
	if at := leader("", time.Second); !at.Equal(tuitest.Noon.Add(time.Second)) {
		t.Errorf("unled since %s", at)
	}
	if at := leader("", 5*time.Second); !at.Equal(tuitest.Noon.Add(time.Second)) {
		t.Errorf("said again, and unled since %s", at)
	}
	if at := leader("r2", 6*time.Second); !at.IsZero() {
		t.Errorf("led again, and unled since %s", at)
	}
}
